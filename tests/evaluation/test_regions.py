"""Regions from files: found, named, put onto the reference's grid, scored, shown and compared."""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation import compare, evaluate, match_paths, match_table
from medgen.evaluation.regions import common_regions, find_regions, placed_regions
from medgen.evaluation.scoring import load, score_case
from medgen.metrics import PROFILES
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume

SHAPE = (22, 20, 18)
AFFINE = np.array([[-3.0, 0, 0, 30], [0, 3.0, 0, -28], [0, 0, 4.0, -33], [0, 0, 0, 1]])
CASES = ("c1", "c2", "c3")
PET = PROFILES["pet"]
Write = Callable[..., Path]


@pytest.fixture
def without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pages, whose pictures take most of the time."""
    monkeypatch.setattr("medgen.evaluation.evaluation.evaluation_page", lambda *_: "page")
    monkeypatch.setattr("medgen.evaluation.comparison._page", lambda *_: "page")


def brain() -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    return np.asarray(np.sqrt((axes**2).sum(axis=0)) < 0.8)


def regions(*, spot: bool = True) -> np.ndarray:
    values = np.where(brain(), 2, 0)
    values[9:12, 9:12, 8:10] = 4 if spot else 2
    return values.astype(np.uint8)


@pytest.fixture
def pets(tmp_path: Path, write: Write) -> Path:
    """Write three cases, the last without a spot; predictions are 10 % low, in the spot 30 %."""
    rows = ["case,patient,pet,body,regions"]
    for number, case in enumerate(CASES):
        places = regions(spot=case != "c3")
        noise = np.random.default_rng(number).normal(0, 0.05, SHAPE)
        reference = np.choose(places, [0.1, 0, 4.0, 0, 9.0]) * (1 + noise)
        low = np.where(places == 4, 0.7, 0.9)
        write(f"reference/{case}.nii.gz", reference)
        write(f"prediction/{case}.nii.gz", reference * low)
        write(f"better/{case}.nii.gz", reference * np.sqrt(low))
        write(f"mask/{case}.nii.gz", brain(), dtype="uint8")
        write(f"regions/{case}.nii.gz", places, dtype="uint8")
        files = (f"{role}/{case}.nii.gz" for role in ("reference", "mask", "regions"))
        rows.append(f"{case},{case},{','.join(files)}")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def matched(pets: Path, predictions: str = "prediction"):  # type: ignore[no-untyped-def]
    return match_table(
        pets / predictions,
        pets / "cases.csv",
        column="pet",
        mask_column="body",
        region_column="regions",
    )


def test_the_page_shows_regions(pets: Path) -> None:
    all_cases = matched(pets)
    two = replace(all_cases, cases=(all_cases.cases[0], all_cases.cases[2]))
    evaluate(two, PET, pets / "one", region_names={"spot": 4, "gone": 9})
    page = (pets / "one/report.html").read_text()
    for text in ("By region", "Regions, case by case", "1 without it", "SUVpeak is the global"):
        assert text in page
    assert "values named gone=9" in page
    assert page.count("<h3>c") == 2


@pytest.mark.usefixtures("without_pages")
def test_a_table_to_a_report_and_two_reports_to_a_comparison(pets: Path) -> None:
    found = evaluate(matched(pets), PET, pets / "one", region_names={"spot": 4, "gone": 9})
    with (pets / "one/scores.csv").open(newline="") as stream:
        rows = {row["case"]: row for row in csv.DictReader(stream)}
    assert list(rows["c1"])[3:-1] == list(PET.for_regions({"label_2": 2, "spot": 4}).columns)
    assert float(rows["c1"]["suv_mean_bias_spot"]) == pytest.approx(-30, abs=1e-3)
    assert float(rows["c1"]["suv_max_bias_label_2"]) == pytest.approx(-10, abs=1e-3)
    assert rows["c3"]["suv_mean_bias_spot"] == "nan"

    summary = json.loads((pets / "one/summary.json").read_text())
    spot = summary["headline"]["scores"]["suv_mean_bias_spot"]
    assert (spot["cases"], spot["nan"]) == (2, 1)
    assert spot["mean"] == pytest.approx(-30, abs=1e-3)
    assert summary["profile"]["regions"] == {"label_2": 2, "spot": 4}
    assert summary["regions"]["source"] == "column regions"
    assert summary["remarks"][0] == "no case's regions hold the label values named gone=9"
    assert summary["profile"]["scores"]["reference_suv_max_spot"]["unit"] == "unit unknown"
    assert summary["cases"]["c1"]["sha256"]["regions"]
    assert "does not have, so NaN: spot" in summary["cases"]["c3"]["remarks"][0]
    assert found.profile.overall == PET.in_unit("unit unknown").overall

    evaluate(matched(pets, "better"), PET, pets / "two", region_names={"spot": 4, "grey": 2})
    both = compare(pets / "one", pets / "two", pets / "compared")
    scores = both.summary["scores"]
    assert scores["suv_mean_bias_spot"]["mean_difference"] < 0  # of the distances to zero
    assert (scores["suv_mean_bias_spot"]["pairs"], scores["mae"]["second_better"]) == (2, 3)
    assert "suv_mean_bias_grey" not in scores
    assert both.summary["warnings"][:2] == [
        "only the first report has the regions label_2=2: left out",
        "only the second report has the regions grey=2: left out",
    ]


def test_files_by_name_or_one_for_all(pets: Path) -> None:
    each = match_paths(pets / "prediction", pets / "reference", regions=pets / "regions")
    assert each.region_source == "a region map file per case"
    assert each.cases[1].regions == pets / "regions/c2.nii.gz"
    one = match_paths(pets / "prediction", pets / "reference", regions=pets / "regions/c3.nii.gz")
    assert one.region_source == "one region map file for every case"
    assert {case.regions for case in one.cases} == {pets / "regions/c3.nii.gz"}
    assert dict(find_regions(each, {}).names) == {"label_2": 2, "label_4": 4}
    assert dict(find_regions(one, {"Grey matter": 2}).names) == {"grey_matter": 2}
    (pets / "regions/c2.nii.gz").unlink()
    with pytest.raises(
        ConfigurationError, match=r"E_UNMATCHED.*without a region map: c2(?!.*--profile)"
    ):
        match_paths(pets / "prediction", pets / "reference", regions=pets / "regions")


def test_a_table_without_the_map_of_a_case_is_refused(pets: Path) -> None:
    text = (pets / "cases.csv").read_text().replace(",regions/c2.nii.gz", ",")
    (pets / "cases.csv").write_text(text)
    with pytest.raises(
        ConfigurationError, match=r"E_UNMATCHED.*column regions are empty for c2(?!.*--profile)"
    ):
        matched(pets)


def test_a_profile_without_regions_is_refused_before_anything_is_read(pets: Path) -> None:
    for path in (pets / "prediction").iterdir():
        path.write_bytes(b"broken")
    for name in ("hu", "mr", "segmentation", "synthrad2025"):
        with pytest.raises(ConfigurationError, match=r"E_PROFILE_REGIONS.*--profile pet"):
            evaluate(matched(pets), PROFILES[name], pets / "out")


def test_another_grid_is_refused_or_takes_the_nearest_value(pets: Path, write: Write) -> None:
    fine = AFFINE @ np.diag([0.5, 1, 1, 1])
    fine[:3, 3] += AFFINE[:3, 0] * -0.25
    write("regions/c1.nii.gz", regions().repeat(2, 0), fine, dtype="uint8")
    case = matched(pets).cases[0]
    profile = PET.for_regions({"spot": 4})
    refused, _ = score_case(case, profile)
    assert [(p.code, p.column) for p in refused.problems] == [("E_GRID_MISMATCH", "regions")]
    triplet = load(case, profile, match_grid=True)
    assert triplet.regions is not None
    assert np.array_equal(triplet.regions, regions())
    assert any(remark.startswith("the region map was resampled") for remark in triplet.remarks)


@pytest.mark.usefixtures("without_pages")
def test_what_is_no_map_fails_its_case_alone(pets: Path, write: Write) -> None:
    write("regions/c2.nii.gz", regions() + 0.5)
    found = evaluate(matched(pets), PET, pets / "out")
    assert [(r.case, r.problems[0].code, r.problems[0].column) for r in found.failed] == [
        ("c2", "E_LABEL_VALUES", "regions")
    ]


def test_half_a_lesion_is_not_scored() -> None:
    grid = Grid(SHAPE, AFFINE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :, 4], labels[5:9, 5:9, 8:12], labels[1, 1, 1:4] = 1, 2, 3
    measured = np.ones(SHAPE, bool)
    measured[0, 0], measured[:, :, 10:] = False, False
    remarks: list[str] = []
    found = placed_regions(Volume(labels, grid), grid, measured, match=False, remarks=remarks)
    expected = np.where(labels == 2, 0, labels)
    expected[0, 0] = 0
    assert np.array_equal(found, expected)
    assert [remark.split(": ")[1] for remark in remarks] == [
        "label values 2 are not scored",
        "label values 1 are scored without it",
    ]
    whole = placed_regions(
        Volume(labels, grid), grid, labels > 0, match=False, remarks=(none := [])
    )
    assert np.array_equal(whole, labels)
    assert none == []


def test_a_prediction_of_a_part_leaves_regions_beyond_it_without_a_score(
    pets: Path, write: Write
) -> None:
    places = regions()
    places[:, :, 17] = 6
    write("regions/c1.nii.gz", places, dtype="uint8")
    whole = load(matched(pets).cases[0], PET)
    write("prediction/c1.nii.gz", whole.prediction[:, :, :17])
    profile = PET.for_regions({"spot": 4, "top": 6})
    scored, _ = score_case(matched(pets).cases[0], profile, match_grid=True)
    assert math.isnan(scored.scores["suv_mean_bias_top"])
    assert scored.scores["suv_mean_bias_spot"] == pytest.approx(-30, abs=1e-3)
    assert any("label values 6 are not scored" in remark for remark in scored.remarks)


@pytest.mark.usefixtures("without_pages")
def test_maps_without_any_region_are_said_to_be_empty(pets: Path, write: Write) -> None:
    for case in CASES:
        write(f"regions/{case}.nii.gz", np.zeros(SHAPE), dtype="uint8")
    found = evaluate(matched(pets), PET, pets / "out")
    assert found.profile.regions == {}
    assert "no region is scored" in found.summary["remarks"][0]


def test_regions_of_one_name_and_two_values_are_not_compared() -> None:
    first, second, said = common_regions(
        PET.for_regions({"spot": 4, "grey": 2}), PET.for_regions({"spot": 5, "grey": 2})
    )
    assert dict(first.regions) == dict(second.regions) == {"grey": 2}
    assert [text.split("regions ")[1] for text in said] == ["spot=4: left out", "spot=5: left out"]


@pytest.mark.usefixtures("without_pages")
def test_a_report_with_other_columns_is_refused_with_advice(pets: Path) -> None:
    evaluate(matched(pets), PET, pets / "one")
    path = pets / "one/scores.csv"
    path.write_text(path.read_text().replace("gradient_mae", "older"))
    with pytest.raises(ConfigurationError, match=r"E_REPORT.*gradient_mae.*evaluate again"):
        compare(pets / "one", pets / "one", pets / "out")
    summary = json.loads((pets / "one/summary.json").read_text())
    summary["profile"]["regions"] = {"spot": "4"}
    (pets / "one/summary.json").write_text(json.dumps(summary))
    with pytest.raises(ConfigurationError, match=r"E_REPORT.*unit and the regions"):
        compare(pets / "one", pets / "one", pets / "out")


def test_no_problem_names_a_path(pets: Path) -> None:
    (pets / "regions/c1.nii.gz").write_bytes(b"broken")
    with pytest.raises(Refusal) as refused:
        load(matched(pets).cases[0], PET)
    assert str(pets) not in str(refused.value)
    assert refused.value.problems[0].column == "regions"
