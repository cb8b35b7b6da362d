import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.report.planes import MARGIN_MM, planes_of
from medgen.report.slices import PLANES, cut, to_ras
from medgen.volumes import Grid, Volume

SHAPE = (40, 44, 36)


def affine(order: tuple[int, int, int], signs: tuple[int, int, int]) -> np.ndarray:
    """Return voxels of 2 mm along world axes in some order, each in some direction."""
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[world, axis] = 2.0 * sign
    matrix[:3, 3] = (5.0, -7.0, 11.0)
    return matrix


def ball(matrix: np.ndarray, centre: tuple[int, int, int] = (24, 20, 15)) -> Volume:
    places = np.indices(SHAPE).T - np.array(centre)
    inside = (places**2).sum(axis=-1).T < 9**2
    return Volume(
        np.where(inside, 500.0 + np.arange(SHAPE[2]), 3.0).astype(np.float32), Grid(SHAPE, matrix)
    )


@settings(max_examples=12, deadline=None)
@given(st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_the_planes_show_the_body_whatever_the_orientation(
    order: list[int], signs: tuple[int, int, int]
) -> None:
    volume = ball(affine((order[0], order[1], order[2]), signs))
    planes = planes_of(volume)
    values, _ = to_ras(volume.data, volume.grid)
    where = np.argwhere(values > 100)
    assert np.abs(np.array(planes.at) - where.mean(axis=0)).max() <= 2
    for part, low, high in zip(planes.box, where.min(axis=0), where.max(axis=0), strict=True):
        assert part.start <= low
        assert part.stop > high
        assert part.stop - part.start < (high - low) + 2 * (MARGIN_MM / 2 + 6)


def test_a_volume_of_the_same_grid_is_cut_as_it_is() -> None:
    volume = ball(affine((0, 1, 2), (-1, 1, 1)))
    planes = planes_of(volume)
    values, spacing = to_ras(volume.data, volume.grid)
    for found, plane, normal in zip(planes.cuts(volume), PLANES, (2, 1, 0), strict=True):
        at = planes.at[normal] - planes.box[normal].start
        expected = cut(values[planes.box], spacing, plane, at)
        assert np.array_equal(found.pixels, expected.pixels)
        assert (found.width_mm, found.height_mm) == (expected.width_mm, expected.height_mm)
        assert (found.left, found.right) == (expected.left, expected.right)


@pytest.mark.parametrize("linear", [True, False])
def test_a_volume_of_another_grid_is_brought_to_the_planes(linear: bool) -> None:
    volume = ball(affine((0, 1, 2), (-1, 1, 1)))
    turned = Volume(
        np.ascontiguousarray(volume.data.transpose(2, 0, 1)[::-1]),
        Grid(
            (SHAPE[2], SHAPE[0], SHAPE[1]),
            volume.grid.affine
            @ np.array([[0, 1, 0, 0], [0, 0, 1, 0], [-1, 0, 0, SHAPE[2] - 1], [0, 0, 0, 1.0]]),
        ),
    )
    planes = planes_of(volume)
    for own, other in zip(planes.cuts(volume), planes.cuts(turned, linear=linear), strict=True):
        assert np.allclose(own.pixels, other.pixels, atol=1e-2)


def test_beyond_a_field_of_view_is_air() -> None:
    volume = ball(affine((0, 1, 2), (1, 1, 1)))
    away = volume.grid.affine.copy()
    away[:3, 3] += 1000
    for unit, air in (("HU", -1000.0), ("arbitrary", 0.0)):
        other = Volume(volume.data, Grid(SHAPE, away), unit)
        assert all((cut.pixels == air).all() for cut in planes_of(volume).cuts(other))


def test_what_is_marked_is_looked_at_even_where_no_body_is() -> None:
    volume = ball(affine((0, 1, 2), (1, 1, 1)))
    marked = np.zeros(SHAPE, dtype=np.uint8)
    marked[1:3, 2, 30] = 1
    marked[2, 2, 31] = 1
    planes = planes_of(volume, look_at=marked)
    assert planes.at == (2, 2, 30)
    assert all(part.start <= at < part.stop for part, at in zip(planes.box, planes.at, strict=True))
    assert planes_of(volume, look_at=np.zeros(SHAPE)).at == planes_of(volume).at


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 50, 2), (30, 30, 30)])
def test_a_constant_volume_is_shown_whole(shape: tuple[int, int, int]) -> None:
    volume = Volume(np.full(shape, 7.0), Grid(shape, np.diag([1.0, 2.0, 3.0, 1.0])))
    planes = planes_of(volume)
    assert [part.stop - part.start for part in planes.box] == list(shape)
    assert [found.pixels.shape for found in planes.cuts(volume)] == [
        (shape[1], shape[0]),
        (shape[2], shape[0]),
        (shape[2], shape[1]),
    ]
