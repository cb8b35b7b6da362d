"""Boxes cut from a volume: where they lie, and what fills them beyond its borders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Array = NDArray[Any]
Size = tuple[int, int, int]


@dataclass(frozen=True)
class Fill:
    """How a kind of array goes on beyond its border, and between its voxels."""

    mode: Literal["bilinear", "nearest"]
    padding: Literal["border", "zeros"]


IMAGE = Fill("bilinear", "border")
REGION = Fill("nearest", "zeros")
"""Masks and labels: nothing beyond the border, nothing between two classes."""


def draw_centre(
    rng: np.random.Generator, inside: NDArray[np.integer[Any]], shape: Size, *, inside_mask: float
) -> Size:
    """Draw a voxel: of the mask (flat indices `inside`) with a probability, else of the volume."""
    in_mask = rng.random() < inside_mask and inside.size > 0
    flat = int(inside[rng.integers(inside.size)]) if in_mask else int(rng.integers(np.prod(shape)))
    x, y, z = (int(index) for index in np.unravel_index(flat, shape))
    return x, y, z


def place(centre: Size, size: Size, shape: Size) -> Size:
    """Return the first voxel of a box around a centre, moved inside the volume.

    Along an axis where the volume is smaller than the box, the box is centred on the volume.
    """
    start = []
    for middle, length, count in zip(centre, size, shape, strict=True):
        if count < length:
            start.append(-((length - count) // 2))
        else:
            start.append(min(max(middle - length // 2, 0), count - length))
    return start[0], start[1], start[2]


@dataclass(frozen=True, eq=False)
class Box:
    """A box of a volume, straight or turned about its middle, that several arrays are read from."""

    start: Size
    """The first voxel; it may lie before the volume's."""
    size: Size
    shape: Size
    """The volume's."""
    matrix: NDArray[np.float64] | None = None
    """(3, 3): an voxel offsets from the box's middle to the volume's; None leaves it straight."""

    def read(self, values: Array, fill: Fill) -> Array:
        """Return the box (C, *size) of an array (C, X, Y, Z), a copy.

        A turned box is float32 and interpolated once; the context around it is read from the
        volume itself, so that no corner is made up.
        """
        if self.matrix is None:
            return self._cut(values, fill)
        slab = np.array(values[(slice(None), *self._slab)], dtype=np.float32)
        sampled = functional.grid_sample(
            torch.from_numpy(slab)[None],
            self._sampling_grid[None],
            mode=fill.mode,
            padding_mode=fill.padding,
            align_corners=False,
        )
        turned: Array = sampled[0].numpy()
        return turned

    def voxels(self) -> Array:
        """Return the volume's voxel (3, *size), float32, that each voxel of the box shows.

        Beyond the volume it is the border's, which is what images go on with there.
        """
        half = (np.asarray(self.size) - 1) / 2
        offsets = np.indices(self.size, dtype=np.float32) - _column(half)
        turned = np.tensordot(self._matrix.astype(np.float32), offsets, axes=1)
        found = turned + _column(np.asarray(self.start) + half)
        return np.asarray(np.clip(found, 0, _column(np.asarray(self.shape) - 1)), dtype=np.float32)

    def _cut(self, values: Array, fill: Fill) -> Array:
        stops = [start + size for start, size in zip(self.start, self.size, strict=True)]
        inner = tuple(
            slice(max(start, 0), min(stop, count))
            for start, stop, count in zip(self.start, stops, self.shape, strict=True)
        )
        box = np.array(values[(slice(None), *inner)])
        widths = [
            (part.start - start, stop - part.stop)
            for part, start, stop in zip(inner, self.start, stops, strict=True)
        ]
        if not any(before or after for before, after in widths):
            return box
        return np.pad(
            box, [(0, 0), *widths], mode="edge" if fill.padding == "border" else "constant"
        )

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        return np.eye(3) if self.matrix is None else self.matrix

    @cached_property
    def _slab(self) -> tuple[slice, ...]:
        """Return the part of the volume that the turned box needs."""
        half = (np.asarray(self.size) - 1) / 2
        middle, reach = np.asarray(self.start) + half, np.abs(self._matrix) @ half
        count = np.asarray(self.shape)
        first = np.clip(np.floor(middle - reach), 0, count - 1).astype(int)
        stop = np.clip(np.ceil(middle + reach) + 1, first + 1, count).astype(int)
        return tuple(slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))

    @cached_property
    def _sampling_grid(self) -> torch.Tensor:
        """Return grid_sample's coordinates (*size, 3), last axis first, -1 to 1 over the slab."""
        half = (np.asarray(self.size) - 1) / 2
        corner = np.asarray(self.start) + half - self._matrix @ half
        steps = np.ix_(*(np.arange(length, dtype=np.float64) for length in self.size))
        grid = np.empty((*self.size, 3), dtype=np.float32)
        for axis, part in enumerate(self._slab):
            scale = 2.0 / (part.stop - part.start)
            x, y, z = (
                (self._matrix[axis, k] * scale * steps[k]).astype(np.float32) for k in range(3)
            )
            offset = np.float32((corner[axis] - part.start + 0.5) * scale - 1.0)
            grid[..., 2 - axis] = x + (y + (z + offset))
        return torch.from_numpy(grid)


def _column(values: Array) -> Array:
    """Return three numbers as (3, 1, 1, 1), float32."""
    return np.asarray(values, dtype=np.float32)[:, None, None, None]
