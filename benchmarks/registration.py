"""How well registration finds known maps, and how often it is told right from wrong.

    python benchmarks/registration.py moved --heads sample|template --starts 50
    python benchmarks/registration.py pairs
    python benchmarks/registration.py planted --cases tuned|kept|fresh

MEDGEN_REAL_DATA names the folder of the real volumes; `sample` are heads simulated on the spot.
`moved` registers heads after a known random turn and shift, and measures the target registration
error over the fixed body. `pairs` registers each subject's FLAIR to the T1 in native spaces, and
tells the verdicts. `planted` judges alignments that are known to be right or wrong.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medgen.data.masks import outline
from medgen.phantom.case import CaseSettings, simulate
from medgen.registration import Agreement, Registration, Verdict, agreement, judge, register
from medgen.volumes import Grid, Volume, open_volume, resample, warp, warped_field_of_view

Matrix = NDArray[np.float64]

LARGEST_TURN_DEG, LARGEST_SHIFT_MM = 30.0, 40.0
MIN_OVERLAP = 0.5
SAMPLE_PAIRS = (("t1", "t2"), ("t1", "flair"), ("t1", "ct"))
SAMPLE_HEADS = 10


def main() -> None:
    """Run one of the three benchmarks and print its table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    moved = verbs.add_parser("moved")
    moved.add_argument("--heads", choices=("sample", "template"), required=True)
    moved.add_argument("--starts", type=int, default=50)
    verbs.add_parser("pairs")
    planted = verbs.add_parser("planted")
    planted.add_argument("--cases", choices=("tuned", "kept", "fresh"), required=True)
    chosen = parser.parse_args()
    if chosen.verb == "moved":
        find_known_maps(chosen.heads, chosen.starts)
    elif chosen.verb == "pairs":
        register_pairs()
    else:
        judge_planted(chosen.cases)


def real_data() -> Path:
    """Return the folder of the real volumes."""
    return Path(os.environ["MEDGEN_REAL_DATA"])


def find_known_maps(heads: str, starts: int) -> None:
    """Move one image of a pair by known maps, find them again, and print the errors."""
    print("| start | turn (deg) | shift (mm) | mean error (mm) | largest (mm) | spread | s |")
    means, largest, seconds, voxel = [], [], [], 0.0
    for number in range(starts):
        fixed, moving = sample_pair(number) if heads == "sample" else template()
        voxel = float(fixed.grid.spacing_mm.min())
        generator = np.random.default_rng([0, number])
        truth, turn, shift = random_map(generator, fixed.grid)
        carried = carried_along(moving, truth)
        begun = time.perf_counter()
        found = found_rigid(carried, fixed)
        seconds.append(time.perf_counter() - begun)
        errors = target_errors_mm(found.matrix, truth, fixed)
        means.append(float(errors.mean()))
        largest.append(float(errors.max()))
        print(
            f"| {number} | {turn:.0f} | {shift:.0f} | {means[-1]:.2f} | {largest[-1]:.2f} "
            f"| {found.spread_mm:.2f} | {seconds[-1]:.1f} |",
            flush=True,
        )
    good = sum(error < voxel for error in means)
    print(f"{good} of {starts} with a mean error under one voxel ({voxel:.2f} mm)")
    print(f"{sum(error < voxel for error in largest)} of {starts} with the largest under one voxel")
    print(
        f"mean error: mean {statistics.mean(means):.2f}, median {statistics.median(means):.2f}, "
        f"worst {max(means):.2f} mm; median {statistics.median(seconds):.1f} s"
    )


def sample_pair(number: int) -> tuple[Volume, Volume]:
    """Return T1 and another contrast of one of ten simulated heads, on one grid."""
    source, target = SAMPLE_PAIRS[number % len(SAMPLE_PAIRS)]
    volumes = sample_head(number % SAMPLE_HEADS)
    return volumes[source], volumes[target]


@cache
def sample_head(index: int) -> Mapping[str, Volume]:
    """Return a simulated head by column, without the shift between MR and CT."""
    return simulate(1000, index, CaseSettings(aligned=True)).volumes


def template() -> tuple[Volume, Volume]:
    """Return the average T1 and the average CT."""
    folder = real_data() / "template"
    return open_volume(folder / "t1.nii.gz"), open_volume(folder / "ct.nii.gz")


def random_map(generator: np.random.Generator, grid: Grid) -> tuple[Matrix, float, float]:
    """Draw a map from the fixed world to the moving one: about the centre, any axis, any way."""
    turn = float(generator.uniform(0, LARGEST_TURN_DEG))
    shift = float(generator.uniform(0, LARGEST_SHIFT_MM))
    return rigid_map(generator, centre_of(grid), turn, shift), turn, shift


