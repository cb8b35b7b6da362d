"""How far a model's answers to one case differ from each other: mirrored, and with dropout.

Each source of doubt has a variance of its own, unbiased, and the variances add up: pooled, eight
passes of dropout would outvote the one mirrored answer. Mirroring is test-time augmentation (Wang
et al., Neurocomputing 2019), dropout is Gal and Ghahramani's (ICML 2016), other runs are an
ensemble's (Lakshminarayanan et al., NeurIPS 2017; see `ensemble`). All of them tell where the
answer is fickle; an error that every answer shares shows in none.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medgen.conversion.decoding import Decoder, ImageDecoder
from medgen.conversion.finite import check_finite
from medgen.conversion.stages import Answered
from medgen.data import Preprocessing
from medgen.files import sha256_of_json
from medgen.method import Method
from medgen.volumes import Volume

DEVIATION = "std"
"""What follows a case's name in that of its map of standard deviations."""

UNIT_OF_PROBABILITY = "probability"
"""The unit of the deviation of labels: that of the probability of not being background."""

DROPOUT_PASSES = 8

UNTRAINED_FLIP = (
    "training mirrored no axis and the network has no dropout: the uncertainty is that of "
    "mirroring left to right, which the run has never seen"
)
_DROPOUT = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
_COORDINATES = 3
_SEED_DIGITS = 15  # hexadecimal: any such number is a seed that torch takes


@dataclass(frozen=True)
class Sampling:
    """What a model is asked again for the sake of uncertainty."""

    flip_axes: tuple[int, ...] = ()
    """Axes of the working grid that training mirrored."""
    dropout_passes: int = DROPOUT_PASSES
    """Answers with dropout at work, where the network has any; at least two."""

    @property
    def flips(self) -> tuple[tuple[int, ...], ...]:
        """Return every way to mirror some of the axes."""
        axes = sorted(set(self.flip_axes))
        sizes = range(1, len(axes) + 1)
        return tuple(itertools.chain(*(itertools.combinations(axes, size) for size in sizes)))


class Running:
    """Mean and variance of tensors that come one by one and are not kept (Welford 1962)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, sample: Tensor) -> None:
        """Take one more sample, of the shape of the others; it is only read."""
        self.count += 1
        if self._mean is None or self._squares is None:
            self._mean, self._squares = sample.clone(), torch.zeros_like(sample)
            return
        difference = sample - self._mean
        self._mean += difference / self.count
        self._squares += difference * (sample - self._mean)

    @property
    def mean(self) -> Tensor:
        """Return the mean of all samples."""
        if self._mean is None:
            raise ValueError("no sample was added")
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Return the unbiased variance; zeros of fewer than two samples."""
        if self._squares is None:
            raise ValueError("no sample was added")
        return self._squares / max(1, self.count - 1)


def mirrored(
    source: NDArray[np.float32], axes: tuple[int, ...], *, located: bool
) -> NDArray[np.float32]:
    """Return a source (C, X, Y, Z) mirrored along some spatial axes.

    A located method's last three channels tell where a voxel lies in the body: of the mirrored
    body that is the opposite side.
    """
    flipped = np.flip(source, tuple(axis + 1 for axis in axes)).copy()
    if located:
        for axis in axes:
            flipped[len(source) - _COORDINATES + axis] *= -1.0
    return flipped


def dropout_of(method: Method) -> tuple[nn.Module, ...]:
    """Return the dropout layers of the players that answer which would drop anything."""
    players = [player for name, player in method.players().items() if name in method.answering]
    layers = dict.fromkeys(layer for player in players for layer in player.modules())
    return tuple(layer for layer in layers if isinstance(layer, _DROPOUT) and layer.p > 0)


@contextmanager
def dropping(method: Method, seed: int, device: torch.device) -> Iterator[None]:
    """Let dropout work within the block, and nothing else that training does.

    What is dropped is a function of the seed; torch's own generators are as they were afterwards.
    """
    layers, cuda = dropout_of(method), device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if cuda else [], enabled=True):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()


def seed_of(digests: Mapping[str, str], member: int, number: int) -> int:
    """Return the seed of a pass: a function of the case's files, the member and the pass."""
    told = {"inputs": dict(sorted(digests.items())), "member": member, "pass": number}
    return int(sha256_of_json(told)[:_SEED_DIGITS], 16)


def measured(decoder: Decoder, encoded: Tensor) -> Tensor:
    """Return what an answer (K, X, Y, Z) is compared by (1, X, Y, Z).

    An image by its encoded values, ended where a window ends it, since what is written ends there
    (what is infinite is NaN, which is refused later); labels by the probability of background.
    """
    first = encoded[:1]
    if isinstance(decoder, ImageDecoder) and decoder.codec.clip:
        return torch.where(first.isfinite(), first.clamp(-1.0, 1.0), torch.nan)
    return first


class Deviation(NamedTuple):
    """The map of standard deviations beside an answer, if one was asked for."""

    beside: Mapping[str, Volume] = MappingProxyType({})
    facts: Mapping[str, Any] = MappingProxyType({})


def deviation_of(answered: Answered, preprocessing: Preprocessing) -> Deviation:
    """Return an answer's deviation on the source's own grid, and its figures inside the body.

    Raises:
        Refusal: E_ANSWER_NOT_FINITE.
    """
    if answered.deviation is None:
        return Deviation()
    decoder, prepared = answered.ready.decoder, answered.ready.prepared
    values = answered.deviation[0].numpy()
    check_finite(values)
    unit = UNIT_OF_PROBABILITY
    if isinstance(decoder, ImageDecoder):
        unit, values = decoder.unit, values * np.float32(decoder.codec.gain)
    native = preprocessing.restore(values, prepared, background=0.0)
    volume = Volume(np.maximum(native, np.float32(0.0)), prepared.native, unit)
    inside = values[prepared.body]
    figures = {
        "mean": float(f"{inside.mean():.5g}"),
        "p95": float(f"{np.percentile(inside, 95):.5g}"),
        "max": float(f"{inside.max():.5g}"),
    }
    facts = {"uncertainty": {**answered.spread_facts, "unit": unit, **figures}}
    return Deviation({DEVIATION: volume}, facts)
