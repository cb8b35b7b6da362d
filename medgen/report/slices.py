"""Cuts through a volume as a radiologist hangs them: patient's right on the left, head up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medgen.volumes import Grid, ras_permutation

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
NORMAL = {"sagittal": 0, "coronal": 1, "axial": 2}


class Cut(NamedTuple):
    """A two-dimensional picture (rows down, columns right) with its extent and edge letters."""

    pixels: NDArray[Any]
    width_mm: float
    height_mm: float
    left: str
    right: str


def to_ras(data: NDArray[Any], grid: Grid) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Return a view of a volume with axes to right, anterior, superior, and its spacing in mm.

    Oblique volumes keep their own planes; nothing is interpolated.
    """
    axes, signs = ras_permutation(grid.affine)
    turned = np.transpose(data, axes)
    turned = turned[tuple(slice(None, None, sign) for sign in signs)]
    spacing = grid.spacing_mm[list(axes)]
    return turned, (float(spacing[0]), float(spacing[1]), float(spacing[2]))


def cut(volume: NDArray[Any], spacing_mm: Sequence[float], plane: Plane, index: int) -> Cut:
    """Cut a RAS volume (X, Y, Z) at a voxel index along the plane's normal.

    Axial and coronal pictures show the patient's right on the left; sagittal ones face left.
    """
    normal = NORMAL[plane]
    across, up = (axis for axis in range(3) if axis != normal)
    pixels = np.take(volume, index, axis=normal).T[::-1, ::-1]
    left, right = ("A", "P") if plane == "sagittal" else ("R", "L")
    width = volume.shape[across] * float(spacing_mm[across])
    height = volume.shape[up] * float(spacing_mm[up])
    return Cut(pixels, width, height, left, right)


def centre_of(mask: NDArray[Any]) -> tuple[int, int, int]:
    """Return the voxel at the centre of mass of a mask; the volume's middle where it is empty."""
    inside = np.asarray(mask) > 0
    if not inside.any():
        first, second, third = (length // 2 for length in inside.shape)
        return first, second, third
    found = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        weights = inside.sum(axis=others)
        found.append(round(float((weights * np.arange(len(weights))).sum() / weights.sum())))
    return found[0], found[1], found[2]


def around(mask: NDArray[Any], spacing_mm: Sequence[float], margin_mm: float) -> tuple[slice, ...]:
    """Return the box that holds a mask and a margin; everything where the mask is empty."""
    inside = np.asarray(mask) > 0
    box = []
    for axis, length in enumerate(inside.shape):
        others = tuple(other for other in range(3) if other != axis)
        hits = np.flatnonzero(inside.any(axis=others))
        if not hits.size:
            return (slice(None),) * 3
        margin = round(margin_mm / float(spacing_mm[axis]))
        box.append(slice(max(0, int(hits[0]) - margin), min(length, int(hits[-1]) + 1 + margin)))
    return tuple(box)
