"""The context-aware GAN's discriminator: its weights, and that it looks at images alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from medgen.networks import ContextDiscriminator, ContextDiscriminatorOptions
from medgen.problems import ConfigurationError

SMALL = ContextDiscriminatorOptions(channels=4, hidden=(8,))


def build(
    options: ContextDiscriminatorOptions = SMALL, *, channels: int = 1
) -> ContextDiscriminator:
    torch.manual_seed(0)
    return options.build(source_channels=1, target_channels=channels)


def test_the_papers_network_has_the_papers_weights() -> None:
    with torch.device("meta"):
        net = build(ContextDiscriminatorOptions())
    convolutions = 5**3 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    linear = (2**3 * 256 * 512 + 512) + (512 * 128 + 128) + (128 * 1 + 1)
    assert convolutions + linear == 6_494_881
    assert sum(p.numel() for p in net.parameters()) == convolutions + linear


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 24, 40)])
def test_one_logit_for_a_patch_of_any_size(size: tuple[int, int, int]) -> None:
    image = torch.randn(2, 1, *size)
    with torch.autocast("cpu", torch.bfloat16):
        logits = build()(image, image)
    assert logits.shape == (2, 1)
    assert logits.dtype == torch.float32


def test_a_patch_of_15_is_the_configurations_fault() -> None:
    image = torch.randn(1, 1, 16, 16, 15)
    with pytest.raises(ConfigurationError, match=r"context_discriminator .* at least 16"):
        build()(image, image)
    with pytest.raises(ConfigurationError, match="at least 16"):
        build().features(image, image)


def test_it_does_not_look_at_the_source() -> None:
    net = build().eval()
    image, source, other = (torch.randn(1, 1, 16, 16, 16) for _ in range(3))
    assert torch.equal(net(source, image), net(other, image))
    assert not torch.equal(net(source, image), net(source, other))


def test_outside_of_training_a_logit_depends_on_its_image_alone() -> None:
    image = torch.randn(2, 1, 16, 16, 16)
    net = build()
    net(image, image)
    net.eval()
    alone = torch.cat([net(image[:1], image[:1]), net(image[1:], image[1:])])
    torch.testing.assert_close(net(image, image), alone, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns() -> None:
    net = build(channels=2)
    image = torch.randn(4, 2, 16, 16, 16)
    net(image, image).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("size", [(16, 16, 16), (24, 16, 16), (40, 16, 16)])
def test_gradients_in_bf16_hold_nothing_but_the_loss(
    size: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    net, image = build(), torch.randn(2, 1, *size)
    repeats = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(image, image).square().mean()
        poison()
        repeats.append(torch.autograd.grad(loss, list(net.parameters())))
    for first, *others in zip(*repeats, strict=True):
        assert first.isfinite().all()
        assert all(torch.equal(first, other) for other in others)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    assert [name for name, _ in build().named_parameters()] == [
        *(f"convolutions.{number}.0.weight" for number in range(4)),
        *("linear.0.weight", "linear.0.bias", "head.weight", "head.bias"),
    ]


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"hidden": []}, {"hidden": [0]}, {"layers": 3}]
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ContextDiscriminatorOptions.model_validate(options)


@pytest.mark.slow
def test_a_step_of_the_papers_size() -> None:
    net = build(ContextDiscriminatorOptions())
    image = torch.randn(4, 1, 16, 16, 16)
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        logits = net(image, image)
    logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
