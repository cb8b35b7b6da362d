"""Values of one grid on another: exact where voxels coincide, interpolated elsewhere."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.volumes import oblique, on_device, separable
from medgen.volumes.grid import Grid, index_map
from medgen.volumes.ordering import in_order
from medgen.volumes.overlap import clear_unseen

_EXACT = 1e-3  # voxels; a map this close to whole voxels copies instead of interpolating
_FWHM_TO_SIGMA = 2.355
_COARSER = 1.01


def resample(
    data: NDArray[Any],
    source: Grid,
    destination: Grid,
    *,
    order: int = 1,
    outside: float | None = None,
    antialias: bool = True,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Return the values of `data` (on `source`) at the voxel centres of `destination`.

    `order` is 0 (labels), 1 (linear) or 3 (cubic B-spline). Where every destination voxel falls
    on a source voxel the values are copied bit for bit. Elsewhere, with order 1 or 3 and
    `antialias`, an axis that gets coarser by the ratio r is first blurred by a Gaussian of
    sqrt(r^2 - 1) / 2.355 source voxels (Cardoso et al., MICCAI 2015). Outside the source's field
    of view the nearest edge value holds, or `outside`. What is interpolated linearly must be
    finite, and is so on `device`, "cpu" or a CUDA device, to the rounding of single precision the
    same. The answer is in C order. Raises ValueError on a wrong order or on data of another shape
    than `source`.
    """
    if order not in (0, 1, 3):
        raise ValueError(f"the interpolation order must be 0, 1 or 3, not {order}")
    if data.shape != source.shape:
        raise ValueError(f"data of shape {data.shape} on a grid of shape {source.shape}")
    matrix = index_map(source, destination)
    aligned = _aligned(data, matrix, destination.shape)
    smooth = antialias and order > 0
    if aligned is not None and aligned.whole(destination):
        values = aligned.copy(destination)
    elif aligned is not None and order < 3:
        values = aligned.interpolate(destination, order=order, smooth=smooth, device=device)
    else:
        values = _interpolate(data, matrix, destination, order=order, smooth=smooth, device=device)
    if outside is not None:
        clear_unseen(values, source, destination, outside)
    return values


@dataclass(frozen=True)
class _Aligned:
    """A source whose axes were reordered and reversed to run along the destination's."""

    data: NDArray[Any]
    scale: NDArray[np.float64]  # source voxels per destination voxel, positive
    offset: NDArray[np.float64]

    def whole(self, destination: Grid) -> bool:
        """Tell whether every destination voxel falls on a source voxel (or beside the source)."""
        drift = np.abs(self.scale - 1.0) * np.asarray(destination.shape)
        fraction = np.abs(self.offset - np.rint(self.offset))
        return bool((drift + fraction).max() < _EXACT)

    def copy(self, destination: Grid) -> NDArray[np.float32]:
        """Copy voxels, repeating the edges where the destination reaches beyond the source."""
        starts = [int(start) for start in np.rint(self.offset)]
        sizes = list(zip(starts, destination.shape, self.data.shape, strict=True))
        if all(start >= 0 and start + count <= size for start, count, size in sizes):
            box = tuple(slice(start, start + count) for start, count, _ in sizes)
            values = in_order(self.data[box], np.float32)
            return values.copy() if np.shares_memory(values, self.data) else values
        index = [np.clip(np.arange(n) + start, 0, size - 1) for start, n, size in sizes]
        return np.array(self.data[np.ix_(*index)], dtype=np.float32, order="C")

    def interpolate(
        self, destination: Grid, *, order: int, smooth: bool, device: str
    ) -> NDArray[np.float32]:
        """Interpolate axis by axis, the nearest voxel (order 0) or linearly (order 1)."""
        values = in_order(self.data, np.float32)
        if order == 0:
            for axis, count in enumerate(destination.shape):
                place = self.scale[axis] * np.arange(count) + self.offset[axis]
                nearest = np.floor(place + 0.5).astype(np.intp)
                values = values.take(np.clip(nearest, 0, values.shape[axis] - 1), axis=axis)
            return values
        matrices = [self._matrix(axis, n, smooth) for axis, n in enumerate(destination.shape)]
        if device != "cpu":
            with suppress(RuntimeError):  # full: the network has it
                return on_device.along(values, matrices, device=device)
        return separable.along(values, matrices)

    def _matrix(self, axis: int, count: int, smooth: bool) -> separable.Matrix:
        """Return what interpolates one axis, and blurs it first where it gets coarser."""
        scale, size = float(self.scale[axis]), self.data.shape[axis]
        matrix = separable.linear(size, count, scale=scale, offset=float(self.offset[axis]))
        if smooth and scale > _COARSER:
            matrix = matrix @ separable.gaussian(size, _sigma(scale))
        return matrix


def _aligned(
    data: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, int, int]
) -> _Aligned | None:
    """Return the source along the destination's axes, or None where they are not parallel."""
    linear = matrix[:3, :3]
    for axes in itertools.permutations(range(3)):
        scale = np.array([linear[axes[i], i] for i in range(3)])
        off_axis = linear.copy()
        off_axis[list(axes), [0, 1, 2]] = 0.0
        stray = np.abs(off_axis) @ np.asarray(shape, dtype=np.float64)
        if stray.max() < _EXACT and np.abs(scale).min() > 0:
            break
    else:
        return None
    offset = matrix[list(axes), 3].copy()
    turned = np.transpose(data, axes)
    for i in range(3):
        if scale[i] < 0:
            turned = np.flip(turned, axis=i)
            offset[i] = turned.shape[i] - 1 - offset[i]
    return _Aligned(turned, np.abs(scale), offset)


def _interpolate(
    data: NDArray[Any],
    matrix: NDArray[np.float64],
    destination: Grid,
    *,
    order: int,
    smooth: bool,
    device: str,
) -> NDArray[np.float32]:
    """Interpolate between grids whose axes may run anyhow."""
    values = in_order(data, np.float32)
    if smooth:
        # A row's norm is the destination voxel's width along that source axis, in source voxels.
        values = blur(values, np.linalg.norm(matrix[:3, :3], axis=1))
    if order == 1 and device != "cpu":
        with suppress(RuntimeError):
            return on_device.sample(values, matrix, destination.shape, device=device)
    if order == 1:
        return oblique.sample(values, matrix, destination.shape)
    answer: NDArray[np.float32] = ndimage.affine_transform(
        values,
        matrix[:3, :3],
        offset=matrix[:3, 3],
        output_shape=destination.shape,
        output=np.float32,
        order=order,
        mode="nearest",
    )
    return answer


def blur(values: NDArray[np.float32], ratios: NDArray[np.float64]) -> NDArray[np.float32]:
    """Blur each axis that gets coarser, so that fine detail does not alias.

    Takes finite values (X, Y, Z) and by axis how many of their voxels a new one is wide.
    """
    matrices = [
        separable.gaussian(size, _sigma(ratio)) if ratio > _COARSER else None
        for size, ratio in zip(values.shape, ratios.tolist(), strict=True)
    ]
    return separable.along(values, matrices)


def _sigma(ratio: float) -> float:
    """Return the width in voxels of the blur before an axis gets coarser by a ratio."""
    return float(np.sqrt(ratio**2 - 1.0)) / _FWHM_TO_SIGMA
