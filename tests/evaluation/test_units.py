"""Units of PET: by header, by sidecar, or taken at their word."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, PT, each, uid

from medgen.evaluation import Case, compare, evaluate
from medgen.evaluation.matching import Matched, match_paths
from medgen.evaluation.scoring import load, score_case
from medgen.evaluation.units import in_common_unit
from medgen.metrics import PROFILES
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, in_unit, open_volume, write_volume

PET = PROFILES["pet"]
SHAPE, SPACING = (12, 12, 8), (4.0, 4.0, 6.0)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 6.0, 1.0]))


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pages, whose pictures take most of the time."""
    monkeypatch.setattr("medgen.evaluation.evaluation.evaluation_page", lambda *_: "page")
    monkeypatch.setattr("medgen.evaluation.comparison._page", lambda *_: "page")


def values(seed: int = 0) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    warm = np.where(np.sqrt((axes**2).sum(axis=0)) < 1, 4000.0, 100.0)
    return warm + np.random.default_rng(seed).normal(0, 20, SHAPE).round()


def series(folder: Path, modality: str = PT, **changes: Any) -> Path:
    def change(dataset: Any) -> None:
        for name, value in changes.items():
            setattr(dataset, name, value)

    each(folder, modality, change, shape=SHAPE, spacing=SPACING, values=values(), stored="int16")
    return folder


def plain(path: Path, data: np.ndarray, unit: str | None = None) -> Path:
    write_volume(path, Volume(np.asarray(data, np.float32), GRID), dtype="float32")
    if unit:
        path.with_name(f"{path.name[:2]}.json").write_text(json.dumps({"unit": unit}))
    return path


@pytest.mark.usefixtures("without_pages")
def test_a_prediction_in_suv_turns_the_reference_into_suv(tmp_path: Path) -> None:
    pet = series(tmp_path / "pet")
    suv = in_unit(open_volume(pet), "SUV")
    write_volume(tmp_path / "p1.nii.gz", suv, dtype="float32")
    (tmp_path / "p1.json").write_text('{"unit": "suv"}')
    found = match_paths(tmp_path / "p1.nii.gz", pet)
    triplet = load(found.cases[0], PET)
    assert triplet.unit == "SUV"
    assert np.allclose(triplet.reference, suv.data, rtol=1e-5)
    evaluated = evaluate(found, PET, tmp_path / "out")
    assert evaluated.profile.unit == "SUV"
    assert evaluated.summary["profile"]["scores"]["mae"]["unit"] == "SUV"
    assert evaluated.summary["cases"]["p1"]["unit"] == "SUV"


def test_without_a_sidecar_a_file_is_taken_to_be_in_the_others_unit(tmp_path: Path) -> None:
    pet = series(tmp_path / "pet")
    write_volume(tmp_path / "p1.nii.gz", open_volume(pet), dtype="float32")
    (case,) = match_paths(tmp_path / "p1.nii.gz", pet).cases
    scored, triplet = score_case(case, PET)
    assert triplet is not None
    assert triplet.unit == "Bq/ml"
    assert (scored.scores["mae"], scored.remarks) == (0.0, ())


@pytest.mark.parametrize(("modality", "unit"), [(CT, "HU"), (PT, "counts")])
def test_what_is_no_calibrated_pet_is_refused(tmp_path: Path, modality: str, unit: str) -> None:
    changes = {"Units": "CNTS"} if modality == PT else {}
    made = series(tmp_path / "a", modality, SeriesInstanceUID=uid("made"), **changes)
    (case,) = match_paths(made, series(tmp_path / "b")).cases
    with pytest.raises(Refusal) as refused:
        load(case, PET)
    (problem,) = refused.value.problems
    assert (problem.code, problem.column) == ("E_UNIT", "prediction")
    assert f"says {unit}, and pet scores SUV or Bq/ml" in problem.message


def case_of(folder: Path, name: str, factor: float, unit: str | None = None) -> Case:
    reference = plain(folder / f"r{name}.nii.gz", values())
    prediction = plain(folder / f"p{name}.nii.gz", factor * values(1), unit)
    mask = plain(folder / f"m{name}.nii.gz", values() > 2000)
    return Case(name, prediction, reference, mask)


def test_means_far_apart_and_strange_sidecars_are_doubted(tmp_path: Path) -> None:
    assert score_case(case_of(tmp_path, "1", 1.5), PET)[0].remarks == ()
    (remark,) = score_case(case_of(tmp_path, "2", 2e-4), PET)[0].remarks
    assert "two units, SUV and Bq/ml" in remark
    (remark,) = score_case(case_of(tmp_path, "3", 1.0, "HU"), PET)[0].remarks
    assert remark.startswith("the prediction's sidecar names another unit than SUV or Bq/ml")
    labels, _ = score_case(case_of(tmp_path, "4", 1.0, "label"), PET)
    assert labels.problems[0].code == "E_PROFILE_KIND"


@pytest.mark.usefixtures("without_pages")
def test_cases_in_two_units_are_warned_of_and_so_are_reports(tmp_path: Path) -> None:
    cases = (case_of(tmp_path, "1", 1.1, "SUV"), case_of(tmp_path, "2", 1.1, "Bq/ml"))
    both = evaluate(Matched(cases, (), "masks"), PET, tmp_path / "both")
    assert both.profile.unit == "units differ"
    (remark,) = both.summary["remarks"]
    assert "some cases are in SUV and others in Bq/ml" in remark
    assert "mae, gradient_mae, data_range say nothing" in remark
    one = evaluate(Matched(cases[:1], (), "masks"), PET, tmp_path / "one")
    assert (one.profile.unit, one.summary["remarks"]) == ("SUV", [])
    found = compare(tmp_path / "one", tmp_path / "both", tmp_path / "compared")
    assert any("units differ (SUV; units differ)" in w for w in found.summary["warnings"])


def test_where_no_file_names_a_unit_the_report_says_so_and_how_to_name_it(tmp_path: Path) -> None:
    cases = (case_of(tmp_path, "1", 1.1), case_of(tmp_path, "2", 1.1))
    found = evaluate(Matched(cases, (), "masks"), PET, tmp_path / "out")
    described = found.summary["profile"]
    units = {name: score["unit"] for name, score in described["scores"].items()}
    assert described["unit"] == units["mae"] == units["data_range"] == "unit unknown"
    assert (units["gradient_mae"], units["bias_percent"]) == ("unit unknown per mm", "%")
    assert found.summary["cases"]["1"]["unit"] == "unit unknown"
    (remark,) = found.summary["remarks"]
    assert remark.startswith("no case says whether it is in SUV or in Bq/ml")
    assert "`unit: SUV`" in remark
    page = (tmp_path / "out/report.html").read_text()
    assert 'mae <span class="unit">unit unknown</span>' in page
    assert page.count("no case says whether") == 1
    assert not re.search("[0-9] SUV or Bq/ml", page)
    again = compare(tmp_path / "out", tmp_path / "out", tmp_path / "compared")
    assert not any("units differ" in warning for warning in again.summary["warnings"])


def test_one_case_of_unknown_unit_leaves_the_means_without_one() -> None:
    known, remarks = in_common_unit(PET, ["SUV", "SUV"])
    assert (known.unit, remarks) == ("SUV", [])
    profile, (remark,) = in_common_unit(PET, ["SUV", "unit unknown"])
    assert profile.unit == profile.column("mae").unit == "unit unknown"
    assert remark.startswith("1 of 2 cases do not say")
    assert in_common_unit(PROFILES["hu"], ["HU"]) == (PROFILES["hu"], [])
