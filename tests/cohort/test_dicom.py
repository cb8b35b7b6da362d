"""DICOM through a cohort's conversion: series in, derived series out, nothing half-written."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from dicom_corpus import MR, each, make_series, uid

from medgen.cohort import Case, Options, Outcome, cases_of_input, check_cohort, convert_cohort
from medgen.cohort.cases import Format
from medgen.dicom import Choice
from medgen.problems import ConfigurationError, Exit
from medgen.runs import Model
from medgen.volumes import digest_of, open_volume, write_volume

CPU = torch.device("cpu")
SHAPE, SPACING = (20, 20, 10), (2.0, 2.0, 4.0)
BOTH: tuple[Format, ...] = ("nifti", "dicom")


def ball() -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    inside = (axes**2).sum(axis=0) < 1
    return np.rint(np.where(inside, 500 + 200 * axes[0], 3))


def write_mr(folder: Path, **changes: Any) -> Path:
    def change(dataset: Any) -> None:
        for name, value in changes.items():
            setattr(dataset, name, value)

    each(folder, MR, change, shape=SHAPE, spacing=SPACING, values=ball())
    return folder


def convert(model: Model, cases: Sequence[Case], output: Path, **options: Any) -> Outcome:
    return convert_cohort(model, cases, output, device=CPU, options=Options(**options))


def codes(outcome: Outcome) -> list[str]:
    return [problem.code for result in outcome.results for problem in result.problems]


def case_of(folder: Path, name: str = "p1") -> list[Case]:
    return [Case(name, {"mr": folder})]


def test_a_series_is_converted_to_both_forms(model: Model, tmp_path: Path) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    assert convert(model, case_of(source), out, formats=BOTH).exit_code == Exit.OK
    nifti, series = open_volume(out / "p1.nii.gz"), open_volume(out / "p1")
    assert series.unit == "HU"
    assert series.series is not None
    assert series.series.modality == "CT"
    points = nifti.grid.to_world(np.indices(nifti.grid.shape).reshape(3, -1).T)
    there = np.rint(series.grid.to_index(points)).astype(int)
    assert np.abs(series.grid.to_world(there) - points).max() < 1e-3
    clipped = np.clip(nifti.data, -1024, None)
    assert (series.data[tuple(there.T)] == clipped.reshape(-1)).all()
    sidecar = json.loads((out / "p1.json").read_text())
    assert sidecar["output_digest"] == nifti.digest
    assert sidecar["dicom"]["digest"] == series.digest == digest_of(out / "p1")
    assert sidecar["dicom"]["files"] == SHAPE[2]


def test_the_derived_series_belongs_to_its_source(model: Model, tmp_path: Path) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    convert(model, case_of(source), out, formats=("dicom",))
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        "index.html",
        "manifest.tsv",
        "p1",
        "p1.json",
        "previews",
    ]
    one, was = (pydicom.dcmread(min(folder.iterdir())) for folder in (out / "p1", source))
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName"):
        assert one[name].value == was[name].value
    assert one.SeriesInstanceUID != was.SeriesInstanceUID
    assert one["SyntheticData"].value == "YES"
    weights = model.weights_digest
    assert weights in one.ContributingEquipmentSequence[0].ContributionDescription


def test_a_second_call_keeps_both_forms_and_adds_a_missing_one(
    model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    assert convert(model, case_of(source), out).count("ok") == 1
    assert convert(model, case_of(source), out, formats=BOTH).count("ok") == 1
    assert convert(model, case_of(source), out, formats=BOTH).count("kept") == 1
    (out / "p1" / "0003.dcm").unlink()
    with pytest.raises(ConfigurationError, match="E_OUTPUT_CHANGED"):
        convert(model, case_of(source), out, formats=BOTH)
    assert convert(model, case_of(source), out, formats=BOTH, overwrite=True).count("ok") == 1
    assert len(list((out / "p1").iterdir())) == SHAPE[2]


def test_a_folder_of_other_files_is_never_replaced(model: Model, tmp_path: Path) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    (out / "p1").mkdir(parents=True)
    (out / "p1" / "thesis.docx").write_text("years of work")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, case_of(source), out, formats=BOTH, overwrite=True)
    assert (out / "p1" / "thesis.docx").read_text() == "years of work"


def test_the_source_is_never_replaced(model: Model, tmp_path: Path) -> None:
    source = write_mr(tmp_path / "p1")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_IS_INPUT"):
        convert(model, case_of(source), tmp_path, formats=("dicom",), overwrite=True)
    with pytest.raises(ConfigurationError, match="E_OUTPUT_IS_INPUT"):
        convert(model, case_of(source), source, overwrite=True)
    assert len(list(source.iterdir())) == SHAPE[2]


def test_without_identity_there_is_nifti_but_no_dicom(model: Model, tmp_path: Path) -> None:
    source = write_mr(tmp_path / "mr", StudyInstanceUID="")
    assert convert(model, case_of(source), tmp_path / "a").count("ok") == 1
    outcome = convert(model, case_of(source), tmp_path / "b", formats=BOTH)
    assert set(codes(outcome)) == {"E_NO_IDENTITY"}
    assert not (tmp_path / "b" / "p1").exists()
    assert not (tmp_path / "b" / "p1.nii.gz").exists()
    checked = check_cohort(
        model, case_of(source), tmp_path / "c", options=Options(formats=("dicom",))
    )
    assert set(codes(checked)) == {"E_NO_IDENTITY"}


def test_a_nifti_source_needs_a_template(model: Model, tmp_path: Path) -> None:
    source = write_mr(tmp_path / "mr")
    volume = open_volume(source)
    write_volume(tmp_path / "p1.nii.gz", volume, dtype="int16")
    cases = case_of(tmp_path / "p1.nii.gz")
    assert codes(convert(model, cases, tmp_path / "a", formats=BOTH)) == ["E_DICOM_SOURCE"]
    good = convert(model, cases, tmp_path / "b", formats=BOTH, template=source)
    assert good.count("ok") == 1
    assert open_volume(tmp_path / "b" / "p1").frame_of_reference == volume.frame_of_reference
    again = convert(model, cases, tmp_path / "b", formats=BOTH, template=source)
    assert again.count("kept") == 1


def test_a_template_of_another_grid_is_refused(model: Model, tmp_path: Path) -> None:
    write_volume(tmp_path / "p1.nii.gz", open_volume(write_mr(tmp_path / "mr")), dtype="int16")
    make_series(tmp_path / "other", MR, shape=SHAPE, spacing=(2.0, 2.0, 4.1), values=ball())
    outcome = convert(
        model,
        case_of(tmp_path / "p1.nii.gz"),
        tmp_path / "out",
        formats=BOTH,
        template=tmp_path / "other",
    )
    assert codes(outcome) == ["E_DICOM_GRID"]


def test_one_template_does_not_serve_two_patients(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    source = write_mr(tmp_path / "mr")
    with pytest.raises(ConfigurationError, match="E_DICOM_TEMPLATE"):
        convert(
            model,
            cases_of_input(heads, model),
            tmp_path / "out",
            formats=BOTH,
            template=source,
        )


def test_a_tree_is_a_case_per_series_less_earlier_answers(model: Model, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_mr(tree / "DOE" / "a")
    write_mr(tree / "DOE" / "b", SeriesInstanceUID=uid("b"), SeriesNumber=9)
    out = tree / "out"
    cases = cases_of_input(tree, model, output=out)
    assert len(cases) == 2
    assert all(case.name.startswith("series_") for case in cases)
    assert convert(model, cases, out, formats=BOTH).count("ok") == 2
    assert cases_of_input(tree, model, output=out) == cases
    (one,) = cases_of_input(tree, model, output=out, choice=Choice(series="9"))
    assert one in cases


def test_a_refused_series_does_not_stop_the_others(model: Model, tmp_path: Path) -> None:
    good, bad = write_mr(tmp_path / "a"), write_mr(tmp_path / "b")
    sorted(bad.iterdir())[4].unlink()
    cases = [*case_of(bad, "p1"), *case_of(good, "p2")]
    outcome = convert(model, cases, tmp_path / "out", formats=BOTH)
    assert codes(outcome) == ["E_NONUNIFORM_SPACING"]
    assert outcome.exit_code == Exit.SOME_FAILED
    assert (tmp_path / "out" / "p2" / "0001.dcm").is_file()


def test_an_original_series_is_never_replaced_whatever_its_files_are_called(
    model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    broken = write_mr(tmp_path / "broken")
    sorted(broken.iterdir())[4].unlink()
    assert convert(model, case_of(broken), out, formats=BOTH).exit_code == Exit.ALL_FAILED
    write_mr(out / "p1")
    for number, file in enumerate(sorted((out / "p1").iterdir())):
        file.rename(file.with_name(f"{number:04d}.dcm"))
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
            convert(model, case_of(source), out, formats=BOTH, overwrite=overwrite)
    assert pydicom.dcmread(out / "p1" / "0000.dcm").get("SyntheticData") is None


def test_a_volume_put_where_a_case_failed_is_not_replaced_unasked(
    model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    broken = write_mr(tmp_path / "broken")
    sorted(broken.iterdir())[4].unlink()
    convert(model, case_of(broken), out)
    (out / "p1.nii.gz").write_text("years of work")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, case_of(source), out)
    assert convert(model, case_of(source), out, overwrite=True).count("ok") == 1


def test_a_link_where_the_series_goes_is_refused(model: Model, tmp_path: Path) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    convert(model, case_of(source), tmp_path / "elsewhere", formats=("dicom",))
    out.mkdir()
    (out / "p1").symlink_to(tmp_path / "elsewhere" / "p1")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, case_of(source), out, formats=("dicom",), overwrite=True)
    assert len(list((tmp_path / "elsewhere" / "p1").iterdir())) == SHAPE[2]


def test_no_series_is_written_into_a_source_where_the_next_call_would_read_it(
    model: Model, tmp_path: Path
) -> None:
    source = write_mr(tmp_path / "mr")
    for out in (source / "out", source / "deep" / "out"):
        with pytest.raises(ConfigurationError, match="E_OUTPUT_IS_INPUT"):
            convert(model, case_of(source), out, formats=BOTH)
    assert convert(model, case_of(source), source / "out").count("ok") == 1


def test_forms_asked_for_one_after_the_other_are_both_accounted_for(
    model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    assert convert(model, case_of(source), out).count("ok") == 1
    assert convert(model, case_of(source), out, formats=("dicom",)).count("ok") == 1
    sidecar = json.loads((out / "p1.json").read_text())
    assert sidecar["output_digest"] == digest_of(out / "p1.nii.gz")
    assert sidecar["dicom"]["digest"] == digest_of(out / "p1")
    for formats in (("nifti",), ("dicom",), BOTH):
        assert convert(model, case_of(source), out, formats=formats).count("kept") == 1


def test_no_form_of_another_models_answer_stays_beside_a_new_one(
    model: Model, other_model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    convert(model, case_of(source), out, formats=BOTH)
    assert convert(other_model, case_of(source), out, overwrite=True).count("ok") == 1
    made_by = pydicom.dcmread(out / "p1" / "0001.dcm").ContributingEquipmentSequence[0]
    assert other_model.weights_digest in made_by.ContributionDescription


def test_an_answer_stays_where_dicom_is_asked_for_and_cannot_be(
    model: Model, tmp_path: Path
) -> None:
    source, out = write_mr(tmp_path / "mr", StudyInstanceUID=""), tmp_path / "out"
    assert convert(model, case_of(source), out).count("ok") == 1
    before = digest_of(out / "p1.nii.gz")
    for _ in range(2):
        outcome = convert(model, case_of(source), out, formats=BOTH)
        assert set(codes(outcome)) == {"E_NO_IDENTITY"}
        assert digest_of(out / "p1.nii.gz") == before
        assert (out / "p1.json").is_file()
    sorted(source.iterdir())[4].write_bytes(sorted(source.iterdir())[5].read_bytes())
    convert(model, case_of(source), out, formats=BOTH)
    assert not (out / "p1.nii.gz").exists()


@pytest.mark.parametrize("names", [("a", "a.json"), ("manifest.tsv",), ("A", "a.nii.gz")])
def test_cases_whose_files_have_one_name_are_refused(
    model: Model, tmp_path: Path, names: tuple[str, ...]
) -> None:
    source, out = write_mr(tmp_path / "mr"), tmp_path / "out"
    cases = [Case(name, {"mr": source}) for name in names]
    with pytest.raises(ConfigurationError, match="E_CASE_NAME"):
        convert(model, cases, out, formats=BOTH)
    assert not out.exists()


def test_a_template_of_another_patient_is_refused_for_a_dicom_source(
    model: Model, tmp_path: Path
) -> None:
    source = write_mr(tmp_path / "mr")
    other = write_mr(tmp_path / "other", PatientID="SOMEBODY ELSE")
    out = tmp_path / "out"
    outcome = convert(model, case_of(source), out, formats=("dicom",), template=other)
    assert codes(outcome) == ["E_DICOM_TEMPLATE"]


def test_a_template_with_other_voxels_in_the_same_place_is_doubted(
    model: Model, tmp_path: Path
) -> None:
    write_volume(tmp_path / "p1.nii.gz", open_volume(write_mr(tmp_path / "mr")), dtype="int16")
    noise = np.random.default_rng(0).normal(0, 70, SHAPE)  # as if the NIfTI had been denoised
    noisy = np.clip(np.rint(ball() + noise), 0, None)
    make_series(tmp_path / "noisy", MR, shape=SHAPE, spacing=SPACING, values=noisy)
    make_series(
        tmp_path / "other", MR, shape=SHAPE, spacing=SPACING, values=np.roll(ball(), 5, axis=0)
    )
    stranger = convert(
        model,
        case_of(tmp_path / "p1.nii.gz"),
        tmp_path / "out",
        formats=BOTH,
        template=tmp_path / "other",
    )
    assert codes(stranger) == ["E_DICOM_TEMPLATE"]
    for template in ("noisy", "mr"):
        case, out = case_of(tmp_path / "p1.nii.gz"), tmp_path / f"of_{template}"
        outcome = convert(model, case, out, formats=BOTH, template=tmp_path / template)
        sidecar = (out / "p1.json").read_text()
        doubted = template == "noisy"
        assert ("one patient" in sidecar) is doubted
        assert ("one patient" in "".join(outcome.results[0].warnings)) is doubted


def test_a_folder_converted_onto_itself_does_not_feed_on_its_answers(
    model: Model, tmp_path: Path
) -> None:
    write_mr(tmp_path / "DOE")
    cases = cases_of_input(tmp_path, model, output=tmp_path)
    assert convert(model, cases, tmp_path, formats=("dicom",)).count("ok") == 1
    again = cases_of_input(tmp_path, model, output=tmp_path)
    assert again == cases
    assert convert(model, again, tmp_path, formats=("dicom",)).count("kept") == 1


def test_an_image_of_another_modality_is_not_converted(model: Model, tmp_path: Path) -> None:
    make_series(tmp_path / "ct", shape=SHAPE, spacing=SPACING, values=ball())
    assert codes(convert(model, case_of(tmp_path / "ct"), tmp_path / "out")) == ["E_MODALITY"]
    checked = check_cohort(model, case_of(tmp_path / "ct"), tmp_path / "out", options=Options())
    assert codes(checked) == ["E_MODALITY"]


def test_a_series_is_not_written_to_one_file(model: Model, tmp_path: Path) -> None:
    source = write_mr(tmp_path / "mr")
    with pytest.raises(ConfigurationError, match="E_OUTPUT"):
        convert(model, case_of(source), tmp_path / "out.dcm", formats=("dicom",))


def test_a_fault_in_the_check_is_the_cases_own_and_met_once(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def check(converter: Any, volumes: Any, template: Any) -> None:
        asked.append(volumes)
        if len(asked) == 1:
            raise RuntimeError("DOE^JANE")

    monkeypatch.setattr("medgen.cohort.case_work.check_derivable", check)
    cases = [*case_of(write_mr(tmp_path / "a"), "p1"), *case_of(write_mr(tmp_path / "b"), "p2")]
    outcome = convert(model, cases, tmp_path / "out", formats=BOTH)
    assert codes(outcome) == ["E_INTERNAL"]
    assert [result.status for result in outcome.results] == ["failed", "ok"]
    assert "DOE" not in str(outcome)
    assert len(asked) == 2


def test_a_folder_that_cannot_be_listed_is_its_cases_own(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = write_mr(tmp_path / "a"), write_mr(tmp_path / "b")
    cases = [*case_of(bad, "p1"), *case_of(good, "p2")]
    out = tmp_path / "out"
    assert convert(model, cases, out).count("ok") == 2
    scandir = os.scandir

    def locked(path: Any) -> Any:
        if Path(path) == bad:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("medgen.dicom.index.os.scandir", locked)
    outcome = convert(model, cases, out)
    assert [result.status for result in outcome.results] == ["kept", "failed"]
    assert codes(outcome) == ["E_UNREADABLE"]
    assert (out / "p1.nii.gz").is_file()
