import math

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from medgen.metrics import hausdorff
from medgen.metrics.surfaces import surface, surface_distances

SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.9375, 1.0, 1.2, 3.0])] * 3)
SHAPES = st.tuples(*[st.integers(1, 7)] * 3)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw two regions of one shape; either may be empty, touch the border or fill the volume."""
    shape = draw(SHAPES)
    density = draw(st.sampled_from([0.02, 0.2, 0.6, 0.98]))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first, second = random.random((2, *shape)) < density
    if draw(st.integers(0, 9)) == 0:
        first = np.zeros_like(first)
    return first, second


def by_transform(first: np.ndarray, second: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Return the definition, word by word, by scipy's erosion and distance transform."""
    edges = [region & ~ndimage.binary_erosion(region) for region in (first, second)]
    found = []
    for ours, theirs in (edges, edges[::-1]):
        distances = ndimage.distance_transform_edt(~theirs, sampling=spacing)[ours]
        found.append(np.percentile(distances, 95))
    return float(max(found))


@given(regions=pairs(), spacing=SPACINGS)
def test_equals_the_definition_by_scipy(
    regions: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]
) -> None:
    found = hausdorff(*regions, spacing_mm=spacing)
    present = [bool(region.any()) for region in regions]
    if all(present):
        assert found == pytest.approx(by_transform(*regions, spacing), abs=1e-9)
    else:
        assert math.isinf(found) if any(present) else math.isnan(found)


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    smooth = [ndimage.gaussian_filter(random.normal(size=(34, 30, 26)), 3) for _ in range(2)]
    return smooth[0] > 0.01, 0.7 * smooth[0] + 0.3 * smooth[1] > 0.015


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns itself
def test_equals_monai(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    from monai.metrics import compute_hausdorff_distance

    spacing = (0.8, 1.0, 2.5)
    shapes = [blobs, (np.roll(blobs[0], 5, 1), blobs[1]), (blobs[0] * 0 + 1, blobs[1])]
    for percentile in (95.0, 100.0):
        for first, second in shapes:
            (expected,) = compute_hausdorff_distance(
                np.asarray(first, np.float32)[None, None],
                np.asarray(second, np.float32)[None, None],
                include_background=True,
                percentile=percentile,
                spacing=spacing,
            ).flatten()
            found = hausdorff(first, second, spacing_mm=spacing, percentile=percentile)
            assert found == pytest.approx(float(expected), rel=1e-6)


def test_the_hundredth_percentile_equals_simple_itk(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    """ITK measures from every voxel of a region to the other region: the same at the maximum."""
    spacing = (0.8, 1.0, 2.5)
    images = []
    for region in blobs:
        image = sitk.GetImageFromArray(region.astype(np.uint8).T)
        image.SetSpacing(spacing)
        images.append(image)
    measure = sitk.HausdorffDistanceImageFilter()
    measure.Execute(*images)
    found = hausdorff(*blobs, spacing_mm=spacing, percentile=100)
    assert found == pytest.approx(measure.GetHausdorffDistance(), rel=1e-6)


def test_near_far_and_many_voxels_are_measured_alike() -> None:
    """Three ways lead to a distance: the tree nearby, the tree far away, and the transform."""
    random = np.random.default_rng(0)
    corner = np.zeros((40, 40, 40), bool)
    corner[1:4, 1:4, 1:4] = True
    few, noise = np.zeros_like(corner), random.random(corner.shape) < 0.4
    few[30:33, 30:33, 30:33] = True
    spread = random.random(corner.shape) < 0.06
    for region in (few, noise, spread, np.roll(corner, 1, 0)):
        expected = by_transform(region, corner, (1.0, 1.0, 1.5))
        assert hausdorff(region, corner, spacing_mm=(1.0, 1.0, 1.5)) == pytest.approx(expected)


@given(regions=pairs(), spacing=SPACINGS, axis=st.integers(0, 2), factor=st.floats(0.1, 10))
def test_flips_change_nothing_and_spacing_scales(
    regions: tuple[np.ndarray, np.ndarray],
    spacing: tuple[float, float, float],
    axis: int,
    factor: float,
) -> None:
    found = hausdorff(*regions, spacing_mm=spacing)
    flipped = [np.flip(region, axis) for region in regions]
    assert hausdorff(*flipped, spacing_mm=spacing) == pytest.approx(found, nan_ok=True)
    assert hausdorff(*regions[::-1], spacing_mm=spacing) == pytest.approx(found, nan_ok=True)
    scaled = [factor * length for length in spacing]
    assert hausdorff(*regions, spacing_mm=scaled) == pytest.approx(factor * found, nan_ok=True)


def test_distances_by_hand() -> None:
    first, second = np.zeros((2, 12, 3, 3), bool)
    first[1, 1, 1] = second[1, 1, 1] = second[9, 1, 1] = True
    assert surface_distances(first, second, spacing_mm=(2, 1, 1)).tolist() == [0.0]
    assert sorted(surface_distances(second, first, spacing_mm=(2, 1, 1))) == [0.0, 16.0]
    assert hausdorff(first, second, spacing_mm=(2, 1, 1)) == pytest.approx(0.95 * 16)
    assert hausdorff(first, second, spacing_mm=(2, 1, 1), percentile=100) == 16.0


@given(arrays(np.bool_, SHAPES))
def test_the_surface_is_what_erosion_takes_away(region: np.ndarray) -> None:
    np.testing.assert_array_equal(surface(region), region & ~ndimage.binary_erosion(region))
