import math
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from medgen.metrics import PROFILES, Profile
from medgen.metrics.segmentation import SCORES, measure
from medgen.problems import Refusal

SEGMENTATION = PROFILES["segmentation"]
TISSUES = SEGMENTATION.for_labels({"grey": 1, "White matter": 2, "csf": 3})
SPACING = (1.0, 1.2, 2.0)
SHAPE = (18, 16, 12)


def tissues(seed: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Return smooth regions of four labels, the background among them."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.digitize(values, np.quantile(values, [0.3, 0.6, 0.8])).astype(np.uint8)


def scored(
    prediction: np.ndarray,
    reference: np.ndarray,
    profile: Profile = TISSUES,
    mask: np.ndarray | None = None,
    spacing: tuple[float, float, float] = SPACING,
) -> dict[str, float]:
    inside = np.ones(reference.shape, bool) if mask is None else mask
    return profile.score(prediction, reference, inside, spacing_mm=spacing)


def test_columns_are_the_class_means_then_each_score_by_class() -> None:
    assert SEGMENTATION.columns == tuple(score.name for score in SCORES)
    assert SEGMENTATION.columns[0] == TISSUES.columns[0] == "dice"
    assert TISSUES.columns[: len(SCORES)] == SEGMENTATION.columns
    assert TISSUES.columns[len(SCORES) :][:4] == (
        "dice_grey",
        "dice_white_matter",
        "dice_csf",
        "hd95_mm_grey",
    )
    assert len(TISSUES.columns) == 4 * len(SCORES)
    assert dict(TISSUES.classes) == {"grey": 1, "white_matter": 2, "csf": 3}
    assert TISSUES.overall == SEGMENTATION.details
    assert [column.name for column in TISSUES.of_class("csf")][:2] == ["dice_csf", "hd95_mm_csf"]
    assert TISSUES.column("volume_error_percent_csf").better == "zero"
    assert TISSUES.column("volume_error_percent").better == "lower"
    assert TISSUES.column("volume_ml_csf").better is None
    assert all(column.definition for column in TISSUES.details)
    assert (TISSUES.kind, TISSUES.unit) == ("labels", "label")
    assert TISSUES.for_labels({"lesion": 1}).columns[len(SCORES)] == "dice_lesion"
    assert PROFILES["hu"].for_labels({"a": 1}) is PROFILES["hu"]


def test_a_perfect_answer() -> None:
    reference = tissues(0)
    found = TISSUES.measure(reference, reference, reference >= 0, spacing_mm=SPACING)
    assert found.remarks == ()
    for name in ("", "_grey", "_white_matter", "_csf"):
        best = [found.scores[f"{score}{name}"] for score in ("dice", "lesion_f1", "lesion_recall")]
        assert best == [1.0, 1.0, 1.0]
        assert found.scores[f"hd95_mm{name}"] == found.scores[f"volume_error_percent{name}"] == 0.0
    counted = np.count_nonzero(reference == 2)
    assert found.scores["volume_ml_white_matter"] == pytest.approx(counted * 2.4 / 1000)
    assert found.scores["reference_volume_ml"] == pytest.approx(
        np.count_nonzero(reference) * 2.4 / 1000
    )


def test_scores_by_hand() -> None:
    reference = np.zeros((10, 4, 4), np.uint8)
    reference[1:5] = 1
    reference[6:8] = 2
    prediction = np.zeros_like(reference)
    prediction[2:5] = 1
    prediction[6:9] = 2
    found = scored(prediction, reference, SEGMENTATION.for_labels({"a": 1, "b": 2}))
    assert found["dice_a"] == pytest.approx(2 * 3 / 7)
    assert found["dice_b"] == pytest.approx(2 * 2 / 5)
    assert found["dice"] == pytest.approx((6 / 7 + 4 / 5) / 2)
    assert found["volume_error_percent_a"] == -25.0
    assert found["volume_error_percent_b"] == 50.0
    assert found["volume_error_percent"] == 37.5  # of the sizes: errors do not cancel
    assert found["volume_ml"] == pytest.approx(6 * 16 * 2.4 / 1000)
    assert found["reference_lesions"] == 2.0
    assert found["hd95_mm_a"] == 1.0


def test_equals_simple_itk() -> None:
    prediction, reference = tissues(1), tissues(0)
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(*(sitk.GetImageFromArray(volume) for volume in (reference, prediction)))
    found = scored(prediction, reference)
    for name, value in TISSUES.classes.items():
        assert found[f"dice_{name}"] == pytest.approx(measure.GetDiceCoefficient(value))
        # ITK divides the difference by the mean of both volumes
        error = found[f"volume_error_percent_{name}"] / 100
        assert error / (1 + error / 2) == pytest.approx(-measure.GetVolumeSimilarity(value))


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI warns itself
def test_equals_monai() -> None:
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance

    prediction, reference = tissues(1), tissues(0)
    tensors = [
        torch.from_numpy(np.stack([volume == value for value in range(4)])[None]).float()
        for volume in (prediction, reference)
    ]
    dice = compute_dice(*tensors, include_background=False)[0].tolist()
    surfaces = compute_hausdorff_distance(*tensors, percentile=95, spacing=SPACING)[0].tolist()
    found = scored(prediction, reference)
    assert [found[f"dice_{name}"] for name in TISSUES.classes] == pytest.approx(dice)
    assert [found[f"hd95_mm_{name}"] for name in TISSUES.classes] == pytest.approx(surfaces)
    assert found["dice"] == pytest.approx(np.mean(dice))
    assert found["hd95_mm"] == pytest.approx(np.mean(surfaces))


def test_what_neither_volume_has_is_nan_and_in_no_mean() -> None:
    reference = np.where(tissues(0) == 3, 0, tissues(0))
    prediction = np.where(tissues(1) == 3, 0, tissues(1))
    measured = TISSUES.measure(prediction, reference, reference >= 0, spacing_mm=SPACING)
    for score in ("dice", "hd95_mm", "volume_error_percent", "lesion_f1"):
        assert math.isnan(measured.scores[f"{score}_csf"])
        both = [abs(measured.scores[f"{score}_{name}"]) for name in ("grey", "white_matter")]
        assert measured.scores[score] == pytest.approx(np.mean(both))
    assert measured.scores["volume_ml_csf"] == 0.0
    assert measured.remarks == ("in neither volume, so NaN and in no class mean: csf",)


@pytest.mark.parametrize(
    ("lacking", "volume_error", "word"),
    [("prediction", -100.0, "missed"), ("reference", math.inf, "invented")],
)
def test_what_one_volume_has_scores_worst(lacking: str, volume_error: float, word: str) -> None:
    volumes = {"prediction": tissues(1), "reference": tissues(0)}
    volumes[lacking] = np.where(volumes[lacking] == 3, 0, volumes[lacking])
    inside = np.ones(SHAPE, bool)
    measured = TISSUES.measure(
        volumes["prediction"], volumes["reference"], inside, spacing_mm=SPACING
    )
    assert measured.scores["dice_csf"] == measured.scores["lesion_f1_csf"] == 0.0
    assert measured.scores["hd95_mm_csf"] == measured.scores["hd95_mm"] == math.inf
    assert measured.scores["volume_error_percent_csf"] == volume_error
    (remark,) = measured.remarks
    assert remark.startswith(word)
    assert "csf" in remark


def test_two_empty_volumes_have_no_score() -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    for profile in (TISSUES, SEGMENTATION):
        measured = profile.measure(nothing, nothing, nothing == 0, spacing_mm=SPACING)
        assert math.isnan(measured.scores["dice"])
        assert measured.scores["volume_ml"] == measured.scores["reference_lesions"] == 0.0
        assert len(measured.remarks) == 1
        assert "both volumes are empty" in measured.remarks[0]


def test_values_of_no_class_count_as_one_invented_class() -> None:
    reference = np.where(tissues(0) == 3, 0, tissues(0))
    profile = SEGMENTATION.for_labels({"grey": 1, "white": 2})
    prediction = reference.copy()
    prediction[0, 0, 0], prediction[5, 5, 5] = 7, 9
    measured = profile.measure(prediction, reference, reference >= 0, spacing_mm=SPACING)
    named = [measured.scores["dice_grey"], measured.scores["dice_white"]]
    assert measured.scores["dice"] == pytest.approx((sum(named) + 0.0) / 3)
    assert measured.scores["hd95_mm"] == math.inf
    assert measured.scores["lesion_precision"] < 1.0
    assert "(7, 9)" in measured.remarks[-1]
    assert "false positives of an unknown class" in measured.remarks[-1]


def test_without_names_every_value_is_a_class() -> None:
    prediction, reference = tissues(1), tissues(0)
    named, unnamed = scored(prediction, reference), scored(prediction, reference, SEGMENTATION)
    assert unnamed == pytest.approx({name: named[name] for name in unnamed})


def test_outside_the_mask_all_is_background() -> None:
    prediction, reference = tissues(1), tissues(0)
    mask = np.zeros(SHAPE, bool)
    mask[3:12, 2:9] = True
    cut = [np.where(mask, volume, 0) for volume in (prediction, reference)]
    assert scored(prediction, reference, mask=mask) == pytest.approx(scored(*cut))
    assert scored(prediction, reference, mask=mask) != pytest.approx(scored(prediction, reference))


@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.permutations([1, 2, 3]),
    axis=st.integers(0, 2),
    density=st.sampled_from([0.02, 0.3, 1.0]),
)
def test_flips_and_renumbering_change_nothing(
    seed: int, order: list[int], axis: int, density: float
) -> None:
    random = np.random.default_rng(seed)
    volumes = random.integers(0, 4, (2, 6, 5, 4)) * (random.random((2, 6, 5, 4)) < density)
    expected = scored(*volumes)
    assert expected.keys() == set(TISSUES.columns)
    flipped = [np.flip(volume, axis) for volume in volumes]
    assert scored(*flipped) == pytest.approx(expected, nan_ok=True)
    table = np.array([0, *order])
    renamed = SEGMENTATION.for_labels(
        {name: int(table[value]) for name, value in TISSUES.classes.items()}
    )
    found = scored(*(table[volume] for volume in volumes), profile=renamed)
    assert found == pytest.approx(expected, nan_ok=True)
    for name in TISSUES.classes:
        overlap = expected[f"dice_{name}"]
        assert math.isnan(overlap) or 0 <= overlap <= 1


