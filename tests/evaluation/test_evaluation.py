import csv
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation import evaluate, match_paths, match_table
from medgen.metrics import PROFILES
from medgen.problems import ConfigurationError, Exit, NothingFound, Refusal

HU = PROFILES["hu"]


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "scores.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_cohort_to_its_three_files(cohort: Path) -> None:
    (cohort / "prediction/c3.json").write_text('{"seen_in_training": true, "unit": "HU"}')
    matched = match_table(
        cohort / "prediction", cohort / "cases.csv", column="ct", mask_column="body"
    )
    heard = []
    found = evaluate(
        matched, HU, cohort / "report", on_case=lambda scored: heard.append(scored.case)
    )
    assert heard == ["c1", "c2", "c3", "c4"]
    assert found.exit_code == Exit.OK

    rows = rows_of(cohort / "report")
    assert list(rows[0]) == ["case", "patient", "seen_in_training", *HU.columns, "problem"]
    assert [row["case"] for row in rows] == ["c1", "c2", "c3", "c4"]
    assert [row["seen_in_training"] for row in rows] == ["", "", "true", ""]
    maes = {row["case"]: float(row["mae"]) for row in rows}

    summary = json.loads((cohort / "report/summary.json").read_text())
    headline = summary["headline"]
    assert (headline["cases"], headline["patients"]) == (3, 2)
    unseen = [maes[case] for case in ("c1", "c2", "c4")]
    assert headline["scores"]["mae"]["mean"] == pytest.approx(np.mean(unseen))
    assert headline["scores"]["mae"]["sd"] == pytest.approx(np.std(unseen, ddof=1))
    low, high = headline["scores"]["mae"]["ci95"]
    assert low <= headline["scores"]["mae"]["mean"] <= high
    assert summary["seen_in_training"]["scores"]["mae"]["mean"] == pytest.approx(maes["c3"])
    assert summary["profile"]["name"] == "hu"
    assert summary["profile"]["scores"]["mae"]["definition"]
    assert summary["mask"] == "column body"
    assert summary["cases"]["c1"]["sha256"]["reference"]
    assert summary["intended_use"].startswith("research use only")

    page = (cohort / "report/report.html").read_text()
    assert "Research use only; not a medical device" in page
    assert page.count("data:image/png;base64,") == 4 + 4
    # self-contained: no reference leaves the page
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", page)
    assert "<script" not in page
    assert page.index("<h3>c4") < page.index("<h3>c1")  # worst first
    for text in (page, (cohort / "report/summary.json").read_text()):
        assert str(cohort) not in text


def test_a_failed_case_does_not_stop_the_others(cohort: Path) -> None:
    (cohort / "reference/c2.nii.gz").write_bytes(b"broken")
    matched = match_paths(cohort / "prediction", cohort / "reference", cohort / "mask")
    found = evaluate(matched, HU, cohort / "report")
    assert found.exit_code == Exit.SOME_FAILED
    assert [result.case for result in found.failed] == ["c2"]
    rows = rows_of(cohort / "report")
    assert rows[1]["mae"] == ""
    assert rows[1]["problem"].startswith("E_")
    summary = json.loads((cohort / "report/summary.json").read_text())
    assert summary["headline"]["cases"] == 3
    assert summary["failed"][0]["case"] == "c2"
    assert not summary["patients_known"]
    assert "1 of 4 cases could not be scored" in (cohort / "report/report.html").read_text()


def test_where_every_case_is_wanted_one_that_fails_is_refused(cohort: Path) -> None:
    (cohort / "reference/c2.nii.gz").write_bytes(b"broken")
    matched = match_paths(cohort / "prediction", cohort / "reference", cohort / "mask")
    with pytest.raises(Refusal) as caught:
        evaluate(matched, HU, cohort / "report", every=True)
    assert {problem.case for problem in caught.value.problems} == {"c2"}
    assert not (cohort / "report").exists()


