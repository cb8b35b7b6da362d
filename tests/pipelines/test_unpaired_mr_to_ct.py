"""The unpaired pipeline as a program: refusals, the whole road, and a table without a truth."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medgen
from medgen.phantom import CaseSettings, CohortSettings, write_cohort

CHECKOUT = Path(medgen.__file__).parents[1]
PROGRAM = CHECKOUT / "pipelines" / "unpaired_mr_to_ct.py"
DEMO = CHECKOUT / "configs" / "unpaired_mr_to_ct_demo.yaml"
TRIVIAL = ("intensity_median", "aligned_median")
VERDICT = ("contrast", "histogram_distance", "outline_dice", "doubt")
GENERATOR = "{name: unet, channels: [4, 8], residual_units: 1}"
DISCRIMINATOR = "{name: patch_discriminator, channels: 4, layers: 1}"
TINY = {
    "split.test": "0.25",
    "preprocessing.spacing_mm": "[6, 6, 6]",
    "train.steps": "6",
    "train.patch": "[16, 16, 16]",
    **{f"methods.{name}.generator": GENERATOR for name in ("cycle_gan", "conditional_gan")},
    **{f"methods.{name}.discriminator": DISCRIMINATOR for name in ("cycle_gan", "conditional_gan")},
}
SETS = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), *(str(part) for part in arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def heads(folder: Path) -> Path:
    """Write eight tiny heads where the pipeline makes its own."""
    size = CaseSettings(size=(32, 36, 32))
    return write_cohort(CohortSettings(persons=8, case=size), folder / "cases")


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_pipeline_fits_on_a_page() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= 90


def test_a_wrong_key_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "out", "--set", "train.stepz=3")
    assert ended.returncode == 2
    assert "E_CONFIG_KEY" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_wrong_option_of_the_method_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "out", "--set", "methods.cycle_gan.lambda_cycel=3")
    assert ended.returncode == 2
    assert "lambda_cycel" in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_whole_road_without_a_pair_beside_the_one_with_pairs(tmp_path: Path) -> None:
    output = tmp_path / "out"
    heads(output)
    command = ["--output", output, "--paired", "--device", "cpu", *SETS]
    ended = run(*command)
    assert ended.returncode == 0, ended.stderr
    for name in (*TRIVIAL, "conditional_gan"):
        assert any(name in line and "pairs" in line for line in ended.stdout.splitlines())
    assert any("cycle_gan" in line and "no pair" in line for line in ended.stdout.splitlines())
    for word in VERDICT:
        assert ended.stdout.count(f"'{word}'") == 2  # of each test head, the paired GAN has none
    shown = rows_of(output / "unpaired.csv")
    trained = [row for row in shown if row["split"] == "train"]
    assert {bool(row["mr"]) + bool(row["ct"]) for row in trained} == {1}
    scored = {
        name: [row["case"] for row in rows_of(output / "reports" / name / "scores.csv")]
        for name in (*TRIVIAL, "conditional_gan", "cycle_gan")
    }
    tested = [row["case"] for row in shown if row["split"] == "test"]
    assert all(sorted(cases) == sorted(tested) for cases in scored.values())
    weights = output / "runs" / "cycle_gan" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert weights.stat().st_mtime_ns == before
    assert again.stdout.splitlines()[-8:] == ended.stdout.splitlines()[-8:]


@pytest.mark.slow
def test_a_table_without_any_pair_is_converted_and_monitored(tmp_path: Path) -> None:
    cohort = heads(tmp_path)
    table = cohort.with_name("apart.csv")
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "patient", "mr", "ct"])
        for number, row in enumerate(rows_of(cohort)):
            cells = [row["mr"], ""] if number % 2 else ["", row["ct"]]
            writer.writerow([row["case"], row["patient"], *cells])
    output = tmp_path / "out"
    ended = run("--output", output, "--data", table, "--config", DEMO, "--device", "cpu", *SETS)
    assert ended.returncode == 0, ended.stderr
    assert "not every test patient has a truth" in ended.stdout
    answers = list((output / "answers" / "cycle_gan").glob("*.nii.gz"))
    assert len(answers) == 1
    assert ended.stdout.count("'doubt'") == 1
    assert not (output / "reports").exists()
