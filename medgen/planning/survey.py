"""Measure every case of a table, one at a time, on a coarse grid: cheap, and enough to plan by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from medgen.config import Config
from medgen.data import Classes, Preprocessing, Row, Table, open_cells
from medgen.data.frame import Frame, crop_box
from medgen.data.groups import cases_of
from medgen.data.intensity import unit_of
from medgen.data.masks import Mask, dice
from medgen.data.pairing import outline_within
from medgen.planning.facts import CaseFacts, ColumnFacts, Survey, Three, three
from medgen.problems import MedgenError, NothingFound, Problem, Refusal
from medgen.runs import preprocessing_of
from medgen.volumes import Grid, Volume, field_of_view, open_volume, ras_permutation, resample

SURVEY_MM = 3.0
"""Spacing of the grid that cases are measured on."""

Progress = Callable[[int, int], None]
"""Called with the number of cases done and their total."""


def survey(
    config: Config,
    table: Table,
    split: Mapping[str, tuple[str, ...]],
    on_progress: Progress = lambda done, total: None,
) -> Survey:
    """Measure all cases; those that the gate or the preprocessing refuses are listed, with why.

    As in training, a label is opened only beside the source's images, in rows of the source.

    Raises:
        Refusal: no training case is left; with the problems of all.
        NothingFound: E_COLUMN_EMPTY, no training case has an image in the columns of the roles.
    """
    splits = {case: name for name, cases in split.items() for case in cases}
    coarse = config.preprocessing.model_copy(
        update={"spacing_mm": (SURVEY_MM,) * 3, "crop": "none"}
    )
    preprocessing = preprocessing_of(config.model_copy(update={"preprocessing": coarse}), {})
    labelled = cases_of(table, config.roles, ("source", "label"))
    cases: list[CaseFacts] = []
    refused: list[Problem] = []
    for done, row in enumerate(table.rows, start=1):
        try:
            named = config.roles.columns()
            if row.case not in labelled:
                named = tuple(column for column in named if column != preprocessing.label_column)
            measured = _case(row, splits[row.case], config, preprocessing, named)
            cases += [] if measured is None else [measured]
        except MedgenError as error:
            refused += error.at(case=row.case).problems
        on_progress(done, len(table.rows))
    patients = {row.case: row.patient for row in table.rows}
    found = Survey(cases, refused, split, patients)
    if not found.training and refused:
        raise Refusal(refused)
    if not found.training:
        message = "no training case has an image in the columns of the roles"
        raise NothingFound(Problem("E_COLUMN_EMPTY", message, "fill the cells, or change roles"))
    return found


def _case(
    row: Row, split: str, config: Config, preprocessing: Preprocessing, named: Iterable[str]
) -> CaseFacts | None:
    """Measure one case's named columns; None where it has no image in any of them."""
    volumes = open_cells(row, [column for column in named if column in row.cells], open_volume)
    images = [
        column
        for column in dict.fromkeys([*preprocessing.source_columns, *preprocessing.target_columns])
        if column in volumes
    ]
    if not images:
        return None
    frame = preprocessing.frame(volumes)
    columns: dict[str, ColumnFacts] = {}
    shown: dict[str, tuple[NDArray[np.float32], Mask]] = {}
    problems: list[Problem] = []
    for column in images:
        try:
            columns[column], shown[column] = _image(column, volumes[column], frame, config)
        except Refusal as error:
            problems += error.at(column=column).problems
    classes: dict[str, float] = {}
    label = preprocessing.label_column
    if label in volumes:
        try:
            columns[label] = _without_values(volumes[label])
            classes = _class_mm3(volumes[label], preprocessing.classes)
        except Refusal as error:
            problems += error.at(column=label).problems
    if problems:
        raise Refusal(problems)
    extent = _extent_mm(frame, volumes, config)
    correlations = _correlations(shown, frame.body)
    return CaseFacts(
        row.case, row.patient, split, frame.column, columns, extent, correlations, classes
    )


