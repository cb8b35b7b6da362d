"""Which planes of a grid to show, and any volume cut along them, whatever its own grid is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.data.masks import AIR_HU, outline
from medgen.problems import Refusal
from medgen.report.slices import NORMAL, PLANES, Cut, around, centre_of, cut, to_ras
from medgen.volumes import Grid, Volume, ras_permutation
from medgen.volumes.grid import index_map, working_grid

MARGIN_MM = 12.0
COARSE_MM = 5.0
"""Where the body lies is found on voxels about this far apart."""

Place = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Planes:
    """Axial, coronal and sagittal planes of one grid, through one voxel and inside one box."""

    grid: Grid
    box: tuple[slice, slice, slice]
    """In RAS voxels: what is shown."""
    at: Place
    """The RAS voxel that the planes go through, counted in the whole grid."""

    def cuts(self, volume: Volume, *, linear: bool = True) -> tuple[Cut, ...]:
        """Cut a volume; one of another grid is brought to the planes, and only to them."""
        if volume.grid.same_as(self.grid):
            values, triple = to_ras(volume.data, self.grid)
            spacing = list(triple)
            slabs = [values[self._slab(NORMAL[plane])] for plane in PLANES]
        else:
            hung = _hung(self.grid)
            spacing = hung.spacing_mm.tolist()
            slabs = [
                _brought(volume, hung, self._slab(NORMAL[plane]), linear=linear) for plane in PLANES
            ]
        return tuple(
            cut(slab, spacing, plane, 0) for slab, plane in zip(slabs, PLANES, strict=True)
        )

    def shown(self, volume: Volume) -> NDArray[Any]:
        """Return the voxels of a volume of this grid that lie in the box, thinned out."""
        values, spacing = to_ras(volume.data, self.grid)
        return values[self.box][_thinned(spacing)]

    def _slab(self, normal: int) -> tuple[slice, slice, slice]:
        first, second, third = (
            slice(self.at[axis], self.at[axis] + 1) if axis == normal else part
            for axis, part in enumerate(self.box)
        )
        return first, second, third


def planes_of(volume: Volume, *, look_at: NDArray[Any] | None = None) -> Planes:
    """Return the planes that show the body of a volume best.

    They go through the body's centre of mass, or where `look_at` (the volume's own array axes) is
    not zero in most voxels; where no body stands out, everything is shown.
    """
    box, at = _body(volume)
    if look_at is not None:
        at = _most(to_ras(look_at, volume.grid)[0]) or at
    first, second, third = (
        slice(min(part.start, place), max(part.stop, place + 1))
        for part, place in zip(box, at, strict=True)
    )
    return Planes(volume.grid, (first, second, third), at)


def _body(volume: Volume) -> tuple[list[slice], Place]:
    """Return the box of RAS voxels around the body, with a margin, and the body's centre."""
    values, spacing = to_ras(volume.data, volume.grid)
    thinned = _thinned(spacing)
    steps, shape = [part.step for part in thinned], values.shape
    coarse, coarse_mm = values[thinned], [n * mm for n, mm in zip(steps, spacing, strict=True)]
    try:
        body = outline(coarse, unit=volume.unit, spacing_mm=coarse_mm)
    except Refusal:
        body = np.zeros(coarse.shape, dtype=np.bool_)
    parts = [
        part.indices(count)
        for part, count in zip(around(body, coarse_mm, MARGIN_MM), body.shape, strict=True)
    ]
    box = [
        slice(start * step, min(stop * step, count))
        for (start, stop, _), step, count in zip(parts, steps, shape, strict=True)
    ]
    first, second, third = (
        min(place * step, count - 1)
        for place, step, count in zip(centre_of(body), steps, shape, strict=True)
    )
    return box, (first, second, third)


def _most(marked: NDArray[Any]) -> Place | None:
    """Return, along each axis, the slice with most voxels that are not zero; None without any."""
    lies = marked != 0
    first = np.count_nonzero(lies, axis=2)
    if not first.any():
        return None
    third = np.count_nonzero(lies.reshape(-1, lies.shape[2]), axis=0)
    return int(first.sum(axis=1).argmax()), int(first.sum(axis=0).argmax()), int(third.argmax())


def _thinned(spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    first, second, third = (slice(None, None, max(1, int(COARSE_MM / mm))) for mm in spacing_mm)
    return first, second, third


def _hung(grid: Grid) -> Grid:
    """Return a grid's own voxels in RAS order: the grid of what `to_ras` returns."""
    axes, _ = ras_permutation(grid.affine)
    return working_grid(grid, grid.spacing_mm[list(axes)].tolist())


def _brought(volume: Volume, hung: Grid, slab: tuple[slice, ...], *, linear: bool) -> NDArray[Any]:
    """Resample a volume at the voxels of a slab; air (or 0) beyond its field of view."""
    carry = index_map(volume.grid, hung)
    start = np.array([part.start for part in slab], dtype=np.float64)
    return np.asarray(
        ndimage.affine_transform(
            volume.data,
            carry[:3, :3],
            offset=carry[:3, :3] @ start + carry[:3, 3],
            output_shape=tuple(part.stop - part.start for part in slab),
            output=np.float32,
            order=1 if linear else 0,
            mode="constant",
            cval=AIR_HU if volume.unit.upper() == "HU" else 0.0,
        )
    )
