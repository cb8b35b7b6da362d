"""Deformable registration by cubic B-splines, with itk-elastix (Klein et al. 2010)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.problems import ConfigurationError, Problem
from medgen.registration.climbing import SEED
from medgen.registration.images import (
    LPS,
    Array,
    Image,
    Matrix,
    array_of,
    check_images,
    failed,
    image_of,
    one_thread,
    sitk,
    thinned,
)
from medgen.registration.information import binned, joint_histogram, mutual_information

MARGIN_MM = 20.0
"""How far beyond the fixed field of view the moving image may be fetched from."""
SURROUNDINGS_MM = 8.0
SAMPLES = 3000
BINS = 32
STIFFNESS = 100.0
"""Weight of the bending energy (Rueckert et al. 1999; 1/mm^2) beside the mutual information."""


@dataclass(frozen=True, eq=False)
class Deformation:
    """What is left to move after the linear map, on the fixed image's grid."""

    displacement_mm: NDArray[np.float32]
    """(X, Y, Z, 3), RAS+ mm: the fixed world's point p lies at inverse(matrix) @ (p + d(p)) in
    the moving world."""
    folded: float
    """Share of voxels where the map turns space inside out (Jacobian determinant <= 0)."""
    largest_mm: float
    """Length of the longest displacement."""


def deform(
    moving: Array,
    moving_affine: Array,
    fixed: Array,
    fixed_affine: Array,
    *,
    start: Matrix,
    control_spacing_mm: float = 30.0,
    resolution_mm: float = 2.0,
    iterations: int = 150,
) -> Deformation:
    """Find the smooth displacement that lays `moving`, already moved by `start`, over `fixed`.

    Mutual information with a penalty on bending is climbed by adaptive stochastic gradient descent
    over two resolutions, the control points first twice their spacing apart. The same input
    gives the same answer on one machine. No file is written.

    Args:
        moving: (X, Y, Z) voxel values of any real type.
        moving_affine: (4, 4) voxel index to RAS+ mm.
        fixed: (X, Y, Z).
        fixed_affine: (4, 4).
        start: (4, 4), moving world to fixed world, from `register`.
        control_spacing_mm: between control points; smaller follows more, and folds sooner.
        resolution_mm: images finer than this are smoothed and thinned to it.
        iterations: steps at each resolution.

    Raises:
        ConfigurationError: E_ITK_MISSING without the extra `itk`.
        Refusal: E_REGISTRATION_INPUT or E_REGISTRATION_SHEAR as `register`;
            E_REGISTRATION_FAILED where elastix finds too little in common, or its answer agrees
            less than the linear map alone.
    """
    with _old_bindings():
        itk = _itk()
    check_images(moving, moving_affine, fixed, fixed_affine)
    with one_thread():
        still = thinned(image_of(fixed, fixed_affine), resolution_mm)
        mobile = thinned(image_of(moving, moving_affine), resolution_mm)
        images = _Images(still, _around(still), *_moved(mobile, still, start))
    with _old_bindings():
        found = _elastix(itk, images, _parameters(control_spacing_mm, resolution_mm, iterations))
    with one_thread():
        before, after = _information(images, None), _information(images, found)
    if after < before:
        change = f"information falls from {before:.2f} to {after:.2f} nats"
        raise failed(f"the deformation makes the images agree less than the linear map: {change}")
    displacement = _displacement(found, fixed.shape, np.asarray(fixed_affine, np.float64))
    return Deformation(
        displacement_mm=displacement,
        folded=_folded(displacement, np.asarray(fixed_affine, np.float64)),
        largest_mm=float(np.sqrt((displacement**2).sum(axis=-1).max())),
    )


@dataclass(frozen=True)
class _Images:
    """What elastix is given."""

    fixed: Image
    around: Image
    moved: Image
    seen: Image


