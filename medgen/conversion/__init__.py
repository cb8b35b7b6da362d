"""Conversion: a case in memory, and a case on disk."""

from medgen.conversion.assembly import converter_of
from medgen.conversion.beside import Outputs, is_as, noted_digests, own_beside, sidecar_of
from medgen.conversion.blending import blend
from medgen.conversion.converter import Converter
from medgen.conversion.derived import derived_problems, template_doubts, template_problems
from medgen.conversion.file import (
    Record,
    convert_files,
    digest_of_inputs,
    open_sources,
    remove,
    write_converted,
)
from medgen.conversion.lesion_file import LESIONS
from medgen.conversion.provenance import Provenance
from medgen.conversion.stages import Answered, Converted, Ready, Waiting
from medgen.conversion.tiling import Tiling, plan_tiling
from medgen.conversion.windows import WINDOWS_AT_ONCE, Windowed, Windows

__all__ = [
    "LESIONS",
    "WINDOWS_AT_ONCE",
    "Answered",
    "Converted",
    "Converter",
    "Outputs",
    "Provenance",
    "Ready",
    "Record",
    "Tiling",
    "Waiting",
    "Windowed",
    "Windows",
    "blend",
    "convert_files",
    "converter_of",
    "derived_problems",
    "digest_of_inputs",
    "is_as",
    "noted_digests",
    "open_sources",
    "own_beside",
    "plan_tiling",
    "remove",
    "sidecar_of",
    "template_doubts",
    "template_problems",
    "write_converted",
]
