"""f-AnoGAN's networks: the authors' blocks, norms and sizes, on volumes and on slices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from medgen.losses import gradient_penalty
from medgen.networks import ResidualGanOptions
from medgen.networks.residual_blocks import DownBlock, UpBlock
from medgen.problems import ConfigurationError

SMALL = ResidualGanOptions(window=(16, 8, 8), channels=4, levels=2, latent=5)
SLICES = ResidualGanOptions(window=(16, 16, 1), channels=4, levels=3, latent=5, spatial_dims=2)


def built(options: ResidualGanOptions, places: int = 0) -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "generator": options.build_generator(channels=2, activation="linear", places=places),
            "critic": options.build_critic(channels=2, places=places),
            "encoder": options.build_encoder(channels=2, places=places),
        }
    )


def test_the_papers_sizes() -> None:
    """Slices of 64 x 64: 512 features at 4 x 4, and a vector of 8192 numbers."""
    options = ResidualGanOptions(window=(64, 64, 1), spatial_dims=2)
    with torch.device("meta"):
        generator = options.build_generator(channels=1, activation="tanh")
        critic, encoder = options.build_critic(channels=1), options.build_encoder(channels=1)
    assert options.features == (64, 128, 256, 512, 512)
    assert generator.coarsest == (512, 4, 4, 1)
    assert [block.second.weight.shape[0] for block in generator.up] == [512, 256, 128, 64]  # type: ignore[union-attr, index]
    assert [block.second.weight.shape[0] for block in critic.stem.down] == [128, 256, 512, 512]  # type: ignore[union-attr, index]
    assert critic.stem.length == encoder.stem.length == 8192
    assert critic.head.layer.weight.shape == (1, 8192)
    assert encoder.head.layer.weight.shape == (128, 8192)


@pytest.mark.parametrize("options", [SMALL, SLICES], ids=["volumes", "slices"])
@pytest.mark.parametrize("places", [0, 3])
def test_shapes(options: ResidualGanOptions, places: int) -> None:
    networks = built(options, places)
    place = torch.rand(3, 3) if places else None
    images = networks["generator"](torch.randn(3, 5), place)
    assert images.shape == (3, 2, *options.size)
    assert networks["critic"](images, place).shape == (3, 1)
    assert networks["encoder"](images, place).shape == (3, 5)
    features = networks["critic"].features(images, place)  # type: ignore[operator]
    torch.testing.assert_close(
        networks["critic"](images, place),
        F.linear(features, networks["critic"].head.layer.weight),  # type: ignore[union-attr, arg-type]
    )


def test_blocks_compute_what_the_authors_write() -> None:
    """In their order: upsampled before the shortcut's convolution, and pooled after it."""
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 4, 2)
    up, down = UpBlock(3, 5, 3), DownBlock(3, 5, 3, kind="layer", bias=True)

    def larger(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)

    def smaller(x: Tensor) -> Tensor:
        b, c, n, m, k = x.shape
        return x.reshape(b, c, n // 2, 2, m // 2, 2, k // 2, 2).mean((3, 5, 7))

    def batch_norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (0, 2, 3, 4), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()

    def layer_norm(x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, (1, 2, 3, 4), keepdim=True, correction=0)
        return (x - mean) / (variance + 1e-5).sqrt()

    new = up.first(larger(batch_norm(features).relu()))
    expected = up.shortcut(larger(features)) + up.second(batch_norm(new).relu())
    torch.testing.assert_close(up(features), expected, rtol=1e-4, atol=1e-5)
    new = down.first(layer_norm(features).relu())
    expected = smaller(down.shortcut(features)) + smaller(down.second(layer_norm(new).relu()))
    torch.testing.assert_close(down(features), expected, rtol=1e-4, atol=1e-5)


def test_the_critic_knows_no_neighbour_and_keeps_no_statistics() -> None:
    critic = built(SMALL)["critic"]
    assert not list(critic.buffers())
    images = torch.randn(3, 2, 16, 8, 8)
    alone = torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(critic(images), alone, rtol=1e-4, atol=1e-5)


def test_the_penalty_reaches_the_critics_weights() -> None:
    """Through two backward passes of its norms; the last layer's among them."""
    critic = built(SMALL)["critic"]
    penalty = gradient_penalty(critic, torch.randn(2, 2, 16, 8, 8), torch.randn(2, 2, 16, 8, 8))
    penalty.backward()
    unmoved = [name for name, p in critic.named_parameters() if p.grad is None or not p.grad.any()]
    # A shift of the last convolutions' answers changes scores, and no slope.
    assert all(name.endswith("bias") for name in unmoved), unmoved


def test_an_encoded_latent_is_bounded_unless_asked_for() -> None:
    for encoded, bounded in (("tanh", True), ("linear", False)):
        options = SMALL.model_copy(update={"encoded": encoded})
        encoder = built(options)["encoder"]
        latent = encoder(100 * torch.randn(8, 2, 16, 8, 8))
        encoder.head.layer.weight.data.mul_(100)  # type: ignore[operator, union-attr]
        latent = encoder(torch.randn(8, 2, 16, 8, 8))
        assert (latent.abs().max() <= 1) == bounded


@pytest.mark.parametrize("options", [SMALL, SLICES], ids=["volumes", "slices"])
def test_gradients_are_sound_in_bf16(
    options: ResidualGanOptions, poison: Callable[[], None]
) -> None:
    networks = built(options)
    latent = torch.randn(4, 5)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            images = networks["generator"](latent)
            scores, found = networks["critic"](images), networks["encoder"](images)
        assert {scores.dtype, found.dtype, images.dtype} == {torch.float32}
        poison()
        loss = scores.square().sum() + found.square().sum()
        gradients = torch.autograd.grad(loss, list(networks.parameters()))
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_a_window_that_is_missing_or_does_not_fit_is_refused() -> None:
    for options in (ResidualGanOptions(), ResidualGanOptions(window=(48, 48, 40))):
        for build in (options.build_critic, options.build_encoder):
            with pytest.raises(ConfigurationError):
                build(channels=1)
        with pytest.raises(ConfigurationError):
            options.build_generator(channels=1, activation="tanh")


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"levels": 0}, {"encoded": "relu"}, {"spatial_dims": 4}]
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ResidualGanOptions.model_validate(options)
