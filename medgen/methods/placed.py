"""The channels that say where a window lies, which a located method's sources end with."""

from __future__ import annotations

import torch
from torch import Tensor

PLACES = 3
"""Coordinates of a place."""


def split_place(source: Tensor, *, located: bool) -> tuple[Tensor, Tensor | None]:
    """Return a source's images (B, C, X, Y, Z), and the place (B, 3) of each window's middle.

    The place is None where the method is not located.
    """
    if not located:
        return source, None
    return source[:, :-PLACES], source[:, -PLACES:].mean(dim=(2, 3, 4))


def middle(latent: Tensor, place: Tensor | None, *, located: bool) -> Tensor | None:
    """Return the place (B, 3) to generate at: the one given, else the middle of the body.

    Raises:
        ValueError: a place for a method that knows none.
    """
    if not located:
        if place is not None:
            raise ValueError("this method knows no places")
        return None
    return torch.zeros(len(latent), PLACES, device=latent.device) if place is None else place
