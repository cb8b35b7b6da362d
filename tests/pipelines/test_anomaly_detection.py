"""The pipeline of anomalies as a program: refusals, the whole road, and missing lesions."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

import medgen
from medgen.phantom import write_anomalies
from medgen.phantom.anomalies import GROUPS

CHECKOUT = Path(medgen.__file__).parents[1]
PROGRAM = CHECKOUT / "pipelines" / "anomaly_detection.py"
DEMO = CHECKOUT / "configs" / "anomaly_detection_demo.yaml"
SHOWN = {name: GROUPS[name] for name in ("mass-large-high", "mass-iso")}
TINY = {
    "method": "vae",
    "methods.vae.network": "{name: dense_autoencoder, channels: [4, 8], kernel: 3, latent: 4}",
    "preprocessing.spacing_mm": "[8, 8, 8]",
    "train.steps": "4",
    "train.patch": "[16, 16, 16]",
    "train.validate.every_steps": "4",
    "convert.overlap_voxels": "4",
}
SETS = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "160"}
    return subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), *(str(part) for part in arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def heads(folder: Path) -> Path:
    """Write tiny heads where the pipeline makes its own."""
    few = {"train": 4, "validation": 1, "calibrate": 2}
    how = {"groups": SHOWN, "size": (24, 28, 24)}
    return write_anomalies(folder / "cases", healthy=few, anomalous=2, **how)


def test_a_pipeline_fits_on_a_page() -> None:
    assert len(PROGRAM.read_text(encoding="utf-8").splitlines()) <= 90


def test_a_wrong_option_of_the_method_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "out", "--set", "methods.vae.betta=3", "--set", "method=vae")
    assert ended.returncode == 2
    assert "betta" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ended = run("--output", tmp_path / "out", "--data", tmp_path / "none.csv", "--config", DEMO)
    assert ended.returncode == 2
    assert "E_TABLE_MISSING" in ended.stderr
    assert not (tmp_path / "cases.csv").exists()


@pytest.mark.slow
def test_the_whole_road_on_tiny_heads_and_again(tmp_path: Path) -> None:
    output = tmp_path / "out"
    heads(output)
    command = ["--output", output, "--device", "cpu", *SETS]
    ended = run(*command)
    assert ended.returncode == 0, ended.stderr
    for name in ("vae", "voxel_z", "intensity_z", "all", *SHOWN):
        assert name in ended.stdout
    for name in ("vae", "voxel_z", "intensity_z"):
        with (output / "reports" / name / "scores.csv").open(encoding="utf-8") as stream:
            cases = {row["case"] for row in csv.DictReader(stream)}
        assert cases == {"head-007", "head-007-healthy", "head-008", "head-008-healthy"}
        assert (output / "answers" / name / "head-007_mask.nii.gz").is_file()
    weights = output / "runs" / "vae" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    again = run(*command)
    assert again.returncode == 0, again.stderr
    assert weights.stat().st_mtime_ns == before
    assert again.stdout.splitlines()[-6:] == ended.stdout.splitlines()[-6:]


@pytest.mark.slow
def test_without_marked_lesions_there_are_maps_alone(tmp_path: Path) -> None:
    table = heads(tmp_path)
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[-1] = lines[-1].replace("head-008-healthy/lesion.nii.gz", "")
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = tmp_path / "out"
    ended = run("--output", output, "--data", table, "--config", DEMO, "--device", "cpu", *SETS)
    assert ended.returncode == 0, ended.stderr
    assert "not every test case has its lesions" in ended.stdout
    assert (output / "answers" / "vae" / "head-008.nii.gz").is_file()
    assert not (output / "reports").exists()
