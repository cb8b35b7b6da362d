from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation.labelling import Labelling
from medgen.evaluation.matching import Case
from medgen.evaluation.scoring import load, score_case
from medgen.metrics import PROFILES, Profile
from medgen.problems import Refusal

AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3.0, 0, -28], [0, 0, 4.0, -33], [0, 0, 0, 1]])
HU = PROFILES["hu"]
LABELS = PROFILES["segmentation"].for_labels({"shell": 1, "core": 2})


def case_of(cohort: Path, name: str = "c1", *, mask: bool = True) -> Case:
    return Case(
        name,
        cohort / f"prediction/{name}.mha",
        cohort / f"reference/{name}.nii.gz",
        cohort / f"mask/{name}.nii.gz" if mask else None,
        "p1",
    )


def codes(scored: object) -> list[str]:
    return [problem.code for problem in scored.problems]  # type: ignore[attr-defined]


def test_files_score_like_their_arrays(cohort: Path) -> None:
    scored, triplet = score_case(case_of(cohort), HU)
    assert triplet is not None
    assert not scored.failed
    expected = HU.score(
        triplet.prediction, triplet.reference, triplet.mask, spacing_mm=(3.0, 3.0, 4.0)
    )
    assert scored.scores == pytest.approx(expected)
    assert 10 < scored.scores["mae"] < 20  # noise of sd 20
    assert set(scored.digests) == {"prediction", "reference", "mask"}
    assert scored.seen_in_training is None


