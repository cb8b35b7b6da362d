"""The segmentation pipeline as a program: help, refusals, the whole road, and its promise."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medgen
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.volumes import open_volume

CHECKOUT = Path(medgen.__file__).parents[1]
PROGRAM = CHECKOUT / "pipelines" / "tissue_segmentation.py"
TINY = {
    "split.test": "0.34",
    "preprocessing.spacing_mm": "[6, 6, 6]",
    "train.steps": "6",
    "train.patch": "[16, 16, 16]",
    "methods.segmenter.network": "{name: unet, channels: [4, 8], residual_units: 1}",
    "convert.keep_largest": "[csf]",
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), *(str(part) for part in arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pipeline_fits_on_a_page() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= 90


def test_another_kind_of_profile_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "out", "--data", tmp_path, "--set", "train.validate={}")
    assert ended.returncode == 2
    assert "'hu' does not score labels" in ended.stderr
    assert "known: segmentation" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_whole_road_on_tiny_heads(tmp_path: Path) -> None:
    size = CaseSettings(size=(32, 36, 32))
    table = write_cohort(CohortSettings(persons=6, case=size), tmp_path / "cases")
    output = tmp_path / "out"
    sets = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    ended = run("--output", output, "--data", table, "--device", "cpu", *sets)
    assert ended.returncode == 0, ended.stderr
    assert "dice_grey" in ended.stdout
    answers = sorted((output / "answers").glob("*.nii.gz"))
    assert len(answers) == 2
    for answer in answers:
        assert set(map(int, set(open_volume(answer).data.ravel()))) <= {0, 1, 2, 3}
        sidecar = json.loads(answer.with_name(f"{answer.name[:-7]}.json").read_text())
        assert sidecar["labels"] == {"csf": 1, "grey": 2, "white": 3}
        assert sidecar["unit"] == "label"
        assert sidecar["dtype"] == "uint8"


@pytest.mark.slow
def test_every_tissue_of_held_out_sample_heads_is_found(tmp_path: Path) -> None:
    """The configuration as it is: about a quarter of an hour on one core."""
    ended = run("--output", tmp_path / "out", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    with (tmp_path / "out/report/scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    for tissue in ("csf", "grey", "white"):
        mean = sum(float(row[f"dice_{tissue}"]) for row in rows) / len(rows)
        assert mean > 0.9, f"{tissue}: {mean:.3f}"
