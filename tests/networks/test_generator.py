"""What holds for every generator, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from medgen.networks import (
    ContextFCNOptions,
    DeepMedicOptions,
    Generator,
    GeneratorBlock,
    Pix2PixUNetOptions,
    ResidualEncoderUNetOptions,
    ResNetGeneratorOptions,
    UNetOptions,
    trim,
)
from medgen.problems import ConfigurationError

SMALL: dict[str, GeneratorBlock] = {
    "unet": UNetOptions(channels=(4, 8), features=4, residual_units=1),
    "pix2pix_unet": Pix2PixUNetOptions(channels=4, levels=3, dropout=0.5),
    "pix2pix_unet, instance norm": Pix2PixUNetOptions(channels=4, levels=3, norm="instance"),
    "residual_encoder_unet": ResidualEncoderUNetOptions(channels=(4, 6, 16), blocks=(1, 2, 2)),
    "context_fcn": ContextFCNOptions(channels=4),
    "resnet_generator": ResNetGeneratorOptions(channels=4, blocks=1),
    "deep_medic": DeepMedicOptions(channels=(4, 4, 4, 5, 6), hidden=(6,), dropout=0.2),
}


@pytest.fixture(params=list(SMALL))
def options(request: pytest.FixtureRequest) -> GeneratorBlock:
    """Return each generator's options in a size for tests."""
    return SMALL[str(request.param)]


def build(options: GeneratorBlock, **changes: Any) -> Generator:
    torch.manual_seed(0)
    arguments = {"source_channels": 2, "target_channels": 1, "activation": "linear", **changes}
    return options.build(**arguments)


def source_for(options: GeneratorBlock, *, batch: int = 2, channels: int = 2) -> torch.Tensor:
    shortest = 2 * max(options.divisor, options.minimum_patch) + 2 * options.margin
    size = (shortest, shortest, shortest + 2 * options.divisor)
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def settled(net: Generator, source: torch.Tensor) -> Generator:
    """Return a net in eval() whose batch norms have seen something."""
    net.train()
    with torch.no_grad():
        net(source + 0.3)
    return net.eval()


@pytest.mark.parametrize(("sources", "targets"), [(1, 1), (3, 2)])
def test_an_answer_is_float32_and_lacks_the_margin(
    options: GeneratorBlock, sources: int, targets: int
) -> None:
    source = source_for(options, channels=sources)
    answer = build(options, source_channels=sources, target_channels=targets)(source)
    size = [length - 2 * options.margin for length in source.shape[2:]]
    assert answer.shape == (2, targets, *size)
    assert answer.dtype == torch.float32


def test_the_smallest_patch_is_taken_and_a_smaller_one_refused(options: GeneratorBlock) -> None:
    net = build(options)
    shortest = options.minimum_patch + 2 * options.margin
    assert net(torch.randn(2, 2, *(shortest,) * 3)).shape[2:] == (options.minimum_patch,) * 3
    with pytest.raises(ConfigurationError, match=f"at least {options.minimum_patch}") as caught:
        net(torch.randn(2, 2, shortest, shortest, shortest - options.divisor))
    assert caught.value.problems[0].code == "E_PATCH_SIZE"


def test_the_smallest_window_suffices_outside_of_training(options: GeneratorBlock) -> None:
    net = build(options).eval()
    shortest = options.minimum_window + 2 * options.margin
    assert net(torch.randn(1, 2, *(shortest,) * 3)).isfinite().all()
    with pytest.raises(ConfigurationError, match=f"at least {options.minimum_window}"):
        net(torch.randn(1, 2, shortest, shortest, shortest - options.divisor))


def test_outside_of_training_an_answer_depends_on_its_source_alone(
    options: GeneratorBlock,
) -> None:
    source = source_for(options)
    net = settled(build(options), source)
    together = net(source)
    assert torch.equal(net(source), together)
    alone = torch.cat([net(source[:1]), net(source[1:])])
    torch.testing.assert_close(alone, together, rtol=1e-4, atol=1e-5)


def test_tanh_bounds_the_linear_answer(options: GeneratorBlock) -> None:
    source = source_for(options)
    linear = settled(build(options), source)
    bounded = settled(build(options, activation="tanh"), source)
    torch.testing.assert_close(bounded(source), linear(source).tanh())


