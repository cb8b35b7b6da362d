"""Does a column hold what its name and its scale say? Doubts about images, by their values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from medgen.config import Config, WindowScale
from medgen.planning.facts import CaseFacts, ColumnFacts, Survey
from medgen.problems import Problem

AIR_HU = (-1200.0, -800.0)
"""Where air may lie: scanners pad with -1024, and noise and cone beams shift it a little."""

SOFT_HU = (-150.0, 250.0)
"""Where the median of a body may lie, between fat and contrast medium."""

HIGHEST_HU = 32000.0
"""Above any metal: more are no Hounsfield units."""

LEAST_BONE_HU = 300.0
"""A body without any value above it holds no bone."""

OFFSET = 1024.0
"""What some exports add, so that no value is negative."""

SAME = 0.999
"""Correlation inside the body from which two images count as one."""

_CT = re.compile(r"(^|_)(cb)?ct(_|$|\d)|hounsfield|(^|_)hu(_|$)", re.IGNORECASE)
_MR = re.compile(r"(^|_)(mri?|t1w?|t2w?|pd|flair|mprage|dwi|adc|swi)(_|$|\d)", re.IGNORECASE)


def image_doubts(survey: Survey, config: Config) -> Iterator[Problem]:
    """Yield what is doubtful about the values of every case's images."""
    for case in survey.cases:
        for column, facts in case.columns.items():
            if column in config.intensity:
                for doubt in _doubts(column, facts, config):
                    yield doubt.at(case=case.case, column=column)
        yield from _same_images(case)


def _doubts(column: str, facts: ColumnFacts, config: Config) -> Iterator[Problem]:
    scale = config.intensity[column]
    low, middle, high = facts.body
    hounsfield = isinstance(scale, WindowScale) and scale.unit.upper() == "HU"
    if not high > low:
        message = f"all values inside the body are {low:g}: nothing can be learned from them"
        yield Problem("W_FLAT", message, "check the image, or leave the case out")
    elif isinstance(scale, WindowScale) and not (low < scale.high and high > scale.low):
        message = (
            f"values inside the body ({low:g} to {high:g}) lie beyond the window "
            f"({scale.low:g} to {scale.high:g}): encoded they are one constant"
        )
        yield Problem("W_FLAT", message, f"check the image, or intensity.{column}")
    if hounsfield or _CT.search(column):
        yield from _hounsfield_doubts(facts)
    elif _MR.search(column) and _looks_like_ct(facts):
        message = (
            f"it looks like a CT: air at {facts.dark:g} and a body at {middle:g}, as in HU, "
            "in a column that is named after an MR"
        )
        yield Problem("W_LOOKS_LIKE_CT", message, "check that the columns are not swapped")


def _looks_like_ct(facts: ColumnFacts) -> bool:
    between = AIR_HU[0] <= facts.dark <= AIR_HU[1]
    return between and SOFT_HU[0] <= facts.body[1] <= SOFT_HU[1]


def _hounsfield_doubts(facts: ColumnFacts) -> Iterator[Problem]:
    """Doubt a column that should be in HU; one problem, the likeliest."""
    _, middle, _ = facts.body
    if facts.low >= 0:
        shifted = SOFT_HU[0] <= middle - OFFSET <= SOFT_HU[1]
        if shifted and facts.high - OFFSET > LEAST_BONE_HU:
            message = f"its air is 0 and its body {middle:g}: HU shifted by about {OFFSET:g}"
            yield Problem("W_HU_SHIFTED", message, "export it again with its rescale intercept")
        else:
            message = (
                f"it looks like an MR: no value is below 0 (body median {middle:g}), "
                "where HU have air at -1000"
            )
            yield Problem("W_LOOKS_LIKE_MR", message, "check that the columns are not swapped")
    elif not AIR_HU[0] <= facts.dark <= AIR_HU[1]:
        message = f"its air is at {facts.dark:g} HU, not near -1000"
        yield Problem("W_HU_AIR", message, "check its rescale slope and intercept, and its padding")
    elif facts.high > HIGHEST_HU:
        message = f"it reaches {facts.high:g}, above any bone or metal"
        yield Problem("W_HU_HIGH", message, "check its rescale slope and intercept")
    elif facts.high < LEAST_BONE_HU:
        message = f"its highest value is {facts.high:g} HU: there is no bone"
        yield Problem("W_HU_NO_BONE", message, "check that it was not windowed when exported")


def _same_images(case: CaseFacts) -> Iterator[Problem]:
    """Yield the columns of a case that hold one and the same image."""
    for (one, other), correlation in case.correlations.items():
        same_file = case.columns[one].digest == case.columns[other].digest != ""
        if same_file or correlation > SAME:
            how = "are the same file" if same_file else f"correlate by {correlation:.4f}"
            message = f"columns {one!r} and {other!r} {how}: one image twice"
            advice = "check the table; a target that is its own source teaches nothing"
            yield Problem("W_SAME_IMAGE", message, advice, case.case, other)
