"""The lesion table beside an answer: whole or absent, vouched for, and in nobody's way."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from dicom_corpus import MR, each
from dicom_judges import iod_errors, missing_attributes

from medgen.cohort import Case, Options, Outcome, cases_of_input, check_cohort, convert_cohort
from medgen.cohort.cases import Format, place
from medgen.dicom.outgoing import outgoing_files
from medgen.discovery import Names, scan
from medgen.evaluation.matching import match_paths
from medgen.files import sha256_of_file
from medgen.problems import ConfigurationError, Exit
from medgen.runs import Model, load_model
from medgen.volumes import Grid, Volume, list_volumes, open_volume, write_volume

CPU = torch.device("cpu")
SHAPE, SPACING = (20, 20, 10), (2.0, 2.0, 4.0)


def model_of(run: Path) -> Model:
    """Return a run's model, which finds a lesion wherever its source is bright."""
    model = load_model(run, device=CPU)

    def bright(windows: torch.Tensor, answer: str = "forward") -> torch.Tensor:
        lesion = torch.sigmoid(20 * (windows - 0.5))
        return torch.cat([1 - lesion, lesion], dim=1)

    model.method.infer = bright  # type: ignore[method-assign]
    return model


@pytest.fixture
def model(lesion_run: Path) -> Model:
    return model_of(lesion_run)


