"""How values are stored: in as few bytes as keep them."""

from __future__ import annotations

from medgen.volumes import Volume
from medgen.volumes.writing import StoredType


def stored_type(volume: Volume, *, interpolated: bool) -> StoredType:
    """Return the smallest type that keeps a volume's values; whole HU are exact enough."""
    if volume.unit == "HU":
        return "int16"
    if interpolated:
        return "float32"
    low, high = float(volume.data.min()), float(volume.data.max())
    whole = volume.data.dtype.kind in "bui" or volume.unit == "label"
    if whole and low >= 0 and high <= 255:
        return "uint8"
    return "int16" if whole and low >= -32768 and high <= 32767 else "float32"
