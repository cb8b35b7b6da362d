from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medgen.data import body_mask, outline
from medgen.data.masks import _filled, bounding_box, dice, within
from medgen.problems import Refusal
from medgen.volumes import open_volume

REAL = Path(os.environ.get("MEDGEN_REAL_DATA", "/nowhere"))


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:
    axes = np.ix_(*(np.arange(n) - (n - 1) / 2 for n in shape))
    return np.sqrt(sum(axis**2 for axis in axes)) < radius


@pytest.mark.parametrize("spacing", [1.0, 2.0])
def test_finds_a_noisy_biased_body_and_fills_it(spacing):
    shape = (48, 48, 48)
    truth = ball(shape, 18)
    rng = np.random.default_rng(0)
    bias = np.linspace(0.6, 1.4, 48)[:, None, None]
    values = np.where(truth, 500.0, 0.0) * bias
    values[ball(shape, 5)] = 0.0  # a hole
    values[2:4, 2:4, 2:4] = 900.0  # a speck
    values += np.abs(rng.normal(0, 20, shape))
    mask = body_mask(values, spacing_mm=(spacing,) * 3)
    assert mask.dtype == np.bool_
    assert dice(mask, truth) > 0.9
    assert mask[24, 24, 24]
    assert not mask[:5, :5, :5].any()


def test_a_cavity_that_opens_at_the_cut_neck_is_filled():
    shape = (40, 40, 40)
    values = np.where(ball((40, 40, 80), 15)[:, :, 40:], 40.0, -1000.0)
    values[18:22, 18:22, :10] = -1000.0  # an airway that leaves the volume
    mask = outline(values, unit="HU", spacing_mm=(2.0, 2.0, 2.0))
    assert mask.shape == shape
    assert mask[20, 20, 0]
    assert mask[20, 20, 5]


def test_a_head_rest_is_no_head():
    values = np.where(ball((60, 60, 20), 18), 40.0, -1000.0)
    values[:, 52:54, :] = 200.0
    mask = outline(values, unit="HU", spacing_mm=(1.0, 1.0, 1.0))
    assert mask[30, 30, 10]
    assert not mask[:, 51:, :].any()


@pytest.mark.parametrize(("unit", "value"), [("HU", -1000.0), ("arbitrary", 0.0)])
def test_an_empty_volume_has_no_body(unit, value):
    with pytest.raises(Refusal, match="E_EMPTY_BODY"):
        outline(np.full((8, 8, 8), value), unit=unit, spacing_mm=(2.0, 2.0, 2.0))


def test_a_body_that_fills_the_volume():
    assert outline(np.full((8, 8, 8), 40.0), unit="HU", spacing_mm=(2.0, 2.0, 2.0)).all()


def test_a_thin_body_survives_being_one_voxel_thick():
    values = np.zeros((20, 20, 1))
    values[5:15, 5:15] = 100.0
    assert body_mask(values, spacing_mm=(2.0, 2.0, 5.0)).any()


def test_bounding_box_stays_inside():
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[1:3, 4:6, 9] = True
    assert bounding_box(mask, margin=(2, 2, 2)) == (slice(0, 5), slice(2, 8), slice(7, 10))


@given(
    spacing=st.tuples(*[st.sampled_from([0.7, 1.0, 2.5, 9.0])] * 3),
    radius=st.floats(0.5, 7.0),
    seed=st.integers(0, 50),
)
def test_within_is_the_distance_transform(spacing, radius, seed):
    mask = np.random.default_rng(seed).random((7, 6, 5)) < 0.03
    mask[0, 0, 0] = True
    distance = ndimage.distance_transform_edt(~mask, sampling=spacing)
    found = within(mask, spacing_mm=spacing, radius_mm=radius)
    clear = np.abs(distance - radius) > 1e-4
    assert np.array_equal(found[clear], (distance <= radius)[clear])


@given(shape=st.tuples(*[st.integers(1, 12)] * 3), seed=st.integers(0, 99))
def test_holes_are_those_that_scipy_fills(shape, seed):
    mask = np.random.default_rng(seed).random(shape) < 0.6
    expected = ndimage.binary_fill_holes(mask)
    for axis in range(3):
        planes = np.moveaxis(expected, axis, 0)
        filled = np.stack([ndimage.binary_fill_holes(plane) for plane in planes])
        expected = np.moveaxis(filled, 0, axis)
    assert np.array_equal(_filled(mask), expected)


def test_nothing_is_near_an_empty_mask():
    nothing = np.zeros((3, 4, 5), dtype=bool)
    assert not within(nothing, spacing_mm=(1.0, 1.0, 1.0), radius_mm=2.0).any()


def test_dice():
    left = np.array([True, True, False])
    assert dice(left, np.array([True, False, False])) == pytest.approx(2 / 3)
    assert dice(~left & left, ~left & left) == 0.0


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="MEDGEN_REAL_DATA is not set")
def test_real_heads_fill_a_third_to_two_thirds():
    paths = sorted(REAL.glob("heads/IXI*/t1.nii.gz"))[:3]
    for path in paths:
        volume = open_volume(path)
        mask = body_mask(volume.data, spacing_mm=volume.grid.spacing_mm)
        assert 0.28 < mask.mean() < 0.62
