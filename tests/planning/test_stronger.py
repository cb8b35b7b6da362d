"""The rule is tried by formula here; with the real networks by the slow test."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medgen.config import Config, read_config, shipped_configs
from medgen.planning import Footprint
from medgen.planning import search as module
from medgen.planning.budget import GB, Budget
from medgen.planning.generators import generators_of
from medgen.planning.plan import choose
from medgen.planning.search import Choice, search
from medgen.planning.spacing import Resolved
from medgen.planning.stronger import LEAST_VOXELS, strengthened
from medgen.runs import assemble


def budget(memory_gb: float, kind: Any = "cuda") -> Budget:
    return Budget(kind, "bf16", int(memory_gb * GB), "the test")


def network_of(choice: Choice) -> str:
    (generator,) = generators_of(choice.config).values()
    return generator.name


def voxels_of(choice: Choice) -> int:
    return math.prod(choice.config.train.patch) * choice.config.train.batch_size


@pytest.fixture
def planned(surveyed: Callable[..., Any], facts: Callable[..., Any]) -> Callable[..., Choice]:
    """Return a planner of cases of one extent, on the grid that fits the memory."""

    def made(
        config: Config,
        limits: Budget,
        *,
        spacing: float = 1.0,
        extent: tuple[float, float, float] = (160.0, 200.0, 180.0),
    ) -> Choice:
        survey = surveyed(*(facts(f"t{k}", extent_mm=extent) for k in range(12)))
        fine = (spacing, spacing, spacing)
        choice = choose(config, Resolved(fine, "ct", fine, False), survey, limits)
        return strengthened(choice, survey, limits)

    return made


@pytest.mark.usefixtures("by_formula")
def test_memory_decides_and_what_there_is_of_it_is_used(
    planned: Callable[..., Choice], config: Callable[..., Config]
) -> None:
    """Voxels grow with the memory, but where the network is exchanged, and that happens once."""
    last: dict[str, int] = {}
    names = []
    for gb in (3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 24, 32, 40, 80):
        found = planned(config(), budget(gb))
        names.append(network_of(found))
        assert voxels_of(found) >= last.get(names[-1], 0)
        last[names[-1]] = voxels_of(found)
        assert found.bytes <= 0.9 * gb * GB
        if names[-1] == "residual_encoder_unet":
            assert math.prod(found.config.train.patch) >= LEAST_VOXELS
            assert found.config.train.batch_size >= 2
            assert found.instead_of is not None
            theirs = found.instead_of.config.preprocessing.spacing_mm
            assert found.config.preprocessing.spacing_mm == theirs
    assert names == sorted(names, reverse=True)
    assert set(names) == {"unet", "residual_encoder_unet"}


@pytest.mark.usefixtures("by_formula")
def test_a_whole_body_is_enough_however_small(
    planned: Callable[..., Choice], config: Callable[..., Config]
) -> None:
    small = planned(config(), budget(8), spacing=3.0)
    assert network_of(small) == "residual_encoder_unet"
    assert small.bound == "body"
    assert math.prod(small.config.train.patch) < LEAST_VOXELS


@pytest.mark.usefixtures("by_formula")
def test_the_context_of_a_large_body_is_not_given_up_for_it(
    planned: Callable[..., Choice], config: Callable[..., Config]
) -> None:
    """A pelvis at 1 mm: two patches of more than 96 voxels fit, but hold too little of it."""
    pelvis = (400.0, 300.0, 300.0)
    few = planned(config(), budget(10), extent=pelvis)
    assert network_of(few) == "unet"
    many = planned(config(), budget(24), extent=pelvis)
    assert network_of(many) == "residual_encoder_unet"


@pytest.mark.usefixtures("by_formula")
def test_a_processor_keeps_its_unet(
    planned: Callable[..., Choice], config: Callable[..., Config]
) -> None:
    found = planned(config(), budget(80, "cpu"), spacing=3.0)
    assert network_of(found) == "unet"
    assert found.instead_of is None


@pytest.mark.usefixtures("by_formula")
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_a_network_that_is_named_stays(
    kind: str, surveyed: Callable[..., Any], config: Callable[..., Config]
) -> None:
    """On a processor too, with half the features; and it is not its own exchange."""
    block = {"generator": {"name": "residual_encoder_unet", "decoder_convolutions": 1}}
    settings = config(methods={"regression": block})
    choice = search(settings, surveyed(), budget(24, kind))
    found = strengthened(choice, surveyed(), budget(24, kind))
    assert found is choice
    generator = found.config.methods["regression"]["generator"]
    assert generator["decoder_convolutions"] == 1
    assert generator["channels"][0] == {"cpu": 16, "cuda": 32}[kind]


@pytest.mark.slow
def test_the_shipped_configuration_with_the_memory_of_real_cards(
    planned: Callable[..., Choice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "given.yaml"
    path.write_text(shipped_configs()["mr_to_ct"], encoding="utf-8")
    given = read_config(path)
    asked = []
    honest = module.footprint

    def counted(*args: Any, **kwargs: Any) -> Footprint:
        asked.append(1)
        return honest(*args, **kwargs)

    monkeypatch.setattr(module, "footprint", counted)
    names, last = [], {}
    for gb in (8, 11, 24, 80):
        asked.clear()
        found = planned(given, budget(gb))
        assemble(found.config)
        names.append(network_of(found))
        assert voxels_of(found) >= last.get(names[-1], 0)
        last[names[-1]] = voxels_of(found)
        assert found.bytes <= 0.9 * gb * GB
        assert len(asked) < 40
    assert names == sorted(names, reverse=True)
    assert names[0] == "unet"
    assert names[-2:] == ["residual_encoder_unet"] * 2
