"""Random changes of patches, drawn from a generator that the caller seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.config import Augmentation

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SpatialChange:
    """One change of place, the same for every array of a group."""

    flips: tuple[int, ...]
    """Spatial axes to reverse."""
    matrix: NDArray[np.float64] | None
    """(3, 3), voxel offsets of the patch to those of the volume; None changes nothing."""


UNCHANGED = SpatialChange((), None)


def draw_spatial(
    rng: np.random.Generator, settings: Augmentation, spacing_mm: NDArray[np.float64]
) -> SpatialChange:
    """Draw flips (each axis with probability one half), one rotation and one scaling.

    The axis of rotation is uniform on the sphere, the angle uniform up to `rotate_degrees`; both
    are in millimetres, so that anisotropic voxels are not sheared.
    """
    flips = tuple(axis for axis in settings.flip_axes if rng.random() < 0.5)
    if settings.rotate_degrees == 0 and settings.scale == 0:
        return SpatialChange(flips, None)
    axis = rng.standard_normal(3)
    angle = np.deg2rad(rng.uniform(-settings.rotate_degrees, settings.rotate_degrees))
    scale = 1.0 + rng.uniform(-settings.scale, settings.scale)
    in_mm = rotation(axis / np.linalg.norm(axis), float(angle)) / scale
    return SpatialChange(flips, in_mm * spacing_mm[None, :] / spacing_mm[:, None])


def rotation(axis: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the rotation (3, 3) about a unit axis by an angle in radians (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turned = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * (cross @ cross)
    return np.asarray(turned, dtype=np.float64)


def jitter_intensity(rng: np.random.Generator, values: Array, relative: float) -> Array:
    """Return one encoded channel with another gain, offset and gamma, each by up to `relative`.

    Works on (value + 1) / 2, which is 0 at the low end and 1 at the high end; values beyond
    either end stay beyond it in order, since the power keeps the sign.
    """
    gain = 1.0 + rng.uniform(-relative, relative)
    offset = 0.5 * rng.uniform(-relative, relative)
    gamma = float(np.exp(rng.uniform(-relative, relative)))
    unit = (values + np.float32(1.0)) * np.float32(0.5)
    curved = np.copysign(np.abs(unit) ** np.float32(gamma), unit)
    changed = curved * np.float32(2.0 * gain) + np.float32(2.0 * offset - 1.0)
    return np.asarray(changed, dtype=np.float32)
