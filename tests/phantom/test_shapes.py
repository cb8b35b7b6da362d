import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.phantom.shapes import (
    capsule,
    cut,
    ellipsoid,
    filled,
    joined,
    ramp,
    superellipsoid,
)


def _points(count: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = np.random.default_rng(0).uniform(-30, 30, (3, count)).astype(np.float32)
    return values[0], values[1], values[2]


@given(radius=st.floats(2.0, 25.0))
def test_a_sphere_is_exact(radius):
    x, y, z = _points()
    distance = np.sqrt((x - 1) ** 2 + (y - 2) ** 2 + (z - 3) ** 2) - radius
    found = ellipsoid(x, y, z, (1, 2, 3), (radius, radius, radius))
    np.testing.assert_allclose(found, distance, rtol=1e-3, atol=1e-3)


def test_a_superellipsoid_of_power_two_is_an_ellipsoid():
    x, y, z = _points()
    square = superellipsoid(x, y, z, (0, 0, 0), (9, 12, 15), power=2.0)
    round_one = ellipsoid(x, y, z, (0, 0, 0), (9, 12, 15))
    np.testing.assert_array_equal(square < 0, round_one < 0)


def test_a_capsule_measures_from_its_axis():
    x = np.array([0.0, 5.0, 0.0], np.float32)
    y = np.zeros(3, np.float32)
    z = np.array([5.0, 5.0, 14.0], np.float32)
    found = capsule(x, y, z, (0, 0, 0), (0, 0, 10), (2.0, 2.0))
    np.testing.assert_allclose(found, [-2.0, 3.0, 2.0], atol=1e-5)


def test_joining_and_cutting_agree_with_sets_away_from_the_seam():
    x, y, z = _points(2000)
    left = ellipsoid(x, y, z, (-12, 0, 0), (10, 10, 10))
    right = ellipsoid(x, y, z, (12, 0, 0), (10, 10, 10))
    clear = np.abs(left - right) > 2.0
    union, rest = joined(left, right, blend_mm=2.0), cut(left, right, blend_mm=2.0)
    np.testing.assert_allclose(union[clear], np.minimum(left, right)[clear], atol=1e-4)
    apart = np.abs(left + right) > 2.0
    np.testing.assert_allclose(rest[apart], np.maximum(left, -right)[apart], atol=1e-4)


def test_a_voxel_is_half_full_on_the_surface():
    distance = np.array([-3.0, -0.5, 0.0, 0.5, 3.0], np.float32)
    np.testing.assert_allclose(filled(distance, 2.0), [1.0, 0.75, 0.5, 0.25, 0.0])


def test_filled_voxels_add_up_to_the_volume():
    axis = np.arange(-20, 20, 2.0, dtype=np.float32) + 0.3
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    share = filled(ellipsoid(x, y, z, (0, 0, 0), (13, 13, 13)), 2.0)
    assert 8 * share.sum() == pytest.approx(4 / 3 * np.pi * 13**3, rel=0.01)


def test_a_ramp_runs_from_zero_to_one():
    np.testing.assert_allclose(ramp(np.array([0.0, 1.0, 2.0, 3.0]), 1.0, 2.0), [0, 0, 1, 1])
