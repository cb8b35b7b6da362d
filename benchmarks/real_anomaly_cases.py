"""Healthy heads with and without painted lesions, and two patients with MS, in one table.

All are T1 with 0 outside the brain. Of the 60 healthy heads, 30 are learned from (the last four of
them choose the weights), 20 calibrate and 10 test, by a seeded draw and by nothing else. Each of
those ten is in the table twice: as it is, and with lesions of the two patients painted in
(`painted_lesions.py`, which also says what is not realistic about them). The two patients come
from another scanner, as stripped by those who published them, with a tighter brain than the
healthy heads have: what is unusual about them is not their lesions only.
"""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from painted_lesions import Contrast, Lesions, contrasts, described, mirror, paint
from scipy import ndimage

from medgen.files import write_text
from medgen.registration import register
from medgen.volumes import ARBITRARY, Volume, open_volume, resample, working_grid, write_volume

HEALTHY, PAINTED, MS = "healthy", "painted", "ms"
IMAGE, LESION, BRAIN = "t1", "lesion", "brain"
COLUMNS = (IMAGE, LESION, BRAIN)
SPLITS = {"train": 26, "validation": 4, "calibrate": 20, "test": 10}
SEED = 0
LEAST_ML, MOST_ML = 1.0, 40.0
"""The loads of the ten heads lie between these, equally spaced by their logarithm."""
SPACING_MM = 2.0
"""Of the healthy heads; the patients are brought to it."""
ENDING = "_painted"

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Brain:
    """A stripped T1, its brain, and its lesions."""

    image: Volume
    mask: Mask
    lesion: Mask

    @property
    def load_ml(self) -> float:
        """Return the volume of the lesions."""
        return float(self.lesion.sum()) * self.image.grid.voxel_mm3 / 1000

    def contrasts(self) -> list[Contrast]:
        """Measure the lesions."""
        return contrasts(self.image, self.lesion, self.mask)


@dataclass(frozen=True)
class Entry:
    """A row of the table."""

    case: str
    patient: str
    split: str
    group: str


def write_cases(data: Path, output: Path) -> Path:
    """Write the volumes and the table of all cases; what is there already is left alone."""
    table = output / "cases.csv"
    if table.exists():
        return table
    splits = drawn_splits(folder.name for folder in (data / "heads").glob("IXI*"))
    patients = {folder.name: opened(folder) for folder in patients_of(data)}
    entries = []
    for case, split in splits.items():
        write_brain(output / case, healthy(data / "heads" / case))
        entries.append(Entry(case, case, split, HEALTHY))
    painted: list[Contrast] = []
    for case, load in loads_of([case for case in splits if splits[case] == "test"]).items():
        brain = painted_head(healthy(data / "heads" / case), patients, case, load)
        write_brain(output / f"{case}{ENDING}", brain)
        entries.append(Entry(f"{case}{ENDING}", case, "test", PAINTED))
        painted += brain.contrasts()
        print(f"{case}: {brain.load_ml:.1f} ml painted of {load:.1f} wanted", flush=True)
    real: dict[str, list[Contrast]] = {}
    for case, (image, lesion, mask) in patients.items():
        brain = coarsened(image, lesion, mask)
        write_brain(output / case, brain)
        entries.append(Entry(case, case, "test", MS))
        real[f"{case}, 1 mm"] = contrasts(image, lesion, mask)
        real[f"{case}, {SPACING_MM:g} mm"] = brain.contrasts()
    lines = described({**real, f"painted, {SPACING_MM:g} mm": painted})
    write_text(output / "contrasts.md", "\n".join(lines) + "\n")
    write_text(table, table_text(entries))
    return table


def drawn_splits(names: Iterator[str]) -> dict[str, str]:
    """Return the split of every healthy head."""
    kinds = [split for split, count in SPLITS.items() for _ in range(count)]
    ordered = sorted(names)
    if len(ordered) != len(kinds):
        raise SystemExit(f"heads/ holds {len(ordered)} heads; this benchmark divides {len(kinds)}")
    return dict(zip(random.Random(SEED).sample(ordered, len(ordered)), kinds, strict=True))


