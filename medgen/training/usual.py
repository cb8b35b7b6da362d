"""What conversion will hold a case against: how the training cases' images and labels are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from medgen.data import CachedCase, Domain, Group, Preprocessing, Usual, fit_usual
from medgen.method import Method
from medgen.training.domains import unpaired_answers


def measure_usual(
    groups: Sequence[Group], method: Method, preprocessing: Preprocessing
) -> dict[str, dict[str, Usual]]:
    """Pool, by role and column, the training images that answers start from or should look like.

    They were looked at when they were prepared: nothing is read here.
    """
    roles = [answer.source for answer in method.answers.values()]
    roles += [answer.target for answer in method.answers.values() if answer.kind == "image"]
    named = {"source": preprocessing.looked_at, "target": preprocessing.target_columns}
    found: dict[str, dict[str, Usual]] = {}
    for role in (role for role in dict.fromkeys(roles) if role in named):
        looks = [case.looks.get(role, ()) for case in _cases_of(groups, role)]
        known = [each for each in looks if len(each) == len(named[role])]
        if known:
            columns = zip(named[role], zip(*known, strict=True), strict=True)
            found[role] = {column: fit_usual(of_column) for column, of_column in columns}
    if "target" in found:
        cases = _cases_of(groups, "target")
        found["target"] = {c: _beside_source(u, c, cases) for c, u in found["target"].items()}
    return found


def _beside_source(usual: Usual, column: str, cases: Sequence[CachedCase]) -> Usual:
    """Add how a target lies beside the source's body: its outline, and where it was learned."""
    found = [(case.overlaps or {}).get(column) for case in cases]
    overlaps = [overlap for overlap in found if overlap is not None]
    shares = [_share_learned(case) for case in cases if {"mask", "body"} <= case.arrays.keys()]
    learned = sum(shares) / len(shares) if shares else 1.0
    return replace(usual, least_overlap=min(overlaps, default=None), learned=learned)


def _share_learned(case: CachedCase) -> float:
    """Return the share of the body, its rim included, that the mask covers."""
    mask, body = (np.asarray(case.arrays[key][0]) > 0 for key in ("mask", "body"))
    return float((mask & body).sum() / max(1, body.sum()))


def domains_among(usual: Mapping[str, Mapping[str, Usual]], method: Method) -> dict[str, Domain]:
    """Return, by role, the training images that unpaired answers should look like.

    Of several columns the first: an answer that can be converted has one.
    """
    wanted = dict.fromkeys(answer.target for answer in unpaired_answers(method))
    return {role: next(iter(usual[role].values())).domain for role in wanted}


def measure_labels(
    groups: Sequence[Group], preprocessing: Preprocessing
) -> dict[str, tuple[float, float]]:
    """Return the least and the largest volume of each class in a training case, in millilitres."""
    cases = _cases_of(groups, "label")
    names = preprocessing.classes.written
    rows = [
        tuple(count * case.grid.voxel_mm3 / 1000.0 for count in _counts(case, len(names)))
        for case in cases
    ]
    if not rows:
        return {}
    columns = zip(names, zip(*rows, strict=True), strict=True)
    return {name: (min(volumes), max(volumes)) for name, volumes in columns}


def _counts(case: CachedCase, classes: int) -> tuple[int, ...]:
    """Return the voxels of each class; the last ones that a case has none of are not listed."""
    return (*case.class_counts, *([0] * (classes - len(case.class_counts))))


def _cases_of(groups: Sequence[Group], role: str) -> Sequence[CachedCase]:
    return next((group.cases for group in groups if role in group.keys), ())
