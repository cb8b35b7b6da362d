from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medgen.data.augmentation import rotation
from medgen.data.patches import IMAGE, REGION, Box, draw_centre, place

TRIPLES = st.tuples(*[st.integers(1, 9)] * 3)


@given(shape=TRIPLES, size=TRIPLES, seed=st.integers(0, 99))
def test_boxes_stay_inside_where_they_fit(shape, size, seed):
    rng = np.random.default_rng(seed)
    centre = draw_centre(rng, np.array([], dtype=np.int32), shape, inside_mask=0.9)
    start = place(centre, size, shape)
    for first, length, count, middle in zip(start, size, shape, centre, strict=True):
        if length <= count:
            assert 0 <= first <= count - length
            assert first <= middle < first + length
        else:
            assert first <= 0
            assert first + length >= count


@given(shape=TRIPLES, size=TRIPLES, seed=st.integers(0, 99))
def test_a_straight_box_is_numpy_s_padded_slice(shape, size, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, *shape)).astype(np.float32)
    start = place(draw_centre(rng, np.arange(1), shape, inside_mask=0.5), size, shape)
    for fill, mode in ((IMAGE, "edge"), (REGION, "constant")):
        padded = np.pad(values, [(0, 0)] + [(9, 9)] * 3, mode=mode)
        where = tuple(slice(s + 9, s + 9 + n) for s, n in zip(start, size, strict=True))
        box = Box(start, size, shape).read(values, fill)
        assert np.array_equal(box, padded[(slice(None), *where)])


def test_a_box_is_a_copy():
    values = np.zeros((1, 4, 4, 4), dtype=np.float32)
    Box((0, 0, 0), (2, 2, 2), (4, 4, 4)).read(values, IMAGE)[:] = 1
    assert not values.any()


@settings(max_examples=30, deadline=None)
@given(
    size=st.tuples(*[st.integers(2, 10)] * 3),
    angle=st.floats(-np.pi, np.pi),
    seed=st.integers(0, 99),
)
def test_a_turned_box_is_scipy_s_affine_transform(size, angle, seed):
    rng = np.random.default_rng(seed)
    shape = (12, 13, 14)
    values = ndimage.gaussian_filter(rng.normal(size=shape), 1.0).astype(np.float32)
    axis = rng.normal(size=3)
    matrix = rotation(axis / np.linalg.norm(axis), angle) * 1.05
    start = place(draw_centre(rng, np.arange(1), shape, inside_mask=0.0), size, shape)
    half = (np.array(size) - 1) / 2
    offset = np.array(start) + half - matrix @ half
    expected = ndimage.affine_transform(
        values, matrix, offset=offset, output_shape=size, order=1, mode="nearest"
    )
    box = Box(start, size, shape, matrix).read(values[None], IMAGE)[0]
    np.testing.assert_allclose(box, expected, atol=1e-4)


def test_a_turn_by_nothing_is_a_straight_box():
    values = np.random.default_rng(0).normal(size=(1, 9, 8, 7)).astype(np.float32)
    classes = (values > 0).astype(np.uint8)
    for start in ((1, 2, 0), (-2, -1, 0)):
        straight = Box(start, (6, 6, 6), (9, 8, 7))
        turned = Box(start, (6, 6, 6), (9, 8, 7), np.eye(3))
        np.testing.assert_allclose(
            turned.read(values, IMAGE), straight.read(values, IMAGE), atol=1e-5
        )
        assert np.array_equal(turned.read(classes, REGION), straight.read(classes, REGION))


def test_regions_stay_whole_and_empty_outside():
    classes = np.full((1, 10, 10, 10), 3, dtype=np.uint8)
    matrix = rotation(np.array([0.0, 0.0, 1.0]), np.pi / 4)
    box = Box((0, 0, 0), (10, 10, 10), (10, 10, 10), matrix).read(classes, REGION)
    assert set(np.unique(box)) == {0.0, 3.0}
    assert box[0, 0, 0, 5] == 0.0


@pytest.mark.parametrize(("inside_mask", "expected"), [(1.0, 1.0), (0.0, 0.01)])
def test_centres_fall_in_the_mask_as_often_as_asked(inside_mask, expected):
    rng = np.random.default_rng(0)
    inside = np.array([5, 6, 7, 8, 9, 10, 11, 12, 13, 14], dtype=np.int32)
    drawn = [
        np.ravel_multi_index(
            draw_centre(rng, inside, (10, 10, 10), inside_mask=inside_mask), (10, 10, 10)
        )
        for _ in range(300)
    ]
    share = np.isin(drawn, inside).mean()
    assert share == pytest.approx(expected, abs=0.03)
