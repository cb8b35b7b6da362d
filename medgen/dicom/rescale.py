"""From stored values to what they measure: slope and intercept (PS3.3 C.11.1), frame by frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from medgen.dicom.frames import Frame
from medgen.dicom.philips import activity_factor, suv_factor
from medgen.dicom.values import class_name, items_of, modality_of, number_of, text_of
from medgen.problems import Problem

Rescale = tuple[float, float]
"""Slope and intercept."""

_NEEDED = ("CT", "PT")
_AGAIN = "export the original series again, with its rescale values"


def rescale_of(frame: Frame) -> tuple[Rescale, list[Problem]]:
    """Return a frame's slope and intercept, and E_RESCALE where they cannot be used.

    CT (PS3.3 C.8.2.1) and PET (C.8.9.4) must state both. Elsewhere neither means that stored
    values are the values; one without the other is refused. Of MR, slope and intercept are applied
    where they are present; private scale factors of manufacturers are not, since values of MR are
    arbitrary anyway. Of PET in counts, Philips's factor is part of both, so that values are in the
    unit that `units.unit_of_frames` names. A Modality LUT Sequence (C.11.1) is refused: it is not
    linear.
    """
    header = frame.header
    problems = []
    if items_of(header, "ModalityLUTSequence"):
        problems.append(_bad("its values go through a modality lookup table, which is not read"))
    slope, intercept = (number_of(header, name) for name in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None and modality_of(header) not in _NEEDED:
        return (1.0, 0.0), problems
    if slope is None or intercept is None:
        names = {"RescaleSlope": slope, "RescaleIntercept": intercept}
        missing = " and ".join(name for name, value in names.items() if value is None)
        problems.append(_bad(f"{missing} missing in an image of {class_name(header)}"))
    elif not (math.isfinite(slope) and math.isfinite(intercept)):
        problems.append(_bad("its rescale slope or intercept is no finite number"))
    elif slope == 0:
        problems.append(_bad("its rescale slope is 0, which makes all values equal"))
    if problems or slope is None or intercept is None:
        return (1.0, 0.0), problems
    factor = _counts_factor(header)
    return (slope * factor, intercept * factor), []


def _counts_factor(header: Dataset) -> float:
    """Return what makes rescaled values Bq/ml or else SUV; 1 unless they are PET in counts."""
    if modality_of(header) != "PT" or text_of(header, "Units") != "CNTS":
        return 1.0
    return activity_factor(header) or suv_factor(header) or 1.0


def rescale_problems(frames: Iterable[Frame]) -> list[Problem]:
    """Return what is wrong with the slopes and intercepts of frames, each kind once."""
    found = (problem for frame in frames for problem in rescale_of(frame)[1])
    return list(dict.fromkeys(found))


def is_whole(rescales: Sequence[Rescale]) -> bool:
    """Tell whether rescaled values are whole numbers: slopes of 1, and whole intercepts."""
    return all(
        slope == 1 and intercept.is_integer() and abs(intercept) < 1 << 31
        for slope, intercept in rescales
    )


def _bad(reason: str) -> Problem:
    return Problem("E_RESCALE", reason, _AGAIN)
