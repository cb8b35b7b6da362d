"""Anomalies: what lies beside a map, in both forms, is whole or absent and vouched for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from dicom_corpus import MR, each
from dicom_judges import iod_errors, missing_attributes

from medgen.cohort import Case, Options, Outcome, cases_of_input, check_cohort, convert_cohort
from medgen.cohort.cases import place
from medgen.dicom.outgoing import outgoing_files
from medgen.evaluation.matching import match_paths
from medgen.files import sha256_of_file
from medgen.problems import ConfigurationError, Exit
from medgen.runs import Model, load_model
from medgen.volumes import Grid, Volume, digest_of, list_volumes, open_volume, write_volume

CPU = torch.device("cpu")
SHAPE, SPACING = (20, 20, 10), (2.0, 2.0, 4.0)
BOTH = ("nifti", "dicom")


def model_of(run: Path) -> Model:
    """Return a run's model, to which all that is not 500 is unusual; a window's score is 18.5."""
    model = load_model(run, device=CPU)

    def infer(windows: torch.Tensor, answer: str = "forward") -> torch.Tensor:
        return torch.cat([windows, torch.full_like(windows, 18.5)], dim=1)

    model.method.infer = infer  # type: ignore[method-assign]
    return model


@pytest.fixture
def model(anomaly_run: Path) -> Model:
    return model_of(anomaly_run)


def head(*, lesion: bool) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    values = np.where((axes**2).sum(axis=0) < 1, 500.0, 3.0)
    if lesion:
        values[8:11, 8:11, 4:6] = 900.0
    return values


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Return a folder of a head with a lesion, and one without."""
    for name, lesion in (("p1", True), ("p2", False)):
        grid = Grid(SHAPE, np.diag([*SPACING, 1.0]))
        volume = Volume(head(lesion=lesion).astype(np.float32), grid)
        write_volume(tmp_path / "heads" / f"{name}.nii.gz", volume, dtype="int16")
    return tmp_path / "heads"


@pytest.fixture
def series(tmp_path: Path) -> Path:
    values = np.rint(head(lesion=True))
    each(tmp_path / "mr", MR, lambda dataset: None, shape=SHAPE, spacing=SPACING, values=values)
    return tmp_path / "mr"


def convert(model: Model, source: Path, output: Path, **options: Any) -> Outcome:
    cases = cases_of_input(source, model)
    return convert_cohort(model, cases, output, device=CPU, options=Options(**options))


def convert_series(model: Model, series: Path, output: Path, **options: Any) -> Outcome:
    cases = [Case("p1", {"mr": series})]
    return convert_cohort(model, cases, output, device=CPU, options=Options(**options))


def statuses(outcome: Outcome) -> list[str]:
    return [result.status for result in outcome.results]


