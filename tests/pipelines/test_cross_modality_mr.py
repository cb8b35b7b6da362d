"""The pipeline as a program: what it refuses at once, and the whole road on tiny heads."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medgen
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.volumes import open_volume

CHECKOUT = Path(medgen.__file__).parents[1]
PROGRAM = CHECKOUT / "pipelines" / "cross_modality_mr.py"
NAMES = ("intensity_median", "regression", "ea_gan")
UNET = "{name: unet, channels: [4, 8], residual_units: 1}"
JUDGE = "{name: patch_discriminator, channels: 4, layers: 1}"
TINY = {
    "split.test": "0.34",
    "preprocessing.spacing_mm": "[6, 6, 6]",
    "train.steps": "6",
    "train.patch": "[16, 16, 16]",
    "methods.regression.generator": UNET,
    "methods.conditional_gan.generator": UNET,
    "methods.conditional_gan.discriminator": JUDGE,
    "methods.ea_gan.generator": UNET,
    "methods.ea_gan.discriminator": JUDGE,
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "140"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), *(str(part) for part in arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_pipeline_fits_on_a_page() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= 90


def test_a_profile_of_another_kind_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    profile = "train.validate.profile=segmentation"
    ended = run("--output", tmp_path / "out", "--data", tmp_path / "none.csv", "--set", profile)
    assert ended.returncode == 2
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_names_the_known_ones(tmp_path: Path) -> None:
    ended = run("--output", tmp_path, "--data", tmp_path / "none.csv", "--method", "ea_gann")
    assert ended.returncode == 2
    assert "'ea_gann' is not known" in ended.stderr
    assert "conditional_gan" in ended.stderr


@pytest.mark.slow
def test_the_whole_road_on_tiny_heads_and_again(tmp_path: Path) -> None:
    size = CaseSettings(size=(32, 36, 32))
    table = write_cohort(CohortSettings(persons=6, case=size), tmp_path / "cases")
    output = tmp_path / "flair"
    sets = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    command = ["--output", output, "--data", table, "--device", "cpu", *sets]
    first = run(*command)
    assert first.returncode == 0, first.stderr
    for name in (*NAMES, "mae below intensity_median", "nrmse", "psnr", "ssim"):
        assert name in first.stdout
    cases = set()
    for name in NAMES:
        with (output / "reports" / name / "mr" / "scores.csv").open(encoding="utf-8") as stream:
            cases.add(tuple(sorted(row["case"] for row in csv.DictReader(stream))))
    assert len(cases) == 1
    [scored] = cases
    assert len(scored) == 2
    for case in scored:
        median = open_volume(output / "answers" / "intensity_median" / f"{case}.nii.gz")
        assert median.data.dtype.kind == "f", "an arbitrary unit may live between 0 and 1"
    assert (output / "reports" / "paired_ea_gan" / "comparison.html").is_file()
    weights = output / "runs" / "ea_gan" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    second = run(*command)
    assert second.returncode == 0, second.stderr
    assert weights.stat().st_mtime_ns == before
    assert second.stdout.splitlines()[-6:] == first.stdout.splitlines()[-6:]
    assert run(*command, "--method", "conditional_gan").returncode == 0
