import itertools
import json
from collections.abc import Callable
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.problems import Refusal
from medgen.volumes import Grid, field_of_view, ras_permutation, working_grid

Grids = Callable[..., st.SearchStrategy[Grid]]


def box(shape: tuple[int, int, int], spacing: float = 1.0, origin: float = 0.0) -> Grid:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    return Grid(shape, affine)


@pytest.mark.parametrize(
    ("shape", "affine", "code"),
    [
        ((0, 2, 2), np.eye(4), "E_BAD_SHAPE"),
        ((2, 2), np.eye(4), "E_BAD_SHAPE"),
        ((2, 2, 2), np.eye(3), "E_BAD_AFFINE"),
        ((2, 2, 2), np.full((4, 4), np.nan), "E_BAD_AFFINE"),
        ((2, 2, 2), np.diag([1.0, 1, 1, 2]), "E_BAD_AFFINE"),
        ((2, 2, 2), np.diag([1.0, 0, 1, 1]), "E_BAD_SPACING"),
        ((2, 2, 2), np.diag([1.0, 1e5, 1, 1]), "E_BAD_SPACING"),
        ((2, 2, 2), np.diag([1.0, 1e308, 1e308, 1]), "E_BAD_AFFINE"),
        ((2, 2, 2), [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], "E_BAD_AFFINE"),
    ],
)
def test_refuses_what_places_no_voxels(shape: Any, affine: Any, code: str) -> None:
    with pytest.raises(Refusal) as caught:
        Grid(shape, affine)
    assert [problem.code for problem in caught.value.problems] == [code]


def test_keeps_its_own_read_only_affine() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 0] = 5
    assert grid.affine[0, 0] == 1
    assert not grid.affine.flags.writeable


def test_small_spacing_is_not_singular() -> None:
    assert Grid((2, 2, 2), np.diag([1e-3, 1e-3, 1e-3, 1])).voxel_mm3 == pytest.approx(1e-9)


@given(data=st.data())
def test_world_and_index_are_inverse(grids: Grids, data: st.DataObject) -> None:
    grid = data.draw(grids())
    points = np.random.default_rng(0).uniform(-50, 50, (20, 3))
    np.testing.assert_allclose(grid.to_index(grid.to_world(points)), points, atol=1e-8)
    homogeneous = np.c_[points, np.ones(20)] @ grid.affine.T
    np.testing.assert_allclose(grid.to_world(points), homogeneous[:, :3], atol=1e-9)


def test_corners_reach_half_a_voxel_out() -> None:
    corners = box((3, 4, 5), spacing=2.0, origin=10.0).corners()
    assert corners.min(axis=0).tolist() == [9, 9, 9]
    assert corners.max(axis=0).tolist() == [15, 17, 19]


def test_same_as_measures_the_farthest_corner() -> None:
    grid = box((100, 100, 100))
    turned = grid.affine.copy()
    turned[0, 1] = 1e-3  # 0.1 mm at the far corner
    assert grid.same_as(Grid(grid.shape, turned), tolerance_mm=0.11)
    assert not grid.same_as(Grid(grid.shape, turned), tolerance_mm=0.09)
    assert not grid.same_as(box((100, 100, 99)))


@given(data=st.data())
def test_crop_keeps_voxels_in_place(grids: Grids, data: st.DataObject) -> None:
    grid = data.draw(grids())
    start = data.draw(st.tuples(*[st.integers(-3, 5)] * 3))
    cropped = grid.crop(start, (2, 3, 4))
    assert cropped.shape == (2, 3, 4)
    index = np.array([1, 2, 3])
    np.testing.assert_allclose(cropped.to_world(index), grid.to_world(index + start), atol=1e-9)


@given(data=st.data())
def test_json_round_trip_is_exact(grids: Grids, data: st.DataObject) -> None:
    grid = data.draw(grids())
    again = Grid.from_json(json.loads(json.dumps(grid.as_json())))
    assert again.shape == grid.shape
    assert np.array_equal(again.affine, grid.affine)


