"""The dense autoencoder: the study's layers, slices, places, and bf16 on small maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn

from medgen.networks import DENSE_AUTOENCODER, DenseAutoencoder, DenseAutoencoderOptions, Head
from medgen.problems import ConfigurationError

SMALL = DenseAutoencoderOptions(window=(8, 8, 16), channels=(4, 6), bottleneck=3, latent=5)
SLICES = SMALL.model_copy(update={"window": (16, 8, 1), "spatial_dims": 2})


def build(
    options: DenseAutoencoderOptions = SMALL, places: int = 0, activation: Any = "linear"
) -> DenseAutoencoder:
    torch.manual_seed(0)
    return options.build(channels=2, activation=activation, places=places)


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_studys_networks_have_the_studys_weights() -> None:
    """Slices of 128 x 128 become 8 x 8 x 16; the authors' layers, less biases before norms."""
    options = DenseAutoencoderOptions(window=(128, 128, 1), spatial_dims=2)
    assert options.base == (8, 8, 1)
    with torch.device("meta"):
        net = options.build(channels=1, activation="linear")
    convolutions = 5**2 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 128)
    norms = 2 * (32 + 64 + 128 + 128)
    dense = 2 * (8 * 8 * 16 * 128 + 128)
    assert weights(net.encoder) == convolutions + norms + (128 * 16 + 16) + dense == 931_568
    transposed = 5**2 * (128 * 128 + 128 * 64 + 64 * 32 + 32 * 32)
    norms = 2 * (128 + 128 + 64 + 32 + 32)
    dense = 128 * 8 * 8 * 16 + 8 * 8 * 16
    assert weights(net.decoder) == dense + 16 * 128 + transposed + norms + (32 + 1) == 826_145


def test_a_window_becomes_a_vector_and_a_window_again() -> None:
    net = build()
    mean, log_sigma = net.encoder(torch.randn(3, 2, 8, 8, 16))
    assert mean.shape == log_sigma.shape == (3, 5)
    assert not torch.equal(mean, log_sigma)
    assert net.decoder(mean).shape == (3, 2, 8, 8, 16)


def test_every_voxel_is_seen_and_every_number_of_the_latent_drawn() -> None:
    net = build().eval()
    source = torch.randn(1, 2, 8, 8, 16, requires_grad=True)
    mean, _ = net.encoder(source)
    mean.square().sum().backward()
    assert source.grad is not None
    assert (source.grad != 0).all()
    latent = torch.randn(1, 5, requires_grad=True)
    net.decoder(latent).square().sum().backward()
    assert latent.grad is not None
    assert (latent.grad != 0).all()


def test_slices_are_what_networks_of_two_dimensions_compute() -> None:
    """The same weights, less the axis that they do not have, in torch's 2D functions."""
    net = build(SLICES).eval()
    source = torch.randn(2, 2, 16, 8, 1)
    features = source[..., 0]
    for level in net.encoder.descent.levels:
        convolution, norm, _ = level
        features = F.conv2d(features, convolution.weight[..., 0], stride=2, padding=2)
        features = F.leaky_relu(normed(features, norm), 0.3)
    narrow = net.encoder.narrow
    features = F.conv2d(features, narrow.weight[..., 0], narrow.bias)
    mean, log_sigma = net.encoder(source)
    flat = features.flatten(1)
    torch.testing.assert_close(mean, net.encoder.mean(flat))
    torch.testing.assert_close(log_sigma, net.encoder.log_sigma(flat))

    features = net.decoder.dense(mean).reshape(2, 3, 4, 2)
    features = F.conv2d(features, net.decoder.widen[0].weight[..., 0])
    features = normed(features, net.decoder.widen[1]).relu()
    for level in net.decoder.levels:
        convolution, norm, _ = level
        features = F.conv_transpose2d(
            features, convolution.weight[..., 0], stride=2, padding=2, output_padding=1
        )
        features = F.leaky_relu(normed(features, norm), 0.3)
    head = net.decoder.head.convolution
    expected = F.conv2d(features, head.weight[..., 0], head.bias)
    torch.testing.assert_close(net.decoder(mean)[..., 0], expected)


