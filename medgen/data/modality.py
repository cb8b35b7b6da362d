"""Which machine an image comes from: what a column's name says, and whether a header agrees."""

from __future__ import annotations

from typing import Literal

from medgen.problems import Problem, Refusal
from medgen.volumes import Volume

MR_COLUMNS = frozenset(
    (
        *("mr", "t1", "t1ce", "t2", "pd", "flair", "t2star", "swi", "dwi", "adc", "gre", "tof"),
        *("stir", "bold", "perfusion"),
    )
)
"""First words of the names of MR columns."""

_SPELLINGS = {
    **dict.fromkeys(("mri", "t1w", "mprage", "t1c", "t1gd", "t2w", "pdw"), "mr"),
    "conebeam": "cbct",
}
_OF_COLUMN = {"mr": "MR", "ct": "CT", "cbct": "CT", "pet": "PT"}
_KNOWN = frozenset(_OF_COLUMN.values())


def modality_of(column: str) -> Literal["mr", "ct", "cbct", "pet", "other"]:
    """Tell which machine a column's image comes from, by the first word of its name."""
    first = column.casefold().split("_")[0]
    first = _SPELLINGS.get(first, first)
    if first in MR_COLUMNS:
        return "mr"
    return first if first in ("ct", "cbct", "pet") else "other"  # type: ignore[return-value]


def check_modality(column: str, volume: Volume) -> None:
    """Refuse a DICOM series of another modality than its column is called after.

    A network answers to whatever it is given: a CT in place of an MR image becomes a synthetic CT
    that looks like one. Names that say nothing, and files that do not know, are not judged.

    Raises:
        Refusal: E_MODALITY.
    """
    wanted = _OF_COLUMN.get(modality_of(column))
    stated = volume.series.modality if volume.series is not None else ""
    if wanted is None or stated not in _KNOWN or stated == wanted:
        return
    message = f"the series' header says {stated}, where the column {column} holds {wanted}"
    advice = "check the cell or --input, or rename the column; a cycle_gan run converts the other "
    advice += "way by --direction"
    raise Refusal(Problem("E_MODALITY", message, advice))
