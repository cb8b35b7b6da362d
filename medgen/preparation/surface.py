"""A balloon that settles on the brain: the deformable surface of Smith (2002).

S. M. Smith, "Fast robust automated brain extraction", Human Brain Mapping 17:143-155, 2002. Written
from the paper's equations; everything here is in millimetres of a RAS-ordered volume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.float64]
Faces = NDArray[np.int64]

SUBDIVISIONS = 4
ITERATIONS = 600
INWARD_MM, OUTWARD_MM = 12.0, 10.0
"""How far below a point the darkest and the brightest voxel are looked for. The paper looks 20 mm
for the darkest, and so meets the wide sulci of old brains, which it then leaves out."""
SHARPEST_MM, FLATTEST_MM = 3.33, 10.0
"""Radii of curvature that are smoothed fully, and hardly."""


@dataclass(frozen=True)
class Levels:
    """Intensities that guide the surface: air, air and dark bone, the median of the brain."""

    low: float
    threshold: float
    median: float


def sphere(subdivisions: int = SUBDIVISIONS) -> tuple[Points, Faces]:
    """Return the points (N, 3) and triangles (M, 3) of a subdivided icosahedron of radius 1."""
    golden = (1 + 5**0.5) / 2
    corners = [(-1, golden, 0), (1, golden, 0), (-1, -golden, 0), (1, -golden, 0)]
    turned = [(c, a, b) for a, b, c in corners], [(b, c, a) for a, b, c in corners]
    points = np.array([*corners, *turned[0], *turned[1]], dtype=np.float64)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    edge = np.linalg.norm(points[:, None] - points[None], axis=2)
    near = (edge < 1.2) & (edge > 0)
    faces = [
        (i, j, k)
        for i in range(12)
        for j in range(i + 1, 12)
        for k in range(j + 1, 12)
        if near[i, j] and near[j, k] and near[i, k]
    ]
    triangles = np.array([_outward(points, face) for face in faces], dtype=np.int64)
    for _ in range(subdivisions):
        points, triangles = _subdivided(points, triangles)
    return points, triangles


def _outward(points: Points, face: tuple[int, int, int]) -> tuple[int, int, int]:
    first, second, third = points[list(face)]
    i, j, k = face
    return face if np.dot(np.cross(second - first, third - first), first) > 0 else (i, k, j)


def _subdivided(points: Points, faces: Faces) -> tuple[Points, Faces]:
    """Split every triangle into four, and push the new points onto the unit sphere."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    middle = points[unique].mean(axis=1)
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    ab, bc, ca = (index.reshape(-1, 3) + len(points)).T
    a, b, c = faces.T
    parts = [(a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca)]
    return np.vstack([points, middle]), np.vstack([np.stack(part, axis=1) for part in parts])


def settle(
    values: NDArray[np.float32],
    *,
    spacing_mm: NDArray[np.float64],
    centre_mm: Points,
    radius_mm: float,
    levels: Levels,
    contrast: float,
    iterations: int = ITERATIONS,
) -> tuple[Points, Faces]:
    """Grow a small sphere until it settles on the brain's surface.

    `values` (X, Y, Z) with voxel (0, 0, 0) at the origin; `contrast` is the paper's b_t, the share
    of the local brightest intensity below which a point counts as outside of the brain. Returns
    points (N, 3) in mm and triangles (M, 3).
    """
    unit, faces = sphere()
    points = centre_mm + unit * (radius_mm / 2)
    ring, count = _neighbours(faces, len(points))
    for _ in range(iterations):
        around = points[ring].sum(axis=1) - points * (ring.shape[1] - count)[:, None]
        towards = around / count[:, None] - points
        normals = _normals(points, faces)
        along = (towards * normals).sum(axis=1)
        tangential = towards - along[:, None] * normals
        length = _edge_length(points, faces)
        push = 0.05 * length * _pull(values, points, normals, spacing_mm, levels, contrast)
        smooth = _stiffness(along, length) * along
        points = points + 0.5 * tangential + (smooth + push)[:, None] * normals
    return points, faces


def _neighbours(faces: Faces, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each point's neighbours (N, 6), filled up with the point itself, and their number."""
    pairs = np.unique(np.vstack([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=0)
    pairs = np.unique(np.vstack([pairs, pairs[:, ::-1]]), axis=0)
    number = np.bincount(pairs[:, 0], minlength=count)
    ring = np.repeat(np.arange(count)[:, None], int(number.max()), axis=1)
    place = np.arange(len(pairs)) - np.repeat(np.cumsum(number) - number, number)
    ring[pairs[:, 0], place] = pairs[:, 1]
    return ring, number


def _normals(points: Points, faces: Faces) -> Points:
    """Return the outward unit normal of every point, weighted by its triangles' areas."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    normals = np.zeros_like(points)
    for corner in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(faces[:, corner], area[:, axis], len(points))
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(lengths, 1e-12))


def _edge_length(points: Points, faces: Faces) -> float:
    ends = points[faces]
    return float(np.linalg.norm(ends - np.roll(ends, 1, axis=1), axis=2).mean())


def _stiffness(along: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    """Return how much of the smoothing along the normal is applied: much where it is sharp."""
    mean = (1 / SHARPEST_MM + 1 / FLATTEST_MM) / 2
    steep = 6 / (1 / SHARPEST_MM - 1 / FLATTEST_MM)
    curvature = 2 * np.abs(along) / length**2
    return np.asarray((1 + np.tanh(steep * (curvature - mean))) / 2)


def _pull(
    values: NDArray[np.float32],
    points: Points,
    normals: Points,
    spacing_mm: NDArray[np.float64],
    levels: Levels,
    contrast: float,
) -> NDArray[np.float64]:
    """Return the intensity force: outwards in brain, inwards where the look inwards meets dark."""
    step = float(spacing_mm.min())
    deep = np.arange(0.0, INWARD_MM + step / 2, step)
    places = points[:, None] - normals[:, None] * deep[None, :, None]
    index = np.moveaxis(places, 2, 0) / spacing_mm[:, None, None]
    looked = ndimage.map_coordinates(values, index, order=0, mode="nearest")
    near = looked[:, : int(OUTWARD_MM / step) + 1]
    darkest = np.clip(looked.min(axis=1), levels.low, levels.median)
    brightest = np.clip(near.max(axis=1), levels.threshold, levels.median)
    least = levels.low + (brightest - levels.low) * contrast
    return np.asarray(2 * (darkest - least) / np.maximum(brightest - levels.low, 1e-6))


def filled(
    points: Points, faces: Faces, shape: tuple[int, ...], spacing_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return the voxels (X, Y, Z) that a closed surface holds, by its volume to about a percent."""
    surface = np.zeros(shape, dtype=np.bool_)
    # A voxel that the surface runs through is filled, so the surface is drawn half a voxel in.
    normals = _normals(points, faces)
    half = np.linalg.norm(normals * spacing_mm, axis=1, keepdims=True) / 2
    corners = (points - normals * half)[faces] / spacing_mm
    reach = float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max())
    steps = max(1, int(np.ceil(2 * reach)))
    for i in range(steps + 1):
        for j in range(steps + 1 - i):
            weights = np.array([i, j, steps - i - j]) / steps
            index = np.rint(np.einsum("fkx,k->fx", corners, weights)).astype(np.int64)
            inside = ((index >= 0) & (index < shape)).all(axis=1)
            surface[tuple(index[inside].T)] = True
    return np.asarray(ndimage.binary_fill_holes(surface))
