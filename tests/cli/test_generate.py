"""The verb generate, on a tiny run of f_ano_gan with random weights."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.cli.app import main
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

UNET = {"name": "unet", "channels": [2, 4], "features": 2, "residual_units": 0}
GAN: dict[str, Any] = {"network": {"channels": 2, "levels": 2, "latent": 4}}


def write_run(folder: Path, method: str = "f_ano_gan", **options: Any) -> Path:
    config = parse_config(
        {
            "roles": {"source": ["t1"], "target": ["t1"]},
            "intensity": {"t1": {"scale": "cohort"}},
            "method": method,
            "methods": {"f_ano_gan": {**GAN, **options}, "regression": {"generator": UNET}},
            "train": {"patch": [16, 16, 16]},
        }
    )
    run = RunFolder(folder)
    torch.manual_seed(5)
    write_config(run, config)
    write_statistics(run, Statistics({"t1": (0.0, 90.0)}))
    write_weights(run, assemble(config)[0], {"step": 3})
    return folder


def call(*arguments: object) -> int:
    return main(["generate", *map(str, arguments), "--device", "cpu"])


def test_it_draws_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, output = write_run(tmp_path / "run"), tmp_path / "out"
    assert call(run, "--output", output, "--count", 2, "--walk", 3) == Exit.OK
    out, err = capsys.readouterr()
    assert out == f"{output}: 2 synthetic samples and a walk of 3 steps, unit arbitrary\n"
    assert "research use only" in err
    assert len(list(output.glob("*.nii.gz"))) == 5
    assert call(run, "--output", output) == Exit.USAGE
    assert "E_EXISTS" in capsys.readouterr().err
    assert call(run, "--output", output, "--overwrite", "--count", 1, "--json") == Exit.OK
    said = json.loads(capsys.readouterr().out)
    assert said == {"samples": 1, "walk": 0, "units": ["arbitrary"]}
    assert len(list(output.glob("*.nii.gz"))) == 1


def test_a_place_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, output = write_run(tmp_path / "run", located=True), tmp_path / "out"
    assert call(run, "--output", output, "--count", 1, "--place=-0.5,0,0.25") == Exit.OK
    assert json.loads((output / "sample_000.json").read_text())["place"] == [-0.5, 0, 0.25]
    for wrong in ("1,2", "left,0,0", "nan,0,0", "0,0,2"):
        assert call(run, "--output", tmp_path / "no", "--place", wrong) == Exit.USAGE
        assert "E_PLACE" in capsys.readouterr().err


def test_runs_that_draw_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path / "run", method="regression")
    assert call(run, "--output", tmp_path / "out") == Exit.USAGE
    assert "E_GENERATE" in capsys.readouterr().err
    assert call(tmp_path, "--output", tmp_path / "out") == Exit.NOTHING_FOUND
