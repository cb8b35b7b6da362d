"""The other domain of an adapted segmenter: its own columns, one network, and who is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medgen.cli.app import main
from medgen.config import parse_config
from medgen.problems import Exit
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
COUNTS = {"train_cases": 5, "train_source_cases": 3, "train_target_cases": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    window = {"scale": "window", "low": 0, "high": 1000, "unit": "arbitrary"}
    config = parse_config(
        {
            "roles": {
                "source": {"columns": ["flair", "t2"], "where": {"site": "one"}},
                "target": {"columns": ["flair", "pd"], "where": {"site": "two"}},
                "label": ["lesion"],
            },
            "labels": {"lesion": [1]},
            "preprocessing": {"spacing_mm": [2.0, 2.0, 2.0], "crop": "none"},
            "intensity": {"flair": window, "t2": window, "pd": {**window, "high": 500}},
            "method": "adapted_segmenter",
            "methods": {
                "adapted_segmenter": {
                    "network": {"name": "unet", "channels": [2, 2], "residual_units": 0},
                    "discriminator": {"channels": 2, "layers": 1},
                }
            },
            "train": {"patch": list(SHAPE), "precision": "fp32"},
            "convert": {"fill_outside_body": False},
        }
    )
    folder = RunFolder(tmp_path_factory.mktemp("adapted") / "run")
    torch.manual_seed(0)
    write_config(folder, config)
    write_statistics(folder, Statistics(counts=COUNTS))
    write_weights(folder, assemble(config)[0], {"step": 1})
    folder.record.write_text("{}", encoding="utf-8")
    return folder.path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of one case of the source's domain, a, and two of the target's, b and c."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 16)] * 3, indexing="ij")
    inside = sum(axis**2 for axis in axes) < 0.6
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    rng = np.random.default_rng(0)
    for column in ("flair", "t2", "pd"):
        values = np.where(inside, rng.uniform(100, 450, SHAPE), 0).astype(np.float32)
        write_volume(tmp_path / f"{column}.nii.gz", Volume(values, grid), dtype="float32")
    rows = [
        *("case,patient,site,flair,t2,pd", "a,1,one,flair.nii.gz,t2.nii.gz,"),
        *(f"{case},{case},two,flair.nii.gz,,pd.nii.gz" for case in "bc"),
    ]
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "cases.csv"


def convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.nii.gz"))


@pytest.mark.parametrize(
    ("direction", "case", "column", "high"),
    [("forward", "a", "t2", 1000), ("target", "b", "pd", 500)],
)
def test_each_domain_is_read_by_its_own_columns_and_answered_by_classes(
    direction: str, case: str, column: str, high: int, run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert convert(run, "--data", table, "--output", out, "--direction", direction) == Exit.OK
    model = load_model(run, device=torch.device("cpu"))
    channels = [
        open_volume(tmp_path / f"{name}.nii.gz").data / top * 2 - 1
        for name, top in (("flair", 1000), (column, high))
    ]
    encoded = torch.from_numpy(np.stack(channels).astype(np.float32))[None]
    with torch.no_grad():
        expected = model.method.infer(encoded, direction)[0].argmax(0).numpy()
    found = open_volume(out / f"{case}.nii.gz").data
    assert 0 < expected.mean() < 1
    assert (found == expected).mean() > 0.999
    sidecar = json.loads((out / f"{case}.json").read_text())
    assert (sidecar["answer"], sidecar["unit"]) == (direction, "label")


def test_the_other_domains_cases_are_counted_with_the_direction_that_converts_them(
    run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert convert(run, "--data", table, "--output", out) == Exit.OK
    assert written(out) == ["a.nii.gz"]
    told = "warning: 2 cases are left out, as of the model's other domain; --direction target conv"
    assert told in capsys.readouterr().err
    command = (run, "--data", table, "--output", out, "--direction", "target")
    assert convert(*command, "--dry-run") == Exit.OK
    assert "1 case is left out" in capsys.readouterr().err
    assert convert(*command) == Exit.OK
    assert written(out) == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]


def test_a_table_of_the_target_alone_is_answered_with_the_direction(
    run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in table.read_text().splitlines() if not row.startswith("a")]
    table.write_text("\n".join(rows) + "\n")
    assert convert(run, "--data", table, "--output", tmp_path / "out") == Exit.NOTHING_FOUND
    told = capsys.readouterr().err
    assert "E_NOTHING_FOUND" in told
    assert "--direction target converts 2 cases of this table" in told


def test_a_direction_of_other_methods_is_refused(
    run: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (run, "--data", table, "--output", tmp_path / "x", "--direction", "backward")
    assert convert(*command) == Exit.USAGE
    assert "known: forward, target" in capsys.readouterr().err


def test_info_lists_the_answers_and_what_was_learned_without_labels(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(run)]) == Exit.OK
    told = capsys.readouterr().out
    answers = (
        "answers:\n"
        "  forward:\n    kind: labels\n    reads: flair, t2\n    where:\n      site: one\n"
        "    gives: lesion\n"
        "  target:\n    kind: labels\n    reads: flair, pd\n    where:\n      site: two\n"
        "    gives: lesion\n"
    )
    assert answers in told
    assert "unlabelled: target\n" in told
    assert "  train_target_cases: 2\n" in told