@given(data=st.data())
def test_ras_permutation_agrees_with_nibabel(grids: Grids, data: st.DataObject) -> None:
    grid = data.draw(grids(oblique=False))
    axes, signs = ras_permutation(grid.affine)
    expected = nibabel.io_orientation(grid.affine)
    assert [(int(expected[axis, 0]), int(expected[axis, 1])) for axis in axes] == list(
        zip(range(3), signs, strict=True)
    )


@given(data=st.data())
def test_working_grid_runs_right_anterior_superior(grids: Grids, data: st.DataObject) -> None:
    native = data.draw(grids())
    grid = working_grid(native, (1.0, 2.0, 3.0))
    np.testing.assert_allclose(grid.spacing_mm, (1, 2, 3), rtol=0.01)
    assert ras_permutation(grid.affine) == ((0, 1, 2), (1, 1, 1))
    gap = grid.to_world((np.array(grid.shape) - 1) / 2) - native.to_world(
        (np.array(native.shape) - 1) / 2
    )
    np.testing.assert_allclose(gap, 0, atol=1e-9)


@given(data=st.data())
def test_working_grid_covers_the_native_voxels(grids: Grids, data: st.DataObject) -> None:
    native = data.draw(grids())
    assert field_of_view(working_grid(native, (1.3, 0.7, 2.9)), native).all()


@given(data=st.data())
def test_equal_spacing_is_a_signed_permutation(grids: Grids, data: st.DataObject) -> None:
    native = data.draw(grids())
    axes, _ = ras_permutation(native.affine)
    grid = working_grid(native, native.spacing_mm[list(axes)] * (1 + 1e-6))
    assert grid.shape == tuple(native.shape[axis] for axis in axes)
    matrix = np.linalg.solve(native.affine, grid.affine)
    np.testing.assert_allclose(matrix, np.rint(matrix), atol=1e-9)


def test_a_rounded_spacing_in_a_configuration_keeps_the_voxels() -> None:
    native = box((256, 256, 200), spacing=0.9765625)
    assert np.array_equal(working_grid(native, (0.9766,) * 3).affine, native.affine)
    assert working_grid(native, (0.98,) * 3).spacing_mm == pytest.approx(0.98)


def test_a_sliver_of_a_voxel_adds_no_plane() -> None:
    assert working_grid(box((101, 100, 104)), (2.0, 2.0, 2.0)).shape == (51, 50, 52)
    assert working_grid(box((100, 100, 100), spacing=1.0004), (2, 2, 2)).shape == (50, 50, 50)


def test_corners_are_all_eight() -> None:
    corners = {tuple(corner) for corner in box((2, 2, 2)).corners()}
    assert corners == set(itertools.product((-0.5, 1.5), repeat=3))


@given(st.permutations([0, 1, 2]), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_the_same_voxels_in_another_order(order: list[int], flips: tuple[bool, ...]) -> None:
    affine = np.array(
        [[1.9, 0.1, 0.2, -30], [-0.1, 1.2, 0.1, 5], [-0.2, -0.1, 2.9, 12], [0, 0, 0, 1.0]]
    )
    grid = Grid((7, 6, 5), affine)
    turned = affine[:, [*order, 3]].copy()
    shape = [grid.shape[axis] for axis in order]
    for axis in range(3):
        if flips[axis]:
            turned[:3, 3] += turned[:3, axis] * (shape[axis] - 1)
            turned[:3, axis] *= -1
    other = Grid((shape[0], shape[1], shape[2]), turned)
    assert grid.same_voxels_as(other)
    assert other.same_voxels_as(grid)
    moved = turned.copy()
    moved[0, 3] += 0.5
    assert not grid.same_voxels_as(Grid(other.shape, moved))
    assert not grid.same_voxels_as(Grid((5, 5, 5), affine))


def test_a_cube_turned_by_less_than_a_quarter_is_another_set_of_voxels() -> None:
    grid = Grid((5, 5, 5), np.eye(4))
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]
    turned[:3, 3] = [2, 2, 2] - turned[:3, :3] @ [2, 2, 2]
    assert not grid.same_voxels_as(Grid((5, 5, 5), turned))
