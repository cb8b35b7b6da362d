from collections.abc import Callable
from pathlib import Path

import numpy as np

from medgen.evaluation.matching import Case
from medgen.evaluation.scoring import load, score_case
from medgen.metrics import PROFILES

AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3.0, 0, -28], [0, 0, 4.0, -33], [0, 0, 0, 1]])
LABELS = PROFILES["segmentation"].for_labels({"shell": 1, "core": 2})


def codes(scored: object) -> list[str]:
    return [problem.code for problem in scored.problems]  # type: ignore[attr-defined]


def labels_of(labelled: Path, **more: Path) -> Case:
    paths = {role: labelled / f"{role}/c1.nii.gz" for role in ("prediction", "reference")}
    return Case("c1", **(paths | more))


def test_beyond_a_prediction_all_is_background_and_said_so(
    labelled: Path, write: Callable[..., Path]
) -> None:
    values = load(labels_of(labelled), LABELS).prediction.copy()
    values[-1, :2, 0] = 1
    write("reference/c1.nii.gz", values, dtype="uint8")
    write("prediction/c1.nii.gz", values[:-1], dtype="uint8")
    scored, triplet = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert triplet is not None
    assert triplet.mask.all()
    assert not triplet.prediction[-1].any()
    assert any("count as background" in remark for remark in scored.remarks)
    values[-1] = 1
    write("reference/c1.nii.gz", values, dtype="uint8")
    scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert codes(scored) == ["E_GRID_COVERAGE"]
    assert "of the reference's labels" in scored.problems[0].message


def test_an_answer_of_a_part_must_hold_all_labels(
    labelled: Path, write: Callable[..., Path]
) -> None:
    values = load(labels_of(labelled), LABELS).reference.copy()
    values[:, :, 9:] = 0
    write("reference/c1.nii.gz", values, dtype="uint8")
    write("prediction/c1.nii.gz", values[:, :, :9], dtype="uint8")
    scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert scored.scores["dice"] == 1.0
    values[0, 0, 9] = 1  # one voxel that was not asked
    write("reference/c1.nii.gz", values, dtype="uint8")
    scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert codes(scored) == ["E_GRID_COVERAGE"]
    assert "50% of the reference's field of view" in scored.problems[0].message
    half = np.zeros_like(values)
    half[:, :, :9] = 1
    mask = write("mask/c1.nii.gz", half, dtype="uint8")
    scored, _ = score_case(labels_of(labelled, mask=mask), LABELS, match_grid=True)
    assert not scored.failed
    mask = write("mask/c1.nii.gz", 1 - half, dtype="uint8")
    scored, _ = score_case(labels_of(labelled, mask=mask), LABELS, match_grid=True)
    assert "0% of the mask" in scored.problems[0].message


def moved(millimetres: float) -> np.ndarray:
    """Return the affine moved along the patient's third axis."""
    affine = AFFINE.copy()
    affine[2, 3] += millimetres
    return affine


def test_an_answer_for_another_place_is_no_true_negative(
    labelled: Path, write: Callable[..., Path]
) -> None:
    empty, full = np.zeros((22, 20, 18), np.uint8), np.ones((22, 20, 18), np.uint8)
    write("reference/c1.nii.gz", empty, dtype="uint8")
    for values, shift, refused in (
        (full, 500.0, True),  # beside the reference
        (empty, 500.0, True),
        (full, 36.0, True),  # half of it
        (empty, 36.0, False),  # half of it, and no label anywhere
        (full, 0.0, False),
    ):
        write("prediction/c1.nii.gz", values, moved(shift), dtype="uint8")
        scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
        assert codes(scored) == ["E_GRID_COVERAGE"] * refused


def test_labels_beyond_the_reference_are_told_in_ml(
    labelled: Path, write: Callable[..., Path]
) -> None:
    reference = load(labels_of(labelled), LABELS).reference
    larger = np.concatenate([reference, np.zeros((22, 20, 6))], axis=2)
    larger[:5, 0, -1] = 1
    write("prediction/c1.nii.gz", larger, dtype="uint8")
    scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert scored.scores["dice"] == 1.0
    assert any(remark.startswith("0.18 ml of the predicted labels") for remark in scored.remarks)
    larger[:5, 0, -1] = 0
    write("prediction/c1.nii.gz", larger, dtype="uint8")
    scored, _ = score_case(labels_of(labelled), LABELS, match_grid=True)
    assert not any("ml of the predicted" in remark for remark in scored.remarks)
