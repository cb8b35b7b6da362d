"""A whole cohort at once: statistics of the training cases, and every case prepared.

One bad case does not hide the others: all are tried, and one error lists what was refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np

from medgen.config import CohortScale, PercentileScale
from medgen.data.cache import Cache, Opener
from medgen.data.channels import placed
from medgen.data.entries import CachedCase
from medgen.data.intensity import fit_cohort, percentiles
from medgen.data.preprocessing import KEYS, Preprocessing
from medgen.data.rows import Row
from medgen.problems import Problem, Refusal
from medgen.volumes import open_volume, resample, where_measured

Progress = Callable[[int, int], None]
"""Called with the number of cases done and their total."""

Ends = tuple[float, float]
T = TypeVar("T")


def prepare_cohort(
    rows: Sequence[Row],
    preprocessing: Preprocessing,
    cache: Cache,
    on_progress: Progress | None = None,
    *,
    keys: frozenset[str] = KEYS,
    open_cell: Opener = open_volume,
) -> list[CachedCase]:
    """Return every row as a cached case, in order.

    Raises:
        Refusal: with the problems of every case that cannot be used.
    """
    return _each(
        rows, lambda row: cache.case(row, preprocessing, open_cell, keys=keys), on_progress
    )


def fit_statistics(
    preprocessing: Preprocessing,
    rows: Sequence[Row],
    open_cell: Opener = open_volume,
    on_progress: Progress | None = None,
) -> dict[str, Ends]:
    """Return low and high of every cohort-scaled column: medians over the rows, training's own.

    Raises:
        Refusal: with the problems of every case that cannot be measured; E_COHORT_EMPTY.
    """
    named = dict.fromkeys([*preprocessing.source_columns, *preprocessing.target_columns])
    intensity = preprocessing.intensity
    scales = {c: s for c in named if isinstance(s := intensity[c], CohortScale)}
    return _fit(preprocessing, rows, scales, open_cell, on_progress)


def fit_decoding(
    preprocessing: Preprocessing,
    rows: Sequence[Row],
    columns: Collection[str],
    open_cell: Opener = open_volume,
    on_progress: Progress | None = None,
) -> dict[str, Ends]:
    """Return low and high of the percentile-scaled ones of `columns`: medians over the rows.

    Answers are decoded by them where no case has a volume of the column to measure. `rows` are the
    training cases of the domain that the answers should look like, and of no other. Columns
    without a scale, such as a label's, are passed over.

    Raises:
        Refusal: with the problems of every case that cannot be measured; E_COHORT_EMPTY.
    """
    intensity = preprocessing.intensity
    scales = {c: s for c in sorted(columns) if isinstance(s := intensity.get(c), PercentileScale)}
    return _fit(preprocessing, rows, scales, open_cell, on_progress)


def _fit(
    preprocessing: Preprocessing,
    rows: Sequence[Row],
    scales: Mapping[str, CohortScale | PercentileScale],
    open_cell: Opener,
    on_progress: Progress | None,
) -> dict[str, Ends]:
    """Return the medians, over the rows, of each scale's low and high percentile."""
    if not scales:
        return {}
    measured = _each(rows, lambda row: _ends(preprocessing, row, scales, open_cell), on_progress)
    fitted = {}
    for column, scale in scales.items():
        with placed(column):
            fitted[column] = fit_cohort(scale, [e[column] for e in measured if column in e])
    return fitted


def _ends(
    preprocessing: Preprocessing,
    row: Row,
    scales: Mapping[str, CohortScale | PercentileScale],
    open_cell: Opener,
) -> dict[str, Ends]:
    """Return the percentiles inside the body of each of a case's columns to be fitted."""
    possible = (preprocessing.source_columns[0], *preprocessing.target_columns)
    reference = next((column for column in possible if column in row.cells), None)
    columns = [column for column in scales if column in row.cells]
    if reference is None or not columns:
        return {}
    volumes = {}
    for column in dict.fromkeys([reference, *columns]):
        with placed(column):
            volumes[column] = open_cell(row.cells[column])
    volumes = preprocessing.in_units(volumes)
    frame = preprocessing.frame(volumes)
    ends = {}
    for column in columns:
        with placed(column):
            volume = volumes[column]
            same = column == frame.column
            values = frame.values if same else resample(volume.data, volume.grid, frame.grid)
            body = frame.body & where_measured(volume, frame.grid)
            ends[column] = percentiles(scales[column], np.asarray(values), body)
    return ends


def _each(rows: Sequence[Row], make: Callable[[Row], T], on_progress: Progress | None) -> list[T]:
    """Make one thing of every row; refusals are collected and raised together at the end."""
    made: list[T] = []
    problems: list[Problem] = []
    for done, row in enumerate(rows, start=1):
        try:
            made.append(make(row))
        except Refusal as error:
            problems += error.at(case=row.case).problems
        if on_progress is not None:
            on_progress(done, len(rows))
    if problems:
        raise Refusal(problems)
    return made
