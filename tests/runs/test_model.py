"""Reading and writing `RUN/model/`: safetensors only, damaged parts refused with a code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.config import parse_config
from medgen.problems import ConfigurationError, NothingFound
from medgen.runs import (
    RunFolder,
    Statistics,
    assemble,
    describe,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)

CPU = torch.device("cpu")


def small(**generator: Any) -> Any:
    unet = {"name": "unet", "channels": [4, 8], "residual_units": 1, **generator}
    return parse_config(
        {
            "roles": {"source": ["mr"], "target": ["ct"]},
            "intensity": {
                "mr": {"scale": "percentile"},
                "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
            },
            "method": "regression",
            "methods": {"regression": {"generator": unet}},
        }
    )


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    config = small()
    write_config(folder, config)
    write_statistics(folder, Statistics({"mr": (1.0, 2.0)}, {"train_cases": 3}, frozenset({"ab"})))
    write_weights(folder, assemble(config)[0], {"step": 7, "scores": {"mae": [1.0, None]}})
    return folder


def test_a_model_comes_back_as_it_was_written(run: RunFolder) -> None:
    model = load_model(run.path, device=CPU)
    assert model.config == small()
    assert model.statistics == Statistics({"mr": (1.0, 2.0)}, {"train_cases": 3}, frozenset({"ab"}))
    assert model.weights_record["step"] == 7
    assert model.split == {}


def test_a_folder_without_a_run_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_RUN_MISSING"):
        load_model(tmp_path, device=CPU)
    with pytest.raises(NothingFound, match="E_RUN_MISSING"):
        describe(tmp_path)


def test_damaged_weights_are_refused(run: RunFolder) -> None:
    run.weights.write_bytes(run.weights.read_bytes()[:100])
    with pytest.raises(ConfigurationError, match="E_RUN_WEIGHTS"):
        load_model(run.path, device=CPU)


def test_a_planted_pickle_is_refused(run: RunFolder) -> None:
    torch.save({"generator.weight": torch.zeros(1)}, run.weights)
    with pytest.raises(ConfigurationError, match="E_RUN_WEIGHTS"):
        load_model(run.path, device=CPU)


def test_weights_of_another_network_are_refused(run: RunFolder) -> None:
    write_config(run, small(channels=[8, 16]))
    with pytest.raises(ConfigurationError, match="do not fit"):
        load_model(run.path, device=CPU)


def test_a_run_without_weights_says_so(run: RunFolder) -> None:
    run.weights.unlink()
    with pytest.raises(ConfigurationError, match="E_RUN_UNFINISHED"):
        load_model(run.path, device=CPU)


def test_damaged_statistics_are_refused(run: RunFolder) -> None:
    run.statistics.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="E_RUN_DAMAGED"):
        load_model(run.path, device=CPU)