def rigid_map(
    generator: np.random.Generator, centre: NDArray[np.float64], turn_deg: float, shift_mm: float
) -> Matrix:
    """Return a turn about an axis through a centre and a shift, both in random directions."""
    axis, way = (v / np.linalg.norm(v) for v in generator.normal(size=(2, 3)))
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(turn_deg)
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = centre + shift_mm * way - matrix[:3, :3] @ centre
    return matrix


def centre_of(grid: Grid) -> NDArray[np.float64]:
    """Return the world point in the middle of a grid."""
    return grid.to_world((np.asarray(grid.shape) - 1) / 2)


def carried_along(volume: Volume, truth: Matrix) -> Volume:
    """Return a volume as a scanner would see the moved head: upright slices, corners cut off."""
    moved = Grid(volume.grid.shape, truth @ volume.grid.affine)
    affine = volume.grid.affine.copy()
    affine[:3, 3] += centre_of(moved) - centre_of(volume.grid)
    upright = Grid(volume.grid.shape, affine)
    air = float(np.percentile(volume.data, 1))
    return Volume(resample(volume.data, moved, upright, outside=air), upright, volume.unit)


def found_rigid(moving: Volume, fixed: Volume, *, search: bool = True) -> Registration:
    """Register as `medgen prepare` does, or from one start."""
    images = moving.data, moving.grid.affine, fixed.data, fixed.grid.affine
    return register(*images, transform="rigid", search=search)


def target_errors_mm(found: Matrix, truth: Matrix, fixed: Volume) -> NDArray[np.float64]:
    """Return how far each point of the fixed body ends from itself, there by truth and back."""
    body = outline(fixed.data, unit=fixed.unit, spacing_mm=fixed.grid.spacing_mm)
    points = fixed.grid.to_world(np.argwhere(body)[::7])
    both = found @ truth
    away = points @ both[:3, :3].T + both[:3, 3] - points
    return np.asarray(np.linalg.norm(away, axis=1), np.float64)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two images of a head with their bodies."""

    name: str
    fixed: Volume
    moving: Volume
    bodies: tuple[NDArray[np.bool_], NDArray[np.bool_]]

    @classmethod
    def of(cls, name: str, fixed: Volume, moving: Volume) -> Pair:
        """Find both bodies."""
        first, second = (
            outline(volume.data, unit=volume.unit, spacing_mm=volume.grid.spacing_mm)
            for volume in (fixed, moving)
        )
        return cls(name, fixed, moving, (first, second))

    def agreement(self, matrix: Matrix) -> Agreement:
        """Measure how well both agree once the moving one is carried by `matrix`."""
        source, destination = self.moving.grid, self.fixed.grid
        body = self.bodies[1].astype(np.uint8)
        carried = warp(body, source, destination, matrix=matrix, order=0, outside=0.0)
        return agreement(
            self.fixed.data,
            warp(self.moving.data, source, destination, matrix=matrix),
            spacing_mm=destination.spacing_mm,
            fixed_outline=self.bodies[0],
            moved_outline=carried > 0,
            seen=warped_field_of_view(source, destination, matrix=matrix),
        )

    @cached_property
    def before(self) -> Agreement:
        """The agreement with the headers as they are."""
        return self.agreement(np.eye(4))

    def verdict(self, found: Registration) -> tuple[Agreement, Verdict]:
        """Judge a registration."""
        after = self.agreement(found.matrix)
        return after, judge(self.before, after, found, min_overlap=MIN_OVERLAP)


def real_pair(fixed: str, moving: str) -> Pair:
    """Return the T1 of one subject and the FLAIR of another or the same."""
    folder = real_data() / "t1_flair"
    first = open_volume(folder / f"subject{fixed}" / "t1.nii.gz")
    return Pair.of(fixed, first, open_volume(folder / f"subject{moving}" / "flair.nii.gz"))


def subjects() -> list[str]:
    """Return the numbers of the subjects with a T1 and a FLAIR."""
    return sorted(path.name[-2:] for path in (real_data() / "t1_flair").glob("subject*"))


def register_pairs() -> None:
    """Register each subject's FLAIR to the T1, and print what was found."""
    print("| subject | moved (mm, deg) | information | Dice | edges | parallel | verdict |")
    for name in subjects():
        pair = real_pair(name, name)
        found = found_rigid(pair.moving, pair.fixed)
        before, (after, verdict) = pair.before, pair.verdict(found)
        moved = target_errors_mm(found.matrix, np.eye(4), pair.fixed).mean()
        turn = np.degrees(np.arccos(np.clip((np.trace(found.matrix[:3, :3]) - 1) / 2, -1, 1)))
        print(
            f"| {name} | {moved:.1f}, {turn:.1f} "
            f"| {before.mutual_information:.2f} to {after.mutual_information:.2f} "
            f"| {before.outline_dice:.3f} to {after.outline_dice:.3f} "
            f"| {before.edge_distance_mm:.2f} to {after.edge_distance_mm:.2f} "
            f"| {before.edge_parallel:.2f} to {after.edge_parallel:.2f} "
            f"| {verdict.name} {'; '.join(verdict.reasons)} |",
            flush=True,
        )