def test_what_is_no_label_is_refused() -> None:
    reference = tissues(0)
    with pytest.raises(Refusal, match=r"E_LABEL_VALUES.*prediction"):
        scored(reference + 0.25, reference)
    with pytest.raises(Refusal, match="E_EMPTY_MASK"):
        scored(reference, reference, mask=np.zeros(SHAPE, bool))


def test_a_class_may_be_called_unknown() -> None:
    reference = tissues(0)
    profile = SEGMENTATION.for_labels({"unknown": 3, "grey": 1, "white": 2})
    assert dict(profile.classes) == {"grey": 1, "white": 2, "unknown_3": 3}
    assert scored(reference, reference, profile)["dice"] == 1.0
    prediction = reference.copy()
    prediction[0, 0, 0] = 9
    named = {"unknown": 3, "grey": 1, "white": 2}  # as a caller of its own may name them
    inside = np.ones(SHAPE, bool)
    found = measure(prediction, reference, inside, SPACING, named).scores
    expected = scored(prediction, reference)
    assert found["dice_unknown"] == expected["dice_csf"] > 0.9
    assert found["dice"] == pytest.approx(expected["dice"])


def test_memory_does_not_grow_with_the_classes() -> None:
    random = np.random.default_rng(0)
    reference = random.integers(0, 101, (48, 48, 48)).astype(np.uint8)  # all over the volume
    prediction = np.where(random.random(reference.shape) < 0.01, 0, reference)
    profile = SEGMENTATION.for_labels({f"r{value}": value for value in range(1, 101)})
    inside = np.ones(reference.shape, bool)
    tracemalloc.start()
    try:
        assert scored(prediction, reference, profile, inside, (1.0, 1.0, 1.0))["dice"] > 0.98
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / reference.size < 60  # bytes per voxel; all classes at once take 200 and more
