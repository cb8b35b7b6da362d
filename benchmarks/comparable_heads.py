"""Which real heads lend what to which domain, and how they are cut so that domains are comparable.

What a discriminator can see at a border it will use: where a scan ends, the couch, the value that
fills what was not measured. So both domains are cut by one rule, which looks at no truth.
"""

from __future__ import annotations

import csv
import io
import math
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medgen.data import outline, with_rim
from medgen.data.masks import Mask, bounding_box, within
from medgen.volumes import Grid, Volume, open_volume, resample, working_grid, write_volume

SPACING_MM = (2.0, 2.0, 2.0)
HOUNSFIELD, AIR_HU = "HU", -1024.0
FILLS = {"t1": 0.0, "ct_atlas": AIR_HU, "ct": AIR_HU, "ct_mask": 0.0}
DTYPES = {"t1": "float32", "ct_atlas": "int16", "ct": "int16", "ct_mask": "uint8"}

COLUMNS = ("t1", "ct", "ct_atlas", "ct_mask")
TRAINED, SEED = 18, 0
Files = Mapping[str, Path]

LENGTH_MM, ABOVE_MM = 156.0, 6.0
"""How far a scan reaches below the vertex, and above: as far as the shorter CT does."""

REACH_MM = 20.0
"""How far from the brain a head is kept beside the atlas, which is valid within 22 mm."""

PITCH_DEGREES = -6.0
"""The pitch of the plane at which the atlas ends, less that of the brain's own long axis.

Measured on the 36 heads: -6.1 (standard deviation 2.9); the plane touches the lowest voxel of the
brain (1.5 mm below it, standard deviation 1.7), and 1 % of the brain lies below 16.8 mm over it.
"""

BELOW_MM = 9.0
"""How far below that hundredth both domains are cut: some 8 mm above the end of the atlas."""

OFFSETS_HU = {"cranium": 0.0, "unc": -1024.0}
"""What makes HU of the stored values: air -1000 in both, brain 20 and 50."""

TURNED = frozenset({"cranium"})
"""Its header puts the nose behind: half a turn about the long axis, which mirrors nothing."""


def cut_at_vertex(folder: Path, output: Path) -> dict[str, Path]:
    """Write a head's T1, and what else it has, from the vertex down to where the CTs end."""
    volumes = {name: on_grid(file) for name, file in files_of(folder).items() if name != "brain"}
    first = volumes["t1"]
    box = below_vertex(outline(first.data, unit=first.unit, spacing_mm=SPACING_MM))
    return written(volumes, box, None, output)


def cut_around_brain(folder: Path, output: Path) -> dict[str, Path]:
    """Write a head's T1, and what else it has, near the brain and above where the atlas ends.

    The brain mask alone says where that is, so that heads without an atlas are cut like the others.
    """
    volumes = {name: on_grid(file) for name, file in files_of(folder).items()}
    brain = volumes.pop("brain").data >= 0.5
    kept = within(brain, spacing_mm=SPACING_MM, radius_mm=REACH_MM) & above_plane(brain)
    margin = [math.ceil(10.0 / spacing) for spacing in SPACING_MM]
    return written(volumes, bounding_box(kept, margin=margin), kept, output)


def prepare_ct(file: Path, output: Path) -> dict[str, Path]:
    """Write a CT in HU, nose in front, from the vertex down, with air instead of the couch."""
    name = file.name.removesuffix(".nii.gz")
    stored = open_volume(file)
    turned = stored.data[::-1, ::-1] if name in TURNED else stored.data
    values = np.ascontiguousarray(turned, np.float32) + np.float32(OFFSETS_HU[name])
    grid = working_grid(stored.grid, SPACING_MM)
    ct = Volume(resample(values, stored.grid, grid), grid, HOUNSFIELD)
    body = outline(ct.data, unit=HOUNSFIELD, spacing_mm=SPACING_MM)
    kept = with_rim(body, spacing_mm=SPACING_MM)
    return written({"ct": ct}, below_vertex(body), kept, output)


def files_of(folder: Path) -> dict[str, Path]:
    """Return the files of a head that are there, by column."""
    names = ("t1", "brain", "ct_atlas", "ct_mask")
    files = {name: folder / f"{name}.nii.gz" for name in names}
    return {name: file for name, file in files.items() if file.exists()}


def on_grid(file: Path) -> Volume:
    """Return a volume with axes to right, anterior and superior, 2 mm apart; masks as shares."""
    volume = open_volume(file)
    grid = working_grid(volume.grid, SPACING_MM)
    return Volume(resample(volume.data, volume.grid, grid), grid, volume.unit)


