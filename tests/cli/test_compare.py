import json
from pathlib import Path

import pytest

from medgen.cli.app import main
from medgen.evaluation.scoring import Scored
from medgen.evaluation.summary import scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.metrics import PROFILES
from medgen.problems import Exit


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Write two reports of three cases, the second 5 HU better."""
    profile = PROFILES["synthrad2023"]
    for name, offset in (("one", 0.0), ("two", -5.0)):
        results = [
            Scored(f"c{i}", f"p{i}", {"mae": 60.0 + i + offset, "psnr": 30.0, "ssim": 0.9})
            for i in range(3 + (name == "two"))
        ]
        write_text(tmp_path / name / "scores.csv", scores_csv(profile, results))
        write_json(tmp_path / name / "summary.json", summary_json(profile, results, {"mask": ""}))
    return tmp_path


def arguments(reports: Path, *more: str) -> list[str]:
    folders = [str(reports / name) for name in ("one", "two")]
    return ["compare", *folders, "--output", str(reports / "out"), *more]


def test_a_table_a_page_and_a_caution(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(reports)) == Exit.OK
    shown = capsys.readouterr()
    row = next(line for line in shown.out.splitlines() if line.startswith("mae"))
    assert row.split()[1:4] == ["61", "56", "-5"]
    assert row.endswith("3:0:0")
    assert "3 cases of 3 patients" in shown.out
    assert "Several scores" in shown.out
    assert "only in the second report: c3" in shown.err
    assert "patients (3)" in shown.err
    assert (reports / "out/comparison.html").is_file()
    assert main(arguments(reports)) == Exit.USAGE
    assert "E_EXISTS" in capsys.readouterr().err


def test_json(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(reports, "--json")) == Exit.OK
    summary = json.loads(capsys.readouterr().out)
    assert summary["scores"]["mae"]["mean_difference"] == -5.0
    assert summary == json.loads((reports / "out/comparison.json").read_text())


def test_what_is_no_report_is_refused(reports: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (reports / "two/summary.json").unlink()
    assert main(arguments(reports)) == Exit.USAGE
    assert "E_REPORT" in capsys.readouterr().err


def test_of_many_classes_the_first_scores_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = {f"region_{value}": value for value in range(1, 8)}
    profile = PROFILES["segmentation"].for_labels(classes)
    for name, score in (("one", 0.5), ("two", 0.6)):
        results = [Scored(f"c{i}", f"p{i}", dict.fromkeys(profile.columns, score)) for i in (1, 2)]
        write_text(tmp_path / name / "scores.csv", scores_csv(profile, results))
        write_json(tmp_path / name / "summary.json", summary_json(profile, results, {"mask": ""}))
    assert main(arguments(tmp_path)) == Exit.OK
    shown = capsys.readouterr().out
    assert "dice_region_7" in shown
    assert "and 18 more scores in the report" in shown
    page = (tmp_path / "out/comparison.html").read_text()
    assert "The first 30 scores" in page
    assert "lesion_precision_region_7" in page