def _image(
    column: str, volume: Volume, frame: Frame, config: Config
) -> tuple[ColumnFacts, tuple[NDArray[np.float32], Mask]]:
    """Measure an image column, and return its values with where they were seen."""
    same = column == frame.column
    values = frame.values if same else resample(volume.data, volume.grid, frame.grid)
    inside = field_of_view(volume.grid, frame.grid)
    facts = _without_values(volume)
    body = frame.body & inside
    if not body.any():
        message = "its field of view misses the reference column's body"
        raise Refusal(Problem("E_PAIR_OVERLAP", message, "run `medgen prepare`, or check the pair"))
    overlap = apart = None
    if not same:
        outlined = outline_within(frame, values, inside, unit=unit_of(config.intensity[column]))
        overlap = dice(frame.body, outlined)
        outlined &= inside
        apart = _apart_mm(body, outlined, frame.grid) if outlined.any() else float("inf")
    measured = ColumnFacts(
        facts.spacing_mm,
        facts.field_mm,
        facts.voxels,
        facts.digest,
        low=facts.low,
        dark=float(np.percentile(values[inside], 5.0)),
        body=three(np.percentile(values[body], [0.5, 50.0, 99.5])),
        high=facts.high,
        overlap=overlap,
        apart_mm=apart,
    )
    return measured, (values, inside)


def _without_values(volume: Volume) -> ColumnFacts:
    """Return what needs no body: the grid, the ends, and the digest."""
    axes, _ = ras_permutation(volume.grid.affine)
    spacing = three([volume.grid.spacing_mm[axis] for axis in axes])
    counts = [volume.grid.shape[axis] for axis in axes]
    field = three([mm * count for mm, count in zip(spacing, counts, strict=True)])
    low, high = float(volume.data.min()), float(volume.data.max())
    return ColumnFacts(
        spacing, field, math.prod(counts), volume.digest, low, low, (0.0, 0.0, 0.0), high
    )


def _apart_mm(first: Mask, second: Mask, grid: Grid) -> float:
    """Return the distance between the centres of two outlines on one grid.

    Both are cut to the common field of view, since a neck that only one image shows moves a centre.
    """
    centres = [grid.to_world(np.argwhere(mask).mean(axis=0)) for mask in (first, second)]
    return float(np.linalg.norm(centres[0] - centres[1]))


def _correlations(
    shown: Mapping[str, tuple[NDArray[np.float32], Mask]], body: Mask
) -> dict[tuple[str, str], float]:
    """Return the correlation of each two image columns where both were seen in the body."""
    found = {}
    for (one, (a, sees_a)), (other, (b, sees_b)) in itertools.combinations(shown.items(), 2):
        where = body & sees_a & sees_b
        if where.any() and float(a[where].std()) > 0 and float(b[where].std()) > 0:
            found[one, other] = float(np.corrcoef(a[where], b[where])[0, 1])
    return found


def _extent_mm(frame: Frame, volumes: Mapping[str, Volume], config: Config) -> Three:
    """Return the size of what preprocessing will keep of a case."""
    if config.preprocessing.crop == "none":
        return three(
            [n * mm for n, mm in zip(frame.grid.shape, frame.grid.spacing_mm, strict=True)]
        )
    if config.roles.mask in volumes:
        volume = volumes[config.roles.mask]
        drawn = (volume.data > 0).astype(np.float32)
        if not (resample(drawn, volume.grid, frame.grid, outside=0.0) >= 0.5).any():
            problem = Problem(
                "E_EMPTY_MASK", "no voxel of the mask is inside the image", "check the mask"
            )
            raise Refusal(problem.at(column=config.roles.mask))
    box = crop_box(frame.body, frame.grid, config.preprocessing)
    lengths = [part.stop - part.start for part in box]
    return three([n * mm for n, mm in zip(lengths, frame.grid.spacing_mm, strict=True)])


def _class_mm3(label: Volume, classes: Classes) -> dict[str, float]:
    """Return the volume of each named class."""
    counts = np.bincount(classes.indices(label.data).ravel(), minlength=classes.count)
    return {
        name: float(counts[index]) * label.grid.voxel_mm3
        for index, name in enumerate(classes.values, start=1)
    }
