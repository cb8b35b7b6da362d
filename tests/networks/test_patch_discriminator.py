"""The conditional PatchGAN: what it sees, and what it costs."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medgen.networks import PATCH_DISCRIMINATOR, PatchDiscriminator, PatchDiscriminatorOptions
from medgen.problems import ConfigurationError


def build(
    layers: int = 2, channels: int = 4, source: int = 1, padding: Literal[1, 2] = 1
) -> PatchDiscriminator:
    torch.manual_seed(0)
    options = PatchDiscriminatorOptions(channels=channels, layers=layers, padding=padding)
    return options.build(source_channels=source, target_channels=1)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_patch_leaves_three_logits(layers: int) -> None:
    net = build(layers)
    size = (net.minimum_patch,) * 3
    logits = net(torch.randn(2, 1, *size), torch.randn(2, 1, *size))
    assert logits.shape == (2, 1, 3, 3, 3)
    assert logits.dtype == torch.float32


def test_a_shorter_patch_is_the_configurations_fault() -> None:
    net = build()
    with pytest.raises(ConfigurationError, match="at least 20"):
        net(torch.randn(1, 1, 20, 20, 19), torch.randn(1, 1, 20, 20, 19))


def test_logits_form_a_grid_of_patches() -> None:
    assert build(3)(torch.randn(1, 1, 64, 40, 48), torch.randn(1, 1, 64, 40, 48)).shape == (
        *(1, 1),
        *(6, 3, 4),
    )


@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_one_logit_sees_the_papers_field(layers: int, field: int, padding: Literal[1, 2]) -> None:
    net = build(layers, channels=1, padding=padding)
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm3d):  # a norm sees the whole patch
                setattr(module, name, nn.Identity())
    # Long in one axis only: the axes are alike, and this is quick.
    image = torch.randn(1, 1, 120, net.minimum_patch, net.minimum_patch, requires_grad=True)
    logits = net(torch.randn_like(image), image)
    logits[0, 0, logits.shape[2] // 2].sum().backward()
    assert image.grad is not None
    seen = image.grad.abs().sum(dim=(0, 1, 3, 4)).nonzero().flatten()
    assert int(seen[-1] - seen[0]) + 1 == field


def test_it_judges_the_pair_not_the_image_alone() -> None:
    net = build()
    image, source, other = (torch.randn(1, 1, 20, 20, 20) for _ in range(3))
    assert not torch.allclose(net(source, image), net(other, image))


def test_real_and_fake_may_share_a_pass() -> None:
    net = build(source=2)
    source, image = torch.randn(3, 2, 20, 20, 20), torch.randn(3, 1, 20, 20, 20)
    apart = torch.cat([net(source[i : i + 1], image[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(source, image), apart, rtol=1e-4, atol=1e-5)


def test_logits_are_float32_under_bf16() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert build()(torch.randn(1, 1, 20, 20, 20), torch.randn(1, 1, 20, 20, 20)).dtype == (
            torch.float32
        )


def test_the_defaults_cost_what_the_documents_say() -> None:
    net = PATCH_DISCRIMINATOR.build(source_channels=1, target_channels=1)
    assert sum(p.numel() for p in net.parameters()) == 2_773_025
    assert net.minimum_patch == 40


def test_weights_start_as_in_the_paper() -> None:
    net = PATCH_DISCRIMINATOR.build(source_channels=1, target_channels=1)
    weights = torch.cat([p.detach().flatten() for p in net.parameters() if p.dim() == 5])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0.0, abs=1e-4)


EA_GAN = PatchDiscriminatorOptions(channels=64, layers=3, norm="batch", padding=2)


def test_ea_gans_judge_gives_19_logits_for_128_voxels() -> None:
    """128 -> 65 -> 33 -> 17 by strides of two, -> 18 -> 19 without, each padded by two."""
    with torch.device("meta"):
        net = EA_GAN.build(source_channels=1, target_channels=1)
        image = torch.empty(1, 1, 128, 128, 128)
        logits = net(image, image)
        lengths = [features.shape[2] for features in net.features(image, image)]
    assert logits.shape == (1, 1, 19, 19, 19)
    assert lengths == [65, 33, 17, 18]


def test_ea_gans_judge_has_the_papers_weights() -> None:
    with torch.device("meta"):
        net = EA_GAN.build(source_channels=1, target_channels=1)
    kernels = 4**3 * (2 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1)
    biases, norms = 64 + 1, 2 * (128 + 256 + 512)
    assert sum(p.numel() for p in net.parameters()) == kernels + biases + norms == 11_052_865


def test_a_short_patch_may_be_padded_by_two() -> None:
    assert EA_GAN.minimum_patch == 32
    net = EA_GAN.model_copy(update={"channels": 2}).build(source_channels=1, target_channels=1)
    image = torch.randn(1, 1, 32, 32, 32)
    assert net(image, image).shape == (1, 1, 7, 7, 7)
    with pytest.raises(ConfigurationError, match="at least 32"):
        net(image[:, :, :31], image[:, :, :31])


def test_a_logit_depends_on_its_pair_alone_outside_of_training() -> None:
    net = EA_GAN.model_copy(update={"channels": 2}).build(source_channels=1, target_channels=1)
    image = torch.randn(2, 1, 32, 32, 32)
    net(image, image)
    net.eval()
    alone = torch.cat([net(image[:1], image[:1]), net(image[1:], image[1:])])
    torch.testing.assert_close(net(image, image), alone, rtol=1e-4, atol=1e-5)


def test_the_names_of_its_weights_are_part_of_every_run() -> None:
    layers = ("initial_conv", "0", "1", "final_conv")
    names = [name for name, _ in build(layers=2).named_parameters()]
    assert names == [
        *("body.initial_conv.conv.weight", "body.initial_conv.conv.bias"),
        *(f"body.{layer}.conv.weight" for layer in layers[1:3]),
        *("body.final_conv.conv.weight", "body.final_conv.conv.bias"),
    ]


@pytest.mark.parametrize(
    "options", [{"padding": 0}, {"padding": 3}, {"norm": "group"}, {"layers": 0}, {"kernel": 4}]
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PatchDiscriminatorOptions.model_validate(options)
