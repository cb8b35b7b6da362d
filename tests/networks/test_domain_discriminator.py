"""The domain discriminator: its weights, small grids in bf16, and that it can tell domains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional

from medgen.networks import DomainDiscriminator, DomainDiscriminatorOptions

SMALL = DomainDiscriminatorOptions(channels=6, layers=3)


def population(values: Tensor, axes: tuple[int, ...], *, keepdim: bool) -> Tensor:
    """Return the variance without Bessel's correction."""
    return values.var(axes, correction=0, keepdim=keepdim)


def build(options: DomainDiscriminatorOptions = SMALL, *, channels: int = 5) -> DomainDiscriminator:
    torch.manual_seed(0)
    return options.build(channels)


def test_by_default_it_has_the_papers_layers() -> None:
    net = build(DomainDiscriminatorOptions(), channels=430)
    first, further = 430 * 100 * 27 + 100, 100 * 100 * 27 + 100
    assert sum(p.numel() for p in net.parameters()) == first + 3 * further + 100 + 1


@pytest.mark.parametrize("size", [(3, 3, 3), (2, 2, 2), (1, 1, 1), (9, 9, 9), (2, 5, 7)])
def test_one_float32_logit_for_each_voxel_of_any_grid(size: tuple[int, int, int]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = build()(torch.randn(2, 5, *size).bfloat16())
    assert logits.shape == (2, 1, *size)
    assert logits.dtype == torch.float32


def test_the_logits_are_those_of_its_formula() -> None:
    net, features = build(), torch.randn(2, 5, 4, 5, 3)
    weights = dict(net.named_parameters())
    expected = features.double()
    mean, variance = (f(expected, (0, 2, 3, 4), keepdim=True) for f in (torch.mean, population))
    expected = (expected - mean) / (variance + 1e-5).sqrt()
    for layer in range(3):
        weight, bias = (weights[f"convolutions.{layer}.{name}"] for name in ("weight", "bias"))
        padded = functional.pad(expected, (1,) * 6)
        expected = functional.conv3d(padded, weight.double(), bias.double())
        expected = torch.where(expected > 0, expected, 0.2 * expected)
    last = weights["head.convolution.weight"].double().reshape(1, -1)
    expected = torch.einsum("of,bfxyz->boxyz", last, expected)
    expected += weights["head.convolution.bias"].double()
    torch.testing.assert_close(net(features), expected.float(), rtol=1e-4, atol=1e-5)


def test_a_logit_sees_as_many_voxels_to_each_side_as_there_are_layers() -> None:
    net, features = build().double(), torch.randn(1, 5, 9, 9, 9).double().requires_grad_()
    hidden = features
    for convolution in net.convolutions:
        hidden = net.activation(convolution(hidden))
    (gradient,) = torch.autograd.grad(hidden[..., 4, 4, 4].sum(), features)
    seen = gradient.abs().sum((0, 1, 3, 4)) > 0
    assert seen.tolist() == [False, *[True] * 7, False]


def test_the_features_keep_their_scale_on_the_way_to_the_classifier() -> None:
    torch.manual_seed(0)
    net = DomainDiscriminatorOptions(channels=64).build(64)
    hidden = torch.randn(1, 64, 12, 12, 12)
    for convolution in net.convolutions:
        hidden = net.activation(convolution(hidden))
    assert 0.3 < hidden[..., 4:-4, 4:-4, 4:-4].square().mean().sqrt() < 3


def test_the_scale_of_features_makes_no_difference_and_their_domain_does() -> None:
    net, features = build(), torch.randn(4, 5, 4, 4, 4)
    features[2:] += 1.0
    torch.testing.assert_close(net(features), net(100.0 * features + 7.0), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(net(features)[2:], net(features[2:]), atol=1e-2)


def test_what_it_is_given_is_left_as_it_was() -> None:
    features = torch.randn(1, 5, 3, 3, 3)
    before = features.clone()
    build()(features)
    assert torch.equal(features, before)


@pytest.mark.parametrize("size", [(1, 3, 3), (2, 2, 2), (3, 3, 3), (3, 1, 1), (9, 3, 3)])
def test_gradients_in_bf16_hold_nothing_but_the_loss(
    size: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    net = build(DomainDiscriminatorOptions(channels=16, layers=3), channels=16)
    features = torch.randn(2, 16, *size).requires_grad_()
    wanted = [features, *net.parameters()]
    # In use the statistics are those of training; with a batch's own, rounding is what is left of
    # the gradient of so few voxels.
    net.eval()
    exact = torch.autograd.grad(net(features).sum(), wanted)
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(features).sum()
        poison()
        for gradient, true in zip(torch.autograd.grad(loss, wanted), exact, strict=True):
            assert (gradient - true).norm() < 0.1 * true.norm()


def test_it_learns_which_features_are_the_sources() -> None:
    net = build()
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    truth = torch.tensor([1.0, 0.0]).reshape(2, 1, 1, 1, 1).expand(2, 1, 3, 3, 3)

    def patches() -> Tensor:
        return torch.randn(2, 5, 3, 3, 3) + torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1)

    for _ in range(40):
        loss = functional.binary_cross_entropy_with_logits(net(patches()), truth)
        parameters = list(net.parameters())
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
    of_source, of_target = net(patches())
    assert of_source.min() > 0 > of_target.max()


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    assert [name for name, _ in build().named_parameters()] == [
        *(f"convolutions.{layer}.{kind}" for layer in range(3) for kind in ("weight", "bias")),
        *("head.convolution.weight", "head.convolution.bias"),
    ]


@pytest.mark.parametrize("options", [{"channels": 0}, {"layers": 0}, {"norm": "instance"}])
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DomainDiscriminatorOptions.model_validate(options)
