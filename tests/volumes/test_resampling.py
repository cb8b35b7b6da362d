from collections.abc import Callable
from typing import Any

import nibabel
import nibabel.processing
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medgen.volumes import Grid, field_of_view, ras_permutation, resample, working_grid

Grids = Callable[..., st.SearchStrategy[Grid]]
Values = Callable[[Grid], NDArray[np.float32]]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def ramp(grid: Grid, slope: NDArray[Any]) -> NDArray[np.float64]:
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return np.asarray(grid.to_world(index) @ slope)


def itk_image(data: NDArray[Any], grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.T))
    lps = LPS @ grid.affine
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    return image


@given(data=st.data(), order=st.sampled_from([0, 1, 3]))
def test_equal_spacing_there_and_back_is_bit_identical(
    grids: Grids, random_values: Values, data: st.DataObject, order: int
) -> None:
    native = data.draw(grids())
    values = random_values(native)
    axes, _ = ras_permutation(native.affine)
    working = working_grid(native, native.spacing_mm[list(axes)])
    there = resample(values, native, working, order=order)
    assert np.array_equal(np.sort(there, axis=None), np.sort(values, axis=None))
    assert np.array_equal(resample(there, working, native, order=order), values)


@given(data=st.data())
def test_a_crop_there_and_back_is_bit_identical(
    grids: Grids, random_values: Values, data: st.DataObject
) -> None:
    native = data.draw(grids(low=4))
    values = random_values(native)
    start = data.draw(st.tuples(*[st.integers(-3, 2)] * 3))
    cropped = native.crop(start, (4, 5, 6))
    answer = resample(values, native, cropped, outside=-1024.0)
    index = np.stack(np.meshgrid(*map(np.arange, (4, 5, 6)), indexing="ij"), axis=-1) + start
    inside = ((index >= 0) & (index < native.shape)).all(axis=-1)
    assert np.array_equal(inside, field_of_view(native, cropped))
    assert np.array_equal(answer[inside], values[tuple(index[inside].T)])
    assert (answer[~inside] == -1024).all()
    nearest = np.clip(index, 0, np.array(native.shape) - 1)
    edges = resample(values, native, cropped)
    assert np.array_equal(edges, values[tuple(np.moveaxis(nearest, -1, 0))])


@given(data=st.data(), order=st.sampled_from([1, 3]))
@settings(max_examples=60)
def test_a_linear_ramp_is_reproduced(grids: Grids, data: st.DataObject, order: int) -> None:
    source = data.draw(grids(low=16, high=20))
    slope = np.array(data.draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    # A cubic spline rings for some voxels beside the edge, where the ramp stops.
    border = 0.0 if order == 1 else 6.0
    low, high = border, np.array(source.shape) - 1 - border
    other = data.draw(grids())
    linear = other.affine[:3, :3] * 0.5
    middle = source.to_world((low + high) / 2) - linear @ ((np.array(other.shape) - 1) / 2)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, middle
    destination = Grid(other.shape, affine)
    answer = resample(ramp(source, slope), source, destination, order=order, antialias=False)
    index = np.stack(np.meshgrid(*map(np.arange, destination.shape), indexing="ij"), axis=-1)
    there = source.to_index(destination.to_world(index))
    inside = ((there >= low) & (there <= high)).all(axis=-1)
    expected = ramp(destination, slope)
    np.testing.assert_allclose(answer[inside], expected[inside], atol=1e-3)


@given(data=st.data(), order=st.sampled_from([0, 1]))
@settings(max_examples=40)
def test_agrees_with_simpleitk(
    grids: Grids, random_values: Values, data: st.DataObject, order: int
) -> None:
    drawn = [data.draw(grids(sheared=False, low=6)) for _ in range(2)]
    # ITK inverts directions by an SVD that fails on subnormal entries; ours needs no such care.
    source, other = (Grid(g.shape, np.where(np.abs(g.affine) < 1e-9, 0, g.affine)) for g in drawn)
    affine = other.affine.copy()
    affine[:3, 3] += source.corners().mean(axis=0) - other.corners().mean(axis=0)
    destination = Grid(other.shape, affine)
    values = random_values(source)
    interpolator = sitk.sitkNearestNeighbor if order == 0 else sitk.sitkLinear
    frame = itk_image(np.zeros(destination.shape, np.float32), destination)
    image = itk_image(values, source)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(image, frame, sitk.Transform(), interpolator, -9e9, sitk.sitkFloat32)
    ).T
    ours = resample(values, source, destination, order=order, antialias=False)
    index = source.to_index(destination.to_world(np.argwhere(np.ones(destination.shape))))
    inside = ((index >= 0.01) & (index <= np.array(source.shape) - 1.01)).all(axis=-1)
    if order == 0:  # a tie may go either way
        inside &= (np.abs(index - np.floor(index) - 0.5) > 1e-6).all(axis=-1)
    inside = inside.reshape(destination.shape)
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=0.05 if order else 0)


@given(data=st.data(), order=st.sampled_from([0, 1, 3]))
@settings(max_examples=40)
def test_agrees_with_nibabel(
    grids: Grids, random_values: Values, data: st.DataObject, order: int
) -> None:
    source, other = (data.draw(grids(low=6)) for _ in range(2))
    affine = other.affine.copy()
    affine[:3, 3] += source.corners().mean(axis=0) - other.corners().mean(axis=0)
    destination = Grid(other.shape, affine)
    values = random_values(source)
    theirs = nibabel.processing.resample_from_to(
        nibabel.Nifti1Image(values, source.affine),
        (destination.shape, destination.affine),
        order=order,
        mode="nearest",
    ).get_fdata()
    ours = resample(values, source, destination, order=order, antialias=False)
    index = source.to_index(destination.to_world(np.argwhere(np.ones(destination.shape))))
    tied = (np.abs(index - np.floor(index) - 0.5) < 1e-6).any(axis=-1).reshape(ours.shape)
    tied &= order == 0
    np.testing.assert_allclose(ours[~tied], theirs[~tied], atol=0.05)


