"""How one image is, in figures, beside plain computations of the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from medgen.data import Codec, Look, looks_at, regions_of
from medgen.data.look import LEVELS, grain_of, look_of
from medgen.volumes import Grid, Volume

SHAPE = (40, 44, 36)
SPACING = (2.0, 2.0, 2.0)
CODEC = Codec(0.0, 1000.0, False, "arbitrary", 0.0)
# Stored posterior, superior, right: figures are told along right, anterior, superior all the same.
AFFINE = np.array([[0, 0, 1.5, 0], [-1, 0, 0, 0], [0, 3.0, 0, 0], [0, 0, 0, 1.0]])
NATIVE = Volume(np.zeros((80, 24, 60), np.float32), Grid((80, 24, 60), AFFINE))


def head(seed: int = 0, *, low: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return an encoded image that brightens upwards, and its body, which begins at `low`."""
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in SHAPE))
    body = np.asarray(sum((axis / 0.8) ** 2 for axis in axes) < 1)
    body[:, :, :low] = False
    image = np.where(body, np.linspace(-0.5, 0.5, SHAPE[2])[None, None], -1.0)
    noise = np.random.default_rng(seed).normal(0, 0.05, SHAPE)
    return (image + body * noise).astype(np.float32), body


def look(image: np.ndarray, body: np.ndarray, spacing: tuple[float, ...] = SPACING) -> Look:
    regions = regions_of(body, spacing_mm=spacing)
    return look_of(image, body, regions, volume=NATIVE, codec=CODEC)


def test_geometry_is_told_in_the_patients_axes() -> None:
    figures = look(*head()).figures
    assert figures["spacing_mm"] == pytest.approx((1.5, 1.0, 3.0))
    assert figures["extent_mm"] == pytest.approx((90.0, 80.0, 72.0))
    litres = head()[1].sum() * 8 / 1e6
    assert figures["litres"] == pytest.approx((litres,))
    assert figures["body_fraction"] == pytest.approx((litres * 1e6 / (90 * 80 * 72),))


def test_a_cut_body_is_seen_on_the_side_where_it_is_cut() -> None:
    image, body = head()
    assert look(image, body).figures["cut"] == (0.0,) * 6
    lower = slice(SHAPE[2] // 2, None)
    cut = look(image[..., lower], body[..., lower]).figures["cut"]
    assert cut[4] == pytest.approx(1.0, abs=0.03)
    assert cut[:4] + cut[5:] == (0.0,) * 5


def test_areas_and_means_follow_the_axes() -> None:
    image, body = head()
    figures = look(image, body).figures
    areas, means = (np.reshape(figures[name], (3, 10)) for name in ("areas", "means"))
    assert np.allclose(areas.mean(axis=1), 1.0)
    assert np.allclose(areas, areas[:, ::-1], atol=0.02)
    assert (np.diff(means[2]) > 0).all()
    assert np.abs(means[:2]).max() < 0.3
    over = np.reshape(look(image[..., ::-1], body[..., ::-1]).figures["means"], (3, 10))
    assert np.allclose(over[2], means[2, ::-1], atol=1e-6)


def test_quantiles_are_in_the_image_s_own_unit() -> None:
    image, body = head()
    deep = ndimage.distance_transform_edt(body, sampling=SPACING) > 4.0
    expected = np.quantile(CODEC.decode(image[deep]), LEVELS)
    assert look(image, body).figures["quantiles"] == pytest.approx(expected, abs=15)


def test_grain_is_that_of_noise_and_of_no_slope() -> None:
    """The mean of |a - 2b + c| of independent normal values is sqrt(6) sqrt(2 / pi) sigma."""
    _, body = head()
    for sigma in (0.02, 0.1):
        noise = np.random.default_rng(0).normal(0, sigma, SHAPE).astype(np.float32)
        expected = np.sqrt(6) * np.sqrt(2 / np.pi) * sigma
        assert grain_of(noise, body, 1.0) == pytest.approx((expected,) * 3, rel=0.04)
    slope = np.broadcast_to(np.linspace(-1, 1, SHAPE[2], dtype=np.float32), SHAPE)
    assert max(grain_of(slope, body, 1.0)) < 1e-6


def test_thicker_slices_lower_the_grain_along_their_axis_alone() -> None:
    image, body = head()
    thick = ndimage.zoom(image[..., ::3], (1, 1, 3), order=1)[..., : SHAPE[2]]
    fine, coarse = look(image, body).figures["grain"], look(thick, body).figures["grain"]
    assert coarse[2] < 0.6 * fine[2]
    assert coarse[0] > 0.6 * fine[0]


@settings(max_examples=10, deadline=None)
@given(st.floats(0.2, 5.0), st.floats(-2.0, 2.0))
def test_level_and_gain_of_an_image_change_its_values_and_nothing_of_its_shape(
    gain: float, offset: float
) -> None:
    image, body = head()
    plain, other = look(image, body).figures, look(gain * image + offset, body).figures
    for name in ("areas", "means", "grain", "litres", "cut"):
        assert other[name] == pytest.approx(plain[name], rel=1e-2, abs=1e-3)


def test_voxels_of_half_the_size_tell_the_same() -> None:
    image, body = head()
    fine = tuple(np.repeat(np.repeat(np.repeat(v, 2, 0), 2, 1), 2, 2) for v in (image, body))
    one, other = look(image, body), look(*fine, spacing=(1.0, 1.0, 1.0))
    assert other.face.as_json() == one.face.as_json()
    assert other.figures["areas"] == one.figures["areas"]


def test_a_body_of_one_voxel_is_still_a_body() -> None:
    image, body = np.full(SHAPE, -1.0, np.float32), np.zeros(SHAPE, bool)
    image[1, 1, 1], body[1, 1, 1] = 1.0, True
    assert look(image, body, (0.5, 0.5, 0.5)).figures["litres"][0] == pytest.approx(1.25e-7)


def test_channels_are_looked_at_by_column_and_json_keeps_them() -> None:
    image, body = head()
    found = looks_at(
        ("a", "b"),
        np.stack([image, -image, image]),  # the third is what a chain feeds
        {"a": CODEC, "b": CODEC},
        {"a": NATIVE, "b": NATIVE},
        body,
        regions_of(body, spacing_mm=SPACING),
    )
    assert found[0].as_json() == look(image, body).as_json()
    assert len(found) == 2
    kept = found[1].as_json()
    assert Look.from_json(json.loads(json.dumps(kept, allow_nan=False))).as_json() == kept
