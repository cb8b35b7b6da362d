import math

import numpy as np
import pytest

from medgen.metrics import PROFILES, mae, ms_ssim, profile_named, ssim
from medgen.problems import ConfigurationError, Refusal

SHAPE = (24, 20, 18)
SPACING = {"spacing_mm": (1.0, 1.0, 1.0)}
IMAGES = [name for name, profile in PROFILES.items() if profile.kind == "image"]


@pytest.fixture
def case() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    reference = random.uniform(-1024, 2000, SHAPE)
    prediction = reference + random.normal(0, 120, SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:-2, 2:-2, 2:-2] = 1
    return [prediction, reference, mask]


@pytest.mark.parametrize("name", IMAGES)
def test_every_profile_scores_its_columns(name: str, case: list[np.ndarray]) -> None:
    profile = PROFILES[name]
    scores = profile.score(*case, **SPACING)
    assert tuple(scores) == profile.columns
    assert all(type(value) is float for value in scores.values())
    assert all(profile.column(column).definition for column in profile.columns)
    assert profile.name == name


@pytest.mark.parametrize("name", IMAGES)
def test_every_profile_scores_a_perfect_answer_best(name: str, case: list[np.ndarray]) -> None:
    _, reference, mask = case
    scores = PROFILES[name].score(reference, reference, mask, **SPACING)
    assert scores["mae"] == 0.0
    assert scores["psnr"] == math.inf
    for column in ("ssim", "dice_bone_150", "dice_bone_250"):
        assert scores.get(column, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize("name", IMAGES)
def test_every_profile_refuses_what_cannot_be_scored(name: str, case: list[np.ndarray]) -> None:
    prediction, reference, mask = case
    with pytest.raises(Refusal, match="E_EMPTY_MASK"):
        PROFILES[name].score(prediction, reference, mask * 0, **SPACING)
    broken = np.where(mask, prediction, np.inf)
    with pytest.raises(Refusal, match="E_METRIC_NONFINITE"):
        PROFILES[name].score(broken, reference, mask, **SPACING)


def test_the_challenges_columns_and_definitions(case: list[np.ndarray]) -> None:
    prediction, reference, mask = case
    inside = mask > 0
    clipped = [np.clip(v, -1024, 3000)[inside] for v in (prediction, reference)]
    expected = 10 * math.log10(4024**2 / np.mean((clipped[0] - clipped[1]) ** 2))
    first, second = (PROFILES[f"synthrad{year}"].score(*case, **SPACING) for year in (2023, 2025))
    assert list(first) == ["mae", "psnr", "ssim"]
    assert list(second) == ["mae", "psnr", "ms_ssim"]
    for scores in (first, second):
        assert scores["psnr"] == pytest.approx(expected, abs=1e-9)
        assert scores["mae"] == mae(*case)
    assert first["ssim"] == ssim(*case, low=-1024, high=3000)
    assert second["ms_ssim"] == ms_ssim(*case)


def test_mae_is_not_clipped_but_psnr_is() -> None:
    reference = np.full(SHAPE, 3000.0)
    scores = PROFILES["synthrad2023"].score(reference + 500, reference, np.ones(SHAPE), **SPACING)
    assert scores["mae"] == 500.0
    assert scores["psnr"] == math.inf


def test_small_grids_are_reported(case: list[np.ndarray]) -> None:
    profile = PROFILES["synthrad2025"]
    (doubtful,) = profile.measure(*case, **SPACING).remarks
    assert "24x20x18" in doubtful
    assert "180" in doubtful
    prediction, reference, mask = case
    corner = np.zeros_like(mask)
    corner[2, 2, 2] = 1
    measured = profile.measure(prediction, reference, corner, **SPACING)
    assert math.isnan(measured.scores["ms_ssim"])
    assert "NaN" in measured.remarks[0]
    slab = tuple(np.ascontiguousarray(v[..., :6]) for v in case)
    assert "ssim is NaN" in PROFILES["synthrad2023"].measure(*slab, **SPACING).remarks[0]
    assert "ssim is NaN" in PROFILES["mr"].measure(*slab, **SPACING).remarks[0]


def test_tissue_classes_by_hand() -> None:
    reference = np.array([[[-1000.0, -250.0, 0.0, 249.0, 250.0, 1000.0]]])
    prediction = np.array([[[-990.0, -230.0, 30.0, 249.0, 200.0, 1100.0]]])
    scores = PROFILES["hu"].score(prediction, reference, np.ones(reference.shape), **SPACING)
    assert scores["mae_air"] == 10.0
    assert scores["mae_soft"] == pytest.approx(50 / 3)
    assert scores["mae_bone"] == 75.0
    assert scores["bias"] == pytest.approx((10 + 20 + 30 - 50 + 100) / 6)
    assert scores["dice_bone_250"] == pytest.approx(2 / 3)
    assert scores["dice_bone_150"] == 1.0
    assert scores["rmse"] == pytest.approx(math.sqrt((100 + 400 + 900 + 2500 + 10000) / 6))


def test_absent_classes_are_nan_with_a_reason() -> None:
    measured = PROFILES["hu"].measure(np.ones(SHAPE), np.zeros(SHAPE), np.ones(SHAPE), **SPACING)
    for column in ("mae_air", "mae_bone", "dice_bone_150", "dice_bone_250"):
        assert math.isnan(measured.scores[column])
        assert any(remark.startswith(f"{column} is NaN") for remark in measured.remarks)
    assert measured.scores["mae_soft"] == 1.0


def test_mr_ranges_come_from_the_reference_inside_the_mask() -> None:
    reference = np.zeros(SHAPE)
    reference[5, 5, 5], reference[6, 6, 6], reference[0, 0, 0] = 10.0, -30.0, 1e6
    mask = np.ones(SHAPE)
    mask[0, 0, 0] = 0
    scores = PROFILES["mr"].score(reference + 2.0, reference, mask, **SPACING)
    assert scores["data_range"] == 40.0
    assert scores["nrmse"] == pytest.approx(2 / 40)
    assert scores["psnr"] == pytest.approx(20 * math.log10(20))
    with pytest.raises(Refusal, match="E_METRIC_RANGE"):
        PROFILES["mr"].score(reference, np.zeros(SHAPE), mask, **SPACING)


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="synthrad2025"):
        profile_named("synthrad")
