"""Which network a block of keys means, and what is said of one that means none."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from medgen.config import Strict, validate_block
from medgen.networks import (
    DEEP_MEDIC,
    PATCH_DISCRIMINATOR,
    UNET,
    ContextDiscriminatorOptions,
    ContextFCNOptions,
    DeepMedicOptions,
    DiscriminatorOptions,
    GeneratorOptions,
    PatchDiscriminatorOptions,
    Pix2PixUNetOptions,
    ResidualEncoderUNetOptions,
    ResNetGeneratorOptions,
    SegmenterOptions,
    UNetOptions,
    nameless_is,
)
from medgen.problems import ConfigurationError

GENERATORS = "unet, pix2pix_unet, residual_encoder_unet, context_fcn, resnet_generator"


class Block(Strict):
    """A method's options, as `runs` makes them from its constructor."""

    generator: GeneratorOptions = UNET
    network: SegmenterOptions = UNET
    discriminator: DiscriminatorOptions = PATCH_DISCRIMINATOR
    adapted: Annotated[SegmenterOptions, nameless_is("deep_medic")] = DEEP_MEDIC
    other: Annotated[GeneratorOptions, nameless_is("pix2pix_unet")] = Pix2PixUNetOptions()


def read(**block: Any) -> Block:
    return validate_block(Block, block, "methods.some")


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("generator", "unet", UNetOptions),
        ("generator", "pix2pix_unet", Pix2PixUNetOptions),
        ("generator", "residual_encoder_unet", ResidualEncoderUNetOptions),
        ("generator", "context_fcn", ContextFCNOptions),
        ("generator", "resnet_generator", ResNetGeneratorOptions),
        ("network", "unet", UNetOptions),
        ("network", "residual_encoder_unet", ResidualEncoderUNetOptions),
        ("network", "deep_medic", DeepMedicOptions),
        ("adapted", "deep_medic", DeepMedicOptions),
        ("adapted", "unet", UNetOptions),
        ("discriminator", "patch_discriminator", PatchDiscriminatorOptions),
        ("discriminator", "context_discriminator", ContextDiscriminatorOptions),
    ],
)
def test_a_name_chooses(key: str, name: str, kind: type[BaseModel]) -> None:
    chosen = getattr(read(**{key: {"name": name}}), key)
    assert chosen == kind()
    assert chosen.name == name


def test_without_a_name_a_block_changes_the_default() -> None:
    assert read(generator={"channels": [4, 8]}).generator == UNetOptions(channels=(4, 8))
    assert read(generator={}).generator == UNET
    assert read(network={"features": 4}).network == UNetOptions(features=4)
    assert read(discriminator={"layers": 1}).discriminator == PatchDiscriminatorOptions(layers=1)
    assert read(adapted={"dropout": 0.1}).adapted == DeepMedicOptions(dropout=0.1)
    assert read(other={"channels": 8}).other == Pix2PixUNetOptions(channels=8)
    assert read(other={"name": "unet"}).other == UNET


def test_what_was_written_is_read_again() -> None:
    block = read(other={"channels": 8}, generator={"name": "context_fcn", "long_residual": True})
    assert Block.model_validate(block.model_dump(mode="json")) == block
    assert read(generator=ContextFCNOptions()).generator == ContextFCNOptions()


@pytest.mark.parametrize(
    ("key", "name", "known"),
    [
        (
            "generator",
            "unett",
            f"'unett' is not known; did you mean 'unet'? known here: {GENERATORS}",
        ),
        ("generator", None, f"None is not known; known here: {GENERATORS}"),
        ("generator", ["unet"], f"known here: {GENERATORS}"),
        ("generator", "patch_discriminator", f"known here: {GENERATORS}"),
        ("network", "pix2pix_unet", "known here: unet, residual_encoder_unet, deep_medic"),
        ("network", "resnet_generator", "known here: unet, residual_encoder_unet, deep_medic"),
        ("network", "context_fcn", "known here: unet, residual_encoder_unet, deep_medic"),
        ("generator", "deep_medic", f"known here: {GENERATORS}"),
        ("discriminator", "unet", "known here: patch_discriminator, context_discriminator"),
    ],
)
def test_a_name_that_is_not_known_is_told_the_known_ones(key: str, name: Any, known: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(**{key: {"name": name, "channels": 3}})
    (problem,) = caught.value.problems
    assert problem.code == "E_CONFIG_VALUE"
    assert problem.message.startswith(f"methods.some.{key}: name ")
    assert problem.message.endswith(known)


@pytest.mark.parametrize(
    ("block", "known"),
    [
        ({"chanels": 8, "name": "pix2pix_unet"}, "dropout, levels, long_residual, name, norm"),
        (
            {"chanels": 8},
            "dropout, features, head_kernel, long_residual, name, residual_units, upsampling",
        ),
        ({"chanels": 8, "name": "context_fcn"}, "known here: channels, long_residual, name"),
        ({"chanels": 8, "name": "resnet_generator"}, "channels, kernel, long_residual, name"),
    ],
)
def test_an_unknown_key_is_told_those_of_the_chosen_network(
    block: dict[str, Any], known: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(generator=block)
    (problem,) = caught.value.problems
    assert problem.code == "E_CONFIG_KEY"
    assert problem.message == "unknown key 'methods.some.generator.chanels'"
    assert problem.advice.startswith("did you mean 'channels'?")
    assert problem.advice.endswith(known)


@pytest.mark.parametrize("value", [3, "unet", None, [1]])
def test_a_network_is_a_block(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="should be a block of keys"):
        read(generator=value)


def test_a_wrong_value_is_placed() -> None:
    with pytest.raises(ConfigurationError, match=r"methods\.some\.generator\.levels: .* 2"):
        read(generator={"name": "pix2pix_unet", "levels": 1})
    with pytest.raises(ConfigurationError, match=r"network\.subsampling: .*\[3, 3\] has a factor"):
        read(network={"name": "deep_medic", "subsampling": [3, 3]})
    with pytest.raises(ConfigurationError, match="blocks has 6 stages and channels 2"):
        read(generator={"name": "residual_encoder_unet", "channels": [4, 8]})
