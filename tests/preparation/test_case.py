"""What becomes of one case's columns where something is missing, elsewhere, lost or broken."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medgen.preparation.case as case_module
from medgen.preparation import Outcome, Request, prepare_table
from medgen.preparation.record import Result
from medgen.volumes import Grid, Volume, open_volume, write_volume

REQUEST = Request(
    fixed="t1",
    moving=("flair",),
    masks=("body", "seen"),
    carry={"lesion": "flair", "label": "t1"},
)


def result_of(outcome: Outcome, name: str, case: int = 0) -> Result:
    result = outcome.records[case].result(name)
    assert result is not None
    return result


def broken(*parts: object, **names: object) -> bytes:
    raise RuntimeError("/hospital/DOE^JANE")


def shifted(path: Path, millimetres: float) -> None:
    """Give a label a header that is so far off, along its first axis."""
    label = open_volume(path)
    affine = label.grid.affine.copy()
    affine[0, 3] += millimetres
    write_volume(path, Volume(label.data, Grid(label.grid.shape, affine)), dtype="uint8")


def without_flair(cohort: Path) -> None:
    """Empty the first case's cell."""
    text = cohort.read_text()
    assert "c0_flair.nii.gz" in text
    cohort.write_text(text.replace("c0_flair.nii.gz", ""))


@pytest.mark.parametrize(("column", "name"), [("label", "label"), ("lesion", "lesion_on_t1")])
@pytest.mark.parametrize("away_mm", [5000.0, 120.0])
def test_a_label_that_lands_nowhere_is_refused(
    cohort: Path, tmp_path: Path, quick: Any, column: str, name: str, away_mm: float
) -> None:
    quick()
    shifted(cohort.parent / f"c0_{column}.nii.gz", away_mm)
    result = result_of(prepare_table(cohort, REQUEST, tmp_path / "out"), name)
    assert (result.verdict, result.file) == ("failed", "")
    assert [(found.code, found.column) for found in result.problems] == [
        ("E_CARRY_OUTSIDE", column)
    ]
    assert "header" in result.problems[0].advice
    assert not (tmp_path / f"out/c0/{name}.nii.gz").exists()


