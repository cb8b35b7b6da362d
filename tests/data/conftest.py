"""Small synthetic heads, in memory and as a table of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.config import Config, parse_config
from medgen.data import Classes, Preprocessing
from medgen.volumes import Grid, Volume, write_volume


def make_head(shape: tuple[int, int, int] = (40, 44, 36), *, seed: int = 0) -> np.ndarray:
    """Return an ellipsoid of soft tissue with a brighter inside and texture, air elsewhere."""
    rng = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in shape))
    radius = np.sqrt(sum((axis / 0.75) ** 2 for axis in axes))
    values = np.where(radius < 1, 400.0, 0.0) + np.where(radius < 0.6, 400.0, 0.0)
    return (values + np.where(radius < 1, rng.normal(0, 20, shape), 0.0)).astype(np.float32)


def make_volumes(
    shape: tuple[int, int, int] = (40, 44, 36),
    *,
    spacing: float = 2.0,
    seed: int = 0,
    affine: np.ndarray | None = None,
) -> dict[str, Volume]:
    grid = Grid(shape, np.diag([spacing, spacing, spacing, 1.0]) if affine is None else affine)
    mr = make_head(shape, seed=seed)
    ct = np.where(mr > 600, 1000.0, np.where(mr > 100, 40.0, -1000.0)).astype(np.float32)
    return {"mr": Volume(mr, grid), "ct": Volume(ct, grid)}


def make_config(**changes: Any) -> Config:
    raw: dict[str, Any] = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "intensity": {
            "mr": {"scale": "percentile"},
            "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
        },
        "method": "regression",
    }
    return parse_config({**raw, **changes})


def make_preprocessing(
    config: Config | None = None, cohort: Mapping[str, tuple[float, float]] | None = None
) -> Preprocessing:
    config = config or make_config()
    return Preprocessing(
        config.roles,
        config.preprocessing,
        config.intensity,
        config.convert.interpolation,
        cohort or {},
        Classes.of(config.labels),
    )


def write_table(folder: Path, *, cases: int = 3, **shape: Any) -> Path:
    """Write a cohort of NIfTI files and its table; return the table's path."""
    lines = ["case,patient,mr,ct"]
    for index in range(cases):
        for column, volume in make_volumes(seed=index, **shape).items():
            write_volume(folder / f"c{index}_{column}.nii.gz", volume, dtype="float32")
        lines.append(f"c{index},p{index},c{index}_mr.nii.gz,c{index}_ct.nii.gz")
    table = folder / "cases.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


@pytest.fixture(scope="session")
def volumes() -> Callable[..., dict[str, Volume]]:
    return make_volumes


@pytest.fixture(scope="session")
def head() -> Callable[..., np.ndarray]:
    return make_head


@pytest.fixture(scope="session")
def config() -> Callable[..., Config]:
    return make_config


@pytest.fixture(scope="session")
def preprocessing() -> Callable[..., Preprocessing]:
    return make_preprocessing


@pytest.fixture(scope="session")
def cohort_table() -> Callable[..., Path]:
    return write_table
