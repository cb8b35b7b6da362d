"""A player's objective as its paper writes it: named terms and their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from medgen.method import Losses

Weight = Annotated[float, Field(ge=0.0)]
"""What a term is multiplied by; a term of weight zero costs nothing."""


class Term(NamedTuple):
    """One term of an objective; its loss, a scalar, is computed only where it has a weight."""

    weight: float
    loss: Callable[[], Tensor]
    ramp: float = 1.0
    """The share of the weight that is in force now; a term at zero is still logged."""


def weigh(terms: Mapping[str, Term]) -> tuple[Tensor, Losses]:
    """Return the weighted sum of the terms in use, and each of them as it is, for the log.

    Raises:
        ValueError: no term has a weight, so that there is nothing to lower.
    """
    used = {name: term for name, term in terms.items() if term.weight > 0}
    if not used:
        raise ValueError(f"every weight is zero: {', '.join(terms)}")
    losses = {name: term.loss() for name, term in used.items()}
    weighted = [term.weight * term.ramp * losses[name] for name, term in used.items()]
    return reduce(torch.add, weighted), losses
