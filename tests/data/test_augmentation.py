from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.config import Augmentation
from medgen.data.augmentation import draw_spatial, jitter_intensity, rotation

SPACING = np.array([1.0, 1.0, 3.0])


@given(seed=st.integers(0, 200))
def test_a_rotation_turns_millimetres_by_no_more_than_asked(seed):
    settings = Augmentation(rotate_degrees=10, scale=0.0)
    change = draw_spatial(np.random.default_rng(seed), settings, SPACING)
    assert change.matrix is not None
    in_mm = SPACING[:, None] * change.matrix / SPACING[None, :]
    np.testing.assert_allclose(in_mm @ in_mm.T, np.eye(3), atol=1e-12)
    angle = np.degrees(np.arccos(np.clip((np.trace(in_mm) - 1) / 2, -1, 1)))
    assert angle <= 10 + 1e-6


@given(seed=st.integers(0, 200))
def test_a_scaling_stays_within_its_share(seed):
    settings = Augmentation(rotate_degrees=0, scale=0.2)
    change = draw_spatial(np.random.default_rng(seed), settings, SPACING)
    assert change.matrix is not None
    assert 1 / 1.2 <= change.matrix[0, 0] <= 1 / 0.8
    np.testing.assert_allclose(change.matrix, change.matrix[0, 0] * np.eye(3), atol=1e-12)


def test_flips_come_half_of_the_time_and_only_on_their_axes():
    settings = Augmentation(flip_axes=(0, 2), rotate_degrees=0)
    rng = np.random.default_rng(0)
    changes = [draw_spatial(rng, settings, SPACING) for _ in range(400)]
    assert all(change.matrix is None for change in changes)
    for axis, share in ((0, 0.5), (1, 0.0), (2, 0.5)):
        assert np.mean([axis in change.flips for change in changes]) == pytest.approx(
            share, abs=0.08
        )


def test_rotation_by_a_right_angle():
    turned = rotation(np.array([0.0, 0.0, 1.0]), np.pi / 2) @ np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(turned, [0, 1, 0], atol=1e-12)


@given(seed=st.integers(0, 200), relative=st.floats(0.0, 0.3))
def test_jitter_keeps_order_and_is_bounded(seed, relative):
    values = np.linspace(-1.2, 2.0, 50, dtype=np.float32)
    changed = jitter_intensity(np.random.default_rng(seed), values, relative)
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert (np.diff(changed) >= 0).all()
    inside = np.abs(values) <= 1
    assert np.abs(changed - values)[inside].max() <= 6 * relative + 1e-5