def test_when_every_case_fails_nothing_is_written(cohort: Path) -> None:
    for path in (cohort / "reference").iterdir():
        path.write_bytes(b"broken")
    matched = match_paths(cohort / "prediction", cohort / "reference")
    with pytest.raises(Refusal) as refused:
        evaluate(matched, HU, cohort / "report")
    assert refused.value.exit_code == Exit.ALL_FAILED
    assert {problem.case for problem in refused.value.problems} == {"c1", "c2", "c3", "c4"}
    assert not (cohort / "report").exists()


def test_an_earlier_report_is_kept_unless_asked(
    cohort: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgen.evaluation.evaluation.evaluation_page", lambda *_, **__: "page")
    matched = match_paths(cohort / "prediction/c1.mha", cohort / "reference/c1.nii.gz")
    evaluate(matched, HU, cohort / "report")
    before = (cohort / "report/scores.csv").read_bytes()
    with pytest.raises(ConfigurationError, match=r"E_EXISTS.*scores.csv"):
        evaluate(matched, PROFILES["synthrad2023"], cohort / "report")
    assert (cohort / "report/scores.csv").read_bytes() == before
    evaluate(matched, PROFILES["synthrad2023"], cohort / "report", overwrite=True)
    assert (cohort / "report/scores.csv").read_bytes() != before
    with pytest.raises(ConfigurationError, match=r"E_EXISTS"):
        evaluate(matched, HU, cohort / "cases.csv")


def test_scores_without_a_number(cohort: Path, write: Callable[..., Path]) -> None:
    """A perfect answer has infinite psnr; JSON says null and counts, CSV says inf."""
    for case in ("c1", "c2"):
        (cohort / f"prediction/{case}.mha").unlink()
        reference = cohort / f"reference/{case}.nii.gz"
        (cohort / f"prediction/{case}.nii.gz").write_bytes(reference.read_bytes())
    matched = match_paths(cohort / "prediction", cohort / "reference", cohort / "mask")
    found = evaluate(matched, PROFILES["synthrad2025"], cohort / "report")
    rows = rows_of(cohort / "report")
    assert rows[0]["psnr"] == "inf"
    assert math.isinf(float(rows[0]["psnr"]))
    assert rows[0]["mae"] == "0.0"
    scores = found.summary["headline"]["scores"]
    assert scores["psnr"]["infinite"] == 2
    assert scores["psnr"]["cases"] == 2
    summary = json.loads((cohort / "report/summary.json").read_text())
    assert summary["cases"]["c1"]["scores"]["psnr"] is None
    # a 22x20x18 grid gives a doubtful or undefined ms_ssim: said, not hidden
    assert any("ms_ssim" in remark for remark in summary["cases"]["c1"]["remarks"])
    assert "ms_ssim is" in (cohort / "report/report.html").read_text()


def test_only_seen_cases_give_no_headline(cohort: Path) -> None:
    (cohort / "prediction/c1.json").write_text('{"seen_in_training": true}')
    matched = match_paths(cohort / "prediction/c1.mha", cohort / "reference/c1.nii.gz")
    found = evaluate(matched, PROFILES["mr"], cohort / "report")
    assert found.summary["headline"] is None
    assert found.summary["seen_in_training"]["cases"] == 1
    assert "Every scored case was seen in training" in (cohort / "report/report.html").read_text()


def test_names_cannot_run_in_a_spreadsheet_or_a_browser(
    cohort: Path, write: Callable[..., Path]
) -> None:
    name = "=1+1 $x_{y}$ <b>bold"
    matched = match_paths(cohort / "prediction/c1.mha", cohort / "reference/c1.nii.gz")
    evil = replace(matched, cases=(replace(matched.cases[0], name=name),))
    evaluate(evil, HU, cohort / "report")
    assert rows_of(cohort / "report")[0]["case"] == f"'{name}"
    page = (cohort / "report/report.html").read_text()
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page


def test_no_case_is_nothing_found(cohort: Path) -> None:
    matched = match_paths(cohort / "prediction", cohort / "reference")
    empty = type(matched)((), (), "")
    with pytest.raises(NothingFound):
        evaluate(empty, HU, cohort / "report")
