"""What is carried along lands where its matrix and displacement say, by one interpolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medgen.volumes import Grid, resample, warp, warped_field_of_view
from medgen.volumes import warping as module

Array = NDArray[np.float64]


def rotation(angles: tuple[float, float, float]) -> Array:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def oblique(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = rotation((0.2, -0.3, 0.1)) * spacing
    affine[:3, 3] = (4, -7, 12)
    return Grid(shape, affine)


def plane(points: Array) -> Array:
    """Return a linear function of the world, which linear interpolation keeps exactly."""
    return np.asarray(points @ (0.7, -1.3, 0.4) + 5.0)


def lattice(grid: Grid) -> Array:
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


angle = st.floats(-0.6, 0.6)
shift = st.floats(-8, 8)


@settings(max_examples=25)
@given(st.tuples(angle, angle, angle), st.tuples(shift, shift, shift), st.integers(0, 2**32 - 1))
def test_values_come_from_where_matrix_and_displacement_point(
    angles: tuple[float, float, float], offset: tuple[float, float, float], seed: int
) -> None:
    source, destination = oblique((24, 20, 22), (1.5, 2.0, 1.2)), Grid((9, 8, 7), np.eye(4))
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(angles) * (1.1, 0.9, 1.0)
    matrix[:3, 3] = offset
    generator = np.random.default_rng(seed)
    displacement = generator.normal(0, 2, (*destination.shape, 3)).astype(np.float32)
    inverse = np.linalg.inv(matrix)
    expected = (lattice(destination) + displacement) @ inverse[:3, :3].T + inverse[:3, 3]
    data = plane(lattice(source)).astype(np.float32)
    values = warp(
        data,
        source,
        destination,
        matrix=matrix,
        displacement_mm=displacement,
        outside=-1000.0,
        antialias=False,
    )
    index = source.to_index(expected)
    inside = ((index >= 0) & (index <= np.array(source.shape) - 1)).all(axis=-1)
    np.testing.assert_allclose(values[inside], plane(expected)[inside], atol=2e-3)
    seen = warped_field_of_view(source, destination, matrix=matrix, displacement_mm=displacement)
    np.testing.assert_array_equal(values == -1000.0, ~seen)
    assert seen[inside].all()
    beyond = ((index < -0.51) | (index > np.array(source.shape) - 0.49)).any(axis=-1)
    assert not seen[beyond].any()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_no_displacement_and_zero_displacement_agree_with_resampling(order: int) -> None:
    source, destination = oblique((12, 11, 10), (2, 2, 2)), Grid((6, 7, 5), np.diag([3, 3, 4, 1.0]))
    data = np.random.default_rng(0).normal(size=source.shape)
    matrix = np.eye(4)
    matrix[:3, 3] = (1, 2, -3)
    moved = Grid(source.shape, matrix @ source.affine)
    expected = resample(data, moved, destination, order=order, outside=0.0)
    still = np.zeros((*destination.shape, 3), np.float32)
    for displacement in (None, still):
        found = warp(
            data,
            source,
            destination,
            matrix=matrix,
            displacement_mm=displacement,
            order=order,
            outside=0.0,
        )
        np.testing.assert_allclose(found, expected, atol=1e-4)
    for displacement in (None, still):
        seen = warped_field_of_view(
            source, destination, matrix=matrix, displacement_mm=displacement
        )
        assert 0 < seen.sum() < seen.size
        np.testing.assert_array_equal(
            seen, warped_field_of_view(source, destination, matrix=matrix)
        )


def test_slabs_are_put_together_again(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid((7, 6, 5), np.eye(4))
    data = np.random.default_rng(1).normal(size=grid.shape).astype(np.float32)
    displacement = np.full((*grid.shape, 3), 0.3, np.float32)
    whole = warp(data, grid, grid, matrix=np.eye(4), displacement_mm=displacement)
    monkeypatch.setattr(module, "_SLAB_VOXELS", 1)
    pieces = warp(data, grid, grid, matrix=np.eye(4), displacement_mm=displacement)
    np.testing.assert_array_equal(whole, pieces)


def test_what_does_not_fit_is_an_error() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    still = np.zeros((4, 4, 4, 3), np.float32)
    with pytest.raises(ValueError, match="order"):
        warp(np.zeros((4, 4, 4)), grid, grid, matrix=np.eye(4), displacement_mm=still, order=2)
    with pytest.raises(ValueError, match="data of shape"):
        warp(np.zeros((4, 4, 5)), grid, grid, matrix=np.eye(4), displacement_mm=still)
    with pytest.raises(ValueError, match="displacements of shape"):
        warp(np.zeros((4, 4, 4)), grid, grid, matrix=np.eye(4), displacement_mm=still[1:])
