"""Checks of what a generative method draws: collapse and learning by heart are told apart."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from medgen.config import Config, parse_config
from medgen.data import CachedCase
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
from medgen.methods import METHODS
from medgen.training import generative
from medgen.training.generative import Checks, checks_of
from medgen.training.reference_patches import scattered
from medgen.volumes import Grid

SIZE = (8, 8, 8)
SHAPE = (16, 16, 16)
CPU = torch.device("cpu")
Picture = Callable[[Tensor, Tensor | None], Tensor]


class Drawer(Generative):
    """Draw what a function of latents (B, L) and places (B, 3) says."""

    answering: ClassVar[frozenset[str]] = frozenset({"nobody"})
    latent = 8
    windows_at_once = 5
    window = SIZE

    def __init__(self, picture: Picture, *, located: bool = False) -> None:
        super().__init__()
        self.picture, self.located = picture, located
        self.nobody = nn.Linear(1, 1)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {"forward": Answer("anomaly", "source", "source")}

    def players(self) -> dict[str, nn.Module]:
        return {"nobody": self.nobody}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {"nobody": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        raise NotImplementedError

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        raise NotImplementedError

    def generate(self, latent: Tensor, place: Tensor | None = None) -> Tensor:
        assert not torch.is_grad_enabled()
        assert (place is not None) == self.located
        return self.picture(latent, place)


def make_case(seed: int) -> CachedCase:
    """Return noise in [-1, 1] on a ramp along the first axis, all of it body."""
    noise = np.random.default_rng(seed).uniform(-0.3, 0.3, (1, *SHAPE))
    ramp = np.linspace(-0.7, 0.7, SHAPE[0])[None, :, None, None]
    whole = np.ones((1, *SHAPE), np.uint8)
    arrays = {
        "source": (ramp + noise).astype(np.float32),
        "body": whole,
        "mask": whole,
        "inside": np.arange(whole.size, dtype=np.int32),
    }
    return CachedCase(f"c{seed}", arrays, {}, Grid(SHAPE, np.eye(4)), (True,))


TRAINING = [make_case(seed) for seed in range(6)]
HELD = [make_case(seed) for seed in range(100, 103)]


@pytest.fixture
def config() -> Config:
    return parse_config(
        {
            "roles": {"source": ["t1"]},
            "intensity": {"t1": {"scale": "percentile"}},
            "method": "any",
            "train": {"patch": list(SIZE), "seed": 4, "augment": {"flip_axes": [1]}},
        }
    )


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the second that three pictures take, where figures are what is looked at."""
    for name in ("samples_sheet", "neighbours_sheet", "walks_sheet"):
        monkeypatch.setattr(generative, name, lambda *arguments, **options: b"")


def checks(config: Config, method: Drawer, held: Any = HELD) -> Checks:
    found = checks_of(method, config, TRAINING, held, device=CPU, precision="fp32")
    assert found is not None
    return found


def at(latent: Tensor, place: Tensor | None) -> Tensor:
    """Draw the ramp of a place with noise of the latent's: what a perfect method would do."""
    steps = torch.linspace(-0.7, 0.7, SHAPE[0])
    middle = torch.zeros(len(latent)) if place is None else place[:, 0]
    starts = ((middle + 1) / 2 * (SHAPE[0] - 1) - (SIZE[0] - 1) / 2).round().long()
    seeds = [int(abs(one[0]) * 1e6) for one in latent]
    return torch.stack(
        [
            steps[int(start) : int(start) + SIZE[0]][None, :, None, None]
            + (torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(seed)) - 0.5) * 0.6
            for start, seed in zip(starts, seeds, strict=True)
        ]
    )


def fresh(latent: Tensor, place: Tensor | None) -> Tensor:
    """Draw patches of cases that nobody has seen."""
    seeds = [int(abs(one[0]) * 1e6) + 1000 for one in latent]
    drawn = [scattered([make_case(s)], SIZE, 1, inside_mask=0.9, seed=(s,)).read(0) for s in seeds]
    return torch.from_numpy(np.stack(drawn))


def by_heart(latent: Tensor, place: Tensor | None) -> Tensor:
    """Draw training patches, mirrored as training mirrors them."""
    known = scattered(TRAINING, SIZE, 256, inside_mask=0.9, seed=(4, 0))
    drawn = [np.flip(known.read(int(abs(one[0]) * 1e6) % 256), 2).copy() for one in latent]
    return torch.from_numpy(np.stack(drawn))


def collapsed(latent: Tensor, place: Tensor | None) -> Tensor:
    """Draw the same patch always, but for a trace of the latent."""
    return at(torch.ones_like(latent), place) + 0.01 * latent[:, :1, None, None, None]


def test_a_perfect_method_is_found_healthy(config: Config, tmp_path: Path) -> None:
    method = Drawer(fresh)
    figures = checks(config, method)(method, tmp_path)
    assert set(figures) == {"diagnose.sample_variance", "diagnose.nearest"}
    assert figures["diagnose.sample_variance"] == pytest.approx(1.0, abs=0.2)
    assert figures["diagnose.nearest"] == pytest.approx(1.0, abs=0.1)
    for name in ("samples.png", "neighbours.png", "walk.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_pictures")
def test_a_method_that_learned_by_heart_is_found_out(config: Config, tmp_path: Path) -> None:
    method = Drawer(by_heart)
    figures = checks(config, method)(method, tmp_path)
    assert figures["diagnose.nearest"] < 1e-6
    assert figures["diagnose.sample_variance"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.usefixtures("no_pictures")
def test_a_collapsed_method_is_found_out(config: Config, tmp_path: Path) -> None:
    method = Drawer(collapsed)
    assert checks(config, method)(method, tmp_path)["diagnose.sample_variance"] < 0.01


@pytest.mark.usefixtures("no_pictures")
def test_a_located_method_is_held_against_its_own_place(config: Config, tmp_path: Path) -> None:
    healthy, same = Drawer(at, located=True), Drawer(collapsed, located=True)
    figures = checks(config, healthy)(healthy, tmp_path)
    assert figures["diagnose.sample_variance"] == pytest.approx(1.0, abs=0.2)
    assert figures["diagnose.nearest"] == pytest.approx(1.0, abs=0.1)
    # The ramp alone, which its place tells it, must not pass for variety.
    assert checks(config, same)(same, tmp_path)["diagnose.sample_variance"] < 0.01


def test_the_same_method_has_the_same_checks_and_no_global_draw(
    config: Config, tmp_path: Path
) -> None:
    method = Drawer(fresh)
    found = checks(config, method)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = found(method, tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), state)
    again = found(method, tmp_path / "b")
    assert first == again == checks(config, method)(method, tmp_path / "b")
    for name in ("samples.png", "neighbours.png", "walk.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.usefixtures("no_pictures")
def test_without_held_out_cases_there_is_no_distance_to_compare_with(
    config: Config, tmp_path: Path
) -> None:
    for method in (Drawer(collapsed), Drawer(collapsed, located=True)):
        figures = checks(config, method, held=[])(method, tmp_path)
        assert set(figures) == {"diagnose.sample_variance"}


def test_a_stop_leaves_no_picture(config: Config, tmp_path: Path) -> None:
    method = Drawer(collapsed)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checks(config, method)(method, tmp_path / "x", check=stop)
    assert not (tmp_path / "x").exists()


def test_methods_that_draw_nothing_have_no_checks(config: Config) -> None:
    setting = Setting(source_channels=1, target_channels=1, head="linear")
    method = METHODS["regression"](setting)
    assert checks_of(method, config, TRAINING, HELD, device=CPU, precision="fp32") is None