def normed(features: Tensor, norm: Any) -> Tensor:
    return F.batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def test_a_place_changes_what_is_encoded_and_what_is_drawn() -> None:
    net = build(places=3).eval()
    source, here, there = torch.randn(1, 2, 8, 8, 16), torch.zeros(1, 3), torch.ones(1, 3)
    means = [net.encoder(source, place)[0] for place in (here, there)]
    assert not torch.equal(*means)
    images = [net.decoder(means[0], place) for place in (here, there)]
    assert not torch.equal(*images)


def test_a_bounded_scale_is_answered_through_a_tanh() -> None:
    latent = 100 * torch.randn(1, 5)
    bounded, linear = (build(activation=head).eval().decoder(latent) for head in ("tanh", "linear"))
    torch.testing.assert_close(bounded, linear.tanh())


def test_dropout_acts_in_training_only() -> None:
    net = build(SMALL.model_copy(update={"dropout": 0.5}))
    source, latent = torch.randn(2, 2, 8, 8, 16), torch.randn(2, 5)
    assert not torch.equal(net.encoder(source)[0], net.encoder(source)[0])
    assert not torch.equal(net.decoder(latent), net.decoder(latent))
    net.eval()
    assert torch.equal(net.encoder(source)[0], net.encoder(source)[0])
    assert torch.equal(net.decoder(latent), net.decoder(latent))


@pytest.mark.parametrize("window", [(8, 8, 8), (16, 16, 16), (16, 16, 1)])
def test_gradients_under_bf16_are_sound_on_the_smallest_maps(
    window: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    update = {"window": window, "spatial_dims": 2 if window[2] == 1 else 3}
    net = build(SMALL.model_copy(update=update)).eval()
    source = torch.randn(2, 2, *window)

    def gradients(bf16: bool) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False):
            mean, log_sigma = net.encoder(source)
            image = net.decoder(mean + log_sigma)
        assert {mean.dtype, log_sigma.dtype, image.dtype} == {torch.float32}
        loss = image.square().sum()
        poison()
        return list(torch.autograd.grad(loss, list(net.parameters())))

    names = [name for name, _ in net.named_parameters()]
    for name, quick, exact in zip(names, gradients(True), gradients(False), strict=True):
        assert (quick - exact).norm() < 0.2 * exact.norm() + 1e-3, name


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"window": (8, 12, 6)}, "at least 8 and a multiple of 4"),
        ({"window": (4, 8, 8)}, "at least 8 and a multiple of 4"),
        ({"window": (8, 8, 8), "spatial_dims": 2}, "1 voxel deep, not 8"),
        ({"window": (8, 8, 1)}, "at least 8 and a multiple of 4"),
        ({"window": None}, "no window"),
    ],
)
def test_windows_that_it_cannot_take_are_refused(update: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        build(SMALL.model_copy(update=update))
    assert [problem.code for problem in caught.value.problems] == ["E_PATCH_SIZE"]


def test_the_patch_decides_the_window() -> None:
    assert DENSE_AUTOENCODER.for_patch([64, 32, 32]).base == (4, 2, 2)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    names = [name for name, _ in build().named_parameters()]
    level = ["0.weight", "1.weight", "1.bias"]
    assert names == [
        *(f"encoder.descent.levels.{number}.{name}" for number in range(2) for name in level),
        *(f"encoder.{layer}.{name}" for layer in ("narrow", "mean", "log_sigma")
          for name in ("weight", "bias")),
        *(f"decoder.dense.{name}" for name in ("weight", "bias")),
        *(f"decoder.widen.{name}" for name in level),
        *(f"decoder.levels.{number}.{name}" for number in range(2) for name in level),
        *(f"decoder.head.convolution.{name}" for name in ("weight", "bias")),
    ]  # fmt: skip
    assert isinstance(build().decoder.head, Head)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": []},
        {"channels": [0]},
        {"kernel": 4},
        {"latent": 0},
        {"dropout": 1.0},
        {"spatial_dims": 1},
        {"name": "dcgan"},
        {"levels": 4},
    ],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DenseAutoencoderOptions.model_validate(options)
