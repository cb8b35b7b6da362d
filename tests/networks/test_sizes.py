"""From the smallest patch on, nothing in a gradient comes from uninitialised memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from medgen.networks import PatchDiscriminatorOptions, UNetOptions, check_size, trim
from medgen.problems import ConfigurationError


def assert_gradients_are_finite(
    net: torch.nn.Module, inputs: tuple[torch.Tensor, ...], poison: Callable[[], None]
) -> None:
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(*inputs).square().mean()
        poison()
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("bottom", [3, 4, 5])
def test_unet_gradients_in_bf16(bottom: int, poison: Callable[[], None]) -> None:
    options = UNetOptions(channels=(8, 16, 32), features=8)
    assert options.minimum_patch == 3 * options.divisor
    net = options.build(source_channels=1, target_channels=1, activation="linear")
    source = torch.randn(2, 1, *(bottom * options.divisor,) * 3)
    assert_gradients_are_finite(net, (source,), poison)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("logits", [3, 4, 5])
def test_discriminator_gradients_in_bf16(
    layers: int, logits: int, poison: Callable[[], None]
) -> None:
    options = PatchDiscriminatorOptions(channels=8, layers=layers)
    assert options.minimum_patch == 5 * 2**layers
    net = options.build(source_channels=1, target_channels=1)
    image = torch.randn(2, 1, *((logits + 2) * 2**layers,) * 3)
    assert_gradients_are_finite(net, (image, image), poison)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("voxels", [0, 1, 2, 4])
def test_gradients_of_a_discriminator_padded_by_two_in_bf16(
    layers: int, voxels: int, poison: Callable[[], None]
) -> None:
    options = PatchDiscriminatorOptions(channels=8, layers=layers, norm="batch", padding=2)
    net = options.build(source_channels=1, target_channels=1)
    image = torch.randn(2, 1, *(options.minimum_patch + voxels,) * 3)
    assert_gradients_are_finite(net, (image, image), poison)


def test_trimming_takes_as_much_from_every_side() -> None:
    image = torch.arange(2 * 6 * 7 * 8).reshape(1, 2, 6, 7, 8)
    assert torch.equal(trim(image, 2), image[:, :, 2:4, 2:5, 2:6])
    assert trim(image, 0) is image


def test_a_size_is_refused_with_both_numbers() -> None:
    check_size("net", (16, 24, 32), minimum=16, divisor=8)
    with pytest.raises(ConfigurationError, match=r"net cannot take 16 x 20 x 8 voxels.* 16 and"):
        check_size("net", (16, 20, 8), minimum=16, divisor=8)
    with pytest.raises(ConfigurationError, match=r"at least 16 ->"):
        check_size("net", (8, 8, 8), minimum=16)
