"""What methods share that learn classes from labelled cases."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from medgen.method import Batch
from medgen.networks import SegmenterOptions, trim
from medgen.problems import ConfigurationError, Problem


class Truth(NamedTuple):
    """What a network's answer is held against, on the answer's grid."""

    label: Tensor
    """(B, 1, X, Y, Z) class indices."""
    mask: Tensor | None
    """Where the losses count; None: everywhere."""


def truth_of(batch: Batch, margin: int, *, masked: bool) -> Truth:
    """Return a batch's labels, and its mask where the losses are masked, less the margin."""
    mask = trim(batch["mask"], margin) if masked else None
    return Truth(trim(batch["label"], margin), mask)


def check_network(network: SegmenterOptions) -> None:
    """Refuse a network that adds the source to its answer.

    Raises:
        ConfigurationError: E_LONG_RESIDUAL.
    """
    if network.long_residual:
        message = (
            "long_residual adds the source to the answer, but a segmenter answers with classes"
        )
        advice = "leave network.long_residual out"
        raise ConfigurationError(Problem("E_LONG_RESIDUAL", message, advice))