def below_vertex(body: Mask) -> tuple[slice, ...]:
    """Return the box of a body from above its vertex to a fixed length below, all of it across."""
    top = int(np.flatnonzero(body.any(axis=(0, 1)))[-1])
    first = max(0, top - round(LENGTH_MM / SPACING_MM[2]))
    last = min(body.shape[2], top + 1 + round(ABOVE_MM / SPACING_MM[2]))
    return slice(0, body.shape[0]), slice(0, body.shape[1]), slice(first, last)


def above_plane(brain: Mask) -> Mask:
    """Return the voxels above a plane through the skull base, pitched with the brain."""
    places = np.argwhere(brain) * np.asarray(SPACING_MM)
    middle = places.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov((places - middle)[:, 1:].T))
    long_axis = axes[:, 1] * np.sign(axes[0, 1])
    pitch = math.atan2(long_axis[1], long_axis[0]) + math.radians(PITCH_DEGREES)
    normal = np.array([0.0, -math.sin(pitch), math.cos(pitch)])
    lowest = float(np.percentile((places - middle) @ normal, 1.0)) - BELOW_MM
    index = np.indices(brain.shape, dtype=np.float32)
    heights = sum(
        (index[axis] * SPACING_MM[axis] - middle[axis]) * normal[axis] for axis in range(3)
    )
    return np.asarray(heights >= lowest)


def written(
    volumes: Mapping[str, Volume], box: tuple[slice, ...], kept: Mask | None, output: Path
) -> dict[str, Path]:
    """Cut volumes to a box, fill what is not kept, and write them; return the files by column."""
    files = {}
    for name, volume in volumes.items():
        values: NDArray[np.float32] = volume.data
        if kept is not None:
            values = np.where(kept, values, np.float32(FILLS[name]))
        if name == "ct_mask":
            values = (values >= 0.5).astype(np.float32)
        grid = cropped(volume.grid, box)
        unit = HOUNSFIELD if name.startswith("ct") and name != "ct_mask" else volume.unit
        files[name] = output / f"{name}.nii.gz"
        dtype = DTYPES[name]
        write_volume(files[name], Volume(values[box], grid, unit), dtype=dtype)  # type: ignore[arg-type]
    return files


def cropped(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """Return the grid of a box of voxels."""
    return grid.crop([part.start for part in box], [part.stop - part.start for part in box])


def divided(heads: Path) -> dict[str, str]:
    """Return what each head is for: t1, validation, ct or test, by a seeded draw.

    Training's T1s and validation come from the heads without an atlas, CT and test from the others.
    """
    names = sorted(folder.name for folder in heads.iterdir() if folder.is_dir())
    without = [name for name in names if not (heads / name / "ct_atlas.nii.gz").exists()]
    draw = random.Random(SEED)
    parts: dict[str, str] = {}
    both = [name for name in names if name not in set(without)]
    for group, (first, second) in ((without, ("t1", "validation")), (both, ("ct", "test"))):
        drawn = draw.sample(group, len(group))
        parts |= dict.fromkeys(drawn[:TRAINED], first) | dict.fromkeys(drawn[TRAINED:], second)
    return dict(sorted(parts.items()))


def unpaired_text(
    parts: Mapping[str, str], heads: Mapping[str, Files], cts: Mapping[str, Files], output: Path
) -> str:
    """Return the table of both domains; with acquired CTs nobody's atlas is trained on."""
    rows: list[tuple[str, str, Files]] = []
    for name, part in parts.items():
        files = heads[name]
        if part in ("t1", "validation"):
            rows.append((name, "train" if part == "t1" else part, {"t1": files["t1"]}))
        elif part == "test":
            rows.append((name, "test", files))
        elif not cts:
            rows.append((name, "train", {"ct_atlas": files["ct_atlas"]}))
    rows += [(name, "train", files) for name, files in cts.items()]
    return as_text(rows, output)


def paired_text(parts: Mapping[str, str], heads: Mapping[str, Files], output: Path) -> str:
    """Return the table of the CT heads with their own T1, and of the same test heads."""
    splits = {"ct": "train", "test": "test"}
    return as_text([(n, splits[p], heads[n]) for n, p in parts.items() if p in splits], output)


def as_text(rows: Sequence[tuple[str, str, Files]], output: Path) -> str:
    """Return a case table, its paths as seen from its folder."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", "split", *COLUMNS])
    for name, split, files in rows:
        cells = [os.path.relpath(files[c], output) if c in files else "" for c in COLUMNS]
        writer.writerow([name, name, split, *cells])
    return stream.getvalue()