def sidecar(output: Path, case: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((output / f"{case}.json").read_text())
    return content


def names_in(output: Path) -> list[str]:
    return sorted(path.name for path in output.iterdir() if not path.name.startswith("."))


def test_map_z_map_and_mask_are_written_and_vouched_for(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert convert(model, heads, out).exit_code == Exit.OK
    each_case = ["{}.json", "{}.nii.gz", "{}_mask.nii.gz", "{}_z.nii.gz"]
    expected = [name.format(case) for case in ("p1", "p2") for name in each_case]
    tables = ["index.html", "manifest.tsv", "previews", "scores.tsv"]
    assert names_in(out) == sorted([*expected, *tables])
    for case, voxels in (("p1", 18), ("p2", 0)):
        noted = sidecar(out, case)
        files = {name: out / f"{case}_{name}.nii.gz" for name in ("z", "mask")}
        assert noted["beside"] == {name: sha256_of_file(file) for name, file in files.items()}
        mask = nib.load(files["mask"])
        assert mask.get_data_dtype() == np.uint8
        assert (mask.get_fdata().sum(), mask.get_fdata().max(initial=0)) == (voxels, voxels > 0)
        assert noted["anomaly"]["mask_ml"] == pytest.approx(voxels * 0.016)
    lesion = (slice(8, 11), slice(8, 11), slice(4, 6))
    assert np.allclose(nib.load(out / "p1.nii.gz").get_fdata()[lesion], 400)
    assert np.allclose(nib.load(out / "p1_z.nii.gz").get_fdata()[lesion], 8, atol=0.05)
    assert sidecar(out, "p1")["anomaly"]["p"]["window_max"] == pytest.approx(2 / 20)
    assert sidecar(out, "p1")["anomaly"]["unusual"] is True
    assert statuses(convert(model, heads, out)) == ["kept", "kept"]


def test_a_residual_in_hu_is_not_rounded(heads: Path, tmp_path: Path, converted_in_hu: Any) -> None:
    volume = converted_in_hu(tmp_path / "hu.nii.gz")
    assert nib.load(volume).get_data_dtype() == np.float32


@pytest.fixture
def converted_in_hu() -> Any:
    def convert(path: Path) -> Path:
        from medgen.conversion import Converted, Outputs, Provenance, write_converted

        data = np.full(SHAPE, 0.4, dtype=np.float32)
        volume = Volume(data, Grid(SHAPE, np.eye(4)), "HU")
        facts = {"kind": "anomaly", "clipped_voxels": 0, "warnings": []}
        converted = Converted(volume, facts)
        write_converted(converted, {"ct": volume}, Outputs(path), Provenance("", "", ""))
        return path

    return convert


def test_without_a_calibration_there_is_the_map_alone(
    make_anomaly_run: Any, heads: Path, tmp_path: Path
) -> None:
    plain = model_of(make_anomaly_run(tmp_path / "plain", scored_to=0))
    out = tmp_path / "out"
    convert(plain, heads, out)
    assert [name for name in names_in(out) if name.startswith("p1")] == ["p1.json", "p1.nii.gz"]
    row = (out / "scores.tsv").read_text().splitlines()[1].split("\t")
    assert row[:4] == ["p1", row[1], "", ""]
    assert float(row[1]) > 0
    assert "beside" not in sidecar(out, "p1")


@pytest.mark.parametrize("lost", ["p1_z.nii.gz", "p1_mask.nii.gz", "p1.json", "p1.nii.gz"])
def test_what_is_lost_is_made_again(model: Model, heads: Path, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    before = {path.name: sha256_of_file(path) for path in out.glob("p*.nii.gz")}
    (out / lost).unlink()
    assert statuses(convert(model, heads, out)) == ["kept", "ok"]
    assert before == {path.name: sha256_of_file(path) for path in out.glob("p*.nii.gz")}
    assert statuses(convert(model, heads, out)) == ["kept", "kept"]


@pytest.mark.parametrize(("name", "noun"), [("mask", "mask"), ("z", "z-map")])
def test_what_was_changed_is_kept_unless_overwritten(
    model: Model, heads: Path, tmp_path: Path, name: str, noun: str
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    file = out / f"p1_{name}.nii.gz"
    whole = sha256_of_file(file)
    file.write_bytes(b"drawn by hand")
    with pytest.raises(ConfigurationError, match=f"E_OUTPUT_CHANGED .* the {noun}"):
        convert(model, heads, out)
    assert file.read_bytes() == b"drawn by hand"
    assert statuses(convert(model, heads, out, overwrite=True)) == ["kept", "ok"]
    assert sha256_of_file(file) == whole


def test_a_foreign_mask_is_not_replaced_unasked(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "p1_mask.nii.gz").write_text("a radiologist's own")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, heads, out)
    assert (out / "p1_mask.nii.gz").read_text() == "a radiologist's own"


def test_no_mask_of_an_earlier_answer_stays(
    model: Model, heads: Path, tmp_path: Path, make_anomaly_run: Any
) -> None:
    out, plain = tmp_path / "out", model_of(make_anomaly_run(tmp_path / "plain", scored_to=0))
    convert(model, heads, out)
    (out / "p2_mask.nii.gz").write_text("changed since, so no longer convert's own")
    assert statuses(convert(plain, heads, out, overwrite=True)) == ["ok", "ok"]
    assert [path.name for path in out.glob("*_*.nii.gz")] == ["p2_mask.nii.gz"]


def test_another_calibration_is_another_answer(
    model: Model, heads: Path, tmp_path: Path, make_anomaly_run: Any
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    asked = {"direction": "positive", "score": "window_max", "case_false_positives": 0.1}
    again = model_of(make_anomaly_run(tmp_path / "again", scored_to=20, **asked))
    assert again.weights_digest == model.weights_digest
    with pytest.raises(ConfigurationError, match="E_OUTPUT_OF_OTHER_MODEL"):
        convert(again, heads, out)


def test_a_failed_case_leaves_nothing(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    source = heads / "p1.nii.gz"
    source.write_bytes(source.read_bytes()[:-9])
    assert statuses(convert(model, heads, out)) == ["kept", "failed"]
    assert not list(out.glob("p1*"))
    assert [line.split("\t")[0] for line in (out / "scores.tsv").read_text().splitlines()] == [
        "case",
        "p2",
    ]


def test_no_score_outlives_its_answer_wherever_a_call_ends(
    model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    convert(model, heads, out)
    (heads / "p1.nii.gz").write_bytes((heads / "p2.nii.gz").read_bytes())
    monkeypatch.setattr("medgen.cohort.case_work.write_converted", killed)
    with pytest.raises(KeyboardInterrupt):
        convert(model, heads, out)
    lines = (out / "scores.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["case", "p2"]
    monkeypatch.undo()
    convert(model, heads, out)
    assert len((out / "scores.tsv").read_text().splitlines()) == 3


def test_a_foreign_table_of_scores_is_refused(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "scores.tsv").write_text("my own scores")
    with pytest.raises(ConfigurationError, match="E_SCORES_FOREIGN"):
        convert(model, heads, out, overwrite=True)
    with pytest.raises(ConfigurationError, match="E_SCORES_FOREIGN"):
        check_cohort(model, cases_of_input(heads, model), out)
    assert (out / "scores.tsv").read_text() == "my own scores"


def test_what_cannot_be_written_whole_is_not_there_at_all(
    model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, volume: Volume, **options: Any) -> Any:
        if path.name.endswith("_mask.nii.gz"):
            raise OSError(28, "No space left on device")
        return write_volume(path, volume, **options)

    monkeypatch.setattr("medgen.conversion.file.write_volume", full)
    out = tmp_path / "out"
    assert statuses(convert(model, heads, out)) == ["failed", "failed"]
    assert not list(out.glob("p*"))
    monkeypatch.undo()
    assert statuses(convert(model, heads, out)) == ["ok", "ok"]


def test_one_file_has_its_own_beside_it(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "one" / "scan.mha"
    cases = [Case("p1", {"mr": heads / "p1.nii.gz"})]
    for status in ("ok", "kept"):
        assert statuses(convert_cohort(model, cases, out, device=CPU)) == [status]
    expected = ["manifest.tsv", "scan.json", "scan.mha", "scan_mask.mha", "scan_z.mha"]
    assert names_in(out.parent) == [*expected, "scores.tsv"]
    assert open_volume(out.with_name("scan_mask.mha")).data.sum() == 18
    assert (out.parent / "scores.tsv").read_text().splitlines()[1].startswith("scan\t")


def test_a_rate_that_nothing_tells_is_refused_before_anything_is_computed(
    heads: Path, tmp_path: Path, make_anomaly_run: Any
) -> None:
    fine = model_of(make_anomaly_run(tmp_path / "fine", case_false_positives=0.01))
    for act in (convert_cohort, check_cohort):
        how: Any = {"device": CPU} if act is convert_cohort else {}
        with pytest.raises(ConfigurationError, match="E_CALIBRATION_RATE"):
            act(fine, cases_of_input(heads, fine), tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_a_case_named_like_another_ones_mask_is_refused(tmp_path: Path) -> None:
    cases = [Case(name, {"mr": tmp_path / "x.nii"}) for name in ("a", "A_mask")]
    for formats in (("nifti",), ("dicom",)):
        with pytest.raises(ConfigurationError, match="E_CASE_NAME"):
            place(cases, tmp_path / "out", formats, beside=["z", "mask"])
        assert len(place(cases, tmp_path / "out", formats)) == 2


def test_an_input_is_never_replaced_by_a_mask(model: Model, heads: Path) -> None:
    (heads / "p2.nii.gz").rename(heads / "p1_mask.nii.gz")
    cases = [Case("p1", {"mr": heads / "p1_mask.nii.gz"})]
    with pytest.raises(ConfigurationError, match="E_OUTPUT_IS_INPUT"):
        place(cases, heads, beside=["z", "mask"])


@pytest.mark.parametrize("formats", [BOTH, ("dicom",)])
def test_of_dicom_two_maps_and_a_segmentation_are_written(
    model: Model, series: Path, tmp_path: Path, formats: Any
) -> None:
    out = tmp_path / "out"
    for status in ("ok", "kept"):
        assert statuses(convert_series(model, series, out, formats=formats)) == [status]
    made = {}
    for folder in ("p1", "p1_z", "p1_mask"):
        (file,) = (out / folder).iterdir()
        assert iod_errors(file) == []
        assert missing_attributes(file) == []
        made[folder] = pydicom.dcmread(file)
    assert [one.Modality for one in made.values()] == ["OT", "OT", "SEG"]
    assert len({one.SeriesInstanceUID for one in made.values()}) == 3
    assert len({one.SeriesDescription for one in made.values()}) == 3
    (segment,) = made["p1_mask"].SegmentSequence
    kinds = (segment.SegmentedPropertyCategoryCodeSequence[0], segment)
    assert (segment.SegmentLabel, kinds[0].CodeValue) == ("anomaly", "49755003")
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "49755003"
    assert sum(int(frame.sum()) for frame in np.atleast_3d(made["p1_mask"].pixel_array)) == 18
    assert made["p1"].pixel_array.max() == pytest.approx(400, abs=1)
    assert made["p1_z"].pixel_array.max() == pytest.approx(8, abs=0.1)
    noted = sidecar(out, "p1")
    digests = {name: digest_of(out / f"p1_{name}") for name in ("z", "mask")}
    assert noted["dicom"]["beside"] == digests
    assert (noted["beside"] == digests) == (formats == ("dicom",))
    assert len(outgoing_files(out).files) == 3


def test_series_beside_an_answer_are_nobody_elses(
    model: Model, series: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert_series(model, series, out, formats=("dicom",))
    assert [one.name for one in list_volumes(out)] == ["p1", "p1_mask", "p1_z"]
    assert [case.name for case in match_paths(out, out).cases] == ["p1"]
    convert_series(model, series, out, formats=BOTH)
    assert [one.name for one in list_volumes(out)] == ["p1", "p1_mask", "p1_z"]


@pytest.mark.parametrize("formats", [BOTH, ("nifti",)])
def test_a_series_that_is_lost_is_made_again_whichever_form_is_asked_for(
    model: Model, series: Path, tmp_path: Path, formats: Any
) -> None:
    out = tmp_path / "out"
    convert_series(model, series, out, formats=BOTH)
    assert statuses(convert_series(model, series, out, formats=formats)) == ["kept"]
    (out / "p1_z").rename(tmp_path / "moved")
    assert statuses(convert_series(model, series, out, formats=formats)) == ["ok"]
    assert (out / "p1_z" / "0001.dcm").is_file()
    assert statuses(convert_series(model, series, out, formats=BOTH)) == ["kept"]


def test_a_foreign_folder_is_never_replaced_by_a_series(
    model: Model, series: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "p1_mask").mkdir(parents=True)
    (out / "p1_mask" / "0001.dcm").write_text("somebody else's")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert_series(model, series, out, formats=BOTH, overwrite=True)
    assert (out / "p1_mask" / "0001.dcm").read_text() == "somebody else's"
