"""A table through the verb: what is written, what is refused, what is done again."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medgen.preparation.case as case_module
from medgen.data.table import read_table
from medgen.preparation import Outcome, Record, Request, Watch, prepare_table
from medgen.preparation.record import read_record
from medgen.problems import ConfigurationError, Exit, NothingFound
from medgen.volumes import Grid, Volume, open_volume, write_volume

REQUEST = Request(
    fixed="t1",
    moving=("flair",),
    masks=("body", "seen"),
    carry={"lesion": "flair", "label": "t1"},
    keep=("scanner",),
)


def rows_of(output: Path) -> dict[str, dict[str, str]]:
    with (output / "cases.csv").open() as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def manifest_of(output: Path) -> list[dict[str, str]]:
    with (output / "manifest.tsv").open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def codes(error: pytest.ExceptionInfo[ConfigurationError]) -> set[str]:
    return {problem.code for problem in error.value.problems}


def test_every_column_lands_on_the_fixed_grid_and_in_the_table(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert outcome.exit_code == Exit.OK
    rows = rows_of(tmp_path / "out")
    columns = ["t1", "flair_on_t1", "lesion_on_t1", "label", "body", "seen"]
    assert list(rows["c0"]) == [
        *("case", "patient", "split", *columns, "flair_on_t1_verdict", "scanner")
    ]
    assert rows["c2"]["split"] == "test"
    assert rows["c0"]["scanner"] == "A"
    assert rows["c0"]["flair_on_t1_verdict"] == "ok"
    table = read_table(tmp_path / "out" / "cases.csv", columns=columns)
    volumes = {name: open_volume(path) for name, path in table.row("c1").cells.items()}
    assert set(volumes) == set(columns)
    assert all(volume.grid.same_as(volumes["t1"].grid) for volume in volumes.values())


def test_what_is_carried_goes_the_way_of_its_image(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    prepare_table(cohort, REQUEST, tmp_path / "out")
    label = open_volume(tmp_path / "out/c1/label.nii.gz")
    lesion = open_volume(tmp_path / "out/c1/lesion_on_t1.nii.gz")
    assert lesion.data.dtype == np.uint8
    # Drawn at the same place of two heads that lie SHIFT_MM apart.
    assert np.array_equal(lesion.data, label.data)
    assert label.data.sum() == 3 * 4 * 3


def test_nothing_is_made_up_beyond_the_field_of_view(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    prepare_table(cohort, REQUEST, tmp_path / "out")
    source = open_volume(cohort.parent / "c0_flair.nii.gz")
    moved = open_volume(tmp_path / "out/c0/flair_on_t1.nii.gz")
    seen = open_volume(tmp_path / "out/c0/seen.nii.gz").data > 0
    body = open_volume(tmp_path / "out/c0/body.nii.gz").data > 0
    # The images end together once registered: the flair's own world was off, not what it shows.
    assert np.allclose(moved.data, source.data)
    assert np.array_equal(seen, body)
    cut = Volume(source.data[:, :, 12:], source.grid.crop((0, 0, 12), (32, 34, 18)))
    write_volume(cohort.parent / "c0_flair.nii.gz", cut, dtype="float32")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    moved = open_volume(tmp_path / "out/c0/flair_on_t1.nii.gz")
    assert (moved.data[:, :, :12] == source.data.min()).all()
    seen = open_volume(tmp_path / "out/c0/seen.nii.gz").data > 0
    assert np.array_equal(seen[:, :, 12:], body[:, :, 12:])
    assert not seen[:, :, :12].any()
    result = outcome.records[0].result("flair_on_t1")
    assert result is not None
    assert "does not show the whole body" in result.remarks[0]
    assert 0.5 < (result.numbers["seen"] or 0) < 0.9


def test_a_ct_keeps_whole_hu_and_becomes_air_beyond_its_view(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    source = open_volume(cohort.parent / "c0_flair.nii.gz")
    values = np.where(source.data > 20, source.data - 200.4, -1000.4)
    hu = Volume(values[:, :, 8:], source.grid.crop((0, 0, 8), (32, 34, 22)))
    for case in ("c0", "c1", "c2"):
        write_volume(cohort.parent / f"{case}_flair.nii.gz", hu, dtype="float32")
    request = Request(fixed="t1", moving=("flair",), hounsfield=("flair",))
    prepare_table(cohort, request, tmp_path / "out")
    moved = open_volume(tmp_path / "out/c0/flair_on_t1.nii.gz")
    assert moved.data.dtype == np.int16
    assert (moved.data[:, :, :8] == -1024).all()
    assert moved.data[:, :, 8:].min() == -1000
    unsaid = Request(fixed="t1", moving=("flair",))
    outcome = prepare_table(cohort, unsaid, tmp_path / "unsaid")
    assert "say so by --hu" in str(outcome.records[0].result("flair_on_t1"))
    wrong = Request(fixed="t1", moving=("flair",), hounsfield=("flair", "t1"))
    outcome = prepare_table(cohort, wrong, tmp_path / "wrong")
    assert outcome.exit_code == Exit.ALL_FAILED
    assert [problem.code for problem in outcome.records[0].problems] == ["E_NOT_HU"]


def test_a_failed_registration_is_refused_with_all_that_rides_along(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick("ok", "failed", "doubtful")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert outcome.exit_code == Exit.SOME_FAILED
    rows = rows_of(tmp_path / "out")
    assert rows["c1"]["flair_on_t1"] == rows["c1"]["lesion_on_t1"] == ""
    assert rows["c1"]["flair_on_t1_verdict"] == "failed"
    assert rows["c1"]["t1"] == "c1/t1.nii.gz"
    assert rows["c1"]["label"] == "c1/label.nii.gz"
    assert not (tmp_path / "out/c1/flair_on_t1.nii.gz").exists()
    assert not list((tmp_path / "out/c1").glob("flair_to_t1*"))
    assert (tmp_path / "out/c1/flair_on_t1.png").exists()
    assert rows["c2"]["flair_on_t1"] == "c2/flair_on_t1.nii.gz"
    assert rows["c2"]["flair_on_t1_verdict"] == "doubtful"
    (problem,) = outcome.records[1].all_problems
    assert (problem.code, problem.case, problem.column) == (
        "E_REGISTRATION_REFUSED",
        "c1",
        "flair",
    )
    assert problem.advice
    lines = {(line["case"], line["column"]): line for line in manifest_of(tmp_path / "out")}
    assert lines["c1", "flair_on_t1"]["verdict"] == "failed"
    assert lines["c1", "flair_on_t1"]["codes"] == "E_REGISTRATION_REFUSED"
    assert lines["c1", "lesion_on_t1"]["verdict"] == "failed"
    assert float(lines["c0", "flair_on_t1"]["edge_distance_mm_after"]) < float(
        lines["c0", "flair_on_t1"]["edge_distance_mm_before"]
    )
    assert float(lines["c0", "flair_on_t1"]["moved_mm"]) == pytest.approx(96**0.5, rel=1e-3)


def test_all_refused_is_exit_4(cohort: Path, tmp_path: Path, quick: Any) -> None:
    quick("failed", "failed", "failed")
    assert prepare_table(cohort, REQUEST, tmp_path / "out").exit_code == Exit.ALL_FAILED


def test_a_broken_case_does_not_stop_the_others(cohort: Path, tmp_path: Path, quick: Any) -> None:
    quick()
    path = cohort.parent / "c1_t1.nii.gz"
    path.write_bytes(path.read_bytes()[:500])
    (cohort.parent / "c0_lesion.nii.gz").write_bytes(b"")
    shutil.copy(cohort.parent / "c2_flair.nii.gz", cohort.parent / "c2_lesion.nii.gz")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert outcome.exit_code == Exit.SOME_FAILED
    first, second, third = outcome.records
    assert [problem.column for problem in first.all_problems] == ["lesion"]
    assert {problem.column for problem in second.problems} == {"t1"}
    assert [problem.code for problem in third.all_problems] == ["E_CARRY_NO_LABELS"]
    rows = rows_of(tmp_path / "out")
    assert rows["c0"]["flair_on_t1"]
    assert not rows["c0"]["lesion_on_t1"]
    assert not rows["c1"]["t1"]
    assert rows["c2"]["flair_on_t1"]


def test_a_stranger_in_one_column_is_told_without_its_message(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick()

    def broken(*arguments: object, **options: object) -> bytes:
        raise RuntimeError("/hospital/DOE^JANE")

    monkeypatch.setattr(case_module, "picture_of", broken)
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    (problem,) = outcome.records[0].all_problems
    assert problem.code == "E_INTERNAL"
    assert "DOE" not in str(problem)
    assert not outcome.records[0].lasting


def kept(outcome: Outcome) -> list[str]:
    return sorted(outcome.kept)


def test_a_second_call_does_only_what_changed(cohort: Path, tmp_path: Path, quick: Any) -> None:
    calls = quick("ok", "failed")
    prepare_table(cohort, REQUEST, tmp_path / "out")
    table = (tmp_path / "out/cases.csv").read_bytes()
    assert len(calls) == 3
    again = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert kept(again) == ["c0", "c1", "c2"]
    assert len(calls) == 3
    assert again.exit_code == Exit.SOME_FAILED
    assert (tmp_path / "out/cases.csv").read_bytes() == table
    changed = open_volume(cohort.parent / "c1_flair.nii.gz")
    write_volume(
        cohort.parent / "c1_flair.nii.gz", changed.with_data(changed.data + 1), dtype="float32"
    )
    (tmp_path / "out/c2/body.nii.gz").unlink()
    assert kept(prepare_table(cohort, REQUEST, tmp_path / "out")) == ["c0"]
    assert len(calls) == 5
    assert rows_of(tmp_path / "out")["c1"]["flair_on_t1"]


def test_an_interrupted_case_is_begun_again(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick()

    def interrupt(note: str) -> None:
        if note == "c1: flair":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_table(cohort, REQUEST, tmp_path / "out", watch=Watch(step=interrupt))
    assert not (tmp_path / "out/cases.csv").exists()
    record = read_record(tmp_path / "out/c1")
    assert record is not None
    assert record.status == "started"
    seen: list[tuple[str, bool]] = []

    def done(record: Record, kept: bool) -> None:
        seen.append((record.case, kept))

    prepare_table(cohort, REQUEST, tmp_path / "out", watch=Watch(case=done))
    assert seen == [("c0", True), ("c1", False), ("c2", False)]


def test_other_settings_and_foreign_or_changed_files_are_not_replaced_unasked(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    other = Request(fixed="t1", moving=("flair",), transform="affine")
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, other, output)
    assert codes(error) == {"E_OUTPUT_OF_OTHER_SETTINGS"}
    assert len(error.value.problems) == 3
    (output / "c0/body.nii.gz").write_bytes(b"drawn by hand")
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, REQUEST, output)
    assert codes(error) == {"E_OUTPUT_CHANGED"}
    prepare_table(cohort, other, output, overwrite=True)
    for case in ("c0", "c1", "c2"):
        assert {path.name for path in (output / case).iterdir()} == {
            *("prepared.json", "t1.nii.gz", "flair_on_t1.nii.gz", "flair_on_t1.png"),
            *("flair_to_t1.json", "flair_to_t1.tfm"),
        }
    foreign = tmp_path / "foreign"
    (foreign / "c2").mkdir(parents=True)
    (foreign / "c2/notes.txt").write_text("mine")
    (foreign / "cases.csv").write_text("case,patient\n")
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, REQUEST, foreign)
    assert codes(error) == {"E_OUTPUT_EXISTS"}
    assert len(error.value.problems) == 2


def test_an_input_is_never_in_the_way(cohort: Path, quick: Any) -> None:
    quick()
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, REQUEST, cohort.parent, overwrite=True)
    assert codes(error) == {"E_OUTPUT_IS_INPUT"}


def test_a_case_without_the_fixed_image_is_told_and_one_without_any_is_left_out(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    lines = cohort.read_text().splitlines()
    lines[1] = "c0,p0,train,A,,c0_flair.nii.gz,,"
    lines[2] = "c1,p1,train,A,,,,"
    lines[3] = "c2,p2,test,A,c2_t1.nii.gz,,,"
    cohort.write_text("\n".join(lines) + "\n")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    assert [record.case for record in outcome.records] == ["c0", "c2"]
    assert outcome.records[0].problems[0].code == "E_COLUMN_EMPTY"
    # What every registered image shows is not to be had without one of them; the rest is.
    verdicts = {result.column: result.verdict for result in outcome.records[1].results}
    assert verdicts["t1"] == "ok"
    assert verdicts["seen"] == "failed"
    assert outcome.exit_code == Exit.SOME_FAILED
    for line in (1, 3):
        lines[line] = f"{lines[line].split(',')[0]},p{line},train,A,,,,"
    cohort.write_text("\n".join(lines) + "\n")
    with pytest.raises(NothingFound):
        prepare_table(cohort, REQUEST, tmp_path / "none")


def test_files_cannot_be_kept_as_words(cohort: Path, tmp_path: Path, quick: Any) -> None:
    quick()
    request = Request(fixed="t1", moving=("flair",), keep=("label", "scaner"))
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, request, tmp_path / "out")
    assert codes(error) == {"E_KEEP_FILES", "E_TABLE_COLUMN"}


def test_spacing_and_n4_touch_the_fixed_image_too(cohort: Path, tmp_path: Path, quick: Any) -> None:
    quick()
    request = Request(fixed="t1", moving=("flair",), spacing_mm=(8.0, 8.0, 8.0), n4=("t1",))
    prepare_table(cohort, request, tmp_path / "out")
    t1 = open_volume(tmp_path / "out/c0/t1.nii.gz")
    assert t1.grid.spacing_mm == pytest.approx([8.0, 8.0, 8.0])
    assert t1.data.dtype == np.float32
    assert open_volume(tmp_path / "out/c0/flair_on_t1.nii.gz").grid.same_as(t1.grid)
    plain = Request(fixed="t1", masks=("body",))
    assert prepare_table(cohort, plain, tmp_path / "plain").exit_code == Exit.OK
    before = open_volume(cohort.parent / "c0_t1.nii.gz")
    after = open_volume(tmp_path / "plain/c0/t1.nii.gz")
    assert after.data.dtype == before.data.dtype
    assert np.array_equal(after.data, before.data)


def test_a_deformable_registration_starts_from_the_affine_one(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import medgen.preparation.aligning as aligning
    import medgen.preparation.preparation as preparation
    from medgen.registration import Deformation

    calls = quick()

    def deform(*images: Any, start: Any) -> Deformation:
        field = np.zeros((*images[2].shape, 3), np.float32)
        field[..., 0] = 4.0
        return Deformation(field, 0.0, 4.0)

    monkeypatch.setattr(aligning, "deform", deform)
    monkeypatch.setattr(preparation, "require_elastix", lambda: None)
    request = Request(
        fixed="t1", moving=("flair",), carry={"lesion": "flair"}, transform="deformable"
    )
    prepare_table(cohort, request, tmp_path / "out")
    assert calls == ["affine"] * 3
    lesion = open_volume(tmp_path / "out/c0/lesion_on_t1.nii.gz").data
    label = open_volume(cohort.parent / "c0_label.nii.gz").data
    assert np.array_equal(lesion[:-1], label[1:])
    names = {path.name for path in (tmp_path / "out/c0").iterdir()}
    assert {"flair_to_t1.json", "flair_to_t1_warp.nii.gz"} <= names
    assert "flair_to_t1.tfm" not in names


@pytest.mark.slow
def test_a_moved_oblique_head_comes_back(cohort: Path, tmp_path: Path) -> None:
    source = open_volume(cohort.parent / "c0_flair.nii.gz")
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(0.2), -np.sin(0.2)], [np.sin(0.2), np.cos(0.2)]]
    moved = Volume(source.data, Grid(source.grid.shape, turn @ source.grid.affine))
    write_volume(cohort.parent / "c0_flair.nii.gz", moved, dtype="float32")
    lines = cohort.read_text().splitlines()[:2]
    cohort.write_text("\n".join(lines) + "\n")
    outcome = prepare_table(cohort, REQUEST, tmp_path / "out")
    (result,) = [found for found in outcome.records[0].results if found.kind == "moved"]
    content = json.loads((tmp_path / "out/c0/flair_to_t1.json").read_text())
    found = np.array(content["flair_to_t1"]) @ turn
    assert np.linalg.norm(found[:3, 3] - (8.0, -4.0, 4.0)) < 4.0
    assert result.verdict in ("ok", "doubtful")


WHOLE = ("cases.csv", "index.html", "manifest.tsv", "prepare.json")
"""The files that describe all cases together."""


def stop_at(case: str) -> Watch:
    """Return a watch that ends the call in the midst of a case."""

    def step(note: str) -> None:
        if note == f"{case}: flair to t1":
            raise KeyboardInterrupt

    return Watch(step=step)


def test_a_table_edited_by_hand_is_not_written_again_unasked(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    calls = quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    written = (output / "cases.csv").read_bytes()
    edited = written.replace(b"train", b"test", 1)
    (output / "cases.csv").write_bytes(edited)
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, REQUEST, output)
    assert codes(error) == {"E_OUTPUT_CHANGED"}
    assert "copy the edited table" in error.value.problems[0].advice
    assert (output / "cases.csv").read_bytes() == edited
    prepare_table(cohort, REQUEST, output, overwrite=True)
    assert (output / "cases.csv").read_bytes() == written
    assert len(calls) == 3
    (output / "prepare.json").write_text('{"table_sha256": 3}')
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, REQUEST, output)
    assert codes(error) == {"E_OUTPUT_EXISTS"}


def test_a_table_that_the_call_itself_changes_was_not_edited(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import medgen.preparation.preparation as preparation

    quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    wordless = replace(REQUEST, keep=())

    def interrupt(*arguments: object) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "index_page", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_table(cohort, wordless, output)
    assert kept(prepare_table(cohort, wordless, output)) == ["c0", "c1", "c2"]
    assert "scanner" not in rows_of(output)["c0"]


def test_an_interrupted_call_leaves_no_table_of_mixed_cases(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    assert all((output / name).exists() for name in WHOLE)
    other = replace(REQUEST, transform="affine")
    with pytest.raises(KeyboardInterrupt):
        prepare_table(cohort, other, output, overwrite=True, watch=stop_at("c1"))
    assert not any((output / name).exists() for name in WHOLE)
    prepare_table(cohort, other, output, overwrite=True)
    assert all((output / name).exists() for name in WHOLE)


def test_what_other_settings_made_goes_even_after_an_interruption(
    cohort: Path, tmp_path: Path, quick: Any
) -> None:
    quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    between = replace(REQUEST, masks=(), carry={"lesion": "t1"})
    with pytest.raises(KeyboardInterrupt):
        prepare_table(cohort, between, output, overwrite=True, watch=stop_at("c0"))
    record = read_record(output / "c0")
    assert record is not None
    assert {"body.nii.gz", "lesion.nii.gz"} <= set(record.files)
    (output / "c0/body.nii.gz").write_bytes(b"the call was killed before it was deleted")
    (output / "c0/lesion.nii.gz").write_bytes(b"the call was killed after it was written")
    prepare_table(cohort, Request(fixed="t1", moving=("flair",)), output, overwrite=True)
    for case in ("c0", "c1"):
        names = {path.name for path in (output / case).glob("*.nii.gz")}
        assert names == {"t1.nii.gz", "flair_on_t1.nii.gz"}


def test_a_deformable_transform_without_itk_is_refused_before_anything_is_touched(
    cohort: Path, tmp_path: Path, quick: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = quick()
    output = tmp_path / "out"
    prepare_table(cohort, REQUEST, output)
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setitem(sys.modules, "itk", None)
    with pytest.raises(ConfigurationError) as error:
        prepare_table(cohort, replace(REQUEST, transform="deformable"), output, overwrite=True)
    assert codes(error) == {"E_ITK_MISSING"}
    assert len(calls) == 3
    assert {path: path.read_bytes() for path in output.rglob("*") if path.is_file()} == before
