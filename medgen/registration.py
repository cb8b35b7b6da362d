"""Rigid and affine registration of one image to another, by mutual information.

Images are arrays with their voxel-to-world affine (RAS+, mm); the answer is a matrix between two
worlds, never a resampled picture: `matrix @ moving_affine` is the moving image's new place.
The work is done by SimpleITK, whose world is LPS+; nothing outside this file knows that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

sitk: Any = SimpleITK
"""SimpleITK says it is typed, but its methods are not."""

Array = NDArray[Any]
Image = Any
Transform = Any
Matrix = NDArray[np.float64]

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
BINS = 32
SEED = 20240611
LARGEST_SCALING = 2.0
PERPENDICULAR = 1e-3
"""Largest cosine between two axes that still counts as a right angle."""


@dataclass(frozen=True, eq=False)
class Registration:
    """Where the moving image has to go, and how well the two images then agree."""

    matrix: Matrix
    """(4, 4), from the moving image's world to the fixed image's world, both RAS+ in mm."""
    score: float
    """Mattes mutual information over the fixed image, in nats; 0 is chance, higher is better."""
    start_score: float
    """The same before the first step, from the better of the two starts."""


def register(
    moving: Array,
    moving_affine: Array,
    fixed: Array,
    fixed_affine: Array,
    *,
    transform: Literal["rigid", "affine"] = "affine",
    resolution_mm: float = 4.0,
    iterations: int = 150,
    samples: int = 15_000,
) -> Registration:
    """Find the rigid or affine map that lays `moving` over `fixed`.

    The start is the better of the two worlds as they are and the centres of intensity laid over
    each other. From there mutual information (Mattes et al. 2003) is climbed over a pyramid that
    ends at `resolution_mm`, first by the six rigid parameters, then by all twelve. Values are only
    clipped to their 0.5th and 99.5th percentile: the modalities may differ. The same input gives
    the same answer, since the samples are drawn from a fixed seed and one thread does the sums.

    Args:
        moving: (X, Y, Z) voxel values of any real type.
        moving_affine: (4, 4) voxel index to RAS+ mm; oblique and left-handed are fine.
        fixed: (X, Y, Z).
        fixed_affine: (4, 4).
        transform: `rigid` keeps size and shape; `affine` adds scaling and shear.
        resolution_mm: images finer than this are smoothed and thinned to it.
        iterations: largest number of steps at each level.
        samples: about how many fixed voxels the metric looks at in a step.

    Raises:
        Refusal: E_REGISTRATION_INPUT for an array that is not 3D, finite and varying;
            E_REGISTRATION_SHEAR for an affine whose axes are not perpendicular;
            E_REGISTRATION_FAILED where the images share no region, or the answer shrinks or
            stretches by more than two.
    """
    problems = [
        *_problems(moving, moving_affine, "moving"),
        *_problems(fixed, fixed_affine, "fixed"),
    ]
    if problems:
        raise Refusal(problems)
    with _one_thread():
        still = _thinned(_image(fixed, fixed_affine), resolution_mm)
        mobile = _thinned(_image(moving, moving_affine), resolution_mm)
        try:
            start, start_score = _best_start(still, mobile)
            climb = _Climb(still, mobile, iterations, samples)
            found = climb(start, (4, 2))
            affine = transform == "affine"
            found = climb(_as_affine(found), (2, 1)) if affine else climb(found, (1,))
            score = _score(still, mobile, found)
        except RuntimeError:
            raise _failed("the images share no region that could be matched") from None
    matrix = np.asarray(np.linalg.inv(LPS @ _matrix(found) @ LPS), np.float64)
    stretch = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if stretch.max() > LARGEST_SCALING or stretch.min() < 1 / LARGEST_SCALING:
        raise _failed(f"the answer scales by {stretch.min():.2f} to {stretch.max():.2f}")
    return Registration(matrix=matrix, score=score, start_score=start_score)


@dataclass(frozen=True)
class _Climb:
    """One walk uphill over a pyramid of shrink factors."""

    fixed: Image
    moving: Image
    iterations: int
    samples: int

    def __call__(self, start: Transform, factors: tuple[int, ...]) -> Transform:
        transform = type(start)(start)
        spacing = float(max(self.fixed.GetSpacing()))
        thinnest = min(*self.fixed.GetSize(), *self.moving.GetSize())
        factors = tuple(max(1, min(factor, thinnest // 8)) for factor in factors)
        method = _method()
        # Percentages refer to the shrunken grid of each level.
        sizes = [self.fixed.GetNumberOfPixels() / factor**3 for factor in factors]
        shares = [min(1.0, self.samples / max(1.0, size)) for size in sizes]
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentagePerLevel(shares, SEED)
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=spacing,
            minStep=spacing / 200,
            numberOfIterations=self.iterations,
            relaxationFactor=0.85,
            gradientMagnitudeTolerance=1e-6,
        )
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel(list(factors))
        method.SetSmoothingSigmasPerLevel([_sigma(factor) * spacing for factor in factors])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
        method.SetInitialTransform(transform, inPlace=True)
        method.Execute(self.fixed, self.moving)
        return transform


def _method() -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetInterpolator(sitk.sitkLinear)
    # Gradients by differences at the samples: a filter over the images blurs thin bone away
    # (aligned median CT on one real head: 87.7 HU with it, 79.7 without) and takes longer.
    method.MetricUseFixedImageGradientFilterOff()
    method.MetricUseMovingImageGradientFilterOff()
    return method


def _score(fixed: Image, moving: Image, transform: Transform) -> float:
    """Return the mutual information over every fixed voxel that lands in the moving image."""
    method = _method()
    method.SetInitialTransform(transform)
    return -float(method.MetricEvaluate(fixed, moving))


def _best_start(fixed: Image, moving: Image) -> tuple[Transform, float]:
    """Choose between trusting the headers and laying the centres of intensity over each other."""
    centred = sitk.Euler3DTransform(
        sitk.CenteredTransformInitializer(
            fixed,
            moving,
            sitk.Euler3DTransform(),
            sitk.CenteredTransformInitializerFilter.MOMENTS,
        )
    )
    trusted = sitk.Euler3DTransform(centred)
    trusted.SetTranslation((0.0, 0.0, 0.0))
    scored = [(_score(fixed, moving, centred), centred)]
    with contextlib.suppress(RuntimeError):  # headers of two worlds may not overlap at all
        scored.append((_score(fixed, moving, trusted), trusted))
    score, start = max(scored, key=lambda pair: pair[0])
    return start, score


def _as_affine(rigid: Transform) -> Transform:
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(rigid.GetMatrix())
    affine.SetCenter(rigid.GetCenter())
    affine.SetTranslation(rigid.GetTranslation())
    return affine


def _matrix(transform: Transform) -> Matrix:
    """Return a linear transform as a (4, 4) matrix in its own (LPS+) world."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    columns = [np.array(transform.TransformPoint(tuple(axis))) - origin for axis in np.eye(3)]
    matrix = np.eye(4)
    matrix[:3, :3] = np.column_stack(columns)
    matrix[:3, 3] = origin
    return matrix


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


def _image(values: Array, affine: Array) -> Image:
    """Build the SimpleITK image of an array in RAS+ space, clipped and scaled to [0, 1]."""
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


def _thinned(image: Image, resolution_mm: float) -> Image:
    """Smooth and resample axes finer than `resolution_mm` to it, over the same field of view."""
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    thinner = np.maximum(4, np.floor(size * spacing / np.maximum(spacing, resolution_mm)))
    thinner = np.minimum(size, thinner).astype(int)
    ratio = size / thinner
    for axis in range(3):
        if ratio[axis] > 1.01:
            width = float(_sigma(ratio[axis]) * spacing[axis])
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


def _sigma(ratio: float) -> float:
    """Return the Gaussian (old voxels) that makes thinning by `ratio` safe (Cardoso 2015)."""
    return float(np.sqrt(max(0.0, ratio**2 - 1)) / 2.355)


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let ITK use one thread: sums over several come out in another order each time."""
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _failed(message: str) -> Refusal:
    advice = "check that both images show the same body part, and their headers"
    return Refusal(Problem("E_REGISTRATION_FAILED", message, advice))
