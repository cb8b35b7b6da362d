"""`evaluate --features RUN` from end to end, with a segmenter of four channels."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medgen.cli.app import main
from medgen.config import parse_config
from medgen.problems import Exit
from medgen.runs import (
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.volumes import Grid, Volume, write_volume

SHAPE = (24, 18, 18)
CANARIES = ("DOE^JANE", "MRN0123456")


def head(seed: int, *, noise: float = 20.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((axes**2).sum(axis=0)) * random.uniform(0.95, 1.05)
    values = np.where(radius < 1, np.where(radius > 0.8, 800.0, 40.0), -1000.0)
    return np.asarray(values + random.normal(0, noise, SHAPE), np.float32)


def write(path: Path, values: np.ndarray) -> None:
    grid = Grid(SHAPE, np.diag([4.0, 4.0, 4.0, 1.0]))
    write_volume(path, Volume(values, grid), dtype="float32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write references of eight cases of seven patients, predictions, a table and two runs."""
    folder = tmp_path_factory.mktemp("features") / CANARIES[0]
    rows = ["case,patient,split,ct"]
    for number in range(8):
        reference = head(number)
        write(folder / f"ct/c{number}.nii.gz", reference)
        patient = f"{CANARIES[1]} {max(number, 1)}"
        split = "test" if number < 6 else "train"
        rows.append(f"c{number},{patient},{split},ct/c{number}.nii.gz")
        if number < 4:
            write(folder / f"good/c{number}.nii.gz", head(number, noise=22.0))
        write(folder / f"noisy/other{number}.nii.gz", head(40 + number, noise=400.0))
    (folder / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for name in ("segmenter", "regression"):
        unet = {"name": "unet", "channels": [4, 4], "features": 4, "residual_units": 1}
        raw: dict[str, Any] = {
            "roles": {"source": ["ct"], "target": ["mr"], "label": ["tissue"]},
            "labels": {"soft": 1, "bone": 2},
            "preprocessing": {"spacing_mm": [4, 4, 4], "crop": "none"},
            "intensity": {
                "ct": {"scale": "window", "low": -1024, "high": 2000, "unit": "HU"},
                "mr": {"scale": "cohort"},
            },
            "method": name,
            "methods": {"segmenter": {"network": unet}, "regression": {"generator": unet}},
            "train": {"patch": [16, 16, 16]},
            "convert": {"overlap_voxels": 8},
        }
        raw["train"]["validate"] = {
            "profile": "segmentation" if name == "segmenter" else "mr",
        }
        config = parse_config(raw)
        run = RunFolder(folder / name)
        torch.manual_seed(2)
        write_config(run, config)
        write_statistics(run, Statistics({"mr": (0.0, 9.0)}))
        write_weights(run, assemble(config)[0], {"step": 1})
    return folder


def verb(place: Path, prediction: str, output: Path, *more: object) -> int:
    arguments = ["evaluate", "--prediction", place / prediction, "--output", output, *more]
    return main([*map(str, arguments), "--device", "cpu"])


def against_table(place: Path, run: str = "segmenter") -> list[object]:
    return ["--data", place / "cases.csv", "--column", "ct", "--features", place / run]


def told(folder: Path) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in folder.iterdir())


