"""The refusals of pixel data that is not what its header says."""

from __future__ import annotations

from medgen.problems import Problem, Refusal

_AGAIN = "copy or export it again"


def damaged(reason: str) -> Refusal:
    """Return E_PIXEL_DATA for compressed pixels that cannot be what their header says."""
    return Refusal(Problem("E_PIXEL_DATA", f"compressed pixels are damaged: {reason}", _AGAIN))


def mismatched(reason: str) -> Refusal:
    """Return E_PIXEL_DATA for pixels that contradict their header."""
    return Refusal(Problem("E_PIXEL_DATA", reason, _AGAIN))


def truncated(reason: str) -> Refusal:
    """Return E_TRUNCATED for pixels that end too early."""
    return Refusal(Problem("E_TRUNCATED", reason, _AGAIN))