@contextlib.contextmanager
def _old_bindings() -> Iterator[None]:
    """Let itk load its modules where warnings are errors: there its loading crashes Python."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def require_elastix() -> None:
    """Check that deformable registrations can be made, before any work that counts on them.

    Raises:
        ConfigurationError: E_ITK_MISSING without the extra `itk`.
    """
    with _old_bindings():
        _itk()


def _itk() -> Any:
    try:
        import itk

        itk.ParameterObject  # noqa: B018 - modules load when first touched
    except (ImportError, AttributeError):
        message = "deformable registration needs itk-elastix, which is not installed"
        advice = "pip install 'medgen[itk]'"
        raise ConfigurationError(Problem("E_ITK_MISSING", message, advice)) from None
    return itk


def _moved(mobile: Image, still: Image, start: Matrix) -> tuple[Image, Image]:
    """Return the moving image after `start` around the fixed grid, and where it has values."""
    spacing = np.array(still.GetSpacing())
    margin = np.ceil(MARGIN_MM / spacing).astype(int)
    size = (np.array(still.GetSize()) + 2 * margin).tolist()
    origin = still.TransformContinuousIndexToPhysicalPoint((-margin).astype(float).tolist())
    to_moving = LPS @ np.linalg.inv(start) @ LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(to_moving[:3, :3].ravel().tolist())
    transform.SetTranslation(to_moving[:3, 3].tolist())
    place = (transform, sitk.sitkLinear, origin, spacing.tolist(), still.GetDirection())
    ones = sitk.Cast(mobile * 0 + 1, sitk.sitkFloat32)
    seen = sitk.Resample(ones, size, *place, 0.0) > 0.5
    return sitk.Resample(mobile, size, *place, 0.0), seen


def _parameters(
    control_spacing_mm: float, resolution_mm: float, iterations: int
) -> dict[str, list[str]]:
    """Return elastix' parameters; what is not named has its default."""
    chosen = {
        "Registration": "MultiMetricMultiResolutionRegistration",
        "Metric": "AdvancedMattesMutualInformation TransformBendingEnergyPenalty",
        "Metric0Weight": 1.0,
        "Metric1Weight": STIFFNESS,
        "NumberOfHistogramBins": BINS,
        "Optimizer": "AdaptiveStochasticGradientDescent",
        "AutomaticParameterEstimation": "true",
        "MaximumNumberOfIterations": iterations,
        "MaximumStepLength": resolution_mm,
        "ImageSampler": "RandomCoordinate",
        "NumberOfSpatialSamples": SAMPLES,
        "NewSamplesEveryIteration": "true",
        "CheckNumberOfSamples": "true",
        "MaximumNumberOfSamplingAttempts": 8,
        "RequiredRatioOfValidSamples": 0.05,
        "RandomSeed": SEED,
        "Interpolator": "LinearInterpolator",
        "ResampleInterpolator": "FinalLinearInterpolator",
        "Resampler": "DefaultResampler",
        "ErodeMovingMask": "false",
        "NumberOfResolutions": 2,
        "FixedImagePyramid": "FixedSmoothingImagePyramid",
        "MovingImagePyramid": "MovingSmoothingImagePyramid",
        "Transform": "BSplineTransform",
        "FinalGridSpacingInPhysicalUnits": control_spacing_mm,
        "GridSpacingSchedule": "2 1",
        "WriteResultImage": "false",
    }
    return {name: str(value).split() for name, value in chosen.items()}


def _around(still: Image) -> Image:
    """Return the body and its surroundings, a rough mask: samples in empty air teach nothing."""
    body = still > float(sitk.GetArrayViewFromImage(still).mean()) / 2
    radius = [max(1, round(SURROUNDINGS_MM / spacing)) for spacing in still.GetSpacing()]
    return sitk.BinaryDilate(body, radius, sitk.sitkBox)


def _elastix(itk: Any, images: _Images, parameters: dict[str, list[str]]) -> dict[str, list[str]]:
    """Run elastix and return its transform's parameters."""
    wanted = itk.ParameterObject.New()
    wanted.AddParameterMap(parameters)
    fixed = _handed_over(itk, images.fixed, np.float32)
    moving = _handed_over(itk, images.moved, np.float32)
    method = itk.ElastixRegistrationMethod[type(fixed), type(moving)].New()
    method.SetFixedImage(fixed)
    method.SetMovingImage(moving)
    method.SetFixedMask(_handed_over(itk, images.around, np.uint8))
    method.SetMovingMask(_handed_over(itk, images.seen, np.uint8))
    method.SetParameterObject(wanted)
    method.SetLogToConsole(False)
    method.SetLogToFile(False)
    method.SetNumberOfThreads(1)  # sums over several come out in another order each time
    try:
        method.Update()
    except RuntimeError:
        raise failed("the deformable registration found too little in common") from None
    found = method.GetTransformParameterObject().GetParameterMap(0)
    return {name: list(found[name]) for name in found}


