"""Where voxels are: a shape and an affine, and the grid a run works on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

Triple = tuple[int, int, int]

_SAME_SPACING = 1e-3  # relative difference below which two spacings may be one ...
_SAME_SPACING_DRIFT = 0.1  # ... if it amounts to no more voxels over the whole axis
_FARTHEST_MM = 1e6
_SMALLEST_MM, _LARGEST_MM = 1e-4, 1e3  # voxel spacing
_FLATTEST = 1e-4  # determinant of the unit axes
_EXPORT = "export the volume again from its original series"
_NEGLIGIBLE_VOXEL = 0.05  # the share of a last voxel that is not worth another plane


@dataclass(frozen=True, eq=False)
class Grid:
    """Place voxels in the patient.

    `shape` counts voxels along the three array axes; `affine` (4, 4) carries voxel indices to
    RAS+ millimetres (NIfTI's world). Any invertible affine is allowed: oblique, left-handed,
    sheared. Raises Refusal E_BAD_AFFINE or E_BAD_SHAPE where it could not hold a volume.
    """

    shape: Triple
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        shape = tuple(int(count) for count in self.shape)
        affine = np.array(self.affine, dtype=np.float64)
        problems = [*shape_problems(shape), *affine_problems(affine)]
        if problems:
            raise Refusal(problems)
        affine.flags.writeable = False
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Return the distance between neighbouring voxel centres along each array axis (3,)."""
        return np.asarray(np.linalg.norm(self.affine[:3, :3], axis=0), dtype=np.float64)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Return the unit world vector of each array axis as columns (3, 3)."""
        return np.asarray(self.affine[:3, :3] / self.spacing_mm, dtype=np.float64)

    @property
    def voxel_mm3(self) -> float:
        """Return the volume of one voxel in cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    def to_world(self, indices: NDArray[Any]) -> NDArray[np.float64]:
        """Carry voxel indices (..., 3) to world millimetres (..., 3)."""
        points = np.asarray(indices, dtype=np.float64)
        return np.asarray(points @ self.affine[:3, :3].T + self.affine[:3, 3], dtype=np.float64)

    def to_index(self, points_mm: NDArray[Any]) -> NDArray[np.float64]:
        """Carry world millimetres (..., 3) to fractional voxel indices (..., 3)."""
        inverse = np.linalg.inv(self.affine)
        points = np.asarray(points_mm, dtype=np.float64)
        return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)

    def corners(self) -> NDArray[np.float64]:
        """Return the eight world corners (8, 3) of the field of view.

        The field of view reaches half a voxel beyond the outermost voxel centres.
        """
        ends = [(-0.5, count - 0.5) for count in self.shape]
        return self.to_world(np.array(list(itertools.product(*ends))))

    def same_as(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Tell whether both grids have the same shape and nowhere differ by more."""
        if self.shape != other.shape:
            return False
        distances = np.linalg.norm(self.corners() - other.corners(), axis=1)
        return bool(distances.max() <= tolerance_mm)

    def same_voxels_as(self, other: Grid, tolerance_mm: float = 0.01) -> bool:
        """Tell whether both grids are one set of voxels, in whatever order of axes."""
        if sorted(self.shape) != sorted(other.shape):
            return False
        steps = [grid.affine[:3, :3] for grid in (self, other)]
        turned = np.linalg.solve(steps[0], steps[1])
        if not np.allclose(np.sort(np.abs(turned), axis=0), [[0] * 3, [0] * 3, [1] * 3], atol=0.01):
            return False
        gaps = np.linalg.norm(self.corners()[:, None] - other.corners()[None], axis=2)
        return bool(gaps.min(axis=1).max() <= tolerance_mm)

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """Return the grid of a box of voxels; a negative start or a larger shape pads."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(np.asarray(start, dtype=np.float64))
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def as_json(self) -> dict[str, Any]:
        """Return the grid as a JSON object."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Grid:
        """Return the grid that `as_json` described."""
        shape = tuple(int(count) for count in value["shape"])
        return cls(shape, np.asarray(value["affine"], dtype=np.float64))  # type: ignore[arg-type]


def shape_problems(shape: tuple[int, ...]) -> list[Problem]:
    """Return what keeps a shape from being that of a volume."""
    if len(shape) == 3 and min(shape) >= 1:
        return []
    message = f"a volume needs three axes of at least 1 voxel, got {shape}"
    return [Problem("E_BAD_SHAPE", message, "check what computed it")]


def affine_problems(affine: NDArray[np.float64]) -> list[Problem]:
    """Return what keeps a matrix from placing voxels in the patient."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return [_bad_affine("it is not a 4 x 4 matrix of finite numbers")]
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        return [_bad_affine("its last row is not 0 0 0 1")]
    # Absolute values first: squares of damaged numbers may overflow.
    if np.abs(affine[:3]).max() > _FARTHEST_MM:
        return [_bad_affine("it places the volume over a kilometre away")]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if spacing.min() < _SMALLEST_MM or spacing.max() > _LARGEST_MM:
        message = f"a voxel spacing of {spacing.min():g} to {spacing.max():g} mm is impossible"
        return [Problem("E_BAD_SPACING", message, _EXPORT)]
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < _FLATTEST:
        return [_bad_affine("it is singular: its axes lie in a plane")]
    return []


def _bad_affine(reason: str) -> Problem:
    return Problem("E_BAD_AFFINE", f"the affine places no voxels: {reason}", _EXPORT)


def ras_permutation(affine: NDArray[np.float64]) -> tuple[Triple, Triple]:
    """Find the array axes that run closest to right, anterior and superior.

    Returns (axes, signs): RAS axis `i` is array axis `axes[i]`, reversed where `signs[i]` is -1.
    """
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    axes = max(
        itertools.permutations(range(3)),
        key=lambda order: abs(float(np.prod([rotation[i, order[i]] for i in range(3)]))),
    )
    first, second, third = (1 if rotation[i, axes[i]] > 0 else -1 for i in range(3))
    return (axes[0], axes[1], axes[2]), (first, second, third)


def working_grid(native: Grid, spacing_mm: Sequence[float]) -> Grid:
    """Return the grid a run works on: RAS-ordered axes, a given spacing, the same field of view.

    Axes are permuted and reversed, never rotated: an oblique volume stays oblique. The new field
    of view has the native one's centre and covers it. Where the spacing equals the native one to
    0.1 %, the new voxels are exactly the native voxels, reordered. `spacing_mm` is in RAS order.
    """
    axes, signs = ras_permutation(native.affine)
    to_native = np.zeros((4, 4))
    to_native[3, 3] = 1.0
    shape = []
    for new, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        count, ratio = native.shape[axis], float(spacing_mm[new] / native.spacing_mm[axis])
        if abs(ratio - 1.0) <= min(_SAME_SPACING, _SAME_SPACING_DRIFT / count):
            ratio = 1.0
        shape.append(max(1, int(np.ceil(count / ratio - _NEGLIGIBLE_VOXEL))))
        to_native[axis, new] = sign * ratio
        to_native[axis, 3] = (count - 1) / 2 - sign * ratio * (shape[-1] - 1) / 2
    return Grid((shape[0], shape[1], shape[2]), native.affine @ to_native)


def index_map(source: Grid, destination: Grid) -> NDArray[np.float64]:
    """Return the matrix (4, 4) that carries voxel indices of `destination` to those of `source`."""
    return np.asarray(np.linalg.solve(source.affine, destination.affine), dtype=np.float64)
