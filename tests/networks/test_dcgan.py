"""DCGAN: the paper's layers, to the last weight, on volumes and on slices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medgen.networks import DcganOptions
from medgen.problems import ConfigurationError

SMALL = DcganOptions(window=(16, 8, 8), channels=4, levels=2, latent=5)
SLICES = DcganOptions(window=(16, 16, 1), channels=4, levels=3, latent=5, spatial_dims=2)


def weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("dims", "window"), [(3, (64, 64, 64)), (2, (64, 64, 1))])
def test_the_papers_networks_have_the_papers_weights(dims: Any, window: Any) -> None:
    """Dense to 512 features at 4 voxels per axis; 256, 128, 64 and the image; mirrored."""
    options = DcganOptions(window=window, spatial_dims=dims)
    with torch.device("meta"):
        generator = options.build_generator(channels=1, activation="tanh")
        judge = options.build_discriminator(channels=1)
    pairs = 512 * 256 + 256 * 128 + 128 * 64 + 64 * 1
    norms = 2 * (512 + 256 + 128 + 64)
    assert weights(generator) == 100 * 512 * 4**dims + 4**dims * pairs + norms + 1
    assert weights(judge) == 4**dims * pairs + 64 + 2 * (128 + 256 + 512) + 512 * 4**dims + 1


@pytest.mark.parametrize("options", [SMALL, SLICES], ids=["volumes", "slices"])
@pytest.mark.parametrize("places", [0, 3])
def test_shapes(options: DcganOptions, places: int) -> None:
    torch.manual_seed(0)
    generator = options.build_generator(channels=2, activation="linear", places=places)
    judge = options.build_discriminator(channels=2, places=places)
    place = torch.rand(3, 3) if places else None
    images = generator(torch.randn(3, 5), place)
    assert images.shape == (3, 2, *options.size)
    assert judge(images, place).shape == (3, 1)
    assert judge.features(images, place).shape == (
        3,
        options.features[-1] * math.prod(options.base),
    )


def test_it_computes_what_the_paper_writes() -> None:
    torch.manual_seed(0)
    generator = SMALL.build_generator(channels=1, activation="tanh").eval()
    judge = SMALL.build_discriminator(channels=1).eval()
    latent = torch.randn(2, 5)
    features = (latent @ generator.dense.weight.T).reshape(2, 8, 4, 2, 2)
    norm, _, up = generator.up[0]  # type: ignore[misc]
    features = up(norm(features).relu())
    expected = generator.head.layer(generator.norm(features).relu()).tanh()
    images = generator(latent)
    torch.testing.assert_close(images, expected)

    leaky = nn.LeakyReLU(0.2)
    features = leaky(judge.down[0][0](images))  # type: ignore[index]
    features = leaky(judge.down[1][1](judge.down[1][0](features)))  # type: ignore[index]
    torch.testing.assert_close(judge.features(images), features.flatten(1))
    torch.testing.assert_close(judge(images), judge.head.layer(features.flatten(1)))


def test_answers_are_bounded_where_the_scale_is() -> None:
    torch.manual_seed(0)
    for activation, bounded in (("tanh", True), ("linear", False)):
        generator = SMALL.build_generator(channels=1, activation=activation)  # type: ignore[arg-type]
        generator.head.layer.weight.data.mul_(1000)  # type: ignore[operator, union-attr]
        images = generator(torch.randn(3, 5))
        assert (images.abs().max() <= 1) == bounded


def test_a_place_changes_what_is_drawn_and_what_is_thought_of_it() -> None:
    torch.manual_seed(0)
    generator = SMALL.build_generator(channels=1, activation="linear", places=3).eval()
    judge = SMALL.build_discriminator(channels=1, places=3).eval()
    latent, here, there = torch.randn(1, 5), torch.zeros(1, 3), torch.ones(1, 3)
    image = generator(latent, here)
    assert (generator(latent, there) - image).abs().max() > 1e-3 * image.abs().max()
    assert not torch.equal(judge(image, here), judge(image, there))


@pytest.mark.parametrize("options", [SMALL, SLICES], ids=["volumes", "slices"])
def test_gradients_are_sound_in_bf16(options: DcganOptions, poison: Callable[[], None]) -> None:
    """Maps of two voxels are where a CPU's kernels in bf16 read what nobody wrote."""
    torch.manual_seed(0)
    generator = options.build_generator(channels=1, activation="linear")
    judge = options.build_discriminator(channels=1)
    networks = nn.ModuleList([generator, judge])
    latent = torch.randn(4, 5)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            logits = judge(generator(latent))
        assert logits.dtype == torch.float32
        poison()
        gradients = torch.autograd.grad(logits.square().sum(), list(networks.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_window_that_is_missing_or_does_not_fit_is_refused() -> None:
    for options in (DcganOptions(), DcganOptions(window=(48, 48, 40))):
        with pytest.raises(ConfigurationError):
            options.build_generator(channels=1, activation="tanh")
        with pytest.raises(ConfigurationError):
            options.build_discriminator(channels=1)


@pytest.mark.parametrize(
    "options",
    [{"channels": 0}, {"levels": 0}, {"latent": 0}, {"spatial_dims": 1}, {"name": "unet"}],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DcganOptions.model_validate(options)
