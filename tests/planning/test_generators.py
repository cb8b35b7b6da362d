from collections.abc import Callable
from typing import Any

import pytest

from medgen.networks import (
    ContextFCNOptions,
    GeneratorBlock,
    Pix2PixUNetOptions,
    ResidualEncoderUNetOptions,
    ResNetGeneratorOptions,
    UNetOptions,
)
from medgen.planning.generators import (
    BOTTOM,
    SHORTEST,
    depth_of,
    generators_of,
    has_depth,
    with_depth,
    with_residual_encoders,
)

WITH_DEPTH = (UNetOptions(), Pix2PixUNetOptions(), ResidualEncoderUNetOptions())


@pytest.mark.parametrize("shortest", SHORTEST)
@pytest.mark.parametrize("generator", WITH_DEPTH, ids=lambda generator: generator.name)
def test_a_patch_of_the_shortest_axis_is_halved_down_to_what_each_kind_ends_with(
    generator: GeneratorBlock, shortest: int
) -> None:
    keys = depth_of(generator, shortest, device_type="cuda")
    deep = type(generator)(**keys)
    end = 1 if isinstance(generator, Pix2PixUNetOptions) else BOTTOM
    assert shortest // deep.divisor == end
    assert shortest >= deep.minimum_patch


def test_the_deepest_networks_are_the_papers() -> None:
    encoder = ResidualEncoderUNetOptions()
    keys = depth_of(encoder, 128, device_type="cuda")
    assert keys == {"channels": encoder.channels, "blocks": encoder.blocks}
    paper = Pix2PixUNetOptions(levels=7)
    keys = depth_of(paper, 128, device_type="cuda")
    assert keys == {"channels": paper.channels, "levels": paper.levels}
    keys = depth_of(UNetOptions(), 128, device_type="cuda")
    assert keys == {"channels": (32, 64, 128, 256, 256, 256), "features": 16}


def test_blocks_that_were_given_are_kept_for_as_many_stages() -> None:
    light = ResidualEncoderUNetOptions(channels=(8, 16, 32), blocks=(1, 2, 2))
    assert depth_of(light, 128, device_type="cpu")["blocks"] == (1, 2, 2, 2, 2, 2)
    assert depth_of(light, 8, device_type="cpu")["blocks"] == (1, 2)
    assert depth_of(light, 8, device_type="cpu")["channels"] == (16, 32)


def test_a_network_without_depth_is_left_as_it_is(config: Callable[..., Any]) -> None:
    block = {"regression": {"generator": {"name": "context_fcn", "channels": 8}}}
    settings = config(methods=block)
    assert not has_depth(settings)
    assert depth_of(ContextFCNOptions(), 128, device_type="cuda") == {}
    assert with_depth(settings, 64, device_type="cuda") == settings
    assert has_depth(config())


@pytest.mark.parametrize(("device", "width"), [("cpu", 8), ("cuda", 32)])
def test_a_residual_generator_gets_a_width_and_its_patch_its_blocks(
    device: Any, width: int, config: Callable[..., Any]
) -> None:
    block = {"regression": {"generator": {"name": "resnet_generator", "kernel": 5}}}
    settings = config(methods=block)
    assert not has_depth(settings)
    assert depth_of(ResNetGeneratorOptions(), 128, device_type=device) == {"channels": width}
    for patch, blocks in ((64, 3), (96, 4)):
        train = settings.train.model_copy(update={"patch": (patch,) * 3})
        planned = with_depth(settings, 8, device_type=device)
        (found,) = generators_of(planned.model_copy(update={"train": train})).values()
        assert found == ResNetGeneratorOptions(channels=width, kernel=5, blocks=blocks)


def test_generators_are_found_whatever_the_option_is_called(config: Callable[..., Any]) -> None:
    assert list(generators_of(config())) == ["generator"]
    labelled = {"roles": {"source": ["mr"], "label": ["label"]}, "labels": {"middle": 1}}
    assert list(generators_of(config(method="segmenter", **labelled))) == ["network"]


def test_the_exchange_keeps_what_both_kinds_have(config: Callable[..., Any]) -> None:
    given = {"name": "unet", "channels": [8, 16], "head_kernel": 3, "long_residual": False}
    block = {"generator": given, "mask_loss": False}
    changed = with_residual_encoders(config(methods={"regression": block}))
    found = changed.methods["regression"]
    assert found["generator"] == {"name": "residual_encoder_unet", "long_residual": False}
    assert found["mask_loss"] is False
    (generator,) = generators_of(changed).values()
    assert generator == ResidualEncoderUNetOptions()


@pytest.mark.parametrize("name", ["pix2pix_unet", "residual_encoder_unet", "context_fcn"])
def test_the_exchange_leaves_a_network_that_is_named(name: str, config: Callable[..., Any]) -> None:
    settings = config(methods={"regression": {"generator": {"name": name}}})
    assert with_residual_encoders(settings) == settings
