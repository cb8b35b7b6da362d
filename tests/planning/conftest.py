"""Facts of made-up cases, and a cohort small enough to be surveyed in a moment."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.config import Config, parse_config
from medgen.networks import ResidualEncoderUNetOptions
from medgen.planning import Footprint
from medgen.planning import search as search_module
from medgen.planning.facts import CaseFacts, ColumnFacts, Survey
from medgen.planning.footprint import Sizes
from medgen.planning.generators import generators_of
from medgen.volumes import Grid, Volume, write_volume

MR = ColumnFacts(
    (2.0, 2.0, 2.0), (192.0, 224.0, 192.0), 10**6, "", 0.0, 5.0, (20.0, 300.0, 900.0), 1200.0
)
CT = ColumnFacts(
    (2.0, 2.0, 2.0),
    (192.0, 224.0, 192.0),
    10**6,
    "",
    low=-1024.0,
    dark=-1000.0,
    body=(-800.0, 30.0, 1400.0),
    high=1900.0,
    overlap=0.95,
    apart_mm=1.0,
)


def make_case(name: str, **changes: Any) -> CaseFacts:
    fields: dict[str, Any] = {
        "case": name,
        "patient": f"person-{name}",
        "split": "train",
        "reference": "mr",
        "columns": {"mr": MR, "ct": CT},
        "extent_mm": (160.0, 200.0, 180.0),
        **changes,
    }
    return CaseFacts(**fields)


def make_survey(*cases: CaseFacts, refused: Any = (), validation: int = 3) -> Survey:
    """Return a survey of these cases, or of twelve sound ones, with some to validate on."""
    some = list(cases) or [make_case(f"t{k}") for k in range(12)]
    some += [make_case(f"v{k}", split="validation") for k in range(validation)]
    split = {
        name: tuple(case.case for case in some if case.split == name)
        for name in ("train", "validation", "test", "calibrate")
    }
    return Survey(some, refused, split, {case.case: case.patient for case in some})


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


def head(seed: int, shape: tuple[int, int, int]) -> Mapping[str, np.ndarray]:
    """Return an ellipsoid head: MR with two tissues, CT with a skull, a label of the middle."""
    rng = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in shape))
    radius = np.sqrt(sum((axis / rng.uniform(0.75, 0.8)) ** 2 for axis in axes))
    mr = np.where(radius < 1, np.where(radius < 0.6, 800.0, 400.0), 0.0)
    ct = np.where(radius < 1, np.where(radius < 0.8, 40.0, 1000.0), -1000.0)
    noise = rng.normal(0, 10, shape)
    label = (radius < 0.3).astype(np.float32)
    return {"mr": np.where(radius < 1, mr + noise, 0), "ct": ct + noise, "label": label}


def write_head(
    folder: Path,
    name: str,
    seed: int,
    *,
    shape: tuple[int, int, int] = (24, 28, 24),
    spacing: tuple[float, float, float] = (6.0, 6.0, 6.0),
) -> None:
    grid = Grid(shape, np.diag([*spacing, 1.0]))
    for column, data in head(seed, shape).items():
        volume = Volume(data.astype(np.float32), grid)
        write_volume(folder / f"{name}_{column}.nii.gz", volume, dtype="float32")


def write_table(folder: Path, splits: Mapping[str, str]) -> Path:
    """Write the table of heads, by case and split."""
    lines = ["case,patient,split,mr,ct,label"]
    for name, split in splits.items():
        files = ",".join(f"{name}_{column}.nii.gz" for column in ("mr", "ct", "label"))
        lines.append(f"{name},patient {name},{split},{files}")
    table = folder / "cases.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Path]:
    """Return a writer of a cohort of heads: three to train on, one to validate on."""

    def make(**shape: Any) -> Path:
        splits = {"a": "train", "b": "train", "c": "train", "d": "validation"}
        for seed, name in enumerate(splits):
            write_head(tmp_path, name, seed, **shape)
        return write_table(tmp_path, splits)

    return make


@pytest.fixture(scope="session")
def facts() -> Callable[..., CaseFacts]:
    return make_case


@pytest.fixture(scope="session")
def surveyed() -> Callable[..., Survey]:
    return make_survey


@pytest.fixture(scope="session")
def config() -> Callable[..., Config]:
    return make_config


@pytest.fixture(scope="session")
def sound() -> Mapping[str, ColumnFacts]:
    """Return the facts of a sound MR and a sound CT."""
    return {"mr": MR, "ct": CT}


@pytest.fixture
def by_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for what is found on fake tensors: weights by depth, and a share by voxel."""

    def footprint(config: Config, *, device_type: str, precision: str) -> Footprint:
        voxels = math.prod(config.train.patch) * config.train.batch_size
        (generator,) = generators_of(config).values()
        if isinstance(generator, ResidualEncoderUNetOptions):
            weights = 4 * 10**6 * int(1.6 ** len(generator.channels))
            return Footprint(2 * weights + 1500 * voxels, weights, 2.4e6 * voxels)
        return Footprint(40 * 10**6 + 370 * voxels, 19 * 10**6, 0.14e6 * voxels)

    def sizes_of(config: Config) -> Sizes:
        (generator,) = generators_of(config).values()
        return Sizes(generator.divisor, generator.minimum_patch, None)

    monkeypatch.setattr(search_module, "footprint", footprint)
    monkeypatch.setattr(search_module, "sizes_of", sizes_of)
    # The package's attribute of this name is the function.
    planning = importlib.import_module("medgen.planning.plan")
    monkeypatch.setattr(planning, "_given_flops", lambda config, limits: None)