def test_without_a_mask_the_outline_of_the_reference_serves(cohort: Path) -> None:
    with_mask = load(case_of(cohort), HU).mask
    outline = load(case_of(cohort, mask=False), HU).mask
    assert outline.sum() < with_mask.sum()
    assert (outline & with_mask).sum() == outline.sum()
    centre = tuple(length // 2 for length in outline.shape)
    assert outline[centre]


@pytest.mark.parametrize("flip", [0, 2])
def test_the_same_voxels_in_another_order_match_exactly(
    cohort: Path, write: Callable[..., Path], flip: int
) -> None:
    plain, _ = score_case(case_of(cohort), HU)
    triplet = load(case_of(cohort), HU)
    affine = AFFINE.copy()
    index = np.zeros(3)
    index[flip] = triplet.reference.shape[flip] - 1
    affine[:3, 3] = AFFINE[:3, :3] @ index + AFFINE[:3, 3]
    affine[:3, flip] *= -1
    write("prediction/c1.mha", np.flip(triplet.prediction, flip), affine)
    turned, _ = score_case(case_of(cohort), HU)
    assert turned.scores == pytest.approx(plain.scores)
    assert turned.remarks == plain.remarks


def test_another_grid_is_refused_with_both_grids_named(
    cohort: Path, write: Callable[..., Path]
) -> None:
    write("prediction/c1.mha", np.zeros((11, 10, 18)), AFFINE @ np.diag([2, 2, 1, 1]))
    scored, triplet = score_case(case_of(cohort), HU)
    assert triplet is None
    (problem,) = scored.problems
    assert (problem.code, problem.case, problem.column) == ("E_GRID_MISMATCH", "c1", "prediction")
    for part in ("11x10x18", "6x6x4", "22x20x18", "3x3x4"):
        assert part in problem.message
    assert "--match-grid" in problem.advice


def test_a_shifted_grid_of_equal_shape_is_never_stamped(
    cohort: Path, write: Callable[..., Path]
) -> None:
    affine = AFFINE.copy()
    affine[0, 3] += 3.0
    write("prediction/c1.mha", load(case_of(cohort), HU).prediction, affine)
    scored, _ = score_case(case_of(cohort), HU)
    assert codes(scored) == ["E_GRID_MISMATCH"]
    assert "3 mm apart" in scored.problems[0].message


def test_a_mask_on_another_grid_is_treated_alike(cohort: Path, write: Callable[..., Path]) -> None:
    coarse = np.ones((11, 10, 9))
    write("mask/c1.nii.gz", coarse, AFFINE @ np.diag([2, 2, 2, 1]), dtype="uint8")
    scored, _ = score_case(case_of(cohort), HU)
    assert [problem.column for problem in scored.problems] == ["mask"]
    matched, triplet = score_case(case_of(cohort), HU, match_grid=True)
    assert triplet is not None
    assert triplet.mask.all()
    assert any("mask was resampled" in remark for remark in matched.remarks)


def test_a_prediction_that_reaches_too_little_of_the_mask_is_refused(
    cohort: Path, write: Callable[..., Path]
) -> None:
    values = load(case_of(cohort), HU).prediction
    write("prediction/c1.mha", values[:, :, :9])
    scored, _ = score_case(case_of(cohort), HU, match_grid=True)
    assert codes(scored) == ["E_GRID_COVERAGE"]
    write("prediction/c1.mha", values[:, :, :-2])
    scored, triplet = score_case(case_of(cohort), HU, match_grid=True)
    assert triplet is not None
    assert not triplet.mask[:, :, -2:].any()
    assert any("not scored" in remark for remark in scored.remarks)


def test_an_empty_mask_and_an_unreadable_volume_fail_with_codes(
    cohort: Path, write: Callable[..., Path]
) -> None:
    write("mask/c1.nii.gz", np.zeros((22, 20, 18)), dtype="uint8")
    scored, _ = score_case(case_of(cohort), HU)
    assert codes(scored) == ["E_EMPTY_MASK"]
    (cohort / "reference/c2.nii.gz").write_bytes(b"not a volume")
    scored, _ = score_case(case_of(cohort, "c2"), HU)
    assert scored.problems[0].column == "reference"
    assert scored.problems[0].case == "c2"
    assert scored.scores == {}


def test_nan_voxels_are_refused_or_replaced(cohort: Path) -> None:
    import nibabel as nib

    values = load(case_of(cohort), HU).reference.astype(np.float32)
    values[0, 0, 0] = np.nan
    path = cohort / "reference/c1.nii.gz"
    image = nib.Nifti1Image(values, AFFINE)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    scored, _ = score_case(case_of(cohort), HU)
    assert codes(scored) == ["E_NONFINITE"]
    scored, _ = score_case(case_of(cohort), HU, nan_to=-1000.0)
    assert not scored.failed


@pytest.mark.parametrize("seen", [True, False, None])
def test_the_sidecar_tells_seen_cases_and_units(cohort: Path, seen: bool | None) -> None:
    path = cohort / "prediction/c1.json"
    facts = {True: '"seen_in_training": true, ', False: '"seen_in_training": false, ', None: ""}
    path.write_text("{" + facts[seen] + '"unit": "Bq/ml <b>"}')
    scored, _ = score_case(case_of(cohort), HU)
    assert scored.seen_in_training is seen
    assert any("another unit than HU" in remark for remark in scored.remarks)
    assert not any("Bq" in remark for remark in scored.remarks)
    scored, _ = score_case(case_of(cohort), PROFILES["mr"])
    assert scored.remarks == ()


def test_a_sidecar_of_another_file_is_doubted(cohort: Path) -> None:
    plain, _ = score_case(case_of(cohort), HU)
    path = cohort / "prediction/c1.json"
    path.write_text(f'{{"output_digest": "{plain.digests["prediction"]}"}}')
    assert score_case(case_of(cohort), HU)[0].remarks == ()
    path.write_text('{"output_digest": "0"}')
    assert "another file" in score_case(case_of(cohort), HU)[0].remarks[0]


def test_values_that_cannot_be_hounsfield_units_are_doubted(
    cohort: Path, write: Callable[..., Path]
) -> None:
    write("prediction/c1.mha", load(case_of(cohort), HU).prediction + 2000)
    scored, _ = score_case(case_of(cohort), HU)
    assert any(
        remark.startswith("the prediction has no value below 0") for remark in scored.remarks
    )


def test_no_message_names_a_path(cohort: Path) -> None:
    (cohort / "reference/c1.nii.gz").unlink()
    with pytest.raises(Refusal) as refused:
        load(case_of(cohort), HU)
    assert str(cohort) not in str(refused.value)


def test_a_mask_holds_nothing_beyond_its_own_field_of_view(
    cohort: Path, write: Callable[..., Path]
) -> None:
    half = np.ones_like(load(case_of(cohort), HU).mask)[:, :, :9]
    write("mask/c1.nii.gz", half, dtype="uint8")
    _, triplet = score_case(case_of(cohort), HU, match_grid=True)
    assert triplet is not None
    assert triplet.mask[:, :, :9].all()
    assert not triplet.mask[:, :, 9:].any()


def labels_of(labelled: Path, name: str = "c1", **more: Path) -> Case:
    paths = {role: labelled / f"{role}/{name}.nii.gz" for role in ("prediction", "reference")}
    return Case(name, **(paths | more))


def test_label_files_score_like_their_arrays_everywhere(labelled: Path) -> None:
    scored, triplet = score_case(labels_of(labelled), LABELS)
    assert triplet is not None
    assert triplet.mask.all()
    expected = LABELS.score(
        triplet.prediction, triplet.reference, triplet.mask, spacing_mm=(3.0, 3.0, 4.0)
    )
    assert scored.scores == pytest.approx(expected, nan_ok=True)
    assert 0.5 < scored.scores["dice"] < 1
    assert scored.scores["volume_ml_core"] == pytest.approx(
        np.count_nonzero(triplet.prediction == 2) * 36 / 1000
    )


def test_labels_are_scored_inside_a_mask(labelled: Path, write: Callable[..., Path]) -> None:
    half = np.zeros((22, 20, 18), np.uint8)
    half[:, :, :9] = 1
    mask = write("mask/c1.nii.gz", half, dtype="uint8")
    scored, triplet = score_case(labels_of(labelled, mask=mask), LABELS)
    whole, _ = score_case(labels_of(labelled), LABELS)
    assert triplet is not None
    assert np.array_equal(triplet.mask, half > 0)
    assert scored.scores["reference_volume_ml"] < 0.6 * whole.scores["reference_volume_ml"]


def test_labels_on_another_grid_take_the_nearest_value(
    labelled: Path, write: Callable[..., Path]
) -> None:
    fine = load(labels_of(labelled), LABELS).prediction.repeat(2, 0)
    affine = AFFINE @ np.diag([0.5, 1, 1, 1])
    affine[:3, 3] += AFFINE[:3, 0] * -0.25
    write("prediction/c1.nii.gz", fine, affine, dtype="uint8")
    refused, _ = score_case(labels_of(labelled), LABELS)
    assert codes(refused) == ["E_GRID_MISMATCH"]
    _, triplet = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert triplet is not None
    assert set(np.unique(triplet.prediction)) == {0, 1, 2}
    assert np.array_equal(triplet.prediction, fine[::2]) or np.array_equal(
        triplet.prediction, fine[1::2]
    )


def test_what_is_no_label_volume_is_refused_by_role(
    labelled: Path, write: Callable[..., Path]
) -> None:
    write("prediction/c1.nii.gz", np.full((22, 20, 18), 0.5))
    write("reference/c1.nii.gz", np.full((22, 20, 18), -1.0))
    scored, _ = score_case(labels_of(labelled), LABELS)
    assert [(p.code, p.case, p.column) for p in scored.problems] == [
        ("E_LABEL_VALUES", "c1", "prediction"),
        ("E_LABEL_VALUES", "c1", "reference"),
    ]


def test_merged_values_are_replaced_in_both_volumes(labelled: Path) -> None:
    triplet = load(labels_of(labelled), LABELS, labelling=Labelling(becomes={2: 1, 1: 0}))
    plain = load(labels_of(labelled), LABELS)
    assert np.array_equal(triplet.reference, plain.reference == 2)
    assert np.array_equal(triplet.prediction, plain.prediction == 2)


@pytest.mark.parametrize("profile", [HU, LABELS])
def test_anomaly_maps_have_a_profile_of_their_own(cohort: Path, profile: Profile) -> None:
    (cohort / "prediction/c1.json").write_text('{"unit": "arbitrary", "kind": "anomaly"}')
    scored, _ = score_case(case_of(cohort), profile)
    assert codes(scored) == ["E_PROFILE_KIND"]
    assert "--profile anomaly" in scored.problems[0].advice


def test_labels_are_not_scored_as_an_image(cohort: Path) -> None:
    (cohort / "prediction/c1.json").write_text('{"unit": "label", "labels": {"lesion": 1}}')
    scored, _ = score_case(case_of(cohort), HU)
    assert codes(scored) == ["E_PROFILE_KIND"]
    assert "--profile segmentation" in scored.problems[0].advice
