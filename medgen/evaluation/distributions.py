"""Two sets of volumes, pairs or not: how far their features lie apart, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.modality import modality_of
from medgen.dicom.frames import BECQUEREL, SUV
from medgen.evaluation.distances import CONVENTIONS, distances_json
from medgen.evaluation.matching import Case
from medgen.evaluation.scoring import Scored
from medgen.evaluation.sidecars import read_sidecar
from medgen.metrics.jackknife import LEVEL
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import ARBITRARY, Volume, open_volume

Array = NDArray[np.float64]
Extract = Callable[[Volume], tuple[Array, Array]]
"""Turn a volume into its features (D,), and those of windows in it, (W, D)."""


@dataclass(frozen=True, eq=False)
class FeatureSource:
    """What an evaluation is lent to describe volumes by."""

    extract: Extract
    column: str
    """What the network was trained to read."""
    unit: str
    weights_digest: str
    """SHA-256 of the weights."""


@dataclass(frozen=True)
class Member:
    """A volume of one of the sets. `owner` tells patients apart, and is never written anywhere."""

    name: str
    owner: str
    path: Path


@dataclass(frozen=True, eq=False)
class Described:
    """A volume's features (D,), and those of its windows (W, D)."""

    member: Member
    volume: Array
    windows: Array


def owner_of(case: str, patient: str | None) -> str:
    """Return what a case's patient is told apart by: the table's, or else the case itself."""
    return f"case {case}" if patient is None else f"patient {patient.casefold()}"


def describe(
    members: Iterable[Member],
    source: FeatureSource,
    role: str,
    *,
    nan_to: float | None = None,
    on_volume: Callable[[str], None] = lambda name: None,
) -> tuple[list[Described], list[Problem]]:
    """Return the features of volumes, and what was wrong with those that have none.

    A prediction's unit is its sidecar's where the file names none; E_UNIT where that is another
    than the features'.
    """
    found: list[Described] = []
    problems: list[Problem] = []
    for member in members:
        try:
            volume = open_volume(member.path, nan_to=nan_to)
            if role == "prediction" and volume.unit == ARBITRARY:
                volume = _in_unit_said(volume, read_sidecar(member.path).unit, source)
            found.append(Described(member, *source.extract(volume)))
        except MedgenError as error:
            problems += error.at(case=member.name, column=role).problems
        on_volume(member.name)
    return found, problems


def _in_unit_said(volume: Volume, said: str | None, source: FeatureSource) -> Volume:
    """Return a volume that names no unit in the one that its sidecar says, if it says any."""
    if not said:
        return volume
    if said.casefold() == source.unit.casefold():
        return volume.with_data(volume.data, unit=source.unit)
    # Features without a unit take volumes of any, by their own percentiles; but MR is never in HU.
    if source.unit == ARBITRARY and not (said == "HU" and modality_of(source.column) == "mr"):
        return volume
    shown = said if said in ("HU", ARBITRARY, SUV, BECQUEREL) else "another unit"  # never free text
    message = f"the sidecar says {shown}, and the features are of {source.column} in {source.unit}"
    advice = f"give answers in {source.unit}, or a segmenter of the answers' column"
    raise Refusal(Problem("E_UNIT", message, advice))


def distribution_json(
    predictions: Sequence[Described],
    references: Sequence[Described],
    source: FeatureSource,
    problems: Sequence[Problem] = (),
) -> dict[str, Any]:
    """Return how far predictions lie from references, by whole volumes and by windows, as JSON.

    What cannot be had is null, and stands under `unavailable` with the reason.
    """
    sides = (predictions, references)
    dimension = next((len(each.volume) for side in sides for each in side), 0)
    whole = [
        (
            np.array([d.volume for d in side]).reshape(len(side), dimension),
            [d.member.owner for d in side],
        )
        for side in sides
    ]
    parts = [
        (
            np.concatenate([np.zeros((0, dimension)), *(d.windows for d in side)]),
            [d.member.owner for d in side for _ in d.windows],
        )
        for side in sides
    ]
    return {
        "features": {
            "weights_sha256": source.weights_digest,
            "column": source.column,
            "unit": source.unit,
            "dimension": dimension,
        },
        "volumes": distances_json(*whole),
        "windows": distances_json(*parts),
        "failed": [problem.as_json() for problem in problems],
        "level": LEVEL,
        "conventions": CONVENTIONS,
    }


def members_of(cases: Iterable[Case], role: str) -> list[Member]:
    """Return the volumes that cases have in a role."""
    return [Member(c.name, owner_of(c.name, c.patient), c.paths()[role]) for c in cases]


def check_enough(
    predictions: Sequence[Member], references: Sequence[Member], problems: Sequence[Problem] = ()
) -> None:
    """Refuse sets too small for a distance, with what was wrong with those that are left out.

    Raises:
        Refusal: E_KERNEL_CASES.
    """
    found = []
    for role, members in (("predictions", predictions), ("references", references)):
        patients = len({member.owner for member in members})
        if patients < 2:
            message = f"the {role} are of {patients} patient{'s' if patients != 1 else ''}"
            found.append(
                Problem("E_KERNEL_CASES", f"{message}, and a distance takes two", "give more")
            )
    if found:
        raise Refusal([*problems, *found])


def paired_json(
    cases: Sequence[Case],
    results: Sequence[Scored],
    source: FeatureSource,
    *,
    nan_to: float | None = None,
    on_volume: Callable[[str], None] = lambda name: None,
) -> dict[str, Any]:
    """Return `distribution_json` of the cases that the headline of paired scores rests on.

    Where every scored case was seen in training it is of those.
    """
    scored = [result for result in results if not result.failed]
    unseen = [result for result in scored if result.seen_in_training is not True]
    chosen = {result.case for result in unseen or scored}
    sides: list[list[Described]] = []
    problems: list[Problem] = []
    for role in ("prediction", "reference"):
        members = members_of([case for case in cases if case.name in chosen], role)
        found, wrong = describe(members, source, role, nan_to=nan_to, on_volume=on_volume)
        sides.append(found)
        problems += wrong
    return distribution_json(sides[0], sides[1], source, problems)


def standing(one: Described, references: Sequence[Described]) -> float:
    """Return how far a volume is from the references' mean, in their standard deviations.

    The root of the mean over the features; that of the references themselves is 1, but for a
    factor of (1 - 1/N)^½. NaN with fewer than two of them, or where none of their features varies.
    """
    if len(references) < 2:
        return math.nan
    known = np.array([each.volume for each in references])
    deviation = known.std(axis=0, ddof=1)
    varies = deviation > 1e-9 * np.abs(known).max(axis=0)
    if not varies.any():
        return math.nan
    apart = (one.volume - known.mean(axis=0))[varies] / deviation[varies]
    return float(np.sqrt((apart**2).mean()))
