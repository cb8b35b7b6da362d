"""The U-Nets among a method's options, found by the type of the option, whatever its name."""

from __future__ import annotations

from medgen.config import Config
from medgen.networks import UNetOptions
from medgen.runs import options_of

WIDTH = {"cpu": 16, "cuda": 32}
"""Features of the first level: half as many where a processor has to multiply them."""

WIDEST = 8
"""Features double from level to level up to this many times the first level's."""

DEEPEST, SHALLOWEST = 6, 2
"""Levels that are tried, from many to few."""


def unets_of(config: Config) -> dict[str, UNetOptions]:
    """Return the U-Net options of the chosen method by their name in its block."""
    options = options_of(config)
    return {name: value for name, value in options.items() if isinstance(value, UNetOptions)}


def channels_of(levels: int, *, width: int) -> tuple[int, ...]:
    """Return the features per level: doubling, up to `WIDEST` times the first."""
    return tuple(width * min(2**level, WIDEST) for level in range(levels))


def with_unets(config: Config, *, channels: tuple[int, ...], features: int) -> Config:
    """Return the configuration with these features in every U-Net of the chosen method."""
    block = dict(config.methods.get(config.method) or {})
    for name in unets_of(config):
        block[name] = {**block.get(name, {}), "channels": list(channels), "features": features}
    return config.model_copy(update={"methods": {**config.methods, config.method: block}})