def _information(images: _Images, found: dict[str, list[str]] | None) -> float:
    """Return the mutual information around the fixed body, in nats, after a deformation if any."""
    still, transform = images.fixed, sitk.Transform()
    if found is not None:
        world = LPS @ array_of(still)[1]
        field = _displacement(found, still.GetSize(), world).astype(np.float64) * (-1, -1, 1)
        vectors = sitk.GetImageFromArray(field.transpose(2, 1, 0, 3), isVector=True)
        vectors.CopyInformation(still)
        transform = sitk.DisplacementFieldTransform(vectors)
    there = sitk.Resample(images.moved, still, transform)
    seen = sitk.Resample(images.seen, still, transform, sitk.sitkNearestNeighbor)
    where = sitk.GetArrayFromImage(images.around & seen) > 0
    first, second = (sitk.GetArrayFromImage(image)[where] for image in (still, there))
    return mutual_information(joint_histogram(binned(first, BINS), binned(second, BINS), BINS))


def _handed_over(itk: Any, image: Image, kind: Any) -> Any:
    """Return a SimpleITK image as one of itk, with its place."""
    copy = itk.image_from_array(sitk.GetArrayFromImage(image).astype(kind))
    copy.SetSpacing(image.GetSpacing())
    copy.SetOrigin(image.GetOrigin())
    copy.SetDirection(itk.matrix_from_array(np.reshape(image.GetDirection(), (3, 3))))
    return copy


def _displacement(
    found: dict[str, list[str]], shape: tuple[int, ...], affine: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Evaluate the B-spline (X, Y, Z, 3), RAS+ mm, at the voxel centres of a grid."""
    numbers = {name: np.array(found[name], np.float64) for name in found if name.startswith("Grid")}
    world = np.eye(4)
    # Elastix writes its direction by columns.
    direction = numbers["GridDirection"].reshape(3, 3).T
    world[:3, :3] = direction * numbers["GridSpacing"]
    world[:3, 3] = numbers["GridOrigin"] + world[:3, :3] @ numbers["GridIndex"]
    size = tuple(int(count) for count in numbers["GridSize"][::-1])
    coefficients = np.array(found["TransformParameters"], np.float64).reshape(3, *size)
    index = np.linalg.inv(world) @ LPS @ affine
    answer = np.empty((*shape, 3), np.float32)
    for axis, sign in enumerate((-1.0, -1.0, 1.0)):  # LPS+ to RAS+
        answer[..., axis] = ndimage.affine_transform(
            sign * coefficients[axis].T,
            index[:3, :3],
            offset=index[:3, 3],
            output_shape=shape,
            output=np.float32,
            order=3,
            mode="constant",
            prefilter=False,  # these are a spline's coefficients already
        )
    return answer


def _folded(displacement_mm: NDArray[np.float32], affine: NDArray[np.float64]) -> float:
    """Return the share of voxels whose Jacobian determinant is not positive."""
    folded, inverse = 0, np.linalg.inv(affine[:3, :3])
    count = displacement_mm.shape[0]
    step = max(1, 2_000_000 // int(np.prod(displacement_mm.shape[1:3])))
    for start in range(0, count, step):
        low, high = max(0, start - 1), min(count, start + step + 1)
        slab = displacement_mm[low:high]
        by_index = np.stack([np.gradient(slab, axis=axis) for axis in range(3)], axis=-1)
        jacobian = by_index[start - low :][: min(step, count - start)] @ inverse + np.eye(3)
        folded += int((np.linalg.det(jacobian) <= 0).sum())
    return folded / float(np.prod(displacement_mm.shape[:3]))
