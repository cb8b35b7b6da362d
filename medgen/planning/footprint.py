"""What a training step takes: memory and arithmetic, found without computing anything.

A step of the method itself runs on fake tensors, which have shapes and lifetimes but no values.
Every storage that comes to life is counted until it dies, so that the peak holds what is saved for
the backward pass, the gradients, and what lives at once on the way; no formula knows the method.
But one step leaves little in a pool of past fakes, so a pool is counted as it is when full.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from medgen.config import Config
from medgen.conversion import WINDOWS_AT_ONCE
from medgen.conversion.live import NEEDS_VALUES, WORKSPACE, Live
from medgen.method import Clock, Method
from medgen.methods.image_pool import ImagePool
from medgen.methods.placed import PLACES
from medgen.planning.lent import StandIn
from medgen.problems import ConfigurationError, Problem
from medgen.runs import Precision, assemble, build, setting_of

STATES = 3
"""Copies of the weights beside themselves and their gradients: Adam's two moments, the average."""

SEARCH_STEPS = 3
"""Steps of a latent search that are tried: the second has the optimizer's moments, the last what
is left of the one before; all further ones are the same."""


@dataclass(frozen=True)
class Footprint:
    """One step's needs."""

    live_bytes: int
    """Most bytes of tensors that live at one time, weights and gradients included."""
    weight_bytes: int
    flops: float
    """Multiplications and additions of the step, forward and backward."""
    margin: int = 0
    """Voxels of context around a patch, on each side."""
    pooled_bytes: int = 0
    """Bytes that pools of past fakes come to hold beyond what they hold after one step."""

    @property
    def bytes(self) -> int:
        """Return what to reserve: live tensors with their workspace, the states, full pools."""
        states = STATES * self.weight_bytes
        return int(self.live_bytes * WORKSPACE) + states + self.pooled_bytes


@dataclass(frozen=True)
class Sizes:
    """Which patches the networks of a method take."""

    divisor: int
    minimum: int
    """The shortest axis."""
    fixed: tuple[int, int, int] | None
    """The one size, where there is but one."""


def sizes_of(config: Config) -> Sizes:
    """Return which patches the configured method takes; its own patch need not be one of them.

    Raises:
        ConfigurationError: an unknown method, option or player; a missing role.
    """
    with FakeTensorMode():
        method, _ = build(config)
    window, margin = method.window, method.margin
    fixed = None
    if window is not None:
        fixed = (window[0] - 2 * margin, window[1] - 2 * margin, window[2] - 2 * margin)
    return Sizes(method.divisor, method.minimum_patch, fixed)


def footprint(config: Config, *, device_type: str, precision: Precision) -> Footprint:
    """Return what a training step of a configuration takes, and its conversion where it takes more.

    Raises:
        ConfigurationError: the configuration cannot be assembled, its patch does not fit its
            networks, or (E_PLAN_METHOD) its step depends on values.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about fake tensors
        try:
            with FakeTensorMode():
                return _measure(config, device_type, precision)
        except NEEDS_VALUES as error:
            # A step that asks for a value, which fake tensors lack, cannot be foreseen.
            problem = Problem(
                "E_PLAN_METHOD",
                f"the step of {config.method!r} cannot be tried without values "
                f"({type(error).__name__})",
                "plan for a method of the same networks, or set train.patch by hand",
            )
            raise ConfigurationError(problem) from None


def _measure(config: Config, device_type: str, precision: Precision) -> Footprint:
    method, _ = assemble(config)
    lent = StandIn(config) if method.needs_features else None
    method.feature_extractor = lent
    pools = _opened(method, config)
    parameters = list(method.parameters())
    weights = sum(p.numel() * p.element_size() for p in parameters)
    live = Live()
    with live:
        for parameter in parameters:
            # The gradients of the step before stay until a player moves again.
            parameter.grad = torch.empty_like(parameter)
            live.watch(parameter)
        for weight in lent.weights() if lent else ():
            live.watch(weight)
    with live:
        _step(method, config, precision)
        flops = live.flops
        pooled = sum(_to_come(pool.images, size) for pool, size in pools.items())
        _convert(method, config, device_type, precision)
    return Footprint(live.peak, weights, flops, method.margin, pooled)


def _opened(method: Method, config: Config) -> dict[ImagePool, int]:
    """Return a method's pools with their sizes, and make room in each for the step's fakes.

    A full pool draws lots, whose values fake tensors lack.
    """
    pools = {module: module.size for module in method.modules() if isinstance(module, ImagePool)}
    for pool, size in pools.items():
        pool.size = size and max(size, config.train.batch_size)
    return pools


def _to_come(images: Tensor, size: int) -> int:
    """Return the bytes that a pool of `size` fakes will hold beyond those it holds."""
    missing = size - len(images)
    return max(0, missing) * images[:1].nbytes if images.dim() > 1 else 0


def _step(method: Method, config: Config, precision: Precision) -> None:
    """Make one training step as the loop does, less the optimizer's own arithmetic."""
    method.train()
    players = {name: list(module.parameters()) for name, module in method.players().items()}

    def minimize(player: str, loss: Tensor) -> None:
        for parameter in players[player]:
            parameter.grad = None
        with torch.autocast("cpu", enabled=False):
            torch.autograd.backward(loss, inputs=players[player])

    with _autocast(precision):
        first = method.stages[0].name if method.stages else ""
        clock = Clock(step=0, stage=first, progress=0.0, run_progress=0.0)
        method.train_step(_batch(method, config), minimize, clock)


def _convert(method: Method, config: Config, device_type: str, precision: Precision) -> None:
    """Answer the windows that a validation takes at once."""
    method.eval()
    method.search_steps = min(method.search_steps, SEARCH_STEPS)
    count = max(WINDOWS_AT_ONCE.get(device_type, 1), method.windows_at_once)
    size = [length + 2 * method.margin for length in config.train.patch]
    channels = _channels(config, method)
    with torch.no_grad(), _autocast(precision):
        for name, answer in method.answers.items():
            method.infer(torch.empty(count, channels[answer.source], *size), name)


def _batch(method: Method, config: Config) -> dict[str, Tensor]:
    """Return a batch of the method's keys, of the right shapes and types."""
    channels = _channels(config, method)
    size = [length + 2 * method.margin for length in config.train.patch]
    count = config.train.batch_size
    return {
        key: torch.empty(
            count,
            channels.get(key, 1),
            *size,
            dtype=torch.int64 if key == "label" else torch.float32,
        )
        for key in sorted(frozenset[str]().union(*method.reads))
    }


def _channels(config: Config, method: Method) -> dict[str, int]:
    """Return the channels of the keys that are images; masks and bodies have one."""
    setting = setting_of(config)
    places = PLACES if method.located else 0
    source, target = setting.source_channels + places, setting.target_channels
    return {"source": source, "source_at_large": source, "target": target}


def _autocast(precision: Precision) -> torch.autocast:
    # Fake tensors lie on the CPU, whatever is planned for: its rules of casting are much the same.
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)
