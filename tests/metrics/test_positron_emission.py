import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import (
    normalized_root_mse,
    peak_signal_noise_ratio,
    structural_similarity,
)

from medgen.metrics import PROFILES
from medgen.problems import Refusal

PET = PROFILES["pet"]
SPACING = {"spacing_mm": (2.0, 2.0, 3.0)}
SHAPE = (20, 18, 16)


@pytest.fixture
def case() -> list[np.ndarray]:
    random = np.random.default_rng(4)
    reference = random.gamma(2.0, 1.5, SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:-2, 2:-4, 4:-1] = 1
    return [reference + random.normal(0.1, 0.4, SHAPE), reference, mask]


def test_scores_equal_those_of_scikit_image(case: list[np.ndarray]) -> None:
    scores = PET.score(*case, **SPACING)
    predicted, expected = (values[case[2] > 0] for values in case[:2])
    assert scores["nrmse_range"] == pytest.approx(
        normalized_root_mse(expected, predicted, normalization="min-max")
    )
    assert scores["nrmse_mean"] == pytest.approx(
        normalized_root_mse(expected, predicted, normalization="mean")
    )
    assert scores["nmse"] == pytest.approx(
        normalized_root_mse(expected, predicted, normalization="euclidean") ** 2
    )
    assert scores["data_range"] == expected.max()
    assert scores["psnr"] == pytest.approx(
        peak_signal_noise_ratio(expected, predicted, data_range=expected.max())
    )
    assert scores["bias_percent"] == pytest.approx(100 * (predicted.mean() / expected.mean() - 1))


def test_similarity_has_the_highest_value_as_its_range(case: list[np.ndarray]) -> None:
    prediction, reference, _ = case
    scores = PET.score(prediction, reference, np.ones(SHAPE), **SPACING)
    assert scores["ssim"] == pytest.approx(
        structural_similarity(prediction, reference, data_range=reference.max())
    )


def test_what_lies_outside_the_mask_does_not_count(case: list[np.ndarray]) -> None:
    inside = case[2] > 0
    wild = [np.where(inside, values, 500.0 * n) for n, values in enumerate(case[:2])]
    assert PET.score(*wild, case[2], **SPACING) == PET.score(*case, **SPACING)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-3, 1e5), seed=st.integers(0, 99))
def test_relative_scores_are_the_same_in_suv_and_in_becquerel(factor: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    reference = random.gamma(2.0, 1.5, (9, 9, 9))
    volumes = reference + random.normal(0, 0.5, reference.shape), reference
    regions = (reference > 4).astype(int)
    pet = PET.for_regions({"hot": 1})
    here, there = (
        pet.score(*(scale * v for v in volumes), reference > 1, regions=regions, **SPACING)
        for scale in (1.0, factor)
    )
    for column in pet.details:
        scale = factor if PET.unit in column.unit else 1.0
        assert there[column.name] == pytest.approx(scale * here[column.name], rel=1e-6, abs=1e-9)


def test_a_reference_without_uptake_is_refused_and_a_negative_mean_has_no_ratio() -> None:
    flat, whole = np.zeros(SHAPE), np.ones(SHAPE)
    for reference in (flat, flat + 2.0, flat - np.arange(SHAPE[2])):
        with pytest.raises(Refusal, match="E_METRIC_RANGE"):
            PET.score(flat, reference, whole, **SPACING)
    reference = flat - 1.0
    reference[4, 4, 4] = 3.0
    measured = PET.measure(flat, reference, whole, **SPACING)
    assert math.isnan(measured.scores["nrmse_mean"])
    assert math.isnan(measured.scores["bias_percent"])
    assert measured.scores["data_range"] == 3.0
    assert "not above 0" in measured.remarks[0]


def test_training_can_choose_weights_by_it_without_regions(case: list[np.ndarray]) -> None:
    profile = PET.for_labels({"ignored": 1})
    assert profile is PET
    assert profile.column("nrmse_range").better == "lower"
    assert list(profile.score(*case, **SPACING)) == list(profile.columns)
    assert profile.columns[0] == "mae"


def test_the_unit_is_put_in_where_it_is_known() -> None:
    known = PET.for_regions({"spot": 4}).in_unit("SUV")
    assert known.unit == "SUV"
    assert known.column("mae").unit == "SUV"
    assert known.column("gradient_mae").unit == "SUV per mm"
    assert known.column("reference_suv_max_spot").unit == "SUV"
    assert known.column("psnr").unit == "dB"
    assert known.columns == PET.for_regions({"spot": 4}).columns
