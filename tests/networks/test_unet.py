"""The U-Net: shapes, precision, and sizes it refuses by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from medgen.metrics import grid_energy
from medgen.networks import UNET, UNet, UNetOptions
from medgen.problems import ConfigurationError

SMALL = UNetOptions(channels=(4, 8, 16), features=4, residual_units=1)


def build(options: UNetOptions = SMALL, **changes: Any) -> UNet:
    torch.manual_seed(0)
    arguments = {"source_channels": 1, "target_channels": 1, "activation": "tanh", **changes}
    return options.build(**arguments)


@pytest.mark.parametrize(("source", "target"), [(1, 1), (3, 2)])
@pytest.mark.parametrize("size", [(12, 12, 12), (16, 12, 24)])
def test_the_answer_lies_on_the_sources_grid(
    source: int, target: int, size: tuple[int, int, int]
) -> None:
    net = build(source_channels=source, target_channels=target)
    answer = net(torch.randn(2, source, *size))
    assert answer.shape == (2, target, *size)
    assert answer.dtype == torch.float32


@pytest.mark.parametrize("residual_units", [0, 1, 2])
@pytest.mark.parametrize("channels", [(4, 8), (2, 4, 8, 16)])
def test_depth_decides_divisor_and_smallest_patch(
    channels: tuple[int, ...], residual_units: int
) -> None:
    options = UNetOptions(channels=channels, features=2, residual_units=residual_units)
    assert options.divisor == 2 ** (len(channels) - 1)
    smallest = (options.minimum_patch,) * 3
    assert build(options)(torch.randn(1, 1, *smallest)).shape[2:] == smallest


@pytest.mark.parametrize("size", [(4, 4, 4), (8, 8, 4), (8, 8, 10)])
def test_a_patch_it_cannot_take_is_the_configurations_fault(size: tuple[int, int, int]) -> None:
    """One voxel at the bottom would make instance norm raise something obscure."""
    net = build().eval()
    with pytest.raises(ConfigurationError, match=r"at least 8 and a multiple of 4") as caught:
        net(torch.randn(1, 1, *size))
    assert caught.value.problems[0].code == "E_PATCH_SIZE"


def test_a_converter_may_ask_for_less_than_a_training_patch() -> None:
    net, source = build(), torch.randn(1, 1, 8, 8, 8)
    with pytest.raises(ConfigurationError, match="at least 12"):
        net(source)
    assert net.eval()(source).shape == source.shape


def test_the_defaults_cost_what_the_documents_say() -> None:
    net = build(UNET)
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS
    assert (UNET.divisor, UNET.minimum_patch) == (8, 24)


PARAMETERS = 4_763_982


def test_tanh_is_bounded_and_linear_is_not() -> None:
    source = torch.randn(1, 1, 12, 12, 12)
    bounded, free = build(), build(activation="linear")
    for net in (bounded, free):
        nn.init.constant_(net.head.convolution.weight, 100.0)
    assert bounded(source).abs().max() <= 1
    assert free(source).abs().max() > 1
    torch.testing.assert_close(bounded(source), free(source).tanh())


@pytest.mark.parametrize("kernel", [1, 3])
def test_under_bf16_the_body_is_quick_and_the_head_exact(kernel: int) -> None:
    net = build(SMALL.model_copy(update={"head_kernel": kernel}), activation="linear")
    assert net.head.convolution.kernel_size == (kernel,) * 3
    seen: list[torch.Tensor] = []
    net.body.register_forward_hook(lambda module, inputs, output: seen.append(output))
    source = torch.randn(1, 1, 16, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        answer = net(source)
    assert seen[0].dtype == torch.bfloat16
    assert answer.dtype == torch.float32
    torch.testing.assert_close(answer, net.head(seen[0].float()), rtol=0, atol=0)
    assert (answer != answer.bfloat16().float()).float().mean() > 0.9


def test_the_answer_keeps_its_level_when_its_neighbourhood_changes() -> None:
    """No norm follows the last layer: an offset of the head is an offset of the answer."""
    net = build(activation="linear")
    source = torch.randn(1, 1, 12, 12, 12)
    before = net(source)
    assert net.head.convolution.bias is not None
    with torch.no_grad():
        net.head.convolution.bias.add_(0.5)
    torch.testing.assert_close(net(source), before + 0.5)


def test_it_treats_the_axes_alike() -> None:
    """Transposed weights answer a transposed source: strides and kernels are isotropic."""
    net, turned = build(), build()
    with torch.no_grad():
        for parameter in turned.parameters():
            if parameter.dim() == 5:
                parameter.copy_(parameter.transpose(2, 4).clone())
    source = torch.randn(1, 1, 12, 16, 24)
    torch.testing.assert_close(
        turned(source.transpose(2, 4)).transpose(2, 4), net(source), rtol=1e-4, atol=1e-5
    )


def test_every_parameter_gets_a_gradient_and_starts_finite() -> None:
    net = build(UNetOptions(channels=(4, 8, 16), features=4))
    net(torch.randn(1, 1, 16, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_memory_layout_does_not_change_the_answer() -> None:
    net = build()
    source = torch.randn(2, 1, 12, 12, 12)
    answer = net(source)
    net = net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    laid_out = source.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(net(laid_out), answer, rtol=1e-4, atol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    net = build(UNetOptions(channels=(4, 8), features=4, dropout=0.5))
    source = torch.randn(1, 1, 12, 12, 12)
    assert not torch.equal(net(source), net(source))
    net.eval()
    assert torch.equal(net(source), net(source))


@pytest.mark.parametrize(
    "options",
    [
        {"channels": [8]},
        {"channels": [8, 0]},
        {"features": 0},
        {"head_kernel": 5},
        {"residual_units": -1},
        {"dropout": 1.0},
        {"name": "vnet"},
        {"chanels": [8, 16]},
    ],
)
def test_options_are_strict(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        UNetOptions.model_validate(options)


def test_options_come_from_plain_values() -> None:
    plain = {"name": "unet", "channels": [4, 8, 16], "features": 4, "residual_units": 1}
    assert UNetOptions.model_validate(plain) == SMALL


@pytest.mark.parametrize("residual_units", [0, 2])
@pytest.mark.parametrize("channels", [(4, 8), (4, 8, 16), (4, 8, 12, 16)])
def test_the_decoders_features_are_those_under_the_head(
    channels: tuple[int, ...], residual_units: int
) -> None:
    options = UNetOptions(channels=channels, features=3, residual_units=residual_units)
    net = build(options).eval()
    source = torch.randn(1, 1, 24, 24, 24)
    with torch.no_grad():
        features = net.decode(source)
        assert torch.equal(net.head(features[0]), net(source))
    assert tuple(f.shape[1] for f in features) == options.decoder_channels
    assert [f.shape[2] for f in features] == [24 // 2**level for level in range(len(features))]


def test_resizing_leaves_no_checkerboard_where_transposed_convolutions_do() -> None:
    axes = torch.meshgrid(*[torch.linspace(-1, 1, 48)] * 3, indexing="ij")
    radius = torch.stack(axes).square().sum(dim=0).sqrt()
    texture = torch.randn(48, 48, 48, generator=torch.Generator().manual_seed(0))
    head = torch.where(radius < 0.5, 0.6, torch.where(radius < 0.8, 0.1, -1.0)) + 0.05 * texture
    energy = {}
    for upsampling in ("transposed", "resize"):
        options = UNetOptions.model_validate({**SMALL.model_dump(), "upsampling": upsampling})
        net = build(options).eval()
        kinds = {type(module) for module in net.modules()}
        assert (nn.ConvTranspose3d in kinds) == (upsampling == "transposed")
        with torch.no_grad():
            answer = net(head[None, None])[0, 0].numpy()
        energy[upsampling] = max(grid_energy(answer, period) for period in (2, 4))
    assert energy["resize"] < 1.2 < 3 < energy["transposed"], energy
