"""How far a window's edges show, and that what it promises holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from medgen.conversion.blending import blend, pad
from medgen.conversion.reach import rim_of
from medgen.conversion.tiling import plan_tiling
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec
from medgen.networks import ContextFCNOptions, DeepMedicOptions, Pix2PixUNetOptions, UNetOptions


class Around(Method):
    """A method around one network."""

    answering: ClassVar[frozenset[str]] = frozenset({"network"})

    def __init__(self, network: nn.Module, *, margin: int = 0, divisor: int = 1) -> None:
        super().__init__()
        self.network = network
        self.margin, self.divisor = margin, divisor
        self.minimum_patch = max(4, 2 * divisor)

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source", "target"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {"forward": Answer("image", "source", "target")}

    def players(self) -> dict[str, nn.Module]:
        return {"network": self.network}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {"network": OptimizerSpec()}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        return {}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        found: Tensor = self.network(source)
        return found


def plain(*kernels: int) -> nn.Sequential:
    layers = []
    for kernel in kernels:
        layers += [nn.Conv3d(1, 1, kernel, padding=kernel // 2), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def halving() -> nn.Module:
    """Return a U without skips: blocks of two, so that both sides differ by the voxel's place."""
    return nn.Sequential(
        nn.Conv3d(1, 2, 3, padding=1),
        nn.BatchNorm3d(2),
        nn.ReLU(),
        nn.AvgPool3d(2),
        nn.Conv3d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.ConvTranspose3d(3, 1, 2, stride=2),
    )


class Shifted(nn.Module):
    """Answer a voxel by the one three to its right along the last axis."""

    def forward(self, source: Tensor) -> Tensor:
        return nn.functional.pad(source[..., 3:], (0, 3))


class Levelled(nn.Module):
    """Take each window's mean from it."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool3d(1)

    def forward(self, source: Tensor) -> Tensor:
        return 2 * source - self.pool(source)


class Saturated(nn.Module):
    """Answer by a tanh that is as good as 1, so that no gradient comes through."""

    def forward(self, source: Tensor) -> Tensor:
        return torch.tanh(100.0 * source)


class Detached(nn.Module):
    """Answer without gradients."""

    def forward(self, source: Tensor) -> Tensor:
        return source.detach()


def rim(method: Method, *, patch: int = 32) -> int | None:
    torch.manual_seed(0)
    return rim_of(method.eval(), "forward", channels=1, patch=[patch] * 3)


@pytest.mark.parametrize(
    ("network", "divisor", "expected"),
    [
        (plain(1), 1, 0),
        (plain(3, 3), 1, 2),
        (plain(3, 5, 7), 1, 6),
        (nn.Conv3d(1, 1, (1, 1, 5), padding=(0, 0, 2)), 1, 2),
        (nn.Conv3d(1, 1, 3, padding=2, dilation=2), 1, 2),
        # The first block reads beyond the edge, and the second reads the first.
        (halving(), 2, 4),
        (Shifted(), 1, 3),
    ],
)
def test_rims_that_can_be_counted_by_hand(network: nn.Module, divisor: int, expected: int) -> None:
    assert rim(Around(network, divisor=divisor)) == expected


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(plain(3), nn.InstanceNorm3d(1)),
        nn.Sequential(plain(3), nn.GroupNorm(1, 1)),
        nn.BatchNorm3d(1, track_running_stats=False),
        Levelled(),
        nn.Softmax(dim=2),
        plain(*[9] * 4),
    ],
)
def test_answers_that_depend_on_the_whole_window_have_no_rim(network: nn.Module) -> None:
    """The last is a net whose voxels see as far as half a patch."""
    assert rim(Around(network)) is None


@pytest.mark.parametrize("last", [Saturated(), Detached()])
def test_what_gradients_cannot_tell_is_not_taken_for_no_rim(last: nn.Module) -> None:
    assert rim(Around(nn.Sequential(plain(3, 3), last))) is None


def test_a_method_without_a_network_or_of_one_size_has_no_rim() -> None:
    fixed = Around(plain(3))
    fixed.window = (16, 16, 16)
    assert rim(fixed) is None
    off_grid = Around(halving(), divisor=2)
    off_grid.phase = 1
    assert rim(off_grid) is None, "its windows start where the whole's blocks do not"


def test_a_rim_is_found_without_a_trace() -> None:
    method = Around(halving(), divisor=2).eval()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    state = torch.random.get_rng_state()
    rim(method)
    assert torch.equal(torch.random.get_rng_state(), torch.manual_seed(0).get_state())
    torch.random.set_rng_state(state)
    assert all(torch.equal(before[name], value) for name, value in method.state_dict().items())
    assert all(parameter.requires_grad for parameter in method.parameters())
    assert all(parameter.grad is None for parameter in method.parameters())


def built(options: ContextFCNOptions | DeepMedicOptions) -> Around:
    torch.manual_seed(0)
    network = options.build(source_channels=1, target_channels=1, activation="linear").eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm3d) and layer.running_mean is not None:
                layer.running_mean.uniform_(-0.2, 0.2)
    return Around(network, margin=options.margin, divisor=options.divisor)


NARROW = DeepMedicOptions(channels=(2, 3, 3, 3), hidden=(4,))


@pytest.mark.parametrize(("options", "expected"), [(ContextFCNOptions(channels=2), 7), (NARROW, 0)])
def test_nets_with_a_margin_have_the_rim_that_is_left(
    options: ContextFCNOptions | DeepMedicOptions, expected: int
) -> None:
    assert rim(built(options), patch=36) == expected


@pytest.mark.parametrize("options", [UNetOptions(), Pix2PixUNetOptions(levels=3)])
def test_generators_that_see_the_whole_window(
    options: UNetOptions | Pix2PixUNetOptions,
) -> None:
    network = options.build(source_channels=1, target_channels=1, activation="linear")
    method = Around(network, divisor=options.divisor)
    method.phase = getattr(options, "phase", None)
    assert rim(method) is None


@pytest.mark.parametrize(
    ("method", "shape", "size"),
    [
        (Around(plain(3, 3, 3)), (41, 17, 13), 16),
        (Around(halving(), divisor=2), (37, 22, 20), 20),
        (built(ContextFCNOptions(channels=2)), (44, 30, 29), 29),
        (built(NARROW), (25, 12, 9), 9),
    ],
    ids=["zero padding", "blocks", "context_fcn", "deep_medic"],
)
def test_windows_without_their_rims_answer_as_the_whole(
    method: Around, shape: tuple[int, int, int], size: int
) -> None:
    """And with the rims they do not, where there is one: so the law can fail."""
    found = rim(method)
    assert found is not None
    source = torch.randn(1, *shape, generator=torch.Generator().manual_seed(3))
    gaps = {}
    for left_out in {found, 0}:
        tiling = plan_tiling(
            shape,
            patch=[size] * 3,
            overlap=2 * found,
            margin=method.margin,
            divisor=method.divisor,
            rim=left_out,
        )
        assert len(tiling.axes[0].starts) > 1
        assert tiling.axes[0].rim == left_out
        with torch.no_grad():
            windows, _ = blend(source, tiling, method.infer, background=torch.zeros(1))
            whole = method.infer(pad(source, tiling, "edge")[None])[0]
        gaps[left_out] = float((windows - whole[(slice(None), *tiling.inner)]).abs().max())
        assert float(whole.std()) > 1e-3
    assert gaps[found] < 1e-5
    assert found == 0 or gaps[0] > 1e-4
