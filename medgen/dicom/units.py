"""What rescaled values measure: Hounsfield units, activity, uptake, or nothing that is comparable.

`rescale.rescale_of` makes values in the unit that `unit_of_frames` names.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from medgen.dicom.frames import ARBITRARY, BECQUEREL, COUNTS, HU, SUV, Frame
from medgen.dicom.philips import activity_factor, suv_factor
from medgen.dicom.suv import suv_factors
from medgen.dicom.values import class_name, contradicts_class, modality_of, quiet, text_of
from medgen.problems import Problem

__all__ = ["suv_factors", "unit_of_frames"]

# Defined terms; a text that is none of them is not quoted. PS3.3 C.11.1.1.2, and C.8.9.1.
_RESCALE_TYPES = ("OD", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT")
_PET_UNITS = (
    "CNTS",
    "NONE",
    "CM2",
    "CM2ML",
    "PCNT",
    "CPS",
    "BQML",
    "MGMINML",
    "UMOLMINML",
    "MLMING",
    "MLG",
    "1CM",
    "UMOLML",
    "PROPCNTS",
    "PROPCPS",
    "MLMINML",
    "MLML",
    "GML",
    "STDDEV",
)
_UNCALIBRATED = ("PROPCNTS", "CPS", "PROPCPS")
_SUV_TYPES = ("BSA", "LBM", "LBMJAMES128", "LBMJANMA", "IBW")

_SEVERAL = Problem(
    "E_PET_UNITS", "its images are in different units", "export each kind as a series of its own"
)


@quiet()
def unit_of_frames(frames: Sequence[Frame]) -> tuple[str, list[Problem]]:
    """Return the unit of the rescaled values of frames, and what keeps them from having one.

    CT is in HU where RescaleType (0028,1054) says so or is absent (PS3.3 C.8.2.1, C.11.1.1.2).
    PT goes by Units (0054,1001) and SUVType (0054,1006) (C.8.9.1): BQML is Bq/ml; GML with SUVType
    BW, or without one, which means the same, is SUV; CNTS is Bq/ml or else SUV through the factors
    of Philips. CNTS without them and PROPCNTS, CPS or PROPCPS, as of images that were not corrected
    for attenuation, are counts. Everything else, MR foremost, is arbitrary.

    Problems: E_RESCALE for CT in other units, E_PET_UNITS, E_BAD_HEADER where Modality and SOP
    class are of different kinds.
    """
    found: dict[str, None] = {}
    problems: dict[Problem, None] = {}
    for frame in frames:
        modality = modality_of(frame.header)
        if modality == "CT":
            unit, wrong = HU, _ct_problem(frame.header)
        elif modality == "PT":
            unit, wrong = _pet_unit(frame.header)
        else:
            unit, wrong = ARBITRARY, None
        if contradicts_class(frame.header):
            named = class_name(frame.header)
            message = f"its Modality (0008,0060) contradicts its SOP class, {named}"
            wrong = Problem("E_BAD_HEADER", message, "export the series again from its origin")
        found[unit] = None
        if wrong is not None:
            problems[wrong] = None
    if len(found) > 1 and not problems:
        problems[_SEVERAL] = None
    return next(iter(found), ARBITRARY), list(problems)


def _ct_problem(header: Dataset) -> Problem | None:
    kind = text_of(header, "RescaleType")
    if kind in ("", "HU"):
        return None
    named = kind if kind in _RESCALE_TYPES else "another type"
    message = f"its values are rescaled to {named}, not to Hounsfield units"
    return Problem("E_RESCALE", message, "export the reconstruction in Hounsfield units")


def _pet_unit(header: Dataset) -> tuple[str, Problem | None]:
    units = text_of(header, "Units")
    if units == "BQML":
        return BECQUEREL, None
    if units == "GML":
        kind = text_of(header, "SUVType")
        if kind in ("", "BW"):
            return SUV, None
        named = kind if kind in _SUV_TYPES else "another SUVType"
        return SUV, _bad_units(f"its uptake is normalised by {named}, not by body weight (BW)")
    if units == "CNTS":
        if activity_factor(header) is not None:
            return BECQUEREL, None
        if suv_factor(header) is not None:
            return SUV, None
        return COUNTS, None
    if units in _UNCALIBRATED:
        return COUNTS, None
    if not units:
        return BECQUEREL, _bad_units("its Units (0054,1001) are missing")
    named = units if units in _PET_UNITS else "unknown"
    return BECQUEREL, _bad_units(f"its Units are {named}, where BQML or GML is needed")


def _bad_units(reason: str) -> Problem:
    return Problem("E_PET_UNITS", reason, "export the attenuation-corrected series in Bq/ml")
