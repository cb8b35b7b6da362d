"""Conversion: a case in memory, and a case on disk."""

from medgen.conversion.blending import blend
from medgen.conversion.converter import WINDOWS_AT_ONCE, Converted, Converter
from medgen.conversion.file import (
    Provenance,
    Record,
    convert_files,
    digest_of_inputs,
    open_sources,
    sidecar_of,
    write_converted,
)
from medgen.conversion.tiling import Tiling, plan_tiling

__all__ = [
    "WINDOWS_AT_ONCE",
    "Converted",
    "Converter",
    "Provenance",
    "Record",
    "Tiling",
    "blend",
    "convert_files",
    "digest_of_inputs",
    "open_sources",
    "plan_tiling",
    "sidecar_of",
    "write_converted",
]
