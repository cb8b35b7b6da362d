"""Both directions of one run: roles change over, and each answer has its own column's scale."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medgen.cli.app import main
from medgen.config import parse_config
from medgen.data import Domain
from medgen.problems import ConfigurationError, Exit
from medgen.runs import (
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.volumes import Grid, Volume, open_volume, write_volume

SHAPE = (16, 16, 16)
FITTED = (10.0, 410.0)
CT = Domain(tuple(np.linspace(-1, 1, 101)), 0.5, 0.1)
NOT_BELIEVED = Exit.SOME_FAILED
"""The answer of an untrained generator is kept, and its verdict is to fail."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unet = {"name": "unet", "channels": [2, 2], "features": 2, "residual_units": 0}
    config = parse_config(
        {
            "roles": {
                "source": {"columns": ["mr"], "where": {"site": "A"}},
                "target": ["ct"],
            },
            "preprocessing": {"spacing_mm": [2.0, 2.0, 2.0], "crop": "none"},
            "intensity": {
                "mr": {"scale": "percentile"},
                "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
            },
            "method": "cycle_gan",
            "methods": {"cycle_gan": {"generator": unet, "discriminator": {"layers": 1}}},
            "train": {"patch": list(SHAPE), "precision": "fp32"},
            "convert": {"fill_outside_body": False},
        }
    )
    folder = RunFolder(tmp_path_factory.mktemp("direction") / "run")
    torch.manual_seed(0)
    write_config(folder, config)
    write_statistics(folder, Statistics(decoded={"source": {"mr": FITTED}}, domains={"target": CT}))
    write_weights(folder, assemble(config)[0], {"step": 1})
    return folder.path


@pytest.fixture
def volumes(tmp_path: Path) -> dict[str, Path]:
    axes = np.meshgrid(*[np.linspace(-1, 1, 16)] * 3, indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.6
    values = {
        "mr": np.where(inside, 300 + 200 * axes[0], 0),
        "ct": np.where(inside, 40 + 500 * (axes[1] > 0.5), -1000),
    }
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    paths = {}
    for column, data in values.items():
        paths[column] = tmp_path / f"{column}.nii.gz"
        volume = Volume(data.astype(np.float32), grid, "HU" if column == "ct" else "arbitrary")
        write_volume(paths[column], volume, dtype="float32")
    return paths


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


@pytest.mark.parametrize(("direction", "column"), [("forward", "mr"), ("backward", "ct")])
def test_each_direction_is_its_generators_answer_in_the_other_columns_scale(
    direction: str, column: str, run: Path, volumes: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.nii.gz"
    command = (run, "--input", volumes[column], "--output", out, "--direction", direction)
    assert convert(*command) == (NOT_BELIEVED if direction == "forward" else Exit.OK)
    model = load_model(run, device=torch.device("cpu")).facing(direction)
    source = open_volume(volumes[column])
    encoded = torch.from_numpy(model.preprocessing.prepare_source({column: source}).source)
    if direction == "backward":
        window = (source.data + 1024.0) / 4024.0 * 2.0 - 1.0
        assert np.allclose(encoded[0].numpy(), window, atol=1e-5)
    decoded = (-1024.0, 3000.0) if direction == "forward" else FITTED
    with torch.no_grad():
        answer = model.method.infer(encoded[None], direction)[0, 0].numpy()
    expected = (answer + 1) / 2 * (decoded[1] - decoded[0]) + decoded[0]
    found = open_volume(out).data
    assert np.abs(found - expected).max() < 0.01 * np.ptp(expected) + 1.0
    sidecar = json.loads((tmp_path / "out.json").read_text())
    assert sidecar["answer"] == direction
    assert sidecar["unit"] == ("HU" if direction == "forward" else "arbitrary")


def test_an_answer_is_monitored_where_the_run_knows_its_domain(
    run: Path, volumes: dict[str, Path], tmp_path: Path
) -> None:
    forward = (run, "--input", volumes["mr"], "--output", tmp_path / "a.nii.gz")
    assert convert(*forward) == NOT_BELIEVED
    facts = json.loads((tmp_path / "a.json").read_text())
    assert {"contrast", "histogram_distance", "outline_dice", "doubt"} <= facts["monitor"].keys()
    backward = (run, "--input", volumes["ct"], "--output", tmp_path / "b.nii.gz")
    assert convert(*backward, "--direction", "backward") == Exit.OK
    assert "monitor" not in json.loads((tmp_path / "b.json").read_text())


def test_the_other_direction_is_no_answer_that_was_made_before(
    run: Path, volumes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,site,mr,ct\na,1,A,mr.nii.gz,\nb,2,B,,ct.nii.gz\n")
    out = tmp_path / "out"
    assert convert(run, "--data", table, "--output", out) == NOT_BELIEVED
    assert sorted(path.name for path in out.glob("*.nii.gz")) == ["a.nii.gz"], "of site A"
    assert convert(run, "--data", table, "--output", out, "--direction", "backward") == Exit.OK
    assert sorted(path.name for path in out.glob("*.nii.gz")) == ["a.nii.gz", "b.nii.gz"]
    table.write_text("case,patient,site,mr,ct\na,1,A,mr.nii.gz,ct.nii.gz\n")
    capsys.readouterr()
    assert convert(run, "--data", table, "--output", out, "--direction", "backward") == Exit.USAGE
    assert "E_OUTPUT_OF_OTHER_MODEL" in capsys.readouterr().err


def test_a_direction_that_the_method_lacks_is_refused_with_those_it_has(
    run: Path, volumes: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (run, "--input", volumes["mr"], "--output", tmp_path / "x.nii.gz")
    assert convert(*command, "--direction", "sideways") == Exit.USAGE
    assert "known: forward, backward" in capsys.readouterr().err


def test_a_model_faces_back_again(run: Path) -> None:
    model = load_model(run, device=torch.device("cpu"))
    turned = model.facing("backward")
    assert turned.preprocessing.source_columns == ("ct",)
    assert turned.config.roles.source.where == {}
    again = turned.facing("forward")
    assert again.preprocessing == model.preprocessing
    assert again.config.roles == model.config.roles
    assert model.facing(None) is model
    with pytest.raises(ConfigurationError, match="E_ANSWER"):
        model.facing("areas")
