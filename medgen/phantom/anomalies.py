"""Healthy heads to learn from, and heads with known lesions beside their healthy twins."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medgen.files import locked, write_text
from medgen.phantom.case import Case, CaseSettings, simulate
from medgen.phantom.cohort import TABLE, CohortSettings, Plan, write_case
from medgen.phantom.lesions import LesionKind, Lesions, Spot, draw_lesions
from medgen.phantom.randomness import Streams
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.volumes import Volume

HEALTHY = "healthy"
CONTRASTS = ("t1", "t2", "flair")
MASKS = ("lesion", "brain", "body", "tissue")
SPOTS = 8
"""White-matter lesions of a person who has them."""


@dataclass(frozen=True)
class Group:
    """What the lesions of a group share; everything else is drawn as for any person."""

    kind: LesionKind
    radius_mm: tuple[float, float]
    push: tuple[float, float] = (0.15, 0.7)
    """How far tissue at a mass's edge has moved, relative to its radius."""
    conspicuity: float = 1.0
    oedema_mm: float = 0.0
    core: float = 0.0


GROUPS: Mapping[str, Group] = {
    "white-matter-small": Group("white-matter", (2.0, 3.5)),
    "white-matter-large": Group("white-matter", (5.0, 8.0)),
    "mass-small-low": Group("mass", (7.0, 9.0), oedema_mm=4.0),
    "mass-small-high": Group("mass", (7.0, 9.0), oedema_mm=8.0, core=0.55),
    "mass-large-low": Group("mass", (13.0, 16.0), oedema_mm=4.0),
    "mass-large-high": Group("mass", (13.0, 16.0), oedema_mm=8.0, core=0.55),
    "mass-iso": Group("mass", (13.0, 16.0), push=(0.5, 0.7), conspicuity=0.0),
}
"""A low contrast is solid tissue a shade from grey matter and a thin rim of oedema; a high one has
a wide rim and a core of fluid; `mass-iso` is grey matter in the wrong place, which shows by its
place and by what it pushes aside alone."""

PERSONS: Mapping[str, int] = {"train": 20, "validation": 4, "calibrate": 16}


@dataclass(frozen=True)
class _Person:
    """One person's place in the table; `group` is `HEALTHY`, or what the twin lacks."""

    index: int
    split: str
    group: str


@dataclass(frozen=True)
class _Row:
    """One row of the table: its plan, and its words."""

    plan: Plan
    split: str
    group: str
    lesion_ml: float


def write_anomalies(
    folder: Path,
    *,
    healthy: Mapping[str, int] = PERSONS,
    anomalous: int = 28,
    groups: Mapping[str, Group] = GROUPS,
    seed: int = 0,
    size: tuple[int, int, int] = (96, 112, 96),
    stripped: bool = True,
    overwrite: bool = False,
    on_case: Callable[[str], None] = lambda case: None,
) -> Path:
    """Make healthy persons by split and anomalous ones with their twins; return the table's path.

    `healthy` counts persons by split; the `anomalous` ones are of split test and of `groups` by
    turns, each with the same head without its lesions in a row of its own. Columns: case,
    patient, split, group (`healthy`, or the lesions' group), lesion_ml (the volume of the lesion
    mask), t1, t2 and flair (arbitrary units), lesion (0 or 1, all zeros in the healthy), brain and
    body (0 or 1) and tissue (as in any cohort, 0 in a mass). `size` is in voxels of the field of
    view of 192 x 224 x 192 mm. `stripped` images are 0 outside the brain. The table is written
    last. `on_case` is told the id of every case as it is finished.

    Raises:
        ConfigurationError: E_CASES on a count below 1, E_SEED on a negative seed, and E_EXISTS
            where the folder holds a table already, unless `overwrite`.
        Refusal: E_SIZE where the voxels are too large to show a person's lesions.
    """
    table = folder / TABLE
    problems = list(_problems({**healthy, "test": anomalous}, seed))
    if table.exists() and not overwrite:
        message, advice = "the folder holds a cohort already", "choose another folder"
        problems.append(Problem("E_EXISTS", message, advice))
    if problems:
        raise ConfigurationError(problems)
    settings = CohortSettings(persons=sum(healthy.values()) + anomalous, seed=seed)
    rows = []
    with locked(folder):
        # Without its table, a cohort that was interrupted is seen to be incomplete.
        table.unlink(missing_ok=True)
        for person in _persons(healthy, anomalous, tuple(groups)):
            group = groups.get(person.group)
            for case, row in _cases(person, group, seed, size, stripped=stripped):
                write_case(case, row.plan, folder, settings)
                rows.append(row)
                on_case(row.plan.case)
        write_text(table, _table(rows))
    return table


