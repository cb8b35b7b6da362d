"""What is doubtful about a cohort as a whole: pairs, leakage, numbers, grids, classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from medgen.config import Config
from medgen.data import same_spelling
from medgen.planning.appearance import image_doubts
from medgen.planning.facts import Survey
from medgen.problems import Problem
from medgen.runs import build

NEAR = 0.15
"""An overlap this little above the least allowed is near it."""

APART_MM = 5.0
"""Distance of two outlines' centres from which a pair looks unregistered. Of 18 pairs of T1 and
FLAIR, 12 were below 2 mm and 5 above 5 mm."""

LEAST_TRAINING, LEAST_VALIDATION = 10, 3
"""Patients below which a training says little, and a validation nothing."""

UNLIKE = 2.0
"""Factor from the cohort's median at which a case's spacing or field of view stands out."""

PADDED = 1.1
"""A patch this much, and a voxel, longer than a case is padded by more than cases differ."""

MANY = 4
"""Training cases from which a median says what is usual."""

FEW_WITH_CLASS = 3
"""Training cases that should show a class."""

TINY_VOXELS = 8.0
"""A class of fewer voxels of the working grid is lost in resampling."""


def doubts(
    survey: Survey, config: Config, domains: Mapping[str, Collection[str]] | None = None
) -> list[Problem]:
    """Return all that is doubtful about the cases; the training may be right all the same.

    `domains` are the cases of each role that a training without pairs reads by itself.
    """
    return [
        *image_doubts(survey, config),
        *(_pair_doubts(survey, config) if _learns_from_pairs(config) else ()),
        *_leaks(survey),
        *_few(survey, domains or {}),
        *_unlike_grids(survey),
        *_class_doubts(survey, config),
    ]


def patch_doubts(survey: Survey, config: Config) -> list[Problem]:
    """Return what is doubtful about the patch of a configuration, the proposed one or another."""
    extents = np.array([case.extent_mm for case in survey.training])
    spacing_mm = np.array(config.preprocessing.spacing_mm)
    patch_mm = np.multiply(config.train.patch, spacing_mm)
    allowed = np.maximum(extents * PADDED, extents + spacing_mm)
    smaller = np.any(allowed < patch_mm, axis=1)
    if smaller.mean() <= 0.5:
        return []
    larger = f"{np.count_nonzero(smaller)} of {len(extents)} cropped training cases"
    size = _size(config.train.patch)
    message = f"the patch of {size} voxels is larger than {larger}: it will be padded"
    advice = "take a finer spacing, or a smaller train.patch where the networks take one"
    return [Problem("W_PATCH_LARGE", message, advice)]


def class_voxel_doubts(survey: Survey, config: Config) -> list[Problem]:
    """Return the classes that are tiny on the working grid of a configuration."""
    voxel = float(np.prod(config.preprocessing.spacing_mm))
    found = []
    for name, volumes in _class_volumes(survey).items():
        present = [volume for volume in volumes if volume > 0]
        if present and float(np.median(present)) < TINY_VOXELS * voxel:
            message = (
                f"class {name!r} has a median of {np.median(present) / voxel:.1f} voxels of the "
                "working grid where it is present: most of it is lost in resampling"
            )
            found.append(Problem("W_CLASS_TINY", message, "take a finer preprocessing.spacing_mm"))
    return found


def _learns_from_pairs(config: Config) -> bool:
    """Tell whether training compares two images of a case, which then must lie alike."""
    method, _ = build(config)
    return any(method.pairs(answer) for answer in method.answers.values())


def _pair_doubts(survey: Survey, config: Config) -> Iterator[Problem]:
    least = config.preprocessing.min_overlap
    for case in survey.cases:
        for column, facts in case.columns.items():
            if facts.overlap is None or facts.apart_mm is None or least == 0:
                continue
            message = (
                f"its outline overlaps that of {case.reference!r} by Dice {facts.overlap:.2f}; "
                f"in the common field of view their centres are {facts.apart_mm:.0f} mm apart"
            )
            code, advice = "", "look at it; `medgen prepare` registers columns to one"
            if facts.overlap < least:
                code = "W_PAIR_FAR"
                advice = f"training refuses it (below {least:.2f}): `medgen prepare` registers it"
            elif facts.overlap < least + NEAR:
                code = "W_PAIR_NEAR_LIMIT"
            elif facts.apart_mm > APART_MM:
                code = "W_PAIR_APART"
            if code:
                yield Problem(code, message, advice, case.case, column)


def _leaks(survey: Survey) -> Iterator[Problem]:
    """Yield patients in two splits under two spellings, and files that stand twice."""
    splits = {case: name for name, cases in survey.split.items() for case in cases}
    spelled: dict[str, list[str]] = defaultdict(list)
    for case, patient in survey.patients.items():
        spelled[same_spelling(patient)].append(case)
    for cases in spelled.values():
        theirs = {splits[case] for case in cases}
        names = {survey.patients[case].casefold() for case in cases}
        if len(theirs) > 1 and len(names) > 1:
            message = (
                f"cases {_some(cases)} seem to be one patient, spelled differently, in the splits "
                f"{' and '.join(sorted(theirs))}"
            )
            advice = "spell a patient in one way, so that no split separates the cases"
            yield Problem("W_LEAK_PATIENT", message, advice, cases[0])
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for measured in survey.cases:
        for column, facts in measured.columns.items():
            if facts.digest and facts.high > facts.low:  # two empty labels are no one's twice
                files[column, facts.digest].append(measured.case)
    for (column, _), cases in files.items():
        theirs = {splits[case] for case in cases}
        message = f"cases {_some(cases)} have the same file"
        if len(theirs) > 1:
            message += f", in the splits {' and '.join(sorted(theirs))}"
            advice = "keep one of them, or all in one split"
            yield Problem("W_LEAK_FILE", message, advice, cases[0], column)
        elif len(cases) > 1 and len({survey.patients[case].casefold() for case in cases}) > 1:
            message += " though they are of different patients"
            yield Problem("W_SAME_FILE", message, "check the table", cases[0], column)


def _few(survey: Survey, domains: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    refused = {problem.case for problem in survey.refused}

    def patients(cases: Iterable[str]) -> int:
        return len({survey.patients[case].casefold() for case in cases if case not in refused})

    trained, of_domain = patients(survey.split["train"]), ""
    if domains:  # what an image of a domain looks like is learned from its own cases alone
        by_role = {r: patients(set(survey.split["train"]) & set(domains[r])) for r in domains}
        smaller = min(by_role, key=by_role.__getitem__)
        trained, of_domain = by_role[smaller], f" with a {smaller}"
    if trained < LEAST_TRAINING:
        message = f"{trained} patients{of_domain} to train on, fewer than {LEAST_TRAINING}"
        yield Problem("W_FEW_TRAINING", message, "expect overfitting; add cases where you can")
    validated = patients(survey.split["validation"])
    if validated < LEAST_VALIDATION:
        message = (
            f"{validated} patients to validate on, fewer than {LEAST_VALIDATION}: "
            "the weights are picked by chance"
        )
        yield Problem("W_FEW_VALIDATION", message, "raise split.validation, or add cases")


def _unlike_grids(survey: Survey) -> Iterator[Problem]:
    """Yield the cases whose spacing or field of view stands out from the training cases'."""
    usual: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for case in survey.training:
        for column, facts in case.columns.items():
            usual[column].append((np.asarray(facts.spacing_mm), np.asarray(facts.field_mm)))
    for case in survey.cases:
        for column, facts in case.columns.items():
            if len(usual[column]) < MANY:
                continue
            spacings, fields = zip(*usual[column], strict=True)
            for what, own, others in (
                ("spacing", facts.spacing_mm, np.median(spacings, axis=0)),
                ("field of view", facts.field_mm, np.median(fields, axis=0)),
            ):
                ratio = np.asarray(own) / others
                if ratio.max() > UNLIKE or ratio.min() < 1 / UNLIKE:
                    message = (
                        f"its {what} ({_millimetres(own)} mm) is unlike the training cases' "
                        f"median ({_millimetres(others)} mm)"
                    )
                    advice = "check that it belongs here"
                    yield Problem("W_GRID_UNLIKE", message, advice, case.case, column)


def _class_doubts(survey: Survey, config: Config) -> Iterator[Problem]:
    for name, volumes in _class_volumes(survey).items():
        present = sum(volume > 0 for volume in volumes)
        if present == 0:
            message = f"no training case has a voxel of class {name!r}"
            yield Problem("W_CLASS_ABSENT", message, "check `labels`, or leave the class out")
        elif present < FEW_WITH_CLASS:
            message = f"only {present} of {len(volumes)} training cases show class {name!r}"
            yield Problem("W_CLASS_RARE", message, "add cases that show it, or leave it out")


def _class_volumes(survey: Survey) -> dict[str, list[float]]:
    """Return each class's volume in every training case that has a label."""
    volumes: dict[str, list[float]] = defaultdict(list)
    for case in survey.training:
        for name, volume in case.class_mm3.items():
            volumes[name].append(volume)
    return volumes


def _some(cases: list[str]) -> str:
    shown = ", ".join(cases[:4])
    return shown if len(cases) <= 4 else f"{shown} and {len(cases) - 4} more"


def _size(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _millimetres(values: object) -> str:
    return " x ".join(f"{value:.3g}" for value in np.asarray(values, dtype=np.float64))
