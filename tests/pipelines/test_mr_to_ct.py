"""The pipeline as a program: what it refuses at once, and the whole road on tiny heads."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medgen
from medgen.phantom import CaseSettings, CohortSettings, write_cohort

CHECKOUT = Path(medgen.__file__).parents[1]
PROGRAM = CHECKOUT / "pipelines" / "mr_to_ct.py"
LONGEST = 90
NAMES = ("intensity_median", "aligned_median", "regression", "conditional_gan")
TINY = {
    "roles.mask": "body",
    "split.test": "0.34",
    "preprocessing.spacing_mm": "[6, 6, 6]",
    "train.steps": "6",
    "train.patch": "[16, 16, 16]",
    "methods.regression.generator": "{name: unet, channels: [4, 8], residual_units: 1}",
    "methods.conditional_gan.generator": "{name: unet, channels: [4, 8], residual_units: 1}",
    "methods.conditional_gan.discriminator": "{name: patch_discriminator, channels: 4, layers: 1}",
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
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= LONGEST


def test_help_shows_how_to_call_it() -> None:
    ended = run("--help")
    assert ended.returncode == 0, ended.stderr
    assert "python pipelines/mr_to_ct.py --output demo" in ended.stdout
    for option in ("--data", "--config", "--method", "--features", "--set", "--device"):
        assert option in ended.stdout


def test_a_wrong_key_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "demo", "--set", "train.stepz=3")
    assert ended.returncode == 2
    assert "E_CONFIG_KEY" in ended.stderr
    assert "train.steps" in ended.stderr or "'steps'" in ended.stderr
    assert not (tmp_path / "demo").exists()


def test_a_method_without_a_block_for_its_name_is_refused(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "demo", "--data", tmp_path, "--method", "cycle_of_gans")
    assert ended.returncode == 2
    assert "cycle_of_gans" in ended.stderr
    assert "context_aware_gan" in ended.stderr
    assert not (tmp_path / "demo" / "runs").exists()


@pytest.mark.slow
def test_variants_are_a_matter_of_options(tmp_path: Path) -> None:
    size = CaseSettings(size=(32, 36, 32))
    table = write_cohort(CohortSettings(persons=6, case=size), tmp_path / "cases")
    block = {
        "generator": {"name": "context_fcn", "channels": 2},
        "discriminator": {"name": "context_discriminator", "channels": 2, "hidden": [8]},
    }
    settings = {
        **{key: value for key, value in TINY.items() if not key.startswith("methods.")},
        "methods.context_aware_gan": json.dumps(block),
        "chain": "{stages: 2, folds: 2, feed: append}",
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    output = tmp_path / "out"
    command = ["--output", output, "--data", table, "--device", "cpu", *sets]
    ended = run(*command, "--method", "context_aware_gan")
    assert ended.returncode == 0, ended.stderr
    assert "context_aware_gan" in ended.stdout
    assert "regression" not in ended.stdout
    # Alone it is compared with the better of the answers that need no learning.
    compared = json.loads((output / "reports" / "paired" / "comparison.json").read_text())
    assert compared["cases"] == 2
    folder = output / "runs" / "context_aware_gan" / "model"
    assert (folder / "upstream" / "model" / "weights.safetensors").is_file()


@pytest.mark.slow
def test_the_whole_road_on_tiny_heads_and_again(tmp_path: Path) -> None:
    size = CaseSettings(size=(32, 36, 32))
    table = write_cohort(CohortSettings(persons=6, case=size), tmp_path / "cases")
    output = tmp_path / "demo"
    sets = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    command = ["--output", output, "--data", table, "--device", "cpu", *sets]
    first = run(*command)
    assert first.returncode == 0, first.stderr
    for name in (*NAMES, "noise of the CT itself"):
        assert name in first.stdout
    scored = {name: output / "reports" / name / "hu" / "scores.csv" for name in NAMES}
    cases = {}
    for name, path in scored.items():
        with path.open(encoding="utf-8") as stream:
            cases[name] = sorted(row["case"] for row in csv.DictReader(stream))
        assert (path.parent / "report.html").is_file()
        assert (output / "reports" / name / "synthrad2023" / "summary.json").is_file()
    assert len(set(map(tuple, cases.values()))) == 1
    assert len(cases["regression"]) == 2
    assert (output / "reports" / "paired" / "comparison.html").is_file()
    weights = output / "runs" / "conditional_gan" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    second = run(*command)
    assert second.returncode == 0, second.stderr
    assert weights.stat().st_mtime_ns == before
    assert second.stdout.splitlines()[-8:] == first.stdout.splitlines()[-8:]


@pytest.mark.slow
def test_learning_beats_what_needs_no_learning_on_the_sample_cohort(tmp_path: Path) -> None:
    """The demo, trained twice as long; and the sample cohort's realism in one figure.

    If the aligned median CT came within 1.3 times the regression's error, the heads would be so
    alike that no figure measured on them meant anything.
    """
    longer = ("--set", "train.steps=2000", "--set", "train.validate.every_steps=1000")
    ended = run("--output", tmp_path / "demo", "--device", "cpu", *longer)
    assert ended.returncode == 0, ended.stderr
    means = {}
    for name in NAMES:
        scores = tmp_path / "demo" / "reports" / name / "hu" / "scores.csv"
        with scores.open(encoding="utf-8", newline="") as stream:
            errors = [float(row["mae"]) for row in csv.DictReader(stream)]
        means[name] = sum(errors) / len(errors)
    for learned in ("regression", "conditional_gan"):
        assert means[learned] < 0.60 * means["intensity_median"], means
        assert means[learned] < 0.75 * means["aligned_median"], means
    assert means["aligned_median"] > 1.3 * means["regression"], means
