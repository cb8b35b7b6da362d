"""Do two images of a case show the same place? Their body outlines tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.frame import Frame
from medgen.data.masks import AIR_HU, Mask, dice, outline
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume

ENOUGH_POINTS = 1_000_000
"""Labelled voxels from which a share is known well enough."""


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
    overlap = dice(frame.body, outline_within(frame, values, inside, unit=unit))
    if overlap < min_overlap:
        raise _refuse(overlap, min_overlap)
    return overlap


def outline_within(frame: Frame, values: NDArray[Any], inside: Mask, *, unit: str) -> Mask:
    """Return a column's body on the working grid; beyond `inside`, some of it, there is none.

    Raises:
        Refusal: E_EMPTY_BODY where the column shows no body.
    """
    empty = AIR_HU if unit.upper() == "HU" else float(values[inside].min())
    shown = np.where(inside, values, np.float32(empty))
    return outline(shown, unit=unit, spacing_mm=frame.grid.spacing_mm)


def check_frames_of_reference(volumes: Mapping[str, Volume]) -> None:
    """Refuse columns whose DICOM series lie in different frames of reference.

    The standard says nothing about where such series lie to each other (PS3.3 C.7.4.1), so that an
    overlap of their outlines would be chance. Volumes that name no frame are not judged.

    Raises:
        Refusal: E_FRAME_OF_REFERENCE, for each column that does not share the first one's.
    """
    frames = {c: v.frame_of_reference for c, v in volumes.items() if v.frame_of_reference}
    first = next(iter(frames), "")
    advice = "register them with `medgen prepare`, and go on with the table that it writes"
    message = f"it lies in another DICOM frame of reference than column {first}"
    problems = [
        Problem("E_FRAME_OF_REFERENCE", message, advice, column=column)
        for column, frame in frames.items()
        if frame != frames[first]
    ]
    if problems:
        raise Refusal(problems)


def check_label(frame: Frame, labels: NDArray[Any], grid: Grid, *, least: float) -> None:
    """Check that what is labelled (non-zero in `labels`, on its own `grid`) lies in the body.

    A label drawn on another series shows anatomy too, only elsewhere; that it lies in the body is
    necessary, not sufficient. With `least` 0 nothing is measured.

    Raises:
        Refusal: E_PAIR_OVERLAP with both figures.
    """
    flat = np.flatnonzero(labels)
    if least == 0 or len(flat) == 0:
        return
    thinned = flat[:: 1 + len(flat) // ENOUGH_POINTS]
    labelled = np.stack(np.unravel_index(thinned, labels.shape), axis=-1)
    points = np.rint(frame.grid.to_index(grid.to_world(labelled))).astype(np.int64)
    within = ((points >= 0) & (points < frame.grid.shape)).all(axis=1)
    share = float(frame.body[tuple(points[within].T)].sum()) / len(labelled)
    if share < least:
        message = (
            f"only {share:.0%} of what is labelled lies in the reference column's body; "
            f"the least allowed is {least:.0%}"
        )
        advice = "check that the label belongs to this image, or bring it along by `prepare`"
        raise Refusal(Problem("E_PAIR_OVERLAP", message, advice))


def _refuse(overlap: float, least: float) -> Refusal:
    message = (
        f"its body outline overlaps the reference column's by Dice {overlap:.2f}; "
        f"the least allowed is {least:.2f}"
    )
    advice = "register the columns first, or lower preprocessing.min_overlap if the pair is right"
    return Refusal(Problem("E_PAIR_OVERLAP", message, advice))
