"""Builders of series that are hard by where their slices lie.

Each takes an empty folder, fills it, and returns the truth: of what it must be read as, or of
what it was before it was spoilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dicom_corpus import (
    AXIAL,
    CT,
    MR,
    ORIGIN,
    SHAPE,
    SPACING,
    Truth,
    affine_of,
    each,
    make_series,
    make_slices,
    raw_pixels,
    save_series,
    set_pixels,
    smooth,
    uid,
    world_of,
)

_TILT_DEGREES = 17.0
_MIDDLE = np.array([-6.0, -33.0, 45.0])  # about where slices lie in RAS


def tilted(folder: Path) -> Truth:
    """Write a CT whose gantry was tilted: each slice lies lower in its own plane."""
    return _smooth_series(folder, [2.5 * index for index in range(SHAPE[2])], tilt=_TILT_DEGREES)


def missing_slice(folder: Path) -> Truth:
    """Write a CT without its fifth slice."""
    return _smooth_series(folder, [2.5 * index for index in range(SHAPE[2]) if index != 4])


def variable_spacing(folder: Path) -> Truth:
    """Write a CT whose gaps grow from 1.5 to 3.3 mm."""
    return _smooth_series(folder, list(np.cumsum(np.arange(1.5, 3.4, 0.2))))


def tilted_with_gaps(folder: Path) -> Truth:
    """Write a head CT with tilt, 4 mm below and 7 mm above: as scanners did for decades."""
    return _smooth_series(
        folder, [0, 4, 8, 12, 16, 23, 30, 37, 44], tilt=_TILT_DEGREES, smooth_over=2.0
    )


def _smooth_series(
    folder: Path, heights: Sequence[float], *, tilt: float = 0.0, smooth_over: float = 1.0
) -> Truth:
    """Write slices of a smooth image at heights in mm; the truth is its field."""

    def field(points: Any) -> Any:
        return smooth(_MIDDLE + (points - _MIDDLE) / smooth_over)

    shift = np.tan(np.deg2rad(tilt))
    positions = np.array([np.add(ORIGIN, (0, -shift * z, z)) for z in heights])
    shape = (*SHAPE[:2], len(heights))
    planes = []
    for position in positions:
        affine = affine_of(AXIAL, SPACING, position)
        planes.append(field(world_of(affine, (*SHAPE[:2], 1)))[:, :, 0])
    values = np.stack(planes, axis=-1)
    slices, truth = make_slices(
        CT, shape=shape, positions=positions, values=values, slope=0.05, intercept=0
    )
    for one in slices:
        one.GantryDetectorTilt = f"{tilt:g}"
    save_series(folder, slices)

    def inside(points: Any) -> Any:
        local = points * (-1, -1, 1) - ORIGIN
        across = local[..., :2] - np.stack([0 * local[..., 2], -shift * local[..., 2]], axis=-1)
        far = (np.array(SHAPE[:2]) - 2) * SPACING[:2]
        within = (across >= SPACING[:2]) & (across <= far)
        return within.all(axis=-1) & (local[..., 2] >= heights[0]) & (local[..., 2] <= heights[-1])

    return Truth(truth.values, truth.affine, field=field, inside=inside)


def jittered(folder: Path) -> Truth:
    """Write positions that are off by 0.003 mm and cosines by 1e-5, as scanners round them."""
    chance = np.random.default_rng(3)
    positions = np.asarray(ORIGIN) + np.arange(SHAPE[2])[:, None] * (0, 0, SPACING[2])
    slices, truth = make_slices(
        CT, positions=positions + chance.uniform(-3e-3, 3e-3, (SHAPE[2], 3))
    )
    for one in slices:
        cosines = np.array(one.ImageOrientationPatient, dtype=float)
        one.ImageOrientationPatient = [f"{v:.8f}" for v in cosines + chance.uniform(-1e-5, 1e-5, 6)]
    save_series(folder, slices)
    return Truth(truth.values, affine_of(AXIAL, SPACING))


def reversed_numbering(folder: Path) -> Truth:
    """Write a CT whose instances are numbered against the slice normal."""
    slices, truth = make_slices(CT)
    for number, one in enumerate(reversed(slices)):
        one.InstanceNumber = number + 1
    save_series(folder, slices)
    return truth


def fanned(folder: Path) -> Truth:
    """Write slices that turn about an axis, as a radial scan has them."""
    slices, truth = make_slices(MR)
    for index, one in enumerate(slices):
        angle = np.deg2rad(4 * index)
        one.ImageOrientationPatient = [f"{np.cos(angle):.9f}", "0", f"{np.sin(angle):.9f}", 0, 1, 0]
    save_series(folder, slices)
    return truth


def skewed_cosines(folder: Path) -> Truth:
    """Write an orientation whose rows and columns are not at right angles."""
    return each(
        folder, CT, lambda one: setattr(one, "ImageOrientationPatient", [1, 0, 0, 0.1, 1, 0])
    )


def one_slice(folder: Path) -> Truth:
    """Write a single slice."""
    return make_series(folder, CT, shape=(*SHAPE[:2], 1))


def odd_slice_shape(folder: Path) -> Truth:
    """Write a CT of which one slice has fewer rows."""
    slices, truth = make_slices(CT)
    raw = raw_pixels(slices[3])[:-4]
    slices[3].Rows -= 4
    set_pixels(slices[3], raw)
    save_series(folder, slices)
    return truth


def frames_of_reference(folder: Path) -> Truth:
    """Write a CT whose FrameOfReferenceUID differs from slice to slice."""
    slices, truth = make_slices(CT)
    for index, one in enumerate(slices):
        one.FrameOfReferenceUID = uid("frame of reference", index)
    save_series(folder, slices)
    return truth
