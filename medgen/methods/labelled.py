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


def check_labelled(
    network: SegmenterOptions, *, lambda_cross_entropy: float, lambda_dice: float
) -> None:
    """Refuse a network that adds the source to its answer, and losses that learn from no label.

    Raises:
        ConfigurationError: E_LONG_RESIDUAL, E_NO_LOSS.
    """
    if lambda_cross_entropy == lambda_dice == 0:
        message = "lambda_cross_entropy and lambda_dice are both 0: nothing learns from the labels"
        raise ConfigurationError(Problem("E_NO_LOSS", message, "give one of them a weight"))
    if network.long_residual:
        message = (
            "long_residual adds the source to the answer, but a segmenter answers with classes"
        )
        advice = "leave network.long_residual out"
        raise ConfigurationError(Problem("E_LONG_RESIDUAL", message, advice))