def draw_group(streams: Streams, group: Group) -> Lesions:
    """Draw a person's lesions, sized and composed as the group says."""
    drawn, generator = draw_lesions(streams, group.kind), streams("anomaly")
    if drawn.mass is None:
        spots = [_sized(spot, generator.uniform(*group.radius_mm)) for spot in drawn.spots[:SPOTS]]
        return replace(drawn, spots=tuple(spots))
    mass = replace(
        drawn.mass,
        radius_mm=float(generator.uniform(*group.radius_mm)),
        push=float(generator.uniform(*group.push)),
        conspicuity=group.conspicuity,
        oedema_mm=group.oedema_mm,
        core=group.core,
    )
    return replace(drawn, mass=mass)


def _sized(spot: Spot, radius_mm: float) -> Spot:
    """Return a spot of the same shape whose mean radius is another."""
    factor = radius_mm / float(np.prod(spot.radii_mm)) ** (1 / 3)
    a, b, c = (factor * radius for radius in spot.radii_mm)
    return replace(spot, radii_mm=(a, b, c))


def _persons(
    healthy: Mapping[str, int], anomalous: int, groups: Sequence[str]
) -> Iterator[_Person]:
    splits = [split for split, count in healthy.items() for _ in range(count)]
    for index, split in enumerate(splits):
        yield _Person(index, split, HEALTHY)
    for number in range(anomalous):
        yield _Person(len(splits) + number, "test", groups[number % len(groups)])


def _cases(
    person: _Person,
    group: Group | None,
    seed: int,
    size: tuple[int, int, int],
    *,
    stripped: bool,
) -> Iterator[tuple[Case, _Row]]:
    """Make a person's head with its lesions, if it has any, and without them."""
    settings = CaseSettings(size=size)
    name, patient = f"head-{person.index:03d}", f"person-{person.index:03d}"
    well = simulate(seed, person.index, settings, mr_only=True)
    # One outline for both, since the labels of tissues have a hole where the mass is.
    brain = well.volumes["tissue"].data > 0
    if group is not None:
        lesions = draw_group(Streams(seed, person.index), group)
        ill = replace(settings, lesions=group.kind)
        made = simulate(seed, person.index, ill, mr_only=True, lesions=lesions)
        case, ml = _shown(made, brain, stripped=stripped)
        if not ml:
            message = f"lesions of the group {person.group} fill no voxel"
            raise Refusal(Problem("E_SIZE", message, "take smaller voxels", name))
        yield case, _Row(Plan(name, patient, person.index, ill), person.split, person.group, ml)
        name += f"-{HEALTHY}"
    case, ml = _shown(well, brain, stripped=stripped)
    yield case, _Row(Plan(name, patient, person.index, settings), person.split, HEALTHY, ml)


def _shown(made: Case, brain: NDArray[np.bool_], *, stripped: bool) -> tuple[Case, float]:
    """Return the table's columns of a simulated case, and the volume of its lesions in ml."""
    grid = made.volumes["tissue"].grid
    nowhere = Volume(np.zeros(grid.shape, np.uint8), grid, unit="mask")
    outline = Volume(brain.astype(np.uint8), grid, unit="mask")
    every = {"lesion": nowhere, "brain": outline, **made.volumes}
    shown = {name: every[name] for name in (*CONTRASTS, *MASKS)}
    if stripped:
        for name in CONTRASTS:
            shown[name] = shown[name].with_data(np.where(brain, shown[name].data, 0.0))
    ml = int(shown["lesion"].data.sum()) * grid.voxel_mm3 / 1000.0
    return Case(shown, made.truth), ml


def _problems(counts: Mapping[str, int], seed: int) -> Iterator[Problem]:
    for split, count in counts.items():
        if count < 1:
            yield Problem("E_CASES", f"the split {split} needs 1 case or more, got {count}")
    if seed < 0:
        yield Problem("E_SEED", f"the seed must not be negative, got {seed}")


def _table(rows: Sequence[_Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = (*CONTRASTS, *MASKS)
    writer.writerow(["case", "patient", "split", "group", "lesion_ml", *columns])
    for row in rows:
        case, patient = row.plan.case, row.plan.patient
        files = [f"{case}/{column}.nii.gz" for column in columns]
        writer.writerow([case, patient, row.split, row.group, f"{row.lesion_ml:.3f}", *files])
    return text.getvalue()