@given(data=st.data(), order=st.sampled_from([0, 1, 3]))
@settings(max_examples=40)
def test_parallel_axes_agree_with_nibabel(
    grids: Grids, random_values: Values, data: st.DataObject, order: int
) -> None:
    source = data.draw(grids(low=4))
    values = random_values(source)
    for destination in (
        working_grid(source, (1.13, 0.87, 1.71)),
        working_grid(source, source.spacing_mm[list(ras_permutation(source.affine)[0])] / 2),
    ):
        theirs = nibabel.processing.resample_from_to(
            nibabel.Nifti1Image(values, source.affine),
            (destination.shape, destination.affine),
            order=order,
            mode="nearest",
        ).get_fdata()
        ours = resample(values, source, destination, order=order, antialias=False)
        index = source.to_index(destination.to_world(np.argwhere(np.ones(destination.shape))))
        tied = (np.abs(index - np.floor(index) - 0.5) < 1e-6).any(axis=-1).reshape(ours.shape)
        tied &= order == 0
        np.testing.assert_allclose(ours[~tied], theirs[~tied], atol=0.05)


def test_outside_fills_beyond_the_half_voxel_border_only() -> None:
    source = Grid((2, 2, 2), np.eye(4))
    affine = np.eye(4)
    affine[0, 3] = -0.75
    destination = Grid((6, 2, 2), affine @ np.diag([0.5, 1, 1, 1]))
    answer = resample(np.ones(source.shape), source, destination, outside=-1000.0)
    assert np.array_equal(answer == 1, field_of_view(source, destination))
    assert field_of_view(source, destination)[:, 0, 0].tolist() == [False, *[True] * 4, False]


def test_coarser_grids_do_not_alias() -> None:
    """A voxel-to-voxel checkerboard has a mean of zero; picking every fourth voxel keeps it."""
    grid = Grid((40, 40, 40), np.eye(4))
    board = np.indices(grid.shape).sum(axis=0) % 2 * 2.0 - 1.0
    coarse = working_grid(grid, (4.0, 4.0, 4.0))
    shifted = Grid(coarse.shape, coarse.affine + np.pad(np.full((3, 1), 0.5), ((0, 1), (3, 0))))
    inner = np.s_[2:-2, 2:-2, 2:-2]
    smooth = resample(board, grid, shifted)[inner]
    sharp = resample(board, grid, shifted, antialias=False)[inner]
    assert np.abs(sharp).max() == pytest.approx(1.0)
    assert np.abs(smooth).max() < 1e-3


def test_antialiasing_has_the_published_width() -> None:
    """Cardoso 2015: from 1 to 3 mm the blur's variance is (3^2 - 1^2) / 2.355^2 mm^2."""
    grid = Grid((61, 5, 5), np.eye(4))
    line = np.zeros(grid.shape)
    line[30] = 1.0
    affine = np.diag([3.0, 1, 1, 1])
    widths = []
    total = 0.0
    for shift in range(3):  # three interleaved coarse grids sample the blurred line finely
        affine[0, 3] = shift
        values = resample(line, grid, Grid((20, 5, 5), affine.copy()))[:, 2, 2]
        place = shift + 3.0 * np.arange(20) - 30
        widths.append((values * place**2).sum())
        total += values.sum()
    assert total == pytest.approx(1.0, abs=1e-3)
    assert sum(widths) == pytest.approx(8 / 2.355**2, rel=0.02)


def test_labels_are_neither_blurred_nor_mixed() -> None:
    grid = Grid((12, 12, 12), np.eye(4))
    labels = np.random.default_rng(0).integers(0, 5, grid.shape)
    answer = resample(labels, grid, working_grid(grid, (3.1, 2.2, 0.7)), order=0)
    assert set(np.unique(answer)) <= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.int16, np.float64, ">f4"])
def test_any_type_gives_single_precision_and_leaves_the_input(kind: Any) -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    values = np.asfortranarray(np.arange(27).reshape(3, 3, 3) % 2).astype(kind)
    before = values.copy()
    answer = resample(values, grid, grid, outside=7.0)
    answer[0, 0, 0] = 99
    assert answer.dtype == np.float32
    assert np.array_equal(values, before)


def test_wrong_orders_and_shapes_are_told() -> None:
    grid = Grid((3, 3, 3), np.eye(4))
    with pytest.raises(ValueError, match="0, 1 or 3, not 2"):
        resample(np.zeros((3, 3, 3)), grid, grid, order=2)
    with pytest.raises(ValueError, match=r"\(3, 3, 2\)"):
        resample(np.zeros((3, 3, 2)), grid, grid)


def test_a_device_that_is_full_leaves_the_work_to_the_processor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("medgen.volumes.on_device.along", full)
    monkeypatch.setattr("medgen.volumes.on_device.sample", full)
    data = np.random.default_rng(0).random((6, 7, 8)).astype(np.float32)
    source = Grid((6, 7, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
    turned = np.array([[1.9, 0.1, 0, 0], [-0.1, 1.9, 0, 1], [0, 0, 1.5, 0], [0, 0, 0, 1.0]])
    for destination in (Grid((9, 9, 9), np.diag([1.5, 1.5, 1.5, 1.0])), Grid((5, 5, 5), turned)):
        expected = resample(data, source, destination)
        found = resample(data, source, destination, device="cuda")
        np.testing.assert_array_equal(found, expected)
