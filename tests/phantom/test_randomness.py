import numpy as np
import pytest

from medgen.phantom.randomness import Streams, banded_field, grain, smooth_field


def test_a_stream_starts_anew_whenever_it_is_asked_for():
    streams = Streams(3, 1)
    first = streams("a").standard_normal(4)
    np.testing.assert_array_equal(first, streams("a").standard_normal(4))


@pytest.mark.parametrize("other", [Streams(4, 1), Streams(3, 2)])
def test_streams_differ_by_seed_case_and_name(other):
    streams = Streams(3, 1)
    first = streams("a").standard_normal(4)
    assert not np.array_equal(first, other("a").standard_normal(4))
    assert not np.array_equal(first, streams("b").standard_normal(4))


def test_a_field_reads_the_same_at_points_and_on_a_grid():
    field = smooth_field(Streams(0, 0)("field"), correlation_mm=20.0)
    affine = np.diag([7.0, 5.0, 6.0, 1.0])
    affine[:3, 3] = (-20.0, 3.0, 1.0)
    on_grid = field.on((4, 5, 6), affine)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in (4, 5, 6)], indexing="ij"))
    points = np.einsum("ij,jxyz->ixyz", affine[:3, :3], index) + affine[:3, 3, None, None, None]
    x, y, z = points.astype(np.float32)
    np.testing.assert_allclose(on_grid, field.at(x, y, z), atol=1e-4)


def test_a_smooth_field_is_smooth_and_standardised():
    field = smooth_field(Streams(0, 0)("field"), correlation_mm=30.0)
    assert field.values.mean() == pytest.approx(0.0, abs=1e-4)
    assert field.values.std() == pytest.approx(1.0, abs=1e-4)
    assert np.abs(np.diff(field.values, axis=0)).mean() < 0.25


def test_a_banded_field_reads_as_distance_near_its_sheets():
    field = banded_field(Streams(0, 0)("maze"), wavelength_mm=30.0, pitch_mm=3.0)
    slopes = np.gradient(field.values, field.pitch_mm)
    slope = np.sqrt(sum(part**2 for part in slopes))
    near = np.abs(field.values) < 1.0
    assert np.median(slope[near]) == pytest.approx(1.0, abs=0.25)


@pytest.mark.parametrize("sigma", [0.5, 1.0, (0.4, 1.0, 2.0)])
def test_grain_has_unit_variance_whatever_its_correlation(sigma):
    noise = grain(np.random.default_rng(0), (40, 40, 40), np.asarray(sigma))
    assert noise.std() == pytest.approx(1.0, abs=0.06)
