"""A method that draws without having learned anything, and runs of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import medgen.generation.generation
import medgen.methods
import medgen.runs.assembly
from medgen.config import parse_config
from medgen.method import (
    Answer,
    Batch,
    Clock,
    Generative,
    Losses,
    Minimize,
    OptimizerSpec,
    Setting,
)
from medgen.methods.placed import middle
from medgen.runs import (
    Model,
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)

CPU = torch.device("cpu")


class Painter(Generative):
    """Draw a plane of one grey value per channel: the latent's first, and the place's first."""

    answering: ClassVar[frozenset[str]] = frozenset({"generator"})
    latent = 4
    windows_at_once = 3

    def __init__(
        self, setting: Setting, *, located: bool = False, deep: bool = True, gain: float = 0.2
    ) -> None:
        super().__init__()
        self.located, self.gain = located, gain
        self.window = (6, 5, 4) if deep else (6, 5, 1)
        self.channels = setting.source_channels
        self.generator = nn.Linear(1, 1)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {"forward": Answer("anomaly", "source", "source")}

    def players(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {"generator": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        raise NotImplementedError

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        raise NotImplementedError

    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        assert len(latent) <= self.windows_at_once
        where = middle(latent, place, located=self.located)
        level = self.gain * latent[:, 0] + (0.0 if where is None else where[:, 0])
        return level[:, None, None, None, None].expand(-1, self.channels, *self.window).clone()


@pytest.fixture(autouse=True)
def _painter_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**medgen.methods.METHODS, "painter": Painter})
    monkeypatch.setattr(medgen.runs.assembly, "METHODS", known)
    monkeypatch.setattr(medgen.generation.generation, "METHODS", known)


NETWORK = {"generator": {"name": "unet", "channels": [2, 4], "features": 2, "residual_units": 0}}
HU = {"scale": "window", "low": -1000, "high": 1000, "unit": "HU"}


def write_run(folder: Path, scales: Mapping[str, Any], **options: Any) -> Path:
    """Write a run whose source columns have these scales."""
    method = options.pop("method", "painter")
    config = parse_config(
        {
            "roles": {"source": list(scales), "target": list(scales)},
            "intensity": dict(scales),
            "preprocessing": {"spacing_mm": [2.0, 3.0, 4.0]},
            "method": method,
            "methods": {method: NETWORK if method == "regression" else options},
            "train": {"patch": [16, 16, 16]},
        }
    )
    run = RunFolder(folder)
    write_config(run, config)
    write_statistics(run, Statistics({"pd": (10.0, 30.0)}))
    write_weights(run, assemble(config)[0], {"step": 3})
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return the factory of run folders."""

    def make(scales: Mapping[str, Any] | None = None, **options: Any) -> Path:
        return write_run(tmp_path / "run", scales or {"ct": HU}, **options)

    return make


@pytest.fixture
def make_model(make_run: Callable[..., Path]) -> Callable[..., Model]:
    """Return the factory of loaded runs."""

    def make(scales: Mapping[str, Any] | None = None, **options: Any) -> Model:
        return load_model(make_run(scales, **options), device=CPU)

    return make
