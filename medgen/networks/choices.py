"""The networks that a configuration may choose from, by their `name`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field

from medgen.networks.context_discriminator import ContextDiscriminatorOptions
from medgen.networks.context_fcn import ContextFCNOptions
from medgen.networks.deep_medic import DeepMedicOptions
from medgen.networks.patch_discriminator import PatchDiscriminatorOptions
from medgen.networks.pix2pix_unet import Pix2PixUNetOptions
from medgen.networks.residual_encoder_unet import ResidualEncoderUNetOptions
from medgen.networks.resnet_generator import ResNetGeneratorOptions
from medgen.networks.unet import UNetOptions


def nameless_is(name: str) -> BeforeValidator:
    """Return a validator that takes a block without a name for the network `name`.

    A method whose default is another network annotates its option with one of its own, so that
    `generator: {channels: 16}` changes the default's features and not which network it is.
    """

    def complete(value: Any) -> Any:
        return {"name": name, **value} if isinstance(value, Mapping) else value

    return BeforeValidator(complete)


def _known(*names: str) -> BeforeValidator:
    """Return a validator that refuses a name which is not among those of a union.

    Pydantic's own refusal knows the names by each member's literals, among which are others.
    """

    def check(value: Any) -> Any:
        if not isinstance(value, Mapping) or value["name"] in names:
            return value
        given = value["name"]
        close = difflib.get_close_matches(str(given), names, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"name {given!r} is not known; {hint}known here: {', '.join(names)}")

    return BeforeValidator(check)


GeneratorOptions: TypeAlias = Annotated[
    UNetOptions
    | Pix2PixUNetOptions
    | ResidualEncoderUNetOptions
    | ContextFCNOptions
    | ResNetGeneratorOptions,
    Field(discriminator="name"),
    _known("unet", "pix2pix_unet", "residual_encoder_unet", "context_fcn", "resnet_generator"),
    nameless_is("unet"),
]
"""Networks that answer a source with an image."""

SegmenterOptions: TypeAlias = Annotated[
    UNetOptions | ResidualEncoderUNetOptions | DeepMedicOptions,
    Field(discriminator="name"),
    _known("unet", "residual_encoder_unet", "deep_medic"),
    nameless_is("unet"),
]
"""Networks whose features can be read."""

DiscriminatorOptions: TypeAlias = Annotated[
    PatchDiscriminatorOptions | ContextDiscriminatorOptions,
    Field(discriminator="name"),
    _known("patch_discriminator", "context_discriminator"),
    nameless_is("patch_discriminator"),
]
"""Networks that judge images."""
