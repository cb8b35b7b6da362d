"""Processes that torchrun started beside this one: one of them speaks for all."""

from __future__ import annotations

import os


def follows(verb: str | None) -> bool:
    """Tell whether this process trains beside another that shows what happens and keeps the log.

    An error of its own it says all the same.
    """
    size, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    several = size.isdecimal() and int(size) > 1
    return verb == "train" and several and rank.isdecimal() and int(rank) > 0
