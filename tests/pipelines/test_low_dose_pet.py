"""The PET pipeline as a program: help, refusals, the whole road, and what it may promise."""

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
PROGRAM = CHECKOUT / "pipelines" / "low_dose_pet.py"
DEMO = CHECKOUT / "configs" / "low_dose_pet_demo.yaml"
TINY = {
    "split.test": "0.34",
    "preprocessing.spacing_mm": "[6, 6, 6]",
    "train.steps": "6",
    "train.patch": "[16, 16, 16]",
    "methods.conditional_gan.generator": (
        "{name: unet, channels: [4, 8], residual_units: 1, long_residual: true}"
    ),
    "methods.conditional_gan.discriminator": "{name: patch_discriminator, channels: 4, layers: 1}",
    "chain": "{stages: 2, folds: 2, feed: replace}",
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


def means(report: Path) -> dict[str, float]:
    with (report / "scores.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name.startswith(("psnr", "nrmse", "suv_"))]
    return {name: sum(float(row[name]) for row in rows) / len(rows) for name in names}


def test_a_pipeline_fits_on_a_page() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= 90


def test_a_profile_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    wrong = ("--config", DEMO, "--set", "train.validate.profile=suv")
    ended = run("--output", tmp_path / "out", "--data", tmp_path, *wrong)
    assert ended.returncode == 2
    assert "'suv' is not known -> known: " in ended.stderr
    assert "pet" in ended.stderr
    assert not (tmp_path / "out" / "run").exists()


@pytest.mark.slow
def test_the_whole_road_in_two_stages_on_tiny_heads(tmp_path: Path) -> None:
    size = CaseSettings(size=(32, 36, 32))
    table = write_cohort(CohortSettings(persons=6, case=size), tmp_path / "cases")
    output = tmp_path / "out"
    sets = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    command = ["--output", output, "--data", table, "--regions", "regions", "--config", DEMO]
    ended = run(*command, "--device", "cpu", *sets)
    assert ended.returncode == 0, ended.stderr
    for shown in ("pet_low", "conditional_gan", "psnr", "nrmse_mean", "suv_mean_bias_label_2"):
        assert shown in ended.stdout
    answers = sorted((output / "answers").glob("*.nii.gz"))
    assert len(answers) == 2
    for answer in answers:
        case = answer.name.removesuffix(".nii.gz")
        low = open_volume(tmp_path / "cases" / case / "pet_low.nii.gz").data
        # The source's own unit: the answer is neither counts nor numbers between -1 and 1.
        assert 0.3 * low.max() < open_volume(answer).data.max() < 3.0 * low.max()
    both = {name: means(output / "reports" / name) for name in ("pet_low", "conditional_gan")}
    assert both["pet_low"].keys() == both["conditional_gan"].keys()
    assert both["pet_low"]["nrmse_range"] != both["conditional_gan"]["nrmse_range"]
    # The low-dose image has the counts' mean, whatever its noise.
    assert abs(both["pet_low"]["suv_mean_bias_label_2"]) < 2.0
    summary = json.loads((output / "reports" / "pet_low" / "summary.json").read_text())
    assert summary["headline"]["cases"] == 2


@pytest.mark.slow
def test_held_out_sample_heads_lose_noise_and_keep_their_uptake(tmp_path: Path) -> None:
    """The configuration as it is, at 1/20 of the counts: about ten minutes on one core."""
    ended = run("--output", tmp_path / "out", "--dose", "0.05", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    # Another dose's heads lie elsewhere, so that a second call cannot pass off these for them.
    assert (tmp_path / "out" / "cases_0.05" / "cases.csv").is_file()
    reports = tmp_path / "out" / "reports"
    low, learned = means(reports / "pet_low"), means(reports / "conditional_gan")
    assert learned["nrmse_range"] < 0.9 * low["nrmse_range"], (low, learned)
    assert learned["psnr"] > low["psnr"] + 0.5, (low, learned)
    for tissue in ("grey", "white"):
        assert abs(learned[f"suv_mean_bias_{tissue}"]) < 5.0, learned
