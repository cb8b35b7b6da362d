import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.evaluation import compare, evaluate_maps, match_paths, match_table
from medgen.metrics.anomaly import average_precision
from medgen.problems import ConfigurationError, Exit, Refusal
from medgen.volumes import open_volume

Answer = Callable[..., Path]
PAGED = {
    "test_a_cohort_from_files_to_a_report",
    "test_maps_of_another_tool_are_scored_by_voxels_only",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Draw no page but in tests that look at it: drawing takes most of the time."""
    if request.function.__name__ not in PAGED:
        monkeypatch.setattr("medgen.evaluation.anomalies.anomaly_page", lambda *_: "")


def report(folder: Path, name: str = "report", *, maps: str = "maps", **how: Any) -> dict[str, Any]:
    matched = match_table(
        folder / maps,
        folder / "cases.csv",
        column="lesion",
        mask_column="brain",
        group_column="kind",
    )
    return evaluate_maps(matched, folder / name, **how).summary


def rows(folder: Path, name: str = "report") -> dict[str, dict[str, str]]:
    text = (folder / name / "scores.csv").read_text()
    return {row["case"]: row for row in csv.DictReader(text.splitlines())}


def test_a_cohort_from_files_to_a_report(anomalies: Path) -> None:
    heard: list[str] = []
    found = report(anomalies, on_case=lambda scored: heard.append(scored.case))["anomaly"]
    assert heard == ["h1", "h2", "h3", "h4", "s1", "s2", "s3", "s4"]
    assert (found["healthy"], found["anomalous"], found["score"]) == (4, 4, "map_top")
    assert found["cases"]["auroc"]["value"] == 1.0
    assert found["cases"]["auroc"]["delong95"] == [None, None]  # a perfect separation of eight
    assert {n: row["auroc"]["value"] for n, row in found["by_score"].items()} == {
        "map_top": 1.0,
        "map_mean": 0.0,
        "window_max": 0.5,
    }
    assert found["cases"]["average_precision"]["chance"] == 0.5
    assert found["cases"]["patients"] == 4
    threshold = found["threshold"]
    assert threshold["thresholds"] == [2.0]
    assert (threshold["sensitivity"]["cases"], threshold["sensitivity"]["of"]) == (4, 4)
    assert (threshold["specificity"]["value"], threshold["specificity"]["of"]) == (1.0, 4)
    low, high = threshold["sensitivity"]["wilson95"]
    assert 0.5 < low < 0.6
    assert high == pytest.approx(1.0)
    assert set(rows(anomalies)) == {"h1", "h2", "h3", "h4", "s1", "s2", "s3", "s4"}
    page = (anomalies / "report/report.html").read_text()
    assert "ORACLE" in page
    assert page.count("data:image/png") == 3 + 8
    assert "http" not in page.replace("http-equiv", "")


def test_pooled_and_mean_figures_are_those_of_the_masked_voxels(anomalies: Path) -> None:
    found = report(anomalies)["anomaly"]["voxels"]
    inside = open_volume(anomalies / "brain.nii.gz").data > 0
    numbers, truths, precisions = [], [], []
    for case in rows(anomalies):
        numbers.append(np.abs(open_volume(anomalies / f"maps/{case}.nii.gz").data)[inside])
        truths.append(open_volume(anomalies / f"lesion/{case}.nii.gz").data[inside] > 0)
        if truths[-1].any():
            precisions.append(average_precision(numbers[-1], truths[-1]))
    number, truth = np.concatenate(numbers), np.concatenate(truths)
    pooled = found["pooled"]
    assert pooled["average_precision"] == pytest.approx(average_precision(number, truth))
    assert pooled["chance"] == pytest.approx(truth.mean())
    marked = number > 2.5
    dice = 2 * (marked & truth).sum() / (marked.sum() + truth.sum())
    assert pooled["dice"] == pytest.approx(dice)
    best = number >= pooled["oracle_threshold"]
    assert pooled["oracle_dice"] == pytest.approx(
        2 * (best & truth).sum() / (best.sum() + truth.sum())
    )
    assert pooled["oracle_dice"] >= pooled["dice"]
    mean = found["mean_over_anomalous"]
    assert mean["voxel_average_precision"]["mean"] == pytest.approx(np.mean(precisions))
    assert mean["voxel_average_precision"]["cases"] == 4
    assert mean["voxel_average_precision"]["mean"] > 10 * mean["prevalence"]["mean"]


def test_healthy_cases_have_a_volume_of_false_alarms_and_no_dice(anomalies: Path) -> None:
    found = report(anomalies)["anomaly"]["on_healthy"]
    inside = open_volume(anomalies / "brain.nii.gz").data > 0
    shares = [
        np.mean(np.abs(open_volume(anomalies / f"maps/{case}.nii.gz").data[inside]) > 2.5)
        for case in ("h1", "h2", "h3", "h4")
    ]
    assert found["share_of_voxels"] == pytest.approx(np.mean(shares))
    volumes = np.array(shares) * inside.sum() * 36 / 1000
    assert found["false_positive_ml"]["mean"] == pytest.approx(volumes.mean())
    row = rows(anomalies)["h1"]
    assert row["dice"] == row["voxel_average_precision"] == "nan"
    assert float(row["false_positive_ml"]) == float(row["mask_ml"]) == pytest.approx(volumes[0])


def test_groups_are_compared_with_all_healthy_cases(anomalies: Path) -> None:
    groups = report(anomalies)["anomaly"]["groups"]
    assert list(groups) == ["bright", "dark"]
    for group in groups.values():
        assert (group["anomalous"], group["cases"]["healthy"]) == (2, 4)
        assert group["pooled"]["average_precision"] > group["pooled"]["chance"]
        assert group["threshold"]["sensitivity"]["value"] == 1.0


def test_a_direction_looks_at_one_side_only(anomalies: Path, answer: Answer) -> None:
    for case in ("h1", "s1", "s3"):
        values = open_volume(anomalies / f"maps/{case}.nii.gz").data
        answer("positive", case, values, 1.0, direction="positive")
    report(anomalies, maps="positive")
    found = rows(anomalies)
    assert float(found["s1"]["voxel_average_precision"]) > 0.5
    assert float(found["s3"]["voxel_average_precision"]) < 0.1


def test_maps_of_another_tool_are_scored_by_voxels_only(anomalies: Path) -> None:
    for path in (anomalies / "maps").glob("*"):
        if path.suffix == ".json" or path.name.endswith(("_z.nii.gz", "_mask.nii.gz")):
            path.unlink()
    summary = report(anomalies)
    found = summary["anomaly"]
    assert (found["score"], found["cases"], found["by_score"]) == (None, None, {})
    assert (found["threshold"], found["on_healthy"]) == (None, None)
    assert found["voxels"]["pooled"]["average_precision"] > 0.3
    assert found["voxels"]["pooled"]["dice"] is None
    assert found["groups"]["dark"]["cases"] is None
    assert any("no Dice" in remark for remark in summary["remarks"])
    assert "only voxels are scored" in summary["cases"]["h1"]["remarks"][0]
    assert "no sidecar" in (anomalies / "report/report.html").read_text()


def test_cases_seen_in_training_stay_out_of_every_figure(anomalies: Path, answer: Answer) -> None:
    values = np.zeros(open_volume(anomalies / "maps/h4.nii.gz").data.shape)
    answer("maps", "h4", values, 99.0, more={"seen_in_training": True})
    summary = report(anomalies)
    found = summary["anomaly"]
    assert (found["healthy"], found["cases"]["auroc"]["value"]) == (3, 1.0)
    assert (summary["headline"]["cases"], summary["seen_in_training"]["cases"]) == (7, 1)


def test_what_does_not_fit_together_is_said(anomalies: Path, answer: Answer) -> None:
    values = open_volume(anomalies / "maps/h4.nii.gz").data
    for key in ("z", "mask"):
        (anomalies / f"maps/h4_{key}.nii.gz").unlink()
    answer("maps", "h4", values, 3.0, cut=None, more={"weights_digest": "beef"})
    summary = report(anomalies)
    said = " ".join(summary["remarks"])
    assert "2 models" in said
    assert "1 of 8 cases have no mask" in said
    assert summary["anomaly"]["voxels"]["pooled"]["dice"] is None
    assert summary["anomaly"]["voxels"]["mean_over_anomalous"]["dice"]["cases"] == 4


def test_only_one_side_leaves_the_areas_open(anomalies: Path) -> None:
    for path in (anomalies / "maps").glob("s*"):
        path.unlink()
    summary = report(anomalies)
    found = summary["anomaly"]
    assert found["cases"]["auroc"]["value"] is None
    assert found["voxels"]["pooled"]["average_precision"] is None
    assert any("every case is healthy" in remark for remark in summary["remarks"])
    assert found["on_healthy"]["cases"] == 4


def test_without_a_mask_every_voxel_counts_and_it_says_so(anomalies: Path) -> None:
    matched = match_paths(anomalies / "maps", anomalies / "lesion")
    assert len(matched.cases) == 8
    summary = evaluate_maps(matched, anomalies / "report").summary
    assert summary["mask"] == "none: the whole volume counts"
    assert any("air and all" in remark for remark in summary["remarks"])
    pooled = summary["anomaly"]["voxels"]["pooled"]
    assert pooled["lesion_voxels"] + pooled["other_voxels"] == 8 * 22 * 20 * 18
    assert summary["anomaly"]["groups"] == {}


def test_a_broken_case_does_not_stop_the_others(anomalies: Path) -> None:
    (anomalies / "lesion/s1.nii.gz").write_bytes(b"broken")
    matched = match_table(anomalies / "maps", anomalies / "cases.csv", column="lesion")
    found = evaluate_maps(matched, anomalies / "report")
    assert found.exit_code == Exit.SOME_FAILED
    assert [result.case for result in found.failed] == ["s1"]
    assert found.summary["anomaly"]["anomalous"] == 3
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        evaluate_maps(matched, anomalies / "report")
    for path in (anomalies / "lesion").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(Refusal):
        evaluate_maps(matched, anomalies / "other")
    assert not (anomalies / "other").exists()


def test_two_reports_are_compared_case_by_case(anomalies: Path, answer: Answer) -> None:
    report(anomalies)
    for case in rows(anomalies):
        values = open_volume(anomalies / f"maps/{case}.nii.gz").data
        lesion = open_volume(anomalies / f"lesion/{case}.nii.gz").data
        answer("better", case, values + np.sign(values) * 2.0 * lesion, 1.0)
    report(anomalies, "second", maps="better")
    found = compare(anomalies / "report", anomalies / "second", anomalies / "out")
    scores = json.loads((anomalies / "out/comparison.json").read_text())["scores"]
    assert scores["voxel_average_precision"]["pairs"] == 4
    assert scores["voxel_average_precision"]["mean_difference"] > 0.05
    assert scores["false_positive_ml"]["pairs"] == 8
    assert "map_top" not in scores
    assert any("areas under curves" in warning for warning in found.summary["warnings"])
    assert all(math.isfinite(d) for each in found.differences for d in each.differences)
