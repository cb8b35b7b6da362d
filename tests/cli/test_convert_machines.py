from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
from medgen.volumes import Grid, Volume, open_volume, write_volume

Capture = pytest.CaptureFixture[str]
CONFIG = {
    "roles": {"source": ["mr"], "target": ["ct"]},
    "intensity": {
        "mr": {"scale": "percentile"},
        "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
    },
    "method": "regression",
    "methods": {
        "regression": {"generator": {"channels": [2, 2], "features": 2, "residual_units": 0}}
    },
    "train": {"patch": [16, 16, 16], "precision": "fp32"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two runs of one configuration and other weights."""
    made = []
    for seed in (0, 1):
        folder = RunFolder(tmp_path_factory.mktemp("machines") / f"run-{seed}")
        config = parse_config(CONFIG)
        torch.manual_seed(seed)
        write_config(folder, config)
        write_statistics(folder, Statistics())
        write_weights(folder, assemble(config)[0], {"step": 1})
        made.append(folder.path)
    return made[0], made[1]


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Return a folder of three volumes."""
    axes = [np.linspace(-1, 1, 16)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    values = np.where(x**2 + y**2 + z**2 < 0.6, 500 + 200 * x, 0).astype(np.float32)
    grid = Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        volume = Volume(values + 10 * number, grid, "arbitrary")
        write_volume(tmp_path / "in" / f"{name}.nii.gz", volume, dtype="float32")
    return tmp_path / "in"


def convert(*arguments: object) -> int:
    return main(["--quiet", "convert", *map(str, arguments), "--device", "cpu"])


def test_parts_share_a_folder_and_leave_one_manifest(
    runs: tuple[Path, Path], heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out"
    for number, count in ((1, 2), (2, 1)):
        part = ("--part", f"{number}/2", "--json")
        assert convert(runs[0], "--input", heads, "--output", output, *part) == Exit.OK
        summary = json.loads(capsys.readouterr().out)
        assert (summary["cases"], summary["converted"]) == (count, count)
    assert [entry.case for entry in Manifest(output).entries] == ["a", "b", "c"]
    assert {entry.verdict for entry in Manifest(output).entries} == {"warn"}, "nothing recorded"
    assert (output / "index.html").is_file()
    assert convert(runs[0], "--input", heads, "--output", output) == Exit.OK


def test_a_part_that_is_none_is_refused(
    runs: tuple[Path, Path], heads: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "out"
    asked = ("--input", heads, "--output", output)
    assert convert(runs[0], *asked, "--part", "3/2") == Exit.USAGE
    assert "E_PART" in capsys.readouterr().err
    assert not output.exists()


def test_an_ensemble_answers_by_its_mean_and_says_how_far_its_members_are_apart(
    runs: tuple[Path, Path], heads: Path, tmp_path: Path
) -> None:
    first, second = runs
    for name, arguments in (
        ("one", (first,)),
        ("two", (second,)),
        ("both", (first, "--ensemble", second, "--uncertainty")),
    ):
        asked = ("--input", heads / "a.nii.gz", "--output", tmp_path / name)
        assert convert(*arguments, *asked) == Exit.OK
    one, two, both, deviation = (
        open_volume(tmp_path / name).data.astype(np.float64)
        for name in ("one/a.nii.gz", "two/a.nii.gz", "both/a.nii.gz", "both/a_std.nii.gz")
    )
    np.testing.assert_allclose(both, (one + two) / 2, atol=1.01)
    assert np.abs(one - two).max() > 10, "the runs are not one"
    assert deviation.max() > 1


class Recorded:
    """In the place of Ray's executor: it keeps how it was made, and yields nothing."""

    made: dict[str, Any]

    def __init__(self, recipe: Any, **options: Any) -> None:
        Recorded.made = {"recipe": recipe, **options}

    def work(self, jobs: Any, **hooks: Any) -> Iterator[Any]:
        return iter(())


@pytest.mark.parametrize(
    ("asked", "address", "cores"),
    [(("ray",), None, 4), (("ray://head:1", "--cores-per-worker", "2"), "ray://head:1", 2)],
)
def test_ray_is_given_all_that_was_asked_for(
    runs: tuple[Path, Path],
    heads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: tuple[str, ...],
    address: str | None,
    cores: int,
) -> None:
    monkeypatch.setattr("medgen.cohort.ray_cluster.RayExecutor", Recorded)
    first, second = runs
    arguments = (first, "--ensemble", second, "--input", heads, "--output", tmp_path / "out")
    convert(*arguments, "--uncertainty", "--limit-memory", "4", "--executor", *asked)
    made = Recorded.made
    assert (made["address"], made["cores_per_worker"]) == (address, cores)
    assert made["use_gpus"] is False, "--device cpu"
    recipe = made["recipe"]
    assert recipe.runs == (first, second)
    assert (recipe.options.uncertainty, recipe.options.limit_bytes) == (True, 4_000_000_000)
