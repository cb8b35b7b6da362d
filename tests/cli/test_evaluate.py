import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from medgen.cli.app import main
from medgen.metrics import PROFILES
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, write_volume

GRID = Grid((10, 11, 12), np.diag([2.0, 2.0, 2.0, 1.0]))


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Write two cases: a cube in air, a prediction off by 10 HU, and a mask."""
    cube = np.full(GRID.shape, -1000.0)
    cube[2:-2, 2:-2, 2:-2] = 50.0
    rows = ["case,patient,split,ct,body"]
    for case in ("a", "b"):
        for name, values in (("ct", cube), ("sct", cube + 10), ("body", cube > -500)):
            path = tmp_path / name / f"{case}.nii.gz"
            write_volume(path, Volume(np.asarray(values, np.float32), GRID), dtype="float32")
        rows.append(f"{case},{case},test,ct/{case}.nii.gz,body/{case}.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def folders(cohort: Path) -> list[str]:
    return [
        *("evaluate", "--prediction", str(cohort / "sct"), "--reference", str(cohort / "ct")),
        *("--mask", str(cohort / "body"), "--output", str(cohort / "report")),
    ]


def test_folders_to_a_report(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(folders(cohort)) == Exit.OK
    shown = capsys.readouterr()
    assert re.search(r"^mae +HU +10 ", shown.out, re.MULTILINE)
    assert re.search(r"^psnr +dB ", shown.out, re.MULTILINE)
    assert str(cohort / "report/report.html") in shown.out
    assert "not a medical device" in shown.err
    assert {path.name for path in (cohort / "report").iterdir()} == {
        "scores.csv",
        "summary.json",
        "report.html",
    }
    assert main(folders(cohort)) == Exit.USAGE
    assert "E_EXISTS" in capsys.readouterr().err


def test_a_table_and_json(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cohort / "ct/b.nii.gz").write_bytes(b"broken")
    arguments = [
        *("evaluate", "--prediction", str(cohort / "sct"), "--data", str(cohort / "cases.csv")),
        *("--column", "ct", "--mask-column", "body", "--split", "test"),
        *("--profile", "synthrad2023", "--output", str(cohort / "report"), "--json"),
    ]
    assert main(arguments) == Exit.SOME_FAILED
    shown = capsys.readouterr()
    summary = json.loads(shown.out)
    assert summary["headline"]["scores"]["mae"]["mean"] == pytest.approx(10.0)
    assert summary["cases"]["a"]["patient"] == hashlib.sha256(b"a").hexdigest()[:8]
    assert "case b" in shown.err
    assert str(cohort) not in shown.out


def test_when_everything_fails(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (cohort / "body").iterdir():
        path.write_bytes(b"broken")
    assert main(folders(cohort)) == Exit.ALL_FAILED
    assert "case a" in capsys.readouterr().err
    assert not (cohort / "report").exists()


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        (["--reference", "--mask"], [], "give either --reference or --data"),
        ([], ["--data", "cases.csv", "--column", "ct"], "give either --reference or --data"),
        (["--reference", "--mask"], ["--data", "cases.csv"], "--data needs --column"),
        (["--reference"], ["--data", "x.csv", "--column", "ct"], "--mask does not go with --data"),
        ([], ["--split", "test"], "--split needs --data"),
        ([], ["--mask-column", "body"], "--mask-column needs --data"),
        ([], ["--nan-to", "nan"], "--nan-to must be a finite number"),
        ([], ["--region-column", "body"], "--region-column needs --data"),
        (
            ["--reference", "--mask"],
            ["--data", "x.csv", "--column", "ct", "--regions", "ct"],
            "--regions does not go with --data",
        ),
        ([], ["--region-names", "spot=4"], "--region-names needs a region map"),
        ([], ["--regions", "ct", "--region-names", "spot"], "'spot' is no NAME=VALUE"),
        ([], ["--regions", "ct", "--region-names", "a=1,b=0"], "'b=0' is no NAME=VALUE"),
        ([], ["--regions", "ct", "--region-names", "a=1,b=1"], "'b=1' repeats a name or a value"),
        ([], ["--profile", "synthrad"], "synthrad2025"),
    ],
)
def test_usage(
    cohort: Path,
    capsys: pytest.CaptureFixture[str],
    drop: list[str],
    add: list[str],
    message: str,
) -> None:
    arguments = folders(cohort)
    for option in drop:
        place = arguments.index(option)
        del arguments[place : place + 2]
    assert main([*arguments, *add]) == Exit.USAGE
    assert message in capsys.readouterr().err
    assert not (cohort / "report").exists()


def test_nothing_found(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cohort / "empty").mkdir()
    arguments = folders(cohort)
    arguments[2] = str(cohort / "empty")
    assert main(arguments) == Exit.NOTHING_FOUND
    assert "--prediction" in capsys.readouterr().err


def test_a_segmentation(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for case in ("a", "b"):
        for name, cube in (("label", slice(2, -2)), ("answer", slice(3, -2))):
            values = np.zeros(GRID.shape, np.uint8)
            values[cube, 2:-2, 2:-2] = 1
            path = cohort / name / f"{case}.nii.gz"
            write_volume(path, Volume(values, GRID), dtype="uint8")
        names = {"labels": {"Tumour": 1} if case == "a" else {"lesion": 1}}
        (cohort / f"answer/{case}.json").write_text(json.dumps(names))
    arguments = [
        *("evaluate", "--prediction", str(cohort / "answer")),
        *("--reference", str(cohort / "label"), "--profile", "segmentation"),
        *("--output", str(cohort / "report")),
    ]
    assert main(arguments) == Exit.OK
    shown = capsys.readouterr()
    assert "mask: none: the whole volume counts" in shown.err
    assert "name their labels differently" in shown.err
    lines = shown.out.splitlines()
    assert lines[1].split()[:2] == ["dice", "0.9091"]
    heads, units, row = lines[lines.index("means by class:") + 1 :][:3]
    assert heads.split()[:3] == ["class", "dice", "hd95_mm"]
    assert units.split() == ["mm", "%"]
    assert row.split() == ["label_1", "0.9091", "2", "-16.67", "1", "1", "1"]
    assert any(line.startswith("mean reference_volume_ml [ml]: ") for line in lines)


def test_infinite_scores_are_counted(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for case, size in (("a", 0), ("b", 4)):
        for name, value in (("label", 1), ("answer", size > 0)):
            values = np.zeros(GRID.shape, np.uint8)
            values[2:6, 2:6, 2:6] = value
            path = cohort / name / f"{case}.nii.gz"
            write_volume(path, Volume(values, GRID), dtype="uint8")
    assert (
        main(
            [
                *("evaluate", "--prediction", str(cohort / "answer")),
                *("--reference", str(cohort / "label"), "--profile", "segmentation"),
                *("--output", str(cohort / "report")),
            ]
        )
        == Exit.OK
    )
    shown = capsys.readouterr()
    row = next(line for line in shown.out.splitlines() if line.startswith("hd95_mm"))
    assert row.endswith("1 and 1 infinite")
    assert "missed altogether" in shown.err


def test_uptake_by_region(
    cohort: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgen.evaluation.evaluation.evaluation_page", lambda *_: "page")
    spot = np.zeros(GRID.shape, np.uint8)
    spot[3:6, 3:6, 3:6] = 4
    warm = np.full(GRID.shape, 1.0) + np.arange(GRID.shape[2])
    for name, values in (("pet", warm), ("made", warm * 0.8), ("map", spot)):
        dtype = "uint8" if name == "map" else "float32"
        volume = Volume(np.asarray(values, dtype), GRID)
        write_volume(cohort / name / "a.nii.gz", volume, dtype=dtype)  # type: ignore[arg-type]
    arguments = [
        *("evaluate", "--prediction", str(cohort / "made"), "--reference", str(cohort / "pet")),
        *("--mask", str(cohort / "body/a.nii.gz"), "--regions", str(cohort / "map")),
        *("--region-names", "spot=4, other=7", "--output", str(cohort / "report")),
    ]
    assert main(arguments) == Exit.USAGE
    shown = capsys.readouterr()
    assert "E_PROFILE_REGIONS" in shown.err
    assert "the profile hu scores none" in shown.err
    assert main([*arguments, "--profile", "pet"]) == Exit.OK
    shown = capsys.readouterr()
    assert "label values named other=7" in shown.err
    lines = shown.out.splitlines()
    assert lines[1].startswith("mae           unit unknown ")
    assert not any(line.startswith("data_range") for line in lines)
    assert "mean data_range [unit unknown]: 10 (no score: highest reference value" in shown.out
    assert shown.err.count("no case says whether it is in SUV or in Bq/ml") == 1
    heads, units, row, mark = lines[lines.index("means by region:") + 1 :][:4]
    scores = dict(zip(heads.split()[1:], row.split()[1:], strict=True))
    assert (scores["suv_mean_bias"], scores["suv_peak_bias"]) == ("-20", "-20*")
    assert scores["volume_ml"] == "0.216"
    assert units.split() == ["%", "%", "%", "unit", "unknown", "unit", "unknown", "ml"]
    assert mark.startswith("* a region under 1 ml")


def test_every_profile_is_named_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--help"]) == Exit.OK
    shown = " ".join(re.findall(r"[a-z0-9]+", capsys.readouterr().out))
    names = [name for name, profile in PROFILES.items() if not profile.training_only]
    for name in (*names, "anomaly", "distribution"):
        assert name in shown.split()
