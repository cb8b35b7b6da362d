"""Units of what is scored: one for prediction and reference, the profile's, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.frames import BECQUEREL, SUV
from medgen.evaluation.sidecars import Sidecar
from medgen.metrics import SUV_OR_BECQUEREL, UNIT_UNKNOWN, Profile
from medgen.problems import Problem, Refusal
from medgen.volumes import ARBITRARY, Volume, in_unit

SCORED = ("prediction", "reference")
UNITS_DIFFER = "units differ"
"""What stands for the unit of means over cases in SUV and cases in Bq/ml."""
PET_UNITS = (SUV, BECQUEREL, UNIT_UNKNOWN, UNITS_DIFFER, SUV_OR_BECQUEREL)
"""What a report of the profile `pet` may be in; the last in reports of earlier versions."""
_TO_NAME_IT = (
    "convert with a run whose configuration gives the PET column `unit: SUV` or `unit: Bq/ml`, "
    'write {"unit": "SUV"} into the prediction\'s sidecar, or give DICOM'
)
_OF_PET = {unit.casefold(): unit for unit in (SUV, BECQUEREL)}
_FAR_APART = 100.0
"""A mean so many times the other's is not an error but a unit: 1 SUV is some thousand Bq/ml."""


def in_scored_units(
    volumes: Mapping[str, Volume], profile: Profile, said: str | None
) -> tuple[dict[str, Volume], str]:
    """Return prediction and reference in the profile's unit, and that unit.

    `said` is the prediction's unit by its sidecar, believed where the file names none. PET in two
    units is scored in SUV. A volume that names no unit is taken at its word, as NIfTI must be; PET
    of which neither names one is in "unit unknown".

    Raises:
        Refusal: E_UNIT, naming the role as its column where it is one volume's; E_SUV.
    """
    pair = {role: volumes[role] for role in SCORED}
    if profile.unit not in (ARBITRARY, SUV_OR_BECQUEREL):
        return {role: _measuring(v, role, profile.unit) for role, v in pair.items()}, profile.unit
    believed = _OF_PET.get((said or "").casefold())
    if believed and pair["prediction"].unit == ARBITRARY:
        pair["prediction"] = pair["prediction"].with_data(pair["prediction"].data, unit=believed)
    if profile.unit == SUV_OR_BECQUEREL:
        _refuse_others(pair, profile)
    pair = _in_one_unit(pair)
    if profile.unit != SUV_OR_BECQUEREL:
        return pair, profile.unit
    units = [volume.unit for volume in pair.values() if volume.unit in (SUV, BECQUEREL)]
    return pair, units[0] if units else UNIT_UNKNOWN


def _refuse_others(pair: Mapping[str, Volume], profile: Profile) -> None:
    """Refuse volumes whose header names a unit that is none of PET's."""
    problems = []
    for role, volume in pair.items():
        if volume.unit not in (SUV, BECQUEREL, ARBITRARY):
            message = f"the file's header says {volume.unit}, and {profile.name} scores "
            advice = "give PET in SUV or Bq/ml, or use --profile mr, which asks for no unit"
            problems.append(Problem("E_UNIT", message + profile.unit, advice, column=role))
    if problems:
        raise Refusal(problems)


def _in_one_unit(pair: Mapping[str, Volume]) -> dict[str, Volume]:
    """Return PET in one unit where prediction and reference name two; refuse other pairs."""
    units = [volume.unit for volume in pair.values()]
    if ARBITRARY in units or units[0] == units[1]:
        return dict(pair)
    try:
        return {role: in_unit(volume, SUV) for role, volume in pair.items()}
    except Refusal as error:
        if any(problem.code != "E_UNIT" for problem in error.problems):
            raise
        message = f"the prediction is in {units[0]} and the reference in {units[1]}"
        raise Refusal(Problem("E_UNIT", message, "give both in one unit")) from None


def _measuring(volume: Volume, role: str, unit: str) -> Volume:
    """Return a volume in the profile's unit, where its header names one; problems name the role."""
    try:
        return in_unit(volume, unit)
    except Refusal as error:
        raise error.at(column=role) from None


def in_common_unit(profile: Profile, units: Sequence[str]) -> tuple[Profile, list[str]]:
    """Return a profile of PET in the unit that all cases have, and a warning where there is none.

    `units` are the cases' own, one for each; the profile says "unit unknown" where one case's is
    not known, and "units differ" where some are in SUV and others in Bq/ml.
    """
    if profile.unit != SUV_OR_BECQUEREL:
        return profile, []
    if {SUV, BECQUEREL} <= set(units):
        absolute = [c.name for c in profile.overall if profile.unit in c.unit]
        mixed = f"some cases are in SUV and others in Bq/ml: the means of {', '.join(absolute)}"
        mixed += " and of the regions' SUVs" if profile.regions else ""
        return profile.in_unit(UNITS_DIFFER), [f"{mixed} say nothing; relative scores hold"]
    unknown = sum(unit == UNIT_UNKNOWN for unit in units)
    if not unknown:
        return profile.in_unit(units[0]), []
    which = "no case" if unknown == len(units) else f"{unknown} of {len(units)} cases do not"
    says = "says" if unknown == len(units) else "say"
    remark = f"{which} {says} whether it is in SUV or in Bq/ml, so no mean has a unit"
    return profile.in_unit(UNIT_UNKNOWN), [f"{remark}: {_TO_NAME_IT}"]


def unit_doubts(
    sidecar: Sidecar,
    profile: Profile,
    prediction: NDArray[Any],
    reference: NDArray[Any],
    mask: NDArray[np.bool_],
) -> list[str]:
    """Return remarks where a sidecar's unit or the values do not seem to fit the profile."""
    remarks: list[str] = []
    known = {"HU": {"hu"}, SUV_OR_BECQUEREL: {*_OF_PET, ARBITRARY}}.get(profile.unit)
    if known is None:
        return remarks
    if sidecar.unit is not None and sidecar.unit.casefold() not in known:
        remarks.append(
            f"the prediction's sidecar names another unit than {profile.unit}, which "
            f"{profile.name} scores"
        )
    if profile.unit == "HU":
        for role, values in (("reference", reference), ("prediction", prediction)):
            if float(values.min()) >= 0:
                remarks.append(f"the {role} has no value below 0: it may not be in HU")
        return remarks
    first = float(prediction[mask].mean(dtype=np.float64))
    second = float(reference[mask].mean(dtype=np.float64))
    low, high = sorted((first, second))
    if low > 0 and high > _FAR_APART * low:
        remarks.append(
            f"the mean is {first:.4g} in the prediction and {second:.4g} in the reference: they "
            "may be in two units, SUV and Bq/ml"
        )
    return remarks
