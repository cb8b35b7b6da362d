from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.config import Augmentation
from medgen.data import Batches, CachedCase, Group
from medgen.data.position import body_box
from medgen.volumes import Grid

SHAPE = (20, 24, 16)


def body() -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[4:15, 2:23, 3:12] = True
    return mask


def located_case() -> CachedCase:
    """Return a case whose source tells the place by itself: its value is the x coordinate."""
    places = body_box(body()).maps(SHAPE)
    arrays = {
        "source": places[:1].copy(),
        "body": body()[None].astype(np.uint8),
        "inside": np.flatnonzero(body()).astype(np.int32),
    }
    return CachedCase("c", arrays, {}, Grid(SHAPE, np.eye(4)), (False,))


def batches(**options) -> Batches:
    still = Augmentation(flip_axes=(), rotate_degrees=0, intensity=0)
    defaults = {"patch": (8, 8, 8), "batch_size": 4, "augment": still, "located": True}
    return Batches([Group(frozenset({"source"}), [located_case()])], **{**defaults, **options})


def test_the_ends_of_the_body_are_minus_one_and_one():
    places = body_box(body()).maps(SHAPE)
    assert places[:, 4, 2, 3].tolist() == [-1, -1, -1]
    assert places[:, 14, 22, 11].tolist() == [1, 1, 1]
    assert np.allclose(places[:, 9, 12, 7], 0)
    assert places[0, 19, 0, 0] == pytest.approx(2)


def test_a_flat_body_lies_in_its_own_middle():
    flat = np.zeros(SHAPE, dtype=bool)
    flat[4:15, 2:23, 5] = True
    assert np.isfinite(body_box(flat).maps(SHAPE)).all()
    assert body_box(flat).maps(SHAPE)[2, 0, 0, 5] == 0


@given(shift=st.tuples(*[st.integers(-2, 1)] * 3))
def test_coordinates_move_with_the_body(shift):
    moved = np.roll(body(), shift, axis=(0, 1, 2))
    one, other = body_box(body()).maps(SHAPE), body_box(moved).maps(SHAPE)
    x, y, z = shift
    assert np.allclose(one[:, 5, 5, 5], other[:, 5 + x, 5 + y, 5 + z], atol=1e-6)


def test_patches_carry_the_place_that_they_show():
    drawn = batches().batch(0)["source"]
    assert drawn.shape == (4, 4, 8, 8, 8)
    assert np.allclose(drawn[:, 0], drawn[:, 1])


def test_they_do_so_when_they_are_turned():
    turned = Augmentation(flip_axes=(), rotate_degrees=20, scale=0.2, intensity=0)
    drawn = batches(augment=turned, inside_mask=1.0, patch=(4, 4, 4)).batch(0)["source"]
    assert np.allclose(drawn[:, 0], drawn[:, 1], atol=2e-2)


def test_what_is_mirrored_says_that_it_is_on_the_other_side():
    mirrored = Augmentation(flip_axes=(0,), rotate_degrees=0, intensity=0)
    drawn = batches(augment=mirrored, batch_size=16).batch(0)["source"]
    signs = {float((one[0] * one[1]).mean().sign()) for one in drawn}
    assert signs == {1.0, -1.0}  # some are mirrored and some are not
    for one in drawn:
        assert np.allclose(one[0].abs(), one[1].abs(), atol=1e-6)
        assert float(one[1, 0, 0, 0]) < float(one[1, -1, 0, 0])  # it still runs from left to right


def test_beyond_the_volume_the_border_goes_on():
    drawn = batches(patch=(32, 8, 8), batch_size=1).batch(0)["source"][0, 1, :, 0, 0]
    places = body_box(body()).maps(SHAPE)[0, :, 0, 0]
    assert float(drawn.min()) == pytest.approx(float(places.min()))
    assert float(drawn.max()) == pytest.approx(float(places.max()))


def test_nothing_is_added_where_nobody_asks():
    assert batches(located=False).batch(0)["source"].shape == (4, 1, 8, 8, 8)