def test_two_sets_without_pairs(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    more = [*against_table(place), "--split", "test", "--profile", "distribution"]
    assert verb(place, "noisy", out, *more) == Exit.OK
    shown = capsys.readouterr()
    assert "8 predictions against 6 references, without pairs" in shown.err
    summary = json.loads((out / "summary.json").read_text())
    found = summary["distribution"]
    volumes = found["volumes"]
    assert volumes["prediction"] == {"n": 8, "patients": 8}
    assert volumes["reference"] == {"n": 6, "patients": 5}
    low, high = volumes["kid"]["ci95"]
    assert low < volumes["kid"]["value"] < high
    assert volumes["kid"]["value"] > volumes["floor"]["kid"]["median"]
    assert found["features"]["dimension"] == 4
    digest = load_model(place / "segmenter", device=torch.device("cpu")).weights_digest
    assert found["features"]["weights_sha256"] == digest
    assert re.search(r"^kid of volumes +\d", shown.out, re.MULTILINE)
    assert "fid of volumes" in shown.out
    with (out / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == [f"other{number}" for number in range(8)]
    assert all(float(row["feature_distance"]) > 2 for row in rows)
    page = (out / "report.html").read_text()
    for said in (digest, "6 <span", "KID", "FID", "halves of", "jackknife", "other3"):
        assert said in page
    assert not any(canary in told(out) + shown.err for canary in CANARIES)


def test_folders_of_any_names_and_any_count(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    more = ["--reference", place / "ct", "--features", place / "segmenter"]
    assert verb(place, "noisy", out, *more, "--profile", "distribution") == Exit.OK
    first = json.loads((out / "summary.json").read_text())["distribution"]["volumes"]
    assert first["reference"] == {"n": 8, "patients": 8}
    args = ["--profile", "distribution", "--overwrite"]
    assert verb(place, "ct", out, *more, *args) == Exit.OK
    second = json.loads((out / "summary.json").read_text())
    assert second["distribution"]["volumes"]["kid"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert second["headline"]["scores"]["feature_distance"]["mean"] == pytest.approx(1, abs=0.2)


def test_beside_paired_scores_and_compare(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgen.evaluation.pages._pictures", lambda *_: iter(()))
    for name, more in (("with", against_table(place)), ("without", against_table(place)[:4])):
        arguments = ["evaluate", "--prediction", place / "good", *more]
        assert main([*map(str, arguments), "--output", str(tmp_path / name)]) == Exit.OK
        monkeypatch.setattr("medgen.evaluation.evaluation.evaluation_page", lambda *_: "page")
    summaries = [
        json.loads((tmp_path / n / "summary.json").read_text()) for n in ("with", "without")
    ]
    assert summaries[0]["headline"] == summaries[1]["headline"]
    assert "distribution" not in summaries[1]
    volumes = summaries[0]["distribution"]["volumes"]
    assert volumes["prediction"] == volumes["reference"] == {"n": 4, "patients": 3}
    low, high = volumes["kid"]["ci95"]
    assert low <= volumes["kid"]["value"] <= high
    assert "<h2>Distributions</h2>" in (tmp_path / "with/report.html").read_text()
    compare = ["compare", str(tmp_path / "with"), str(tmp_path / "without")]
    assert main([*compare, "--output", str(tmp_path / "comparison")]) == Exit.OK


def test_a_report_without_pairs_cannot_be_compared(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert verb(place, "noisy", out, *against_table(place), "--profile", "distribution") == Exit.OK
    assert main(["compare", str(out), str(out), "--output", str(tmp_path / "c")]) == Exit.USAGE
    assert "two sets without pairs, which cannot be compared" in capsys.readouterr().err


def test_predictions_seen_in_training_stay_out(place: Path, tmp_path: Path) -> None:
    for number in range(8):
        write(tmp_path / f"made/m{number}.nii.gz", head(60 + number))
        if number < 3:
            (tmp_path / f"made/m{number}.json").write_text('{"seen_in_training": true}')
    more = [*against_table(place), "--profile", "distribution"]
    assert verb(tmp_path, "made", tmp_path / "report", *more) == Exit.OK
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["distribution"]["volumes"]["prediction"]["n"] == 5
    assert summary["seen_in_training"]["cases"] == 3
    assert "seen in training and left out: 3" in (tmp_path / "report/report.html").read_text()


def test_a_volume_without_features_is_named(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        write(tmp_path / f"made/m{number}.nii.gz", head(number))
    write(tmp_path / "made/m1.nii.gz", np.full(SHAPE, -1000, np.float32))
    more = [*against_table(place), "--profile", "distribution"]
    assert verb(tmp_path, "made", tmp_path / "report", *more) == Exit.SOME_FAILED
    assert "E_EMPTY_BODY [case m1, column prediction]" in capsys.readouterr().err
    assert "E_EMPTY_BODY" in (tmp_path / "report/report.html").read_text()
    rows = (tmp_path / "report/scores.csv").read_text().splitlines()
    assert rows[2].endswith(",E_EMPTY_BODY")
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["distribution"]["volumes"]["prediction"]["n"] == 3


@pytest.mark.parametrize("wrong", [1, 4])
def test_answers_in_another_unit_than_the_features_are_refused(
    wrong: int, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MR answers of the other direction are no CT; where all are, there is nothing to compare."""
    for number in range(4):
        write(tmp_path / f"made/m{number}.nii.gz", head(number))
        unit = "arbitrary" if number < wrong else "hu"
        facts = {"unit": unit, "answer": "backward"}
        (tmp_path / f"made/m{number}.json").write_text(json.dumps(facts))
    more = [*against_table(place), "--profile", "distribution"]
    ended = verb(tmp_path, "made", tmp_path / "report", *more)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("E_UNIT [case m") == wrong
    assert "the sidecar says arbitrary, and the features are of ct in HU" in said
    assert "give answers in HU, or a segmenter of" in said
    if wrong == 4:
        assert ended == Exit.ALL_FAILED
        assert not (tmp_path / "report").exists()
        return
    assert ended == Exit.SOME_FAILED
    summary = json.loads((tmp_path / "report/summary.json").read_text())
    assert summary["distribution"]["volumes"]["prediction"]["n"] == 3
    assert [each["code"] for each in summary["distribution"]["failed"]] == ["E_UNIT"]


def test_a_scored_volume_without_features_is_told_of(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has scores, inside the mask, so nothing failed; the worst answer must not go unseen."""
    monkeypatch.setattr("medgen.evaluation.pages._pictures", lambda *_: iter(()))
    for number in range(4):
        write(tmp_path / f"made/c{number}.nii.gz", head(number))
        write(tmp_path / f"mask/c{number}.nii.gz", np.ones(SHAPE, np.float32))
    write(tmp_path / "made/c3.nii.gz", np.full(SHAPE, -1000, np.float32))
    more = ["--reference", place / "ct", "--mask", tmp_path / "mask"]
    more += ["--features", place / "segmenter"]
    assert verb(tmp_path, "made", tmp_path / "report", *more) == Exit.OK
    said = "KID and FID leave out volumes without features: c3 (prediction): E_EMPTY_BODY"
    assert said in " ".join(capsys.readouterr().err.split())
    page = (tmp_path / "report/report.html").read_text()
    assert "<strong>1 volume has no features</strong>" in page
    assert "3 patients are in both sets, whose likeness lowers it" in page


@pytest.mark.parametrize("profile", ["hu", "distribution"])
def test_fewer_than_two_patients_are_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], profile: str
) -> None:
    write(tmp_path / "made/c0.nii.gz", head(0))
    write(tmp_path / "made/c1.nii.gz", head(1))  # the same patient's
    more = [*against_table(place), "--profile", profile]
    assert verb(tmp_path, "made", tmp_path / "report", *more) == Exit.ALL_FAILED
    shown = capsys.readouterr().err
    assert "E_KERNEL_CASES: the predictions are of 1 patient, and a distance takes two" in shown
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--profile", "distribution"], "--profile distribution needs --features"),
        (["--device", "cpu"], "--device needs --features"),
        (["--features", "segmenter", "--profile", "segmentation"], "does not go with"),
        (["--features", "regression"], "E_FEATURES_METHOD"),
        (["--features", "segmenter", "--profile", "mr"], "E_FEATURES_SCALE"),
        (
            ["--features", "segmenter", "--profile", "distribution", "--match-grid"],
            "--match-grid does not go with --profile distribution",
        ),
        (
            ["--features", "segmenter", "--profile", "distribution", "--mask", "ct"],
            "--mask does not go with --profile distribution",
        ),
    ],
)
def test_usage(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(place)
    arguments = ["evaluate", "--prediction", "ct", "--reference", "ct", *more]
    assert main([*arguments, "--output", str(tmp_path / "report")]) == Exit.USAGE
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_column_that_the_segmenter_does_not_read_is_refused(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "cases.csv"
    rows = [f"c{n},p{n},{place}/ct/c{n}.nii.gz" for n in range(3)]
    table.write_text("\n".join(["case,patient,cbct", *rows]) + "\n")
    more = ["--data", table, "--column", "cbct", "--features", place / "segmenter"]
    for profile in ("hu", "distribution"):
        out = tmp_path / profile
        (tmp_path / "made").mkdir(exist_ok=True)
        for n in range(3):
            write(tmp_path / f"made/c{n}.nii.gz", head(n))
        assert verb(tmp_path, "made", out, *more, "--profile", profile) == Exit.USAGE
        assert "the run reads ct, and the volumes are cbct" in capsys.readouterr().err
