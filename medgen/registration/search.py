"""The search for a start, where headers cannot be trusted: many rotations, coarsely scored.

Heads in exports are turned, cut at different heights, and now and then mislabelled by a quarter or
half turn. A climb finds the top from some 20 degrees and 30 mm away; this file sees to it that one
of its starts is that near.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.registration.images import Floats, Image, Transform, array_of, sitk, thinned
from medgen.registration.information import binned, joint_histogram, normalised_information

COARSE_MM = 8.0
TILTS_DEG = (-25.0, 0.0, 25.0)
SHIFTS_MM = (-50.0, -25.0, 0.0, 25.0, 50.0)
"""Along the fixed body (superior): two images of one head begin and end at different heights."""
BINS = 24
LEAST_SHARED = 0.4
"""The share of the smaller body that must lie where both images see."""
APART_MM = 25.0
"""Starts that differ by less at every corner of the body climb the same hill."""


@dataclass(frozen=True, eq=False)
class Start:
    """A rigid map from the fixed to the moving world, both LPS+: a tilt, a shift, then a turn."""

    turn: Floats
    """(3, 3), quarter and half turns about the moving world's origin, or none."""
    tilt: Floats
    """(3, 3), a rotation about `centre`."""
    centre: Floats
    """(3,), in the fixed world."""
    end: Floats
    """(3,), where the centre goes in the moving world."""

    @property
    def turned(self) -> bool:
        """Whether there is a turn."""
        return not np.allclose(self.turn, np.eye(3))

    def transform(self) -> Transform:
        """Return tilt and shift as SimpleITK's transform, into the world of `straightened`.

        The turn stays out of it: a versor has no way past 180 degrees.
        """
        transform = sitk.VersorRigid3DTransform()
        transform.SetCenter(self.centre.tolist())
        transform.SetMatrix(self.tilt.ravel().tolist(), 1e-6)
        transform.SetTranslation((self.turn.T @ self.end - self.centre).tolist())
        return transform

    def straightened(self, moving: Image) -> Image:
        """Return the moving image with the turn taken out of its header."""
        image = sitk.Image(moving)
        directions = self.turn.T @ np.reshape(moving.GetDirection(), (3, 3))
        image.SetDirection(directions.ravel().tolist())
        image.SetOrigin((self.turn.T @ np.array(moving.GetOrigin())).tolist())
        return image

    def whole(self, straight: Floats) -> Floats:
        """Return a map (4, 4) into the straightened world with the turn after it."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.turn
        return np.asarray(matrix @ straight, np.float64)

    def matrix(self) -> Floats:
        """Return the map as a matrix (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.turn @ self.tilt
        matrix[:3, 3] = self.end - matrix[:3, :3] @ self.centre
        return matrix


@dataclass(frozen=True, eq=False)
class Scene:
    """Two images made ready for scoring thousands of rigid maps between them."""

    points: Floats
    """(n, 3), voxels around the fixed body, LPS+ mm."""
    bins: NDArray[np.intp]
    """(n,), their values."""
    body: NDArray[np.bool_]
    """(n,), whether they lie in the body."""
    moving: NDArray[np.intp]
    """(X, Y, Z), the moving image's values."""
    to_index: Floats
    """(4, 4), the moving world to the indices of `moving`."""
    centres: tuple[Floats, Floats]
    """The centres of intensity of the fixed and the moving image."""
    corners: Floats
    """(8, 3), of the box around the fixed body."""
    least: float
    """How many points of the fixed body must land where the moving image sees."""

    @classmethod
    def of(cls, fixed: Image, moving: Image, *, resolution_mm: float, step: int) -> Scene:
        """Thin both images to a resolution and take every `step`-th voxel of the fixed one."""
        values, world = array_of(thinned(fixed, resolution_mm))
        other, other_world = array_of(thinned(moving, resolution_mm))
        body, other_body = values > values.mean(), other > other.mean()
        box = _box(body, margin=2 * step)
        chosen = (*(slice(start, stop, step) for start, stop in box),)
        index = np.indices(values.shape)[(slice(None), *chosen)].reshape(3, -1).T
        volume, other_volume = (abs(np.linalg.det(w[:3, :3])) for w in (world, other_world))
        smaller = min(body.sum() * volume, other_body.sum() * other_volume)
        ends = itertools.product(*_box(body, margin=0))
        return cls(
            points=_carried(world, index),
            bins=binned(values[chosen].ravel(), BINS),
            body=body[chosen].ravel(),
            moving=binned(other, BINS),
            to_index=np.asarray(np.linalg.inv(other_world), np.float64),
            centres=(_centroid(values, world), _centroid(other, other_world)),
            corners=_carried(world, np.array(list(ends)) - 0.5),
            least=LEAST_SHARED * smaller / (step**3 * volume),
        )

    def score(self, matrix: Floats) -> float:
        """Return the normalised information of a map (fixed to moving, LPS+), less chance's 1.

        0 where too little of the smaller body would be seen by both.
        """
        index = np.rint(_carried(self.to_index @ matrix, self.points)).astype(np.intp)
        inside = ((index >= 0) & (index < self.moving.shape)).all(axis=1)
        if np.count_nonzero(inside & self.body) < self.least:
            return 0.0
        found = self.moving[tuple(index[inside].T)]
        return normalised_information(joint_histogram(self.bins[inside], found, BINS)) - 1.0

    def apart_mm(self, first: Floats, second: Floats) -> float:
        """Return how far two maps at most part the corners of the fixed body."""
        away = _carried(first, self.corners) - _carried(second, self.corners)
        return float(np.linalg.norm(away, axis=1).max())


def starts(fixed: Image, moving: Image, *, upright: int, turned: int) -> list[Start]:
    """Return the most promising starts, no two on one hill, so many without and with a turn.

    The worlds as their headers have them come first. The others are laid centre of intensity on
    centre of intensity and shifted along the body by `SHIFTS_MM`; their rotations are the tilts of
    `TILTS_DEG` about all three axes, upright and after each half turn, and the quarter turns.
    """
    scene = Scene.of(fixed, moving, resolution_mm=COARSE_MM, step=2)
    centre = scene.centres[0]
    headers = Start(np.eye(3), np.eye(3), centre, centre)
    found = [headers]
    room = {False: upright - 1, True: turned}
    scored = [(scene.score(start.matrix()), start) for start in _candidates(*scene.centres)]
    for value, start in sorted(scored, key=lambda pair: -pair[0]):
        near = any(scene.apart_mm(start.matrix(), other.matrix()) < APART_MM for other in found)
        if value > 0 and room[start.turned] and not near:
            found.append(start)
            room[start.turned] -= 1
    return found


def _candidates(centre: Floats, moving_centre: Floats) -> Iterator[Start]:
    for turn, tilt in _rotations():
        for height in SHIFTS_MM:
            along = turn @ tilt @ np.array([0.0, 0.0, height])
            yield Start(turn, tilt, centre, moving_centre - along)


def _rotations() -> Iterator[tuple[Floats, Floats]]:
    """Yield turns with tilts."""
    tilts = [_rotation(angles) for angles in itertools.product(TILTS_DEG, repeat=3)]
    for signs in itertools.product((1.0, -1.0), repeat=3):
        for order in itertools.permutations(range(3)):
            turn = np.diag(signs)[:, order]
            if np.linalg.det(turn) > 0:
                straight = order == (0, 1, 2)
                yield from ((turn, tilt) for tilt in (tilts if straight else [np.eye(3)]))


def _rotation(degrees: tuple[float, ...]) -> Floats:
    """Return a rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first] = np.sin(angle)
        turn[first, second] = -np.sin(angle)
        matrix = turn @ matrix
    return matrix


def _carried(matrix: Floats, points: NDArray[Any]) -> Floats:
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3], np.float64)


def _centroid(values: Floats, world: Floats) -> Floats:
    axes = np.meshgrid(*(np.arange(n) for n in values.shape), indexing="ij", sparse=True)
    index = np.array([float((values * axis).sum()) for axis in axes]) / float(values.sum())
    return np.asarray(world[:3, :3] @ index + world[:3, 3], np.float64)


def _box(mask: NDArray[np.bool_], *, margin: int) -> list[tuple[int, int]]:
    """Return (start, stop) along each axis of the box around a mask that is not empty."""
    box = []
    for axis, count in enumerate(mask.shape):
        others = tuple(k for k in range(3) if k != axis)
        inside = np.flatnonzero(mask.any(axis=others))
        box.append((max(0, int(inside[0]) - margin), min(count, int(inside[-1]) + 1 + margin)))
    return box