def loads_of(cases: Sequence[str]) -> dict[str, float]:
    """Return the load (ml) that each head is painted with."""
    return dict(zip(cases, np.geomspace(LEAST_ML, MOST_ML, len(cases)), strict=True))


def patients_of(data: Path) -> list[Path]:
    """Return the folders of the two patients."""
    return sorted((data / "ms_lesions").glob("patient*"))


def opened(folder: Path) -> tuple[Volume, Mask, Mask]:
    """Open a patient's T1, lesions and brain: where T1 differs from 0, and the holes in it."""
    image, lesion = (open_volume(folder / f"{name}.nii.gz") for name in (IMAGE, LESION))
    brain = ndimage.binary_fill_holes(image.data != 0)
    return image, np.asarray(lesion.data > 0), np.asarray(brain, np.bool_)


def healthy(folder: Path) -> Brain:
    """Open a healthy head and set everything outside its brain to 0."""
    image, drawn = (open_volume(folder / f"{name}.nii.gz") for name in (IMAGE, BRAIN))
    brain = np.asarray(drawn.data > 0)
    values = np.where(brain, image.data, 0).astype(np.float32)
    return Brain(Volume(values, image.grid, ARBITRARY), brain, np.zeros_like(brain))


def painted_head(
    head: Brain, patients: Mapping[str, tuple[Volume, Mask, Mask]], case: str, load_ml: float
) -> Brain:
    """Paint both patients' lesions, each mirrored or not, into a head."""
    generator = default_rng([SEED, *case.encode()])
    lesions = [carried(head, *patient, generator) for patient in patients.values()]
    values, lesion = paint(head.image, head.mask, lesions, load_ml=load_ml, generator=generator)
    return Brain(head.image.with_data(values), head.mask, lesion)


def carried(
    head: Brain, image: Volume, lesion: Mask, brain: Mask, generator: Generator
) -> tuple[Lesions, NDArray[np.float64]]:
    """Return a patient's lesions and the affine map from the patient's world to the head's."""
    lesions, grid = Lesions.of(image, lesion, brain), image.grid
    if generator.random() < 0.5:
        lesions, grid = lesions.mirrored(), mirror(grid)
    still = head.image
    found = register(
        np.where(brain, image.data, 0), grid.affine, still.data, still.grid.affine, resolution_mm=4
    )
    return lesions, found.matrix


def coarsened(image: Volume, lesion: Mask, brain: Mask) -> Brain:
    """Bring a patient to the healthy heads' spacing; rims are not darkened by the 0 beyond them."""
    grid = working_grid(image.grid, [SPACING_MM] * 3)
    inside = np.where(brain, image.data, 0).astype(np.float32)
    sums, weights = (
        resample(values.astype(np.float32), image.grid, grid, outside=0.0)
        for values in (inside, brain)
    )
    # The nearest voxel: halves of blurred small lesions would lose most of their volume.
    drawn = resample(lesion.astype(np.uint8), image.grid, grid, order=0, outside=0.0) > 0
    mask = weights > 0.5
    values = np.where(mask, sums / np.maximum(weights, 0.5), 0).astype(np.float32)
    return Brain(Volume(values, grid, ARBITRARY), mask, drawn & mask)


def write_brain(folder: Path, brain: Brain) -> None:
    """Write a case's three volumes."""
    write_volume(folder / f"{IMAGE}.nii.gz", brain.image, dtype="float32")
    for name, mask in ((LESION, brain.lesion), (BRAIN, brain.mask)):
        volume: Any = Volume(mask.astype(np.uint8), brain.image.grid, "label")
        write_volume(folder / f"{name}.nii.gz", volume, dtype="uint8")


def table_text(entries: Sequence[Entry]) -> str:
    """Return the table, whose cells are relative to its folder."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", "split", "group", *COLUMNS])
    for entry in entries:
        files = [f"{entry.case}/{column}.nii.gz" for column in COLUMNS]
        writer.writerow([entry.case, entry.patient, entry.split, entry.group, *files])
    return stream.getvalue()
