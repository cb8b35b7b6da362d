"""How one frame's stored values lie in its bytes, by the Image Pixel module (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.values import text_of, whole_of
from medgen.problems import Problem

_COLOURS = (
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_PARTIAL_420",
    "YBR_ICT",
    "YBR_RCT",
    "XYB",
)
_EXPORT_GREY = "export the measured values as MONOCHROME2, not a screenshot or a fused display"


@dataclass(frozen=True)
class Layout:
    """Say how stored values lie in the bytes of one frame of one grey sample per pixel."""

    rows: int
    columns: int
    bits_allocated: int
    """8, 16 or 32."""
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def bytes_per_frame(self) -> int:
        """Return the bytes of a native frame."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def least(self) -> int:
        """Return the smallest stored value there can be."""
        return -(1 << (self.bits_stored - 1)) if self.signed else 0

    @property
    def greatest(self) -> int:
        """Return the largest stored value there can be."""
        return (1 << (self.bits_stored - int(self.signed))) - 1

    def stored_values(self, words: NDArray[Any]) -> NDArray[Any]:
        """Return stored values from unsigned words of `bits_allocated` bits.

        Only the bits from HighBit down count (PS3.5 section 8.1.1): what lies above may be an
        overlay, as it was written before 2004. The highest of them is the sign where
        PixelRepresentation is 1.
        """
        if self.signed:
            above = self.bits_allocated - 1 - self.high_bit
            signed = (words << above if above else words).view(f"i{words.dtype.itemsize}")
            spare = self.bits_allocated - self.bits_stored
            return signed >> spare if spare else signed
        shift = self.high_bit + 1 - self.bits_stored
        if shift:
            words = words >> shift
        if self.bits_stored == self.bits_allocated:
            return words
        masked: NDArray[Any] = words & words.dtype.type(self.greatest)
        return masked


def layout_of(header: Dataset) -> tuple[Layout | None, list[Problem]]:
    """Return how a file's frames are stored, or None with what keeps them from being read.

    Problems: E_MONOCHROME1 (whether its values are inverted is a matter of display, and readers
    disagree), E_COLOUR, E_PIXEL_TYPE.
    """
    problems = _photometric_problems(header)
    names = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
    found = {name: whole_of(header, name) for name in names}
    missing = [name for name, value in found.items() if value is None]
    if missing:
        problems.append(_impossible(f"{', '.join(missing)} missing or unreadable"))
        return None, problems
    rows, columns, allocated, stored, high, sign = (int(found[name] or 0) for name in names)
    if min(rows, columns) < 1:
        problems.append(_impossible(f"{rows} rows and {columns} columns"))
    if allocated not in (8, 16, 32):
        problems.append(_impossible(f"{allocated} bits allocated, where 8, 16 or 32 are possible"))
    if not (1 <= stored <= high + 1 <= allocated):
        problems.append(_impossible(f"{stored} bits up to bit {high} in words of {allocated}"))
    if sign not in (0, 1):
        problems.append(_impossible(f"a pixel representation of {sign}, where 0 or 1 is possible"))
    if problems:
        return None, problems
    return Layout(rows, columns, allocated, stored, high, sign == 1), []


def _photometric_problems(header: Dataset) -> list[Problem]:
    photometric = text_of(header, "PhotometricInterpretation")
    samples = whole_of(header, "SamplesPerPixel")
    if photometric == "MONOCHROME1":
        message = "its values are MONOCHROME1, inverted for display: readers disagree on them"
        return [Problem("E_MONOCHROME1", message, "export it as MONOCHROME2")]
    if photometric in _COLOURS or (samples or 1) > 1:
        kind = photometric if photometric in _COLOURS else "colour"
        message = f"its pixels are {kind} with {samples or 1} samples, not one measured value"
        return [Problem("E_COLOUR", message, _EXPORT_GREY)]
    if photometric != "MONOCHROME2":
        message = "its photometric interpretation is missing or unknown"
        return [Problem("E_COLOUR", message, _EXPORT_GREY)]
    if samples != 1:
        return [_impossible("the samples per pixel are missing or none")]
    return []


def _impossible(what: str) -> Problem:
    message = f"its pixels are described impossibly: {what}"
    return Problem("E_PIXEL_TYPE", message, "copy or export it again")
