"""Do two images of a case show the same place? Their body outlines tell."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.frame import Frame
from medgen.data.masks import AIR_HU, Mask, dice, outline
from medgen.problems import Problem, Refusal


def check_pair(
    frame: Frame, values: NDArray[Any], inside: Mask, *, unit: str, min_overlap: float
) -> float | None:
    """Return the Dice overlap of the frame's body and a column's, both on the working grid.

    `values` (X, Y, Z) are the column's physical values there; beyond its own field of view, that
    is outside `inside`, they count as empty. With `min_overlap` 0 nothing is measured.

    Raises:
        Refusal: E_PAIR_OVERLAP with both figures, or E_EMPTY_BODY where the column shows no body.
    """
    if min_overlap == 0:
        return None
    if not inside.any():
        raise _refuse(0.0, min_overlap)
    empty = AIR_HU if unit.upper() == "HU" else float(values[inside].min())
    shown = np.where(inside, values, np.float32(empty))
    body = outline(shown, unit=unit, spacing_mm=frame.grid.spacing_mm)
    overlap = dice(frame.body, body)
    if overlap < min_overlap:
        raise _refuse(overlap, min_overlap)
    return overlap


def _refuse(overlap: float, least: float) -> Refusal:
    message = (
        f"its body outline overlaps the reference column's by Dice {overlap:.2f}; "
        f"the least allowed is {least:.2f}"
    )
    advice = "register the columns first, or lower preprocessing.min_overlap if the pair is right"
    return Refusal(Problem("E_PAIR_OVERLAP", message, advice))