def test_memory_layout_does_not_change_the_answer(options: GeneratorBlock) -> None:
    source = source_for(options)
    net = settled(build(options), source)
    answer = net(source)
    net = net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    laid_out = source.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(net(laid_out), answer, rtol=1e-4, atol=1e-5)


def test_under_bf16_the_answer_is_not_rounded_to_it(options: GeneratorBlock) -> None:
    source = source_for(options)
    net = settled(build(options), source)
    exact = net(source)
    with torch.autocast("cpu", torch.bfloat16):
        answer = net(source)
    assert answer.dtype == torch.float32
    assert (answer != answer.bfloat16().float()).float().mean() > 0.9
    assert (answer - exact).norm() < 0.1 * exact.norm()


def test_it_leaves_its_source_as_it_was(options: GeneratorBlock) -> None:
    source = source_for(options)
    before = source.clone()
    build(options)(source)
    assert torch.equal(source, before)


def test_every_parameter_learns_and_none_is_shared(options: GeneratorBlock) -> None:
    net = build(options)
    assert sum(p.numel() for p in net.parameters()) == sum(
        p.numel() for p in net.state_dict(keep_vars=True).values() if p.requires_grad
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(3):  # residual blocks start as their bridge alone, and learn from then on
        optimizer.zero_grad()
        net(source_for(options)).square().mean().backward()
        optimizer.step()
    without = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.isfinite().all() or not parameter.grad.any()
    ]
    # Before an instance norm a convolution's bias does nothing; MONAI's residual units have one.
    biases = {name for name, _ in net.named_parameters() if name.endswith("conv.bias")}
    assert not set(without) - biases


@pytest.mark.parametrize("targets", [1, 2])
def test_a_long_residual_adds_the_source_to_the_networks_answer(
    options: GeneratorBlock, targets: int
) -> None:
    source = source_for(options, channels=3)
    channels = {"source_channels": 3, "target_channels": targets}
    plain = settled(build(options, **channels), source)
    long = settled(build(options.model_copy(update={"long_residual": True}), **channels), source)
    assert long.state_dict().keys() == plain.state_dict().keys()
    expected = plain(source) + trim(source[:, :targets], options.margin)
    torch.testing.assert_close(long(source), expected)
    torch.nn.init.zeros_(long.head.convolution.weight)  # type: ignore[union-attr,arg-type]
    torch.nn.init.zeros_(long.head.convolution.bias)  # type: ignore[union-attr,arg-type]
    assert torch.equal(long(source), trim(source[:, :targets], options.margin))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "tanh"}, "window scale.*shared"),
        ({"source_channels": 1, "target_channels": 2}, "1 channels and the answer 2"),
    ],
)
def test_a_long_residual_that_cannot_be_is_refused(
    options: GeneratorBlock, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        build(options.model_copy(update={"long_residual": True}), **changes)
    assert caught.value.problems[0].code == "E_LONG_RESIDUAL"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("residual_encoder_unet", (8, 8, 8)),
        ("residual_encoder_unet", (12, 8, 8)),
        ("context_fcn", (3, 4, 5)),
        ("context_fcn", (3, 3, 3)),
    ],
)
def test_gradients_in_bf16_hold_nothing_but_the_loss(
    name: str, size: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    net = build(SMALL[name])
    source = torch.randn(2, 2, *(length + 2 * net.margin for length in size))
    assert_sound(net, source, poison)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 1, 1), (3, 1, 2), (4, 1, 1), (2, 2, 2)])
def test_gradients_of_the_deepest_levels_in_bf16(
    size: tuple[int, int, int], poison: Callable[[], None]
) -> None:
    """The bottom of this net is what oneDNN gets wrong: 32 features, one voxel on two axes."""
    options = Pix2PixUNetOptions(channels=4, levels=5, norm="instance")
    net = build(options)
    assert_sound(net, torch.randn(1, 2, *(length * options.divisor for length in size)), poison)


def assert_sound(net: Generator, source: torch.Tensor, poison: Callable[[], None]) -> None:
    """Garbage differs from one time to the next, whatever its size."""
    repeats = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            loss = net(source).square().mean()
        poison()
        repeats.append(torch.autograd.grad(loss, list(net.parameters())))
    for first, *others in zip(*repeats, strict=True):
        assert first.isfinite().all()
        assert all(torch.equal(first, other) for other in others)
