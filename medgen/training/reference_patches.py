"""Fixed patches of prepared cases that drawn images are held against; read anew at each use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medgen.data import CachedCase
from medgen.data.patches import IMAGE, Box, Size, draw_centre, place

Array = NDArray[Any]

CHUNK_BYTES = 1 << 24
"""Patches in memory at a time."""


class Spot(NamedTuple):
    """Where a patch lies: the case's number, and the first voxel."""

    case: int
    start: Size


@dataclass(frozen=True)
class ReferencePatches:
    """Encoded source patches (C, *size) at fixed spots, as training cuts them but unchanged."""

    cases: Sequence[CachedCase]
    spots: Sequence[Spot]
    size: Size

    def __len__(self) -> int:
        return len(self.spots)

    def read(self, number: int) -> Array:
        """Return one patch (C, *size), float32."""
        spot = self.spots[number]
        source = self.cases[spot.case].arrays["source"]
        return np.asarray(self._box(spot).read(source, IMAGE), dtype=np.float32)

    def first(self, count: int) -> Array:
        """Return the first patches (N, C, *size), as many as there are."""
        return np.stack([self.read(number) for number in range(min(count, len(self)))])

    def chunks(self) -> Iterator[tuple[int, Array]]:
        """Yield all patches by parts (N, C, *size), with the number of each part's first."""
        at_once = max(1, CHUNK_BYTES // self.read(0).nbytes)
        for start in range(0, len(self), at_once):
            numbers = range(start, min(start + at_once, len(self)))
            yield start, np.stack([self.read(number) for number in numbers])

    def places(self) -> NDArray[np.float32]:
        """Return where in the body each patch's middle lies (N, 3), as located methods are told."""
        found = [
            self.cases[spot.case].body_box.coordinates(self._box(spot).voxels()).mean((1, 2, 3))
            for spot in self.spots
        ]
        return np.asarray(found, dtype=np.float32)

    def _box(self, spot: Spot) -> Box:
        return Box(spot.start, self.size, _shape(self.cases[spot.case]))


def scattered(
    cases: Sequence[CachedCase], size: Size, count: int, *, inside_mask: float, seed: Sequence[int]
) -> ReferencePatches:
    """Choose spots as training does, in every case as many (to one)."""
    rng = np.random.default_rng(list(seed))
    spots = []
    for number in range(count):
        case = cases[number % len(cases)]
        centre = draw_centre(rng, case.indices, _shape(case), inside_mask=inside_mask)
        spots.append(Spot(number % len(cases), place(centre, size, _shape(case))))
    return ReferencePatches(cases, spots, size)


def around(
    cases: Sequence[CachedCase], size: Size, where: NDArray[np.floating[Any]], count: int
) -> ReferencePatches:
    """Choose the spot of the first cases whose middle lies nearest to a place (3,) in the body."""
    spots = []
    for number, case in enumerate(cases[:count]):
        first, last = (np.asarray(end, dtype=np.float64) for end in _ends(case))
        # A patch's middle lies between its voxels where its length is even.
        middle = (first + last) / 2 + where * np.maximum(last - first, 1.0) / 2
        x, y, z = (round(float(at) + 0.5 * (1 - n % 2)) for at, n in zip(middle, size, strict=True))
        spots.append(Spot(number, place((x, y, z), size, _shape(case))))
    return ReferencePatches(cases, spots, size)


class Nearest(NamedTuple):
    """The nearest of the references to each of some images."""

    distances: NDArray[np.float64]
    """(N,): the root of the mean squared difference, encoded."""
    patches: Array
    """(N, C, *size): the references, mirrored as they are nearest."""


def nearest(
    images: Array,
    references: ReferencePatches,
    *,
    flip_axes: Sequence[int] = (),
    check: Callable[[], None] = lambda: None,
) -> Nearest:
    """Find each image's (N, C, *size) nearest reference by L2, mirrored ones included.

    A mirror image is what training shows too. `check` is called between parts; it may raise.
    """
    flat = np.asarray(images, dtype=np.float32).reshape(len(images), -1)
    norms = (flat.astype(np.float64) ** 2).sum(1)
    least = np.full(len(flat), np.inf)
    found: list[tuple[int, tuple[int, ...]]] = [(0, ())] * len(flat)
    for first, part in references.chunks():
        check()
        sizes = (part.reshape(len(part), -1).astype(np.float64) ** 2).sum(1)
        for axes in _mirrors(flip_axes):
            mirrored = np.flip(part, axes).reshape(len(part), -1)
            squared = norms[:, None] + sizes[None] - 2.0 * (flat @ mirrored.T)
            best = squared.argmin(1)
            for image, number in enumerate(best):
                if squared[image, number] < least[image]:
                    least[image] = squared[image, number]
                    found[image] = (first + int(number), axes)
    patches = np.stack(
        [
            np.flip(references.read(number), tuple(axis - 1 for axis in axes))
            for number, axes in found
        ]
    )
    # Measured again, since the product above loses the last digits where two are nearly equal.
    gaps = (np.asarray(images, dtype=np.float64) - patches).reshape(len(flat), -1)
    return Nearest(np.sqrt((gaps**2).mean(1)), patches)


def _mirrors(flip_axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return every set of the axes, as axes of (N, C, X, Y, Z); the empty one first."""
    axes = [axis + 2 for axis in flip_axes]
    sets = chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1))
    return list(sets)


def _ends(case: CachedCase) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return case.body_box.first, case.body_box.last


def _shape(case: CachedCase) -> Size:
    x, y, z = case.grid.shape
    return x, y, z