MEASURES = ("mutual_information", "outline_dice", "edge_distance_mm", "edge_parallel")
PLANTED = ((0, 3), (0, 6), (0, 10), (0, 20), (0, 40), (3, 0), (6, 0), (10, 0), (20, 0), (180, 0))
"""Turns in degrees and shifts in mm that spoil a right alignment."""


def judge_planted(cases: str) -> None:
    """Judge right and wrong alignments, and count the verdicts of each kind."""
    verdicts: dict[str, Counter[str]] = {}
    measured: dict[str, list[Agreement]] = {}
    for kind, pair, found in tuned_cases() if cases == "tuned" else kept_cases(cases):
        after, verdict = pair.verdict(found)
        verdicts.setdefault(kind, Counter())[verdict.name] += 1
        measured.setdefault(kind, []).append(after)
        numbers = " ".join(f"{getattr(after, name):.3f}" for name in MEASURES)
        print(f"{kind}; {pair.name}; {numbers}; {verdict.name}", flush=True)
    print("| alignment | n | ok | doubtful | failed | information | Dice | edges | parallel |")
    for kind, counts in verdicts.items():
        columns = ([getattr(after, name) for after in measured[kind]] for name in MEASURES)
        ranges = " | ".join(f"{min(column):.2f} to {max(column):.2f}" for column in columns)
        row = " | ".join(str(counts[name]) for name in ("ok", "doubtful", "failed"))
        print(f"| {kind} | {sum(counts.values())} | {row} | {ranges} |")


def tuned_cases() -> Iterator[tuple[str, Pair, Registration]]:
    """Yield the real FLAIR-T1 pairs registered, spoiled, and with other subjects' FLAIR."""
    names = subjects()
    for index, name in enumerate(names):
        pair = real_pair(name, name)
        yield from spoiled(pair, alone(pair), index)
        other = real_pair(name, names[(index + 1) % len(names)])
        yield "another subject", other, alone(other)
        mirrored = Pair.of(name, pair.fixed, pair.moving.with_data(pair.moving.data[::-1]))
        yield "mirrored", mirrored, alone(mirrored)


def kept_cases(cases: str) -> Iterator[tuple[str, Pair, Registration]]:
    """Yield other heads: simulated, with lesions, averages, and strangers to each other."""
    first, ixi = (0, 0) if cases == "kept" else (4, 9)
    pairs = [
        Pair.of(f"sample {head} {source}-{target}", volumes[source], volumes[target])
        for head in range(first, first + 4)
        for volumes in [sample_head(head)]
        for source, target in SAMPLE_PAIRS
    ]
    if cases == "kept":
        for patient in sorted((real_data() / "ms_lesions").glob("patient*")):
            images = [open_volume(patient / f"{name}.nii.gz") for name in ("t1", "flair")]
            pairs.append(Pair.of(patient.name, *images))
        pairs.append(Pair.of("template", *template()))
    for index, pair in enumerate(pairs):
        yield from spoiled(pair, alone(pair), 100 + index)
    for head in range(first, first + 4):
        pair = Pair.of(f"sample {head}", sample_head(head)["t1"], sample_head(head + 1)["t2"])
        yield "another subject", pair, alone(pair)
    heads = sorted((real_data() / "heads").glob("IXI*"))[ixi : ixi + 9]
    for two in itertools.pairwise([open_volume(head / "t1.nii.gz") for head in heads]):
        pair = Pair.of("IXI", *two)
        yield "another subject", pair, alone(pair)


def alone(pair: Pair) -> Registration:
    """Register a pair from one start: these headers are nearly right, and it is faster."""
    return found_rigid(pair.moving, pair.fixed, search=False)


def spoiled(pair: Pair, found: Registration, seed: int) -> Iterator[tuple[str, Pair, Registration]]:
    """Yield a registration, and the same after turns and shifts."""
    yield "as registered", pair, found
    centre = pair.fixed.grid.to_world(np.argwhere(pair.bodies[0]).mean(axis=0))
    for turn, shift in PLANTED:
        generator = np.random.default_rng([seed, turn, shift])
        wrong = rigid_map(generator, centre, turn, shift) @ found.matrix
        kind = f"{turn} degrees off" if turn else f"{shift} mm off"
        yield kind, pair, replace(found, matrix=wrong)


if __name__ == "__main__":
    main()
