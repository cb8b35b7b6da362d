"""A table of lesions: where each connected part of a class lies, how large and how likely it is.

Places are millimetres of the patient's coordinates as NIfTI has them (RAS+): x grows to the
patient's right, y to the front, z to the head. DICOM's own (LPS) have x and y with the other sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medgen.conversion.parts import find_parts

COLUMNS = (
    "lesion",
    "class",
    "volume_ml",
    "voxels",
    "x_ras_mm",
    "y_ras_mm",
    "z_ras_mm",
    "extent_x_mm",
    "extent_y_mm",
    "extent_z_mm",
    "mean_probability",
    "max_probability",
)
"""`lesion` counts from 1 in a case; the centre of mass follows, then the extent along its axes."""

Place = tuple[float, float, float]


class Lesion(NamedTuple):
    """One connected part of a class."""

    name: str
    """The class."""
    volume_ml: float
    voxels: int
    centre_mm: Place
    """The centre of mass, every voxel weighing the same, in RAS+; a bent part's lies outside it."""
    extent_mm: Place
    """Edges of the box along the patient's axes that holds all voxels, with their whole volume."""
    mean_probability: float
    """Of the class, over the part's voxels, in [0, 1]."""
    max_probability: float


def measure_lesions(
    region: NDArray[np.bool_],
    probability: NDArray[np.float32],
    affine: NDArray[np.float64],
    *,
    name: str,
) -> tuple[Lesion, ...]:
    """Measure the connected parts of a class, the largest first.

    Takes the class's region (X, Y, Z), its probability there and the affine (4, 4) from voxel
    indices to RAS+ millimetres. Of parts of one size the first in the array's order comes first.
    """
    parts = find_parts(region)
    if not parts.count:
        return ()
    inside = np.nonzero(parts.numbers)
    order = np.argsort(parts.numbers[inside], kind="stable")
    indices = [axis[order] for axis in inside]  # the voxels of one part after the other's
    sizes = parts.sizes[1:]
    first = np.cumsum(sizes) - sizes
    values = probability[parts.box][tuple(indices)]
    means = np.add.reduceat(values, first, dtype=np.float64) / sizes
    highest = np.maximum.reduceat(values, first)
    corner = [part.start for part in parts.box]
    origin = affine[:3, :3] @ corner + affine[:3, 3]
    centres, extents = [], []
    for row, start in zip(affine[:3, :3], origin, strict=True):
        world = start + sum(step * index for step, index in zip(row, indices, strict=True))
        centres.append(np.add.reduceat(world, first) / sizes)
        span = np.maximum.reduceat(world, first) - np.minimum.reduceat(world, first)
        extents.append(span + np.abs(row).sum())
    voxel_ml = abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0
    return tuple(
        Lesion(
            name,
            float(sizes[part]) * voxel_ml,
            int(sizes[part]),
            _place(centres, part),
            _place(extents, part),
            float(means[part]),
            float(highest[part]),
        )
        for part in np.argsort(-sizes, kind="stable")
    )


def _place(axes: Sequence[NDArray[np.float64]], part: int) -> Place:
    x, y, z = (float(axis[part]) for axis in axes)
    return x, y, z


def table_of(lesions: Sequence[Lesion]) -> str:
    """Return the table as tab-separated text; the header alone where there is no lesion."""
    lines = [COLUMNS, *(_cells(number, one) for number, one in enumerate(lesions, start=1))]
    return "".join("\t".join(line) + "\n" for line in lines)


def _cells(number: int, one: Lesion) -> tuple[str, ...]:
    return (
        str(number),
        one.name,
        f"{one.volume_ml:.6f}",
        str(one.voxels),
        *(f"{mm:.2f}" for mm in (*one.centre_mm, *one.extent_mm)),
        f"{one.mean_probability:.4f}",
        f"{one.max_probability:.4f}",
    )


def summary_of(lesions: Iterable[Lesion], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return how many lesions each class has, their volume and the largest one's, in ml."""
    volumes: dict[str, list[float]] = {name: [] for name in names}
    for one in lesions:
        volumes[one.name].append(one.volume_ml)
    return {
        name: {
            "count": len(found),
            "volume_ml": round(sum(found), 3),
            "largest_ml": round(max(found, default=0.0), 3),
        }
        for name, found in volumes.items()
    }
