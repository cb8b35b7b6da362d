"""The generators among a method's options, found by the type of the option, whatever its name.

Networks that halve their grid are made as deep as their patch allows; how, each kind says itself.
Those of a fixed depth are given their width.
"""

from __future__ import annotations

from typing import Any

from medgen.config import Config
from medgen.networks import (
    GeneratorBlock,
    Pix2PixUNetOptions,
    ResidualEncoderUNetOptions,
    ResNetGeneratorOptions,
    UNetOptions,
)
from medgen.runs import options_of

WIDTH = {"cpu": 16, "cuda": 32}
"""Features of a U-Net's first level: half as many where a processor has to multiply them."""

FULL_WIDTH = {"cpu": 8, "cuda": 32}
"""Features of a residual generator, which computes them at full resolution: dearer ones, and on a
processor half as many again."""

WIDEST = {"unet": 8, "residual_encoder_unet": 10}
"""Features double from level to level up to this many times the first level's."""

BOTTOM = 4
"""Voxels per axis that a U-Net keeps at its coarsest level: fewer are mostly padding. The U-Net of
pix2pix is meant to end at one voxel."""

SHORTEST = (128, 64, 32, 16, 8)
"""Shortest axes of a patch from which on a network is a level deeper; from deep to shallow."""


_WITH_DEPTH = (UNetOptions, Pix2PixUNetOptions, ResidualEncoderUNetOptions)


def generators_of(config: Config) -> dict[str, GeneratorBlock]:
    """Return the generators' options of the chosen method by their name in its block."""
    options = options_of(config)
    return {name: value for name, value in options.items() if isinstance(value, GeneratorBlock)}


def has_depth(config: Config) -> bool:
    """Tell whether a network of the chosen method is as deep as its patch allows."""
    generators = generators_of(config).values()
    return any(isinstance(g, _WITH_DEPTH) for g in generators)


def depth_of(generator: GeneratorBlock, shortest: int, *, device_type: str) -> dict[str, Any]:
    """Return the keys of a generator for patches whose shortest axis is `shortest` at least.

    The axis is a power of two. What a network has no depth for, it keeps. The blocks of a residual
    generator follow the patch by themselves.
    """
    width = WIDTH[device_type]
    levels = (shortest // BOTTOM).bit_length()
    if isinstance(generator, UNetOptions):
        channels = channels_of(levels, width=width, widest=WIDEST["unet"])
        return {"channels": channels, "features": width // 2}
    if isinstance(generator, ResidualEncoderUNetOptions):
        given = generator.blocks
        return {
            "channels": channels_of(levels, width=width, widest=WIDEST["residual_encoder_unet"]),
            "blocks": tuple(given[min(level, len(given) - 1)] for level in range(levels)),
        }
    if isinstance(generator, Pix2PixUNetOptions):
        # Its first level is at half resolution and has the paper's 64 features on a GPU.
        return {"channels": 2 * width, "levels": shortest.bit_length() - 1}
    if isinstance(generator, ResNetGeneratorOptions):
        return {"channels": FULL_WIDTH[device_type]}
    return {}


def alike(config: Config) -> dict[str, tuple[str, ...]]:
    """Return, by the name of each generator, the other methods whose blocks have the same one.

    They are there to be compared with the chosen method.
    """
    found: dict[str, tuple[str, ...]] = {}
    others: dict[str, dict[str, GeneratorBlock]] = {}
    for method in config.methods:
        if method != config.method:
            others[method] = generators_of(config.model_copy(update={"method": method}))
    for name, generator in generators_of(config).items():
        found[name] = tuple(m for m, theirs in others.items() if theirs.get(name) == generator)
    return found


def with_alike(given: Config, planned: Config) -> Config:
    """Return the planned configuration with the same generator wherever it was the same before."""
    methods = dict(planned.methods)
    chosen = methods.get(planned.method) or {}
    for name, others in alike(given).items():
        for method in others:
            if name in chosen:
                methods[method] = {**(methods[method] or {}), name: chosen[name]}
    return planned.model_copy(update={"methods": methods})


def channels_of(levels: int, *, width: int, widest: int) -> tuple[int, ...]:
    """Return the features per level: doubling, up to `widest` times the first."""
    return tuple(width * min(2**level, widest) for level in range(levels))


def with_depth(config: Config, shortest: int, *, device_type: str) -> Config:
    """Return the configuration with every generator of the chosen method as deep as that allows."""
    block = dict(config.methods.get(config.method) or {})
    for name, generator in generators_of(config).items():
        keys = depth_of(generator, shortest, device_type=device_type)
        if keys:
            plain = {key: list(v) if isinstance(v, tuple) else v for key, v in keys.items()}
            block[name] = {**(block.get(name) or {}), **plain}
    if not block:  # nothing to decide: an empty block would be none in the file
        return config
    return config.model_copy(update={"methods": {**config.methods, config.method: block}})


def with_residual_encoders(config: Config) -> Config:
    """Return the configuration with a residual-encoder U-Net in place of every `unet`.

    Keys that both kinds have keep their values, but for those that depth decides; the other keys
    are left out.
    """
    fields = ResidualEncoderUNetOptions.model_fields
    methods = dict(config.methods)
    block = dict(methods.get(config.method) or {})
    for name, generator in generators_of(config).items():
        if isinstance(generator, UNetOptions):
            given = block.get(name) or {}
            kept = {key: value for key, value in given.items() if key in fields}
            for key in ("name", "channels"):
                kept.pop(key, None)
            block[name] = {"name": fields["name"].default, **kept}
    methods[config.method] = block
    return config.model_copy(update={"methods": methods})
