"""Standardised uptake values by body weight: what Bq/ml of each frame is multiplied by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.decay import (
    Unknown,
    administration_moment,
    correction_reasons,
    is_enhanced,
    reference_moment,
)
from medgen.dicom.frames import Frame
from medgen.dicom.moments import parsed_moment
from medgen.dicom.philips import activity_factor, suv_factor
from medgen.dicom.values import items_of, modality_of, number_of, quiet, text_of
from medgen.problems import Problem

_GRAMS = 1000.0
_MEGA = 1e6
_WEIGHT_KG = (0.005, 700.0)  # a mouse is weighed too
_DOSE_BQ = (1e4, 1e12)
_HALF_LIFE_S = (10.0, 1e9)
_MOST_HALF_LIVES = 10.0
_DAY_S = 86400.0
_SAME_HALF_LIFE = 0.05

# By SNOMED CT and SRT code of PS3.16 CID 4020. A half-life in minutes is off by a factor of 60.
_KNOWN_HALF_LIVES_S = {
    **dict.fromkeys(("C-105A1", "40565003"), 1221.8),  # C-11
    **dict.fromkeys(("C-107A1", "21576001"), 597.9),  # N-13
    **dict.fromkeys(("C-B1038", "129504001"), 122.2),  # O-15
    **dict.fromkeys(("C-111A1", "77004003"), 6586.2),  # F-18
    **dict.fromkeys(("C-131A3", "35337001"), 4062.6),  # Ga-68
    **dict.fromkeys(("C-159A2", "79197006"), 75.5),  # Rb-82
    **dict.fromkeys(("C-127A2", "3932008"), 45723.0),  # Cu-64
    **dict.fromkeys(("C-168A4", "63360001"), 282276.0),  # Zr-89
    **dict.fromkeys(("C-114A5", "40937006"), 360806.0),  # I-124
}

_ADVICE = "read it in Bq/ml, or export the series with all that a SUV is made of"


@quiet()
def suv_factors(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], list[Problem]]:
    """Return what values in the unit of the frames are multiplied by to become SUV, per frame (n,).

    SUV by body weight is activity concentration / (injected activity at the reference time /
    weight), with 1 ml of body weighing 1 g:

        weight [kg] * 1000 / (RadionuclideTotalDose [Bq] * 2 ** (-elapsed / RadionuclideHalfLife))

    where `elapsed` runs from the administration to the moment that activities were corrected to
    (`decay.reference_moment`). PatientWeight (0010,1030) is in kg; the dose (0018,1074) is in Bq in
    PET Image Storage (PS3.3 C.8.9.2) and in MBq in Enhanced PET (C.8.22.4). Values that are SUV by
    body weight already have the factor 1; counts of Philips have the scanner's own factor.

    Problems: E_SUV, one for each thing that is missing, impossible or contradictory; the factors
    are 1 then and mean nothing. Nothing is guessed, a half-life least of all.
    """
    headers = [frame.header for frame in frames]
    if any(modality_of(header) != "PT" for header in headers):
        return np.ones(len(frames)), [_problem("its images are not all of PET")]
    given = [_given_factor(header) for header in headers]
    if all(factor is not None for factor in given):
        return np.array(given, dtype=np.float64), []
    factor, reasons = _computed_factor(headers)
    problems = [_problem(reason) for reason in dict.fromkeys(reasons)]
    return np.full(len(frames), 1.0 if problems else factor), problems


def _given_factor(header: Dataset) -> float | None:
    """Return the factor of values that are SUV already, or that the scanner gives one for."""
    units = text_of(header, "Units")
    if units == "GML":
        return 1.0
    to_suv = suv_factor(header) if units == "CNTS" else None
    if to_suv is None:
        return None
    # `rescale.rescale_of` has made Bq/ml of the counts where it could, and SUV otherwise.
    to_activity = activity_factor(header)
    return 1.0 if to_activity is None else to_suv / to_activity


def _is_activity(header: Dataset) -> bool:
    """Tell whether rescaled values are Bq/ml."""
    units = text_of(header, "Units")
    return units == "BQML" or (units == "CNTS" and activity_factor(header) is not None)


def _computed_factor(headers: Sequence[Dataset]) -> tuple[float, list[str]]:
    """Return the factor of a series, and all reasons for which it means nothing."""
    reasons = correction_reasons(headers)
    if not all(_is_activity(header) for header in headers):
        reasons.append("its values are not all activity concentrations in Bq/ml")
    weight = _one_number(headers, "PatientWeight", "(0010,1030)", _WEIGHT_KG, "kg", reasons)
    reference, known = _reference(headers, reasons)
    items = [_item(header, reasons) for header in headers]
    tracers = [item for item in items if item is not None]
    if len(tracers) != len(items):
        return math.nan, reasons
    scale = _MEGA if is_enhanced(headers[0]) else 1.0
    dose = _one_number(
        tracers, "RadionuclideTotalDose", "(0018,1074)", _DOSE_BQ, "Bq", reasons, scale=scale
    )
    if known and reference is None:  # corrected to the administration: nothing decays
        return (weight * _GRAMS / dose if not reasons else math.nan), reasons
    half_life = _one_number(
        tracers, "RadionuclideHalfLife", "(0018,1075)", _HALF_LIFE_S, "s", reasons
    )
    reasons += [reason for item in tracers for reason in _half_life_reasons(item, half_life)]
    if not known or reference is None:
        return math.nan, reasons
    elapsed = _elapsed(tracers, headers, reference, reasons)
    if not reasons and not 0 <= elapsed <= _MOST_HALF_LIVES * half_life:
        reasons.append(
            f"the administration lies {elapsed:.0f} s before the moment of the decay correction, "
            f"which with a half-life of {half_life:g} s is impossible"
        )
    if not reasons and not _names_day(tracers, headers, elapsed, half_life):
        reasons.append(
            f"RadiopharmaceuticalStartDateTime (0018,1078) missing, and with a half-life of "
            f"{half_life:g} s the administration may lie on another day than its time says"
        )
    if reasons:
        return math.nan, reasons
    return weight * _GRAMS / (dose * 2.0 ** (-elapsed / half_life)), []


def _reference(headers: Sequence[Dataset], reasons: list[str]) -> tuple[datetime | None, bool]:
    """Return the moment of the decay correction, and whether it could be known."""
    try:
        return reference_moment(headers), True
    except Unknown as unknown:
        reasons.append(str(unknown))
        return None, False


def _item(header: Dataset, reasons: list[str]) -> Dataset | None:
    """Return the only item of the tracers of a header."""
    items = items_of(header, "RadiopharmaceuticalInformationSequence")
    if len(items) == 1:
        return items[0]
    count = "missing" if not items else f"of {len(items)} tracers, where one is needed"
    reasons.append(f"RadiopharmaceuticalInformationSequence (0054,0016) {count}")
    return None


def _one_number(
    holders: Sequence[Dataset],
    keyword: str,
    tag: str,
    bounds: tuple[float, float],
    unit: str,
    reasons: list[str],
    *,
    scale: float = 1.0,
) -> float:
    """Return a number that all must agree on, or NaN with the reason added."""
    found = {number_of(holder, keyword) for holder in holders}
    name = f"{keyword} {tag}"
    if None in found:
        reasons.append(f"{name} missing")
        return math.nan
    if len(found) > 1 and not any(math.isnan(number or 0) for number in found):
        reasons.append(f"{name} not the same in all images")
        return math.nan
    value = next(number for number in found if number is not None) * scale
    if not bounds[0] <= value <= bounds[1]:
        reasons.append(f"{name} impossible: not from {bounds[0]:g} to {bounds[1]:g} {unit}")
        return math.nan
    return value


def _half_life_reasons(item: Dataset, half_life: float) -> list[str]:
    """Return the contradiction between a half-life and the radionuclide that an item names."""
    codes = [text_of(code, "CodeValue") for code in items_of(item, "RadionuclideCodeSequence")]
    known = [_KNOWN_HALF_LIVES_S[code] for code in codes if code in _KNOWN_HALF_LIVES_S]
    if not known or math.isnan(half_life) or abs(half_life / known[0] - 1) <= _SAME_HALF_LIFE:
        return []
    return [
        f"RadionuclideHalfLife (0018,1075) of {half_life:g} s contradicts its radionuclide's "
        f"{known[0]:g} s"
    ]


def _names_day(
    items: Sequence[Dataset], headers: Sequence[Dataset], elapsed: float, half_life: float
) -> bool:
    """Tell whether the day of the administration is stated, or else no earlier one is possible."""
    if elapsed + _DAY_S > _MOST_HALF_LIVES * half_life:
        return True
    texts = [text_of(item, "RadiopharmaceuticalStartDateTime") for item in items]
    return all(parsed_moment(*pair) is not None for pair in zip(texts, headers, strict=True))


def _elapsed(
    items: Sequence[Dataset],
    headers: Sequence[Dataset],
    reference: datetime,
    reasons: list[str],
) -> float:
    """Return the seconds from the administration to the reference, NaN with the reason added."""
    try:
        moments = {
            administration_moment(item, header, reference)
            for item, header in zip(items, headers, strict=True)
        }
    except Unknown as unknown:
        reasons.append(str(unknown))
        return math.nan
    moment = next(iter(moments))
    if len(moments) > 1 or moment is None:
        reasons.append("the administration not the same in all images")
        return math.nan
    return (reference - moment).total_seconds()


def _problem(reason: str) -> Problem:
    return Problem("E_SUV", f"no SUV can be computed: {reason}", _ADVICE)
