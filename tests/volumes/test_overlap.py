import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.volumes import Grid, field_of_view, world_overlap

Grids = Callable[..., st.SearchStrategy[Grid]]


def box(shape: tuple[int, int, int], origin: float = 0.0) -> Grid:
    affine = np.eye(4)
    affine[:3, 3] = origin
    return Grid(shape, affine)


@given(data=st.data())
def test_field_of_view_agrees_with_every_voxel(grids: Grids, data: st.DataObject) -> None:
    source, other = data.draw(grids()), data.draw(grids())
    affine = other.affine.copy()
    affine[:3, 3] = source.to_world(np.array(source.shape) / 2)
    destination = Grid(other.shape, affine)
    found = field_of_view(source, destination)
    for index in itertools.product(*(range(n) for n in destination.shape)):
        there = source.to_index(destination.to_world(np.array(index)))
        gap = np.minimum(there + 0.5, np.array(source.shape) - 0.5 - there).min()
        if abs(gap) > 2e-3:
            assert found[index] == (gap > 0)


def test_world_overlap_of_boxes() -> None:
    grid = box((10, 10, 10))
    assert world_overlap(grid, grid) == 1.0
    assert world_overlap(grid, box((5, 10, 10))) == 1.0
    assert world_overlap(box((30, 30, 30), origin=-10), grid) == 1.0
    assert world_overlap(grid, box((10, 10, 10), origin=100)) == 0.0
    half = grid.affine.copy()
    half[0, 3] = 5
    assert world_overlap(grid, Grid((10, 10, 10), half)) == pytest.approx(0.5, abs=0.01)


@given(data=st.data())
def test_world_overlap_agrees_with_counting(grids: Grids, data: st.DataObject) -> None:
    source = data.draw(grids(low=4))
    moved = source.affine.copy()
    moved[:3, 3] += data.draw(st.tuples(*[st.floats(-4, 4)] * 3))
    other = Grid(data.draw(st.tuples(*[st.integers(4, 9)] * 3)), moved)
    small, large = sorted((source, other), key=lambda g: np.prod(g.shape) * g.voxel_mm3)
    points = np.random.default_rng(1).uniform(-0.5, np.array(small.shape) - 0.5, (20_000, 3))
    index = np.linalg.solve(large.affine, np.c_[small.to_world(points), np.ones(20_000)].T)[:3]
    upper = np.array(large.shape)[:, None] - 0.5
    share = ((index >= -0.5) & (index <= upper)).all(axis=0).mean()
    assert world_overlap(source, other) == pytest.approx(share, abs=0.03)
