"""The profile `distribution`: a set of predictions against a set of references, without pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.data.table import read_table
from medgen.dicom import Choice
from medgen.evaluation.distributions import (
    Described,
    FeatureSource,
    Member,
    check_enough,
    describe,
    distribution_json,
    owner_of,
    standing,
)
from medgen.evaluation.evaluation import Evaluation, refuse_existing
from medgen.evaluation.matching import volumes_by_name
from medgen.evaluation.scoring import Scored, pseudonym
from medgen.evaluation.sidecars import Sidecar, read_sidecar
from medgen.evaluation.summary import REPORT, SCORES, SUMMARY, scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.metrics import Column, Measured, Profile
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.report import render
from medgen.volumes import with_choice

NAME = "distribution"
STANDING = Column(
    "feature_distance",
    "sd",
    None,
    "how far the volume's features are from the references' mean, in the references' standard "
    "deviations: the root of the mean over the features; a reference has 1 on average",
)
_NO_CHOICE = Choice()


def _needs_sets(*_: Any) -> Measured:
    raise ValueError(f"the profile {NAME} compares sets of volumes, not a pair")


PROFILE = Profile(
    name=NAME,
    title="Two sets of volumes without pairs: distances between their features",
    unit="any",
    details=(STANDING,),
    measurement=_needs_sets,
    notes=("Nothing here says whether an answer fits its own patient: that takes pairs.",),
)


@dataclass(frozen=True)
class Sets:
    """The volumes of both sides, and the patients of predictions whose case a table names."""

    predictions: tuple[Member, ...]
    references: tuple[Member, ...]
    patients: Mapping[str, str]
    patients_known: bool


def gather_paths(prediction: Path, reference: Path, *, choice: Choice = _NO_CHOICE) -> Sets:
    """Take every volume of two folders; two of one name are taken to be of one patient.

    Raises:
        NothingFound: where a side holds no volume.
        ConfigurationError: E_DUPLICATE_CASE or E_CASE_NAME.
    """
    sides = []
    for path, role in ((prediction, "prediction"), (reference, "reference")):
        volumes = volumes_by_name(path, role, choice=choice)
        sides.append(tuple(Member(n, owner_of(n, None), each) for n, each in volumes.items()))
    return Sets(sides[0], sides[1], {}, patients_known=False)


def gather_table(
    prediction: Path,
    table: Path,
    *,
    column: str,
    split: str | None = None,
    choice: Choice = _NO_CHOICE,
) -> Sets:
    """Take every prediction, and as references a table's column, where given of one split.

    A prediction is of the patient whose case it is named after, in any split, or of its own.

    Raises:
        NothingFound: there is no prediction, or no reference in the split.
        ConfigurationError: the table's problems, E_SPLIT_MISSING.
    """
    volumes = volumes_by_name(prediction, "prediction", choice=choice)
    rows = read_table(table, columns=[column]).rows
    if split is not None and not any(row.split for row in rows):
        message = "the table has no `split` column to choose by"
        raise ConfigurationError(Problem("E_SPLIT_MISSING", message, "add one, or leave --split"))
    patients = {row.case: row.patient for row in rows}
    references = tuple(
        Member(row.case, owner_of(row.case, row.patient), with_choice(row.cells[column], choice))
        for row in rows
        if column in row.cells and (split is None or row.split == split)
    )
    if not references:
        message = f"no case{f' of the split {split!r}' if split else ''} has a {column}"
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", message, "check --column and --split"))
    predictions = tuple(
        Member(name, owner_of(name, patients.get(name)), path) for name, path in volumes.items()
    )
    known = all(member.name in patients for member in predictions)
    return Sets(predictions, references, patients, patients_known=known)


def evaluate_sets(
    sets: Sets,
    output: Path,
    source: FeatureSource,
    *,
    nan_to: float | None = None,
    overwrite: bool = False,
    on_volume: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """Compare two sets, and write `scores.csv`, `summary.json` and `report.html` to `output`.

    Predictions whose sidecar says `seen_in_training` are left out of the distances, unless all
    are. `scores.csv` has a row per prediction: how far it is from the references' mean.

    Raises:
        ConfigurationError: E_EXISTS.
        Refusal: E_KERNEL_CASES where fewer than two patients are left on a side, with what was
            wrong with the others; nothing is written.
    """
    refuse_existing(output, (SCORES, SUMMARY, REPORT), overwrite=overwrite)
    check_enough(sets.predictions, sets.references, ())
    how: Any = {"nan_to": nan_to, "on_volume": on_volume}
    references, wrong = describe(sets.references, source, "reference", **how)
    sidecars = {member.name: read_sidecar(member.path) for member in sets.predictions}
    predictions, unusable = describe(sets.predictions, source, "prediction", **how)
    unseen = [d for d in predictions if sidecars[d.member.name].seen_in_training is not True]
    compared = unseen or predictions
    problems = [*wrong, *unusable]
    check_enough([d.member for d in compared], [d.member for d in references], problems)
    results = _rows(sets, predictions, references, sidecars, unusable)
    facts = {
        "distribution": distribution_json(compared, references, source, problems),
        "patients_known": sets.patients_known,
        "remarks": [] if unseen else ["every prediction was seen in training"],
        "nan_to": nan_to,
    }
    summary = summary_json(PROFILE, results, facts)
    context = {"summary": summary, "profile": PROFILE, "results": results}
    write_text(output / SCORES, scores_csv(PROFILE, results))
    write_json(output / SUMMARY, summary)
    write_text(output / REPORT, render("distribution", context))
    return Evaluation(PROFILE, (*results, *_failed(wrong)), summary, output / REPORT)


def _rows(
    sets: Sets,
    predictions: Sequence[Described],
    references: Sequence[Described],
    sidecars: Mapping[str, Sidecar],
    problems: Sequence[Problem],
) -> list[Scored]:
    """Return a result for each prediction, in their order."""
    known = {each.member.name: each for each in predictions}
    wrong = {result.case: result for result in _failed(problems)}
    results = []
    for member in sets.predictions:
        name = member.name
        patient = sets.patients.get(name)
        shown = name if patient is None else pseudonym(patient)
        apart = standing(known[name], references) if name in known else math.nan
        failed = wrong[name].problems if name in wrong else ()
        results.append(
            Scored(
                name,
                shown,
                {} if failed else {STANDING.name: apart},
                sidecars[name].seen_in_training,
                sidecars[name].remarks,
                problems=failed,
            )
        )
    return results


def _failed(problems: Sequence[Problem]) -> list[Scored]:
    """Return a failed result for each case that has problems."""
    by_case: dict[str, list[Problem]] = {}
    for problem in problems:
        by_case.setdefault(problem.case or "", []).append(problem)
    return [Scored(case, case, problems=tuple(each)) for case, each in by_case.items()]
