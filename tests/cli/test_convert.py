from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dicom_corpus import make_series

from medgen.cli.app import main
from medgen.cohort import Manifest
from medgen.config import parse_config
from medgen.problems import Exit
from medgen.runs import (
    RunFolder,
    Statistics,
    assemble,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.volumes import Grid, Volume, write_volume

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> str:
    config = parse_config(
        {
            "roles": {"source": ["mr"], "target": ["ct"]},
            "intensity": {
                "mr": {"scale": "percentile"},
                "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
            },
            "method": "regression",
            "methods": {
                "regression": {
                    "generator": {"channels": [2, 2], "features": 2, "residual_units": 0}
                }
            },
            "train": {"patch": [16, 16, 16], "precision": "fp32"},
        }
    )
    folder = RunFolder(tmp_path_factory.mktemp("convert") / "run")
    torch.manual_seed(0)
    write_config(folder, config)
    write_statistics(folder, Statistics())
    write_weights(folder, assemble(config)[0], {"step": 1})
    return str(folder.path)


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Return a folder of two volumes and their table."""
    axes = [np.linspace(-1, 1, 16)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    values = np.where(x**2 + y**2 + z**2 < 0.6, 500 + 200 * x, 0).astype(np.float32)
    for name in ("a", "b"):
        volume = Volume(values, Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
        write_volume(tmp_path / "heads" / f"{name}.nii.gz", volume, dtype="int16")
    rows = ["case,patient,split,mr", "a,1,train,a.nii.gz", "b,2,test,b.nii.gz"]
    (tmp_path / "heads" / "cases.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "heads"


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def test_a_folder_is_converted_and_a_second_call_keeps_it(
    run: str, heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert convert(run, "--input", heads, "--output", out) == Exit.OK
    assert "2 converted" in capsys.readouterr().out
    assert [entry.status for entry in Manifest(out).entries] == ["ok", "ok"]
    assert convert(run, "--input", heads, "--output", out) == Exit.OK
    assert "2 kept from before" in capsys.readouterr().out


def test_a_folder_that_looks_like_one_case_is_warned_about(
    run: str, heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = ("--input", heads, "--output", tmp_path / "out", "--dry-run")
    assert convert(run, *arguments) == Exit.OK
    assert "as if the folder were one case" not in capsys.readouterr().err
    (heads / "a.nii.gz").rename(heads / "mr.nii.gz")
    assert convert(run, *arguments) == Exit.OK
    assert "as if the folder were one case" in capsys.readouterr().err


def test_a_tables_split_is_converted(run: str, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--data", heads / "cases.csv", "--split", "test", "--output", out)
    assert convert(run, *arguments) == Exit.OK
    assert [entry.case for entry in Manifest(out).entries] == ["b"]


def test_problems_are_told_by_case_without_a_path(
    run: str, heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    (heads / "a.nii.gz").write_bytes(b"damaged")
    log = tmp_path / "log.jsonl"
    arguments = ("--input", heads, "--output", tmp_path / "out", "--log", log)
    assert convert(run, *arguments) == Exit.SOME_FAILED
    captured = capsys.readouterr()
    assert "1 converted, 1 failed" in captured.out
    assert "[case a, column mr]" in captured.err
    assert str(tmp_path) not in captured.err
    assert str(tmp_path) not in log.read_text()


def test_every_case_failing_has_its_own_exit_code(run: str, heads: Path, tmp_path: Path) -> None:
    for path in heads.glob("*.nii.gz"):
        path.write_bytes(b"damaged")
    assert convert(run, "--input", heads, "--output", tmp_path / "out") == Exit.ALL_FAILED


def test_nothing_to_convert_has_its_own_exit_code(run: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    arguments = ("--input", tmp_path / "empty", "--output", tmp_path / "out")
    assert convert(run, *arguments) == Exit.NOTHING_FOUND
    assert not (tmp_path / "out").exists()


def test_a_dry_run_prints_verdicts(run: str, heads: Path, tmp_path: Path, capsys: Capture) -> None:
    (heads / "a.nii.gz").write_bytes(b"damaged")
    arguments = ("--input", heads, "--output", tmp_path / "out", "--dry-run")
    assert convert(run, *arguments) == Exit.SOME_FAILED
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["case", "verdict", "problems"]
    assert rows[1][:2] == ["a", "refused"]
    assert rows[2] == ["b", "ok,", "warn"], "the run has no statistics"
    assert not (tmp_path / "out").exists()


def test_a_machine_reads_json(run: str, heads: Path, tmp_path: Path, capsys: Capture) -> None:
    arguments = ("--input", heads / "a.nii.gz", "--output", tmp_path / "x.nii.gz", "--json")
    assert convert(run, *arguments) == Exit.OK
    summary = json.loads(capsys.readouterr().out)
    assert (summary["cases"], summary["converted"], summary["failed"]) == (1, 1, 0)
    assert summary["results"][0]["case"] == "x"
    assert (tmp_path / "x.nii.gz").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output", "out"],
        ["--input", "heads", "--data", "heads/cases.csv", "--output", "out"],
        ["--input", "heads", "--split", "test", "--output", "out"],
        ["--input", "heads", "--nan-to", "inf", "--output", "out"],
        ["--input", "heads", "--output", "heads"],
        ["--input", "heads", "--output", "out.nii.gz"],
        ["--input", "heads", "--output", "out", "--device", "abacus"],
        ["--input", "heads"],
    ],
)
def test_command_lines_that_cannot_be_meant_are_refused(
    run: str, heads: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(heads.parent)
    assert convert(run, *arguments) == Exit.USAGE
    assert not (heads.parent / "out").exists()


def test_nan_voxels_are_refused_or_replaced(run: str, heads: Path, tmp_path: Path) -> None:
    import nibabel

    image = nibabel.load(heads / "a.nii.gz")
    values = np.asarray(image.dataobj, dtype=np.float32)
    values[0, 0, 0] = np.nan
    header = image.header.copy()
    header.set_data_dtype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, image.affine, header), heads / "a.nii.gz")
    (heads / "b.nii.gz").unlink()
    assert convert(run, "--input", heads, "--output", tmp_path / "out") == Exit.ALL_FAILED
    arguments = ("--input", heads, "--output", tmp_path / "out", "--nan-to", "-5")
    assert convert(run, *arguments) == Exit.OK


def test_a_folder_that_is_no_run_is_not_found(heads: Path, tmp_path: Path) -> None:
    assert convert(heads, "--input", heads, "--output", tmp_path / "out") == Exit.NOTHING_FOUND


def test_a_series_becomes_nifti_and_dicom(run: str, tmp_path: Path, capsys: Capture) -> None:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in (16, 16, 10)], indexing="ij"))
    ball = np.where((axes**2).sum(axis=0) < 1, 500 + 200 * axes[0], 0)
    make_series(tmp_path / "DOE JANE", "MR", shape=ball.shape, spacing=(3, 3, 4), values=ball)
    out = tmp_path / "out"
    arguments = [run, "--input", tmp_path / "DOE JANE", "--output", out]
    assert convert(*arguments, "--format", "nifti,dicom") == Exit.OK
    (case,) = [file.stem for file in out.glob("*.json")]
    assert len(list((out / case).iterdir())) == 10
    assert f"{case} is {tmp_path / 'DOE JANE'}" in capsys.readouterr().err
    assert convert(*arguments, "--format", "dicom,nifti", "--json") == Exit.OK
    assert json.loads(capsys.readouterr().out)["kept"] == 1
    assert convert(*arguments, "--echo", "2") == Exit.ALL_FAILED
    assert "E_NO_ECHO" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--format", "dcm"], "E_USAGE"),
        (["--format", ""], "E_USAGE"),
        (["--format", "nifti,nifti"], "E_USAGE"),
        (["--dicom-template", "mr"], "E_USAGE"),
        (["--series", "DOE JANE"], "E_CELL_SELECTOR"),
    ],
)
def test_formats_that_mean_nothing_are_refused(
    run: str, heads: Path, tmp_path: Path, capsys: Capture, options: list[str], code: str
) -> None:
    arguments = [run, "--input", heads, "--output", tmp_path / "out", *options]
    assert convert(*arguments) == Exit.USAGE
    error = capsys.readouterr().err
    assert code in error
    assert "DOE" not in error
    assert not (tmp_path / "out").exists()


def test_dicom_of_nifti_is_refused_with_the_way_out(
    run: str, heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    arguments = [run, "--input", heads / "a.nii.gz", "--output", tmp_path / "out"]
    assert convert(*arguments, "--format", "dicom") == Exit.ALL_FAILED
    assert "--dicom-template" in capsys.readouterr().err
