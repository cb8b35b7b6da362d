"""Arrays with their affines as SimpleITK images, and what makes an array no image.

SimpleITK's world is LPS+, medgen's RAS+; nothing outside this package knows that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

sitk: Any = SimpleITK
"""SimpleITK says it is typed, but its methods are not."""

Array = NDArray[Any]
Image = Any
Transform = Any
Floats = NDArray[np.float64]
Matrix = Floats

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PERPENDICULAR = 1e-3
"""Largest cosine between two axes that still counts as a right angle."""


def check_images(moving: Array, moving_affine: Array, fixed: Array, fixed_affine: Array) -> None:
    """Raise a Refusal with everything that makes either image unusable."""
    problems = [
        *_problems(moving, moving_affine, "moving"),
        *_problems(fixed, fixed_affine, "fixed"),
    ]
    if problems:
        raise Refusal(problems)


def _problems(values: Array, affine: Array, name: str) -> list[Problem]:
    """List what makes an image unusable."""
    if values.ndim != 3 or min(values.shape) < 4:
        message = f"the {name} image has shape {values.shape}, which is no volume's"
        return [Problem("E_REGISTRATION_INPUT", message, "give arrays (X, Y, Z)")]
    if not np.isfinite(values).all() or not np.ptp(values) > 0:
        message = f"the {name} image is constant or holds values that are not finite"
        return [Problem("E_REGISTRATION_INPUT", message, "check that the column is the right one")]
    axes = np.asarray(affine, np.float64)[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or lengths.min() <= 0:
        message = f"the {name} image's affine is not finite, or an axis has no length"
        return [Problem("E_REGISTRATION_INPUT", message, "export the volume again")]
    cosines = np.abs((axes / lengths).T @ (axes / lengths) - np.eye(3))
    if cosines.max() > PERPENDICULAR:
        message = f"the {name} image's axes are not perpendicular (cosine {cosines.max():.4f})"
        return [Problem("E_REGISTRATION_SHEAR", message, "resample it onto a straight grid first")]
    return []


def image_of(values: Array, affine: Array) -> Image:
    """Build the SimpleITK image of an array in RAS+ space, clipped and scaled to [0, 1].

    Values are clipped to their 0.5th and 99.5th percentile: the modalities may differ.
    """
    low, high = np.percentile(values, [0.5, 99.5])
    if high <= low:  # a small bright object in a large empty field
        low, high = float(values.min()), float(values.max())
    scaled = (np.clip(values, low, high).astype(np.float32) - low) / (high - low)
    image = sitk.GetImageFromArray(np.ascontiguousarray(scaled.T.astype(np.float32)))
    world = LPS @ np.asarray(affine, np.float64)
    spacing = np.linalg.norm(world[:3, :3], axis=0)
    # The nearest exactly orthonormal axes: ITK accepts no other, and headers are rounded.
    left, _, right = np.linalg.svd(world[:3, :3] / spacing)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(world[:3, 3].tolist())
    image.SetDirection((left @ right).ravel().tolist())
    return image


def array_of(image: Image) -> tuple[Floats, Floats]:
    """Return an image as (X, Y, Z) with its affine in LPS+."""
    world = np.eye(4)
    directions = np.reshape(image.GetDirection(), (3, 3))
    world[:3, :3] = directions * np.array(image.GetSpacing())
    world[:3, 3] = image.GetOrigin()
    return np.asarray(sitk.GetArrayFromImage(image).T, np.float64), world


def thinned(image: Image, resolution_mm: float) -> Image:
    """Smooth and resample axes finer than `resolution_mm` to it, over the same field of view."""
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    thinner = np.maximum(4, np.floor(size * spacing / np.maximum(spacing, resolution_mm)))
    thinner = np.minimum(size, thinner).astype(int)
    ratio = size / thinner
    for axis in range(3):
        if ratio[axis] > 1.01:
            width = float(smoothing(ratio[axis]) * spacing[axis])
            image = sitk.RecursiveGaussian(image, sigma=width, direction=axis)
    first = ((ratio - 1) / 2).tolist()
    return sitk.Resample(
        image,
        thinner.tolist(),
        sitk.Transform(),
        sitk.sitkLinear,
        image.TransformContinuousIndexToPhysicalPoint(first),
        (spacing * ratio).tolist(),
        image.GetDirection(),
    )


def smoothing(ratio: float) -> float:
    """Return the Gaussian (old voxels) that makes thinning by `ratio` safe (Cardoso 2015)."""
    return float(np.sqrt(max(0.0, ratio**2 - 1)) / 2.355)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let ITK use one thread: sums over several come out in another order each time."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def failed(message: str) -> Refusal:
    """Return the refusal of images that could not be laid over each other."""
    advice = "check that both images show the same body part, and their headers"
    return Refusal(Problem("E_REGISTRATION_FAILED", message, advice))
