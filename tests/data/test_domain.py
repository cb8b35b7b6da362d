"""How a domain looks, and how far values lie from it."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import wasserstein_distance

from medgen.data import regions_of, with_rim
from medgen.data.domain import (
    SHARES,
    Domain,
    Face,
    contrast_of,
    face_of,
    fit_domain,
    shares,
)

SHAPE = (20, 20, 20)
SPACING = (2.0, 2.0, 2.0)
AXES = np.ix_(*(np.linspace(-1, 1, count) for count in SHAPE))
RADIUS = np.sqrt(sum((axis / 0.55) ** 2 for axis in AXES))
BARE = RADIUS < 1
BODY = with_rim(BARE, spacing_mm=SPACING)
INSIDE = ndimage.distance_transform_edt(BODY, sampling=SPACING) > 7.0

Draw = Callable[[np.random.Generator, int], np.ndarray]
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: rng.normal(0.2, 0.4, n),
    "shifted": lambda rng, n: rng.normal(0.5, 0.1, n),
    "skewed": lambda rng, n: rng.gamma(1.0, 0.5, n) - 1.0,
    "two levels": lambda rng, n: rng.choice([-0.5, 0.6], n),
    "constant": lambda rng, n: np.full(n, 0.1),
}


def face(image: np.ndarray, body: np.ndarray = BARE) -> Face:
    return face_of(image.astype(np.float32), regions_of(body, spacing_mm=SPACING))


def contrast(image: np.ndarray, body: np.ndarray = BARE) -> float | None:
    return contrast_of(image, regions_of(body, spacing_mm=SPACING))


def image_of(values: Draw, seed: int = 0, *, air: float = -1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    image = np.full(SHAPE, air)
    image[BODY] = values(rng, int(BODY.sum()))
    return image


@pytest.mark.parametrize("first", DRAWS)
@pytest.mark.parametrize("second", DRAWS)
def test_the_distance_is_scipy_s_on_the_raw_samples(first: str, second: str) -> None:
    rng = np.random.default_rng(3)
    one, other = DRAWS[first](rng, 4001), DRAWS[second](rng, 2777)
    domain = Domain(tuple(shares(one, SHARES)), 1.0, 0.0)
    expected = wasserstein_distance(one, other)
    assert domain.distance_to(other) == pytest.approx(expected, rel=0.015, abs=0.003)


def test_a_single_wild_voxel_moves_the_distance_by_its_share_alone() -> None:
    values = np.linspace(-1, 1, 10_000)
    domain = Domain(tuple(shares(values, SHARES)), 1.0, 0.0)
    wild = values.copy()
    wild[-1] = 50.0
    assert domain.distance_to(wild) == pytest.approx(wasserstein_distance(values, wild), rel=0.05)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=1, max_size=60), st.integers(1, 130))
def test_shares_keep_the_mean_and_the_order_of_any_number_of_values(
    values: list[float], count: int
) -> None:
    parts = shares(np.array(values), count)
    assert parts.shape == (count,)
    assert parts.mean() == pytest.approx(np.mean(values), abs=1e-9)
    assert (np.diff(parts) >= -1e-9).all()
    assert parts.min() >= min(values) - 1e-9
    assert parts.max() <= max(values) + 1e-9


def test_cases_count_alike_whatever_their_size() -> None:
    small = np.zeros(SHAPE, dtype=np.bool_)
    small[8:12, 8:12, 8:12] = True
    cases = [
        face(image_of(DRAWS["constant"])),
        face(np.where(with_rim(small, spacing_mm=SPACING), 0.9, -1.0), small),
    ]
    domain = fit_domain(cases)
    assert np.mean(domain.quantiles) == pytest.approx((0.1 + 0.9) / 2, abs=0.01)
    assert domain.distance == pytest.approx(0.8, abs=1e-6)
    assert domain.contrast == pytest.approx((1.1 + 1.9) / 2, abs=1e-6)


def test_the_farthest_case_is_found() -> None:
    images = [image_of(DRAWS["normal"], seed) for seed in range(4)]
    images.append(images[0] + 0.3)
    cases = [face(image) for k, image in enumerate(images)]
    inside = [image[INSIDE].astype(np.float32) for image in images]
    expected = wasserstein_distance(inside[-1], np.concatenate(inside[:-1]))
    assert fit_domain(cases).distance == pytest.approx(expected, rel=0.01)


def test_one_case_is_a_domain() -> None:
    domain = fit_domain([face(image_of(DRAWS["normal"]))])
    assert domain.distance == 0.0
    with pytest.raises(ValueError, match="case"):
        fit_domain([])


def test_spread_median_and_deviation_are_those_of_the_values() -> None:
    image = image_of(DRAWS["skewed"], 5)
    inside = image[INSIDE]
    domain = fit_domain([face(image)])
    assert domain.median == pytest.approx(np.median(inside), abs=0.03)
    assert domain.spread == pytest.approx(np.abs(inside - np.median(inside)).mean(), rel=0.02)
    assert domain.deviation == pytest.approx(inside.std(), rel=0.06)
    assert domain.distance_to(np.array([domain.median])) == pytest.approx(domain.spread)


def test_a_fringe_of_air_that_the_outline_took_in_changes_nothing() -> None:
    """Outlines of one head found on two modalities lie a voxel apart."""
    image = image_of(DRAWS["normal"], 2)
    fringed = image.copy()
    fringed[BODY & ~ndimage.binary_erosion(BODY)] = -1.0
    clean, other = (fit_domain([face(found)]) for found in (image, fringed))
    assert other.quantiles == clean.quantiles
    assert other.contrast == clean.contrast


def test_a_body_that_is_all_edge_counts_whole() -> None:
    thin = np.zeros(SHAPE, dtype=np.bool_)
    thin[8:10, 4:16, 4:16] = True
    regions = regions_of(thin, spacing_mm=SPACING)
    assert (regions.inside == with_rim(thin, spacing_mm=SPACING)).all()
    assert (regions_of(BARE, spacing_mm=SPACING).inside == INSIDE).all()
    whole = np.ones(SHAPE, dtype=np.bool_)
    assert regions_of(whole, spacing_mm=SPACING).inside.all()  # the volume's end is no edge


def test_the_shell_is_near_the_body_and_outside_its_rim() -> None:
    image = np.full(SHAPE, 7.0)
    radius_mm = RADIUS * 0.55 * (SHAPE[0] - 1) / 2 * SPACING[0]
    image[BODY] = 1.0
    image[~BODY & (radius_mm < 0.55 * 19 + 9)] = -1.0
    found = contrast(image)
    assert found is not None
    assert 1.0 < found <= 2.0  # beyond 10 mm it would be below nought
    assert contrast(image, np.ones(SHAPE, dtype=np.bool_)) is None


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 5.0), st.floats(-3.0, 3.0))
def test_contrast_follows_a_line_by_its_slope(slope: float, offset: float) -> None:
    image = image_of(DRAWS["normal"])
    before = contrast(image)
    after = contrast(slope * image + offset)
    assert before is not None
    assert after == pytest.approx(slope * before, rel=1e-9)


def test_a_domain_without_any_shell_knows_no_contrast() -> None:
    whole = np.ones(SHAPE, dtype=np.bool_)
    assert fit_domain([face(image_of(DRAWS["normal"]), whole)]).contrast == 0.0


def test_a_domain_survives_json_and_is_the_same_twice() -> None:
    cases = [face(image_of(DRAWS["normal"], seed)) for seed in range(3)]
    domain = fit_domain(cases)
    assert Domain.from_json(json.loads(json.dumps(domain.as_json()))) == domain
    assert fit_domain(cases) == domain
    assert len(domain.quantiles) == SHARES