def test_an_empty_label_is_one_that_says_nothing_is_there(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    path = cohort.parent / "c0_label.nii.gz"
    write_volume(path, open_volume(path).with_data(np.zeros((32, 34, 30), np.uint8)), dtype="uint8")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert result_of(outcome, "label").verdict == "ok"
    shifted(path, 5000.0)
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert result_of(outcome, "label").verdict == "failed"


def test_a_class_that_is_lost_or_cut_off_is_told_with_its_volume(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    path = cohort.parent / "c0_label.nii.gz"
    values = np.zeros((32, 34, 30), np.uint8)
    values[1:3, 4:8, 4:8], values[8:14, 4:8, 4:8], values[20:24, 4:8, 4:8] = 1, 2, 3
    write_volume(path, open_volume(path).with_data(values), dtype="uint8")
    shifted(path, -40.0)  # ten voxels: class 1 leaves, and two of the six slabs of class 2
    result = result_of(prepare_table(cohort, REQUEST, tmp_path / "out"), "label")
    assert (result.verdict, result.file) == ("doubtful", "label.nii.gz")
    assert result.reasons == (
        "class 1 was lost by the move: it had 2048 mm3",
        "class 2 had 6144 mm3 and has 4096 mm3 after the move",
    )


def test_what_an_affine_transform_enlarges_is_not_lost(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import medgen.preparation.aligning as aligning
    from medgen.registration import Registration

    quick()
    larger = np.diag([1.3, 1.3, 1.3, 1.0])
    monkeypatch.setattr(
        aligning, "register", lambda *images, **how: Registration(larger, 1.0, 0.5, 0.1, 3)
    )
    path = cohort.parent / "c0_lesion.nii.gz"
    values = np.zeros((32, 34, 30), np.uint8)
    values[10:20, 10:20, 10:20] = 1
    write_volume(path, open_volume(path).with_data(values), dtype="uint8")
    outcome = prepare_table(cohort, replace(REQUEST, transform="affine"), tmp_path / "out")
    carried = open_volume(tmp_path / "out/c0/lesion_on_t1.nii.gz").data
    assert carried.sum() > 1.8 * values.sum()
    assert result_of(outcome, "lesion_on_t1").verdict == "ok"


@pytest.mark.parametrize("broken_step", ["picture_of", "write_transform"])
def test_nothing_rides_along_with_a_column_that_failed_late_and_nothing_of_it_stays(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch, broken_step: str
) -> None:
    quick()
    monkeypatch.setattr(case_module, broken_step, broken)
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    for name in ("flair_on_t1", "lesion_on_t1", "seen"):
        result = result_of(outcome, name)
        assert (name, result.verdict, result.file) == (name, "failed", "")
    assert result_of(outcome, "label").verdict == "ok"
    files = {path.name for path in (tmp_path / "out/c0").iterdir()}
    written = {"t1.nii.gz", "label.nii.gz", "body.nii.gz", "masks.png"}
    assert files == written | {"prepared.json"}
    assert set(outcome.records[0].files) == written


def test_masks_are_as_good_without_their_picture(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick()
    monkeypatch.setattr(case_module, "picture_of_masks", broken)
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert outcome.exit_code == 0
    assert outcome.records[0].verdict == "ok"
    assert result_of(outcome, "body").file
    (remark,) = result_of(outcome, "t1").remarks
    assert remark == "the picture of the masks could not be made (E_INTERNAL)"


def test_a_label_without_its_image_is_told(cohort: Path, tmp_path: Path, quick: Any) -> None:
    quick()
    without_flair(cohort)
    outcome = prepare_table(cohort, replace(REQUEST, masks=("body",)), tmp_path / "out")
    (problem,) = outcome.records[0].all_problems
    assert (problem.code, problem.case, problem.column) == ("E_CARRY_ALONE", "c0", "lesion")
    assert problem.advice == "fill the cell of flair, or empty that of lesion"


def test_nobody_claims_to_know_what_a_missing_or_refused_image_shows(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick("failed", "doubtful")  # of the second and the third case
    without_flair(cohort)
    outcome = prepare_table(cohort, replace(REQUEST, carry={}), tmp_path / "out")
    missing, refused, doubtful = (result_of(outcome, "seen", case) for case in range(3))
    assert (missing.verdict, missing.file) == ("failed", "")
    assert [problem.code for problem in missing.problems] == ["E_COLUMN_EMPTY"]
    assert "flair: no image" in missing.reasons[0]
    assert (refused.verdict, refused.file) == ("failed", "")
    assert "flair, which was not registered" in refused.reasons[0]
    assert not (tmp_path / "out/c1/seen.nii.gz").exists()
    assert (doubtful.verdict, doubtful.file) == ("doubtful", "seen.nii.gz")
    assert doubtful.reasons == ("flair: edges lie 9 mm apart",)


def test_n4_evens_out_the_fixed_and_the_moving_image(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    cohort.write_text("\n".join(cohort.read_text().splitlines()[:2]) + "\n")
    ramp = np.exp(np.linspace(-0.8, 0.8, 32))[:, None, None]
    for column in ("t1", "flair"):
        path = cohort.parent / f"c0_{column}.nii.gz"
        volume = open_volume(path)
        values = np.where(volume.data > 20, 300.0, 3.0) * ramp
        write_volume(path, volume.with_data(values.astype(np.float32)), dtype="float32")

    def spreads(output: Path, n4: tuple[str, ...]) -> list[float]:
        """Return the spread of what was even tissue, in the fixed and in the moved image."""
        prepare_table(cohort, Request(fixed="t1", moving=("flair",), n4=n4), output)
        found = []
        for name in ("t1", "flair_on_t1"):
            inner = open_volume(output / f"c0/{name}.nii.gz").data[9:23, 11:23, 10:22]
            found.append(float(inner.std() / inner.mean()))
        return found

    biased = spreads(tmp_path / "biased", ())
    fixed_only = spreads(tmp_path / "fixed", ("t1",))
    both = spreads(tmp_path / "both", ("t1", "flair"))
    assert min(biased) > 0.2
    assert max(both) < 0.3 * min(biased)
    assert fixed_only == pytest.approx([both[0], biased[1]], rel=1e-3)


def test_hounsfield_units_beyond_what_can_be_stored_are_told(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    for column, count in (("t1", 2), ("flair", 1)):
        path = cohort.parent / f"c0_{column}.nii.gz"
        volume = open_volume(path)
        values = np.where(volume.data > 20, volume.data, -1000.0).astype(np.float32)
        values[16, 16, 10 : 10 + count] = 40000.0
        write_volume(path, volume.with_data(values), dtype="float32")
    request = Request(fixed="t1", moving=("flair",), hounsfield=("t1", "flair"))
    outcome = prepare_table(cohort, request, tmp_path / "out")
    told = "voxels lay beyond int16 and were clipped"
    assert result_of(outcome, "t1").remarks == (f"2 {told}",)
    assert f"1 {told}" in result_of(outcome, "flair_on_t1").remarks
