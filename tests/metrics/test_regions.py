import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.metrics import PROFILES
from medgen.metrics.regions import PEAK_RADIUS_MM, measure, sphere, uptake
from medgen.problems import Refusal

SPACING = (1.5, 2.0, 2.5)
SHAPE = (40, 30, 24)
CENTRE = np.array([30.0, 30.0, 30.0])


def distance() -> np.ndarray:
    axes = [np.arange(n) * step for n, step in zip(SHAPE, SPACING, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return np.linalg.norm(grid - CENTRE, axis=-1)


def test_a_sphere_by_hand() -> None:
    radius = 15.0
    regions = (distance() < radius).astype(np.uint8) * 7
    reference = np.where(regions == 7, 5.0, 1.0)
    reference[tuple((CENTRE / SPACING).astype(int))] = 8.0
    prediction = np.where(regions == 7, 4.5, 1.3)
    found = measure(prediction, reference, regions, SPACING, {"ball": 7})
    scores = found.scores
    count = np.count_nonzero(regions)
    mean = (5.0 * (count - 1) + 8.0) / count
    assert found.remarks == ()
    assert scores["volume_ml_ball"] == pytest.approx(4 / 3 * math.pi * radius**3 / 1000, rel=0.02)
    assert scores["volume_ml_ball"] == pytest.approx(count * math.prod(SPACING) / 1000)
    assert scores["reference_suv_mean_ball"] == pytest.approx(mean)
    assert scores["reference_suv_max_ball"] == 8.0
    assert scores["suv_mean_bias_ball"] == pytest.approx(100 * (4.5 - mean) / mean)
    assert scores["suv_max_bias_ball"] == pytest.approx(100 * (4.5 - 8) / 8)
    ball = np.count_nonzero(sphere(SPACING))
    peak = (5.0 * (ball - 1) + 8.0) / ball
    assert scores["suv_peak_bias_ball"] == pytest.approx(100 * (4.5 - peak) / peak)


def test_the_spheres_volume_is_one_millilitre() -> None:
    assert 4 / 3 * math.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000)
    fine = sphere((0.4, 0.5, 0.6))
    assert fine.sum() * 0.4 * 0.5 * 0.6 == pytest.approx(1000, rel=0.01)
    assert fine[0].shape == (25, 21)
    assert sphere((7.0, 8.0, 9.0)).shape == (1, 1, 1)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 500), corner=st.integers(0, 9))
def test_the_peak_is_the_highest_mean_over_voxels_near_one_of_the_region(
    seed: int, corner: int
) -> None:
    random = np.random.default_rng(seed)
    values = random.gamma(1.0, 3.0, (12, 11, 5))
    members = np.zeros(values.shape, bool)
    members[corner : corner + 3, corner : corner + 2, 0:2] = True
    places = np.argwhere(np.ones(values.shape)) * (3.0, 4.0, 5.0)
    best = max(
        values.reshape(-1)[np.linalg.norm(places - at * (3.0, 4.0, 5.0), axis=1) <= 6.2035].mean()
        for at in np.argwhere(members)
    )
    found = uptake(values, members, (3.0, 4.0, 5.0))
    assert found.peak == pytest.approx(best)
    assert found.highest == values[members].max()
    assert found.mean == pytest.approx(values[members].mean())


def test_regions_are_scored_whatever_the_mask_and_whatever_is_around() -> None:
    random = np.random.default_rng(0)
    reference = random.gamma(2.0, 1.0, SHAPE)
    prediction = reference * 1.1
    regions = np.zeros(SHAPE, np.uint8)
    regions[20:30, 10:20, 8:16], regions[0:2, 0:2, 0:2] = 2, 9
    profile = PROFILES["pet"].for_regions({"grey": 2, "corner": 9})
    mask = np.zeros(SHAPE)
    mask[5:12, 5:12, 5:12] = 1
    scores = profile.score(prediction, reference, mask, spacing_mm=SPACING, regions=regions)
    assert tuple(scores) == profile.columns
    for name in ("grey", "corner"):
        for score in ("suv_mean_bias", "suv_max_bias", "suv_peak_bias"):
            assert scores[f"{score}_{name}"] == pytest.approx(10)
    far = np.where(distance() > 45, 400.0, prediction)
    again = measure(far, reference, regions, SPACING, {"grey": 2}).scores
    assert again["suv_peak_bias_grey"] == pytest.approx(10)


def test_absent_and_cold_regions_have_no_score_and_say_so() -> None:
    regions = np.zeros(SHAPE)
    regions[4:8, 4:8, 4:8] = 3
    cold = np.zeros(SHAPE)
    found = measure(cold + 1, cold, regions, SPACING, {"cold": 3, "spot": 60000})
    assert math.isnan(found.scores["suv_mean_bias_cold"])
    assert found.scores["reference_suv_mean_cold"] == 0.0
    assert found.scores["volume_ml_cold"] == pytest.approx(64 * 7.5 / 1000)
    assert all(math.isnan(v) for name, v in found.scores.items() if name.endswith("_spot"))
    assert found.remarks == (
        "regions that the case does not have, so NaN: spot",
        "a bias is NaN: the reference is not above 0 there: cold",
    )


def test_what_is_no_region_map_is_refused() -> None:
    volume, whole = np.random.default_rng(1).random(SHAPE), np.ones(SHAPE)
    profile = PROFILES["pet"].for_regions({"spot": 1})
    how = {"spacing_mm": SPACING}
    with pytest.raises(Refusal, match=r"E_LABEL_VALUES.*no whole numbers"):
        profile.measure(volume, volume, whole, regions=volume, **how)
    with pytest.raises(Refusal, match=r"E_METRIC_SHAPE.*regions 3x3x3"):
        profile.measure(volume, volume, whole, regions=np.ones((3, 3, 3)), **how)
    with pytest.raises(ValueError, match="given no map"):
        profile.measure(volume, volume, whole, **how)


def test_columns_by_region() -> None:
    plain = PROFILES["pet"]
    profile = plain.for_regions({"Hot spot": 4, "grey": 2})
    assert dict(profile.regions) == {"grey": 2, "hot_spot": 4}
    assert profile.overall == plain.details
    assert profile.columns[len(plain.columns) :][:2] == (
        "suv_mean_bias_grey",
        "suv_mean_bias_hot_spot",
    )
    of_spot = profile.of_region("hot_spot")
    assert [column.name for column in of_spot] == [f"{s.name}_hot_spot" for s in plain.regional]
    assert of_spot[0].definition.endswith("label value 4")
    assert [column.better for column in of_spot] == ["zero"] * 3 + [None] * 3
    assert any("SUVpeak" in note for note in profile.notes)
    assert profile.for_regions({"grey": 2}).notes == profile.notes
    with pytest.raises(ValueError, match="no scores by region"):
        PROFILES["hu"].for_regions({"grey": 2})
