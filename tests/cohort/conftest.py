"""A run without training, and a folder of small heads to convert with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from medgen.calibration import fit_calibration
from medgen.config import CASE_SCORES, Config, parse_config
from medgen.files import sha256_of_file
from medgen.runs import (
    Model,
    RunFolder,
    Statistics,
    assemble,
    load_model,
    measuring_digest,
    write_calibration,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.volumes import Grid, Volume, write_volume


def small_config(**convert: Any) -> Config:
    return parse_config(
        {
            "roles": {"source": ["mr"], "target": ["ct"]},
            "preprocessing": {"spacing_mm": [2.0, 2.0, 2.0]},
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
            "convert": {"window": [12, 12, 12], "overlap_voxels": 4, **convert},
        }
    )


def write_run(
    path: Path, *, seed: int = 0, seen: frozenset[str] = frozenset(), **convert: Any
) -> Path:
    """Write a run whose weights are random."""
    torch.manual_seed(seed)
    folder, config = RunFolder(path), small_config(**convert)
    write_config(folder, config)
    write_statistics(folder, Statistics(seen=seen))
    write_weights(folder, assemble(config)[0], {"step": seed})
    folder.cases.parent.mkdir(parents=True, exist_ok=True)
    folder.cases.write_text(json.dumps({"split": {"train": ["t1"], "test": ["p1", "p3"]}}))
    return path


def write_lesion_run(path: Path, **convert: Any) -> Path:
    """Write a run that answers with one class, `lesion`; its weights are random."""
    config = parse_config(
        {
            "roles": {"source": ["mr"], "label": ["lesion"]},
            "preprocessing": {"spacing_mm": [2.0, 2.0, 4.0], "crop": "none"},
            "intensity": {"mr": {"scale": "window", "low": 0, "high": 1000, "unit": "arbitrary"}},
            "labels": {"lesion": 3},
            "method": "segmenter",
            "methods": {"segmenter": {"network": {"channels": [2, 2], "residual_units": 0}}},
            "train": {"patch": [16, 16, 8], "precision": "fp32", "validate": {"profile": "labels"}},
            "convert": {"window": [16, 16, 8], "overlap_voxels": 4, **convert},
        }
    )
    torch.manual_seed(0)
    folder = RunFolder(path)
    write_config(folder, config)
    write_statistics(folder, Statistics())
    write_weights(folder, assemble(config)[0], {"step": 0})
    return path


def write_anomaly_run(path: Path, *, scored_to: int = 19, **anomaly: Any) -> Path:
    """Write a run that scores anomalies, calibrated on cases scored 1 to `scored_to`, if any.

    Its weights are random. Healthy residuals are normal around 0, with a deviation of 0.1.
    """
    config = parse_config(
        {
            "roles": {"source": ["mr"]},
            "preprocessing": {"spacing_mm": [2.0, 2.0, 4.0], "crop": "none"},
            "intensity": {"mr": {"scale": "window", "low": 0, "high": 1000, "unit": "arbitrary"}},
            "method": "denoising_autoencoder",
            "methods": {
                "denoising_autoencoder": {"network": {"channels": [2, 2], "residual_units": 0}}
            },
            "train": {
                "patch": [16, 16, 8],
                "precision": "fp32",
                "validate": {"profile": "reconstruction", "best_by": {"name": "mae"}},
            },
            "convert": {"window": [16, 16, 8], "overlap_voxels": 4, "anomaly": anomaly},
        }
    )
    torch.manual_seed(0)
    folder = RunFolder(path)
    write_config(folder, config)
    write_statistics(folder, Statistics())
    write_weights(folder, assemble(config)[0], {"step": 0})
    if scored_to:
        calibration = fit_calibration(
            [0.1 * norm.ppf((np.arange(10_000) + 0.5) / 10_000)],
            [dict.fromkeys(CASE_SCORES, float(n)) for n in range(1, scored_to + 1)],
            direction=config.convert.anomaly.direction,
            patients=scored_to,
            weights_digest=sha256_of_file(folder.weights),
            settings_digest=measuring_digest(config),
        )
        write_calibration(folder, calibration)
    return path


def write_head(path: Path, seed: int) -> Path:
    """Write a bright ball of 20 voxels."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, 20)] * 3
    x, y, z = np.meshgrid(*axes, indexing="ij")
    values = np.where(x**2 + y**2 + z**2 < 0.6, 500 + 200 * x, 0) + rng.uniform(0, 20, x.shape)
    grid = Grid(x.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    write_volume(path, Volume(values.astype(np.float32), grid), dtype="int16")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def model(run: Path) -> Model:
    return load_model(run, device=torch.device("cpu"))


@pytest.fixture
def other_model(tmp_path: Path) -> Model:
    return load_model(write_run(tmp_path / "other", seed=1), device=torch.device("cpu"))


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """Return a folder of three volumes, p1 to p3."""
    for number in (1, 2, 3):
        write_head(tmp_path / "heads" / f"p{number}.nii.gz", number)
    return tmp_path / "heads"


@pytest.fixture
def make_head() -> Any:
    return write_head


@pytest.fixture
def make_run() -> Any:
    return write_run


@pytest.fixture(scope="session")
def lesion_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that lists its lesions."""
    return write_lesion_run(tmp_path_factory.mktemp("lesions") / "run", lesions=["lesion"])


@pytest.fixture
def make_lesion_run() -> Any:
    return write_lesion_run


@pytest.fixture(scope="session")
def anomaly_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a calibrated run."""
    folder = tmp_path_factory.mktemp("anomalies") / "run"
    asked = {"direction": "positive", "score": "window_max", "case_false_positives": 0.1}
    return write_anomaly_run(folder, **asked)


@pytest.fixture
def make_anomaly_run() -> Any:
    return write_anomaly_run