def head(lesions: Sequence[tuple[int, int, int]]) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    values = np.where((axes**2).sum(axis=0) < 1, 500.0, 3.0)
    for x, y, z in lesions:
        values[x : x + 2, y : y + 2, z] = 950.0
    return values


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Return a folder of a head with two lesions, and one with none."""
    for name, lesions in (("p1", [(6, 8, 4), (12, 9, 5)]), ("p2", [])):
        grid = Grid(SHAPE, np.diag([*SPACING, 1.0]))
        volume = Volume(head(lesions).astype(np.float32), grid)
        write_volume(tmp_path / "heads" / f"{name}.nii.gz", volume, dtype="int16")
    return tmp_path / "heads"


def convert(model: Model, source: Path, output: Path, **options: Any) -> Outcome:
    cases = cases_of_input(source, model)
    return convert_cohort(model, cases, output, device=CPU, options=Options(**options))


def statuses(outcome: Outcome) -> list[str]:
    return [result.status for result in outcome.results]


def sidecar(output: Path, case: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / f"{case}.json").read_text())
    return content


def test_a_table_lies_beside_every_answer(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert convert(model, heads, out).exit_code == Exit.OK
    with (out / "p1_lesions.tsv").open(newline="") as stream:
        first, second = csv.DictReader(stream, delimiter="\t")
    assert (first["class"], first["voxels"], first["volume_ml"]) == ("lesion", "4", "0.064000")
    assert [first[f"{axis}_ras_mm"] for axis in "xyz"] == ["13.00", "17.00", "16.00"]
    assert second["z_ras_mm"] == "20.00"
    assert 0.9 < float(first["mean_probability"]) <= float(first["max_probability"]) <= 1
    assert (out / "p2_lesions.tsv").read_text().count("\n") == 1
    for case, count in (("p1", 2), ("p2", 0)):
        noted = sidecar(out, case)
        assert noted["lesion_table_digest"] == sha256_of_file(out / f"{case}_lesions.tsv")
        assert noted["lesions"]["lesion"]["count"] == count
    assert statuses(convert(model, heads, out)) == ["kept", "kept"]


@pytest.mark.parametrize("lost", ["p1_lesions.tsv", "p1.json", "p1.nii.gz"])
def test_what_is_lost_is_made_again(model: Model, heads: Path, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    before = {path.name: sha256_of_file(path) for path in out.glob("p*.[nt]*")}
    (out / lost).unlink()
    assert statuses(convert(model, heads, out)) == ["kept", "ok"]
    assert before == {path.name: sha256_of_file(path) for path in out.glob("p*.[nt]*")}
    assert statuses(convert(model, heads, out)) == ["kept", "kept"]


def test_a_table_that_was_changed_is_kept_unless_overwritten(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    table = out / "p1_lesions.tsv"
    whole = table.read_text()
    table.write_text(whole + "a note\n")
    with pytest.raises(ConfigurationError, match=r"E_OUTPUT_CHANGED .* the lesion table") as caught:
        convert(model, heads, out)
    assert [problem.case for problem in caught.value.problems] == ["p1"]
    assert table.read_text() == whole + "a note\n"
    assert statuses(convert(model, heads, out, overwrite=True)) == ["kept", "ok"]
    assert table.read_text() == whole


def test_a_foreign_table_is_not_replaced_unasked(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "p1_lesions.tsv").write_text("a radiologist's own")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, heads, out)
    assert (out / "p1_lesions.tsv").read_text() == "a radiologist's own"


def test_no_table_of_an_earlier_answer_stays(
    model: Model, heads: Path, tmp_path: Path, make_lesion_run: Any
) -> None:
    out, plain = tmp_path / "out", model_of(make_lesion_run(tmp_path / "plain"))
    convert(model, heads, out)
    (out / "p2_lesions.tsv").write_text("changed since, so no longer convert's own")
    assert statuses(convert(plain, heads, out, overwrite=True)) == ["ok", "ok"]
    assert [path.name for path in out.glob("*_lesions.tsv")] == ["p2_lesions.tsv"]
    assert "lesions" not in sidecar(out, "p1")


def test_a_failed_case_leaves_no_table(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    source = heads / "p1.nii.gz"
    source.write_bytes(source.read_bytes()[:-9])
    assert statuses(convert(model, heads, out)) == ["kept", "failed"]
    assert not list(out.glob("p1*"))


@pytest.mark.parametrize("broken", ["write_text", "write_json"])
def test_what_cannot_be_written_whole_is_not_there_at_all(
    model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"medgen.conversion.file.{broken}", full)
    out = tmp_path / "out"
    assert statuses(convert(model, heads, out)) == ["failed", "failed"]
    assert not list(out.glob("p*"))
    monkeypatch.undo()
    assert statuses(convert(model, heads, out)) == ["ok", "ok"]


def test_the_table_comes_before_the_sidecar(
    model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def killed(path: Path, content: object) -> None:
        assert path.with_name(f"{path.stem}_lesions.tsv").is_file()
        raise KeyboardInterrupt

    monkeypatch.setattr("medgen.conversion.file.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        convert(model, heads, out)
    monkeypatch.undo()
    assert statuses(convert(model, heads, out)) == ["ok", "ok"], "what a kill leaves is replaced"


def test_a_dry_run_writes_none(model: Model, heads: Path, tmp_path: Path) -> None:
    outcome = check_cohort(model, cases_of_input(heads, model), tmp_path / "out")
    assert statuses(outcome) == ["ok", "ok"]
    assert not (tmp_path / "out").exists()


def test_a_case_named_like_a_table_is_refused(tmp_path: Path) -> None:
    cases = [Case(name, {"mr": tmp_path / "x.nii"}) for name in ("a", "A_lesions.tsv")]
    formats: tuple[Format, ...] = ("nifti", "dicom")
    with pytest.raises(ConfigurationError, match="E_CASE_NAME"):
        place(cases, tmp_path / "out", formats, beside=["lesions"])
    assert all(not job.beside for job in place(cases, tmp_path / "out", formats))
    cases[1] = Case("a_lesions", {"mr": tmp_path / "x.nii"})
    jobs = place(cases, tmp_path / "out", formats, beside=["lesions"])
    names = [file.name for job in jobs for file in job.written if file.suffix == ".tsv"]
    assert names == ["a_lesions.tsv", "a_lesions_lesions.tsv"]


def test_a_table_is_no_volume(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    assert [one.name for one in list_volumes(out)] == ["p1", "p2"]
    assert [case.name for case in cases_of_input(out, model)] == ["p1", "p2"]
    assert [case.name for case in match_paths(out, out).cases] == ["p1", "p2"]

    def scanned() -> list[Any]:
        found = scan(out, names=Names(), output=tmp_path / "cases.csv", overwrite=True)
        return [found.volumes, found.cases, found.findings]

    with_tables = scanned()
    for table in out.glob("*_lesions.tsv"):
        table.unlink()
    assert with_tables == scanned()
    assert with_tables[0] == 2


@pytest.mark.parametrize(
    ("lesions", "formats"),
    [([(6, 8, 4), (12, 9, 5)], ("nifti", "dicom")), ([], ("dicom",))],
    ids=["two", "none"],
)
def test_of_dicom_a_segmentation_of_one_class_is_written(
    model: Model, tmp_path: Path, lesions: Any, formats: tuple[Format, ...]
) -> None:
    values = np.rint(head(lesions))
    each(tmp_path / "mr", MR, lambda dataset: None, shape=SHAPE, spacing=SPACING, values=values)
    out, cases = tmp_path / "out", [Case("p1", {"mr": tmp_path / "mr"})]
    for status in ("ok", "kept"):
        outcome = convert_cohort(model, cases, out, device=CPU, options=Options(formats=formats))
        assert statuses(outcome) == [status]
    (file,) = (out / "p1").iterdir()
    assert iod_errors(file) == []
    assert missing_attributes(file) == []
    made = pydicom.dcmread(file)
    assert [str(one.SegmentLabel) for one in made.SegmentSequence] == ["lesion"]
    assert made.PatientID == open_volume(tmp_path / "mr").series.frames[0].header.PatientID
    found = sum(int(frame.sum()) for frame in np.atleast_3d(made.pixel_array))
    assert found == 4 * len(lesions)
    assert (out / "p1_lesions.tsv").read_text().count("\n") == 1 + len(lesions)
    assert [one.name for one in list_volumes(out)] == ["p1"]
    outgoing = outgoing_files(out)
    assert ([one.path for one in outgoing.files], outgoing.refused) == ([file], ())
