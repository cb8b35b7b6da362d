"""How much of what is scored a prediction reaches, where it lies on a grid of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume, field_of_view

LEAST_COVERED = 0.95


def covered(
    mask: NDArray[np.bool_], predicted: Grid, grid: Grid, remarks: list[str]
) -> NDArray[np.bool_]:
    """Take voxels that a predicted image does not reach out of the mask (X, Y, Z).

    What was taken out is added to the remarks. Raises Refusal E_GRID_COVERAGE where less than
    95 % are left.
    """
    if predicted.same_as(grid):
        return mask
    reached = mask & field_of_view(predicted, grid)
    share = _share(reached, mask)
    if share < LEAST_COVERED:
        raise _too_little(share, "mask")
    if share < 1.0:
        remarks.append(f"{1 - share:.2%} of the mask lies beyond the prediction and is not scored")
    return reached


def check_reach(
    mask: NDArray[np.bool_], prediction: Volume, reference: Volume, remarks: list[str]
) -> None:
    """Refuse labels that cover too little of what is scored, and remark on what lies beyond.

    `mask` (X, Y, Z) lies on the reference's grid; the prediction is as it came, on its own.
    A prediction of a part (a cropped answer) is as good as one of the whole where it reaches all
    labels of the reference and its own lie in the reference's field of view; otherwise an answer
    for another place would pass as background.

    Raises:
        Refusal: E_GRID_COVERAGE.
    """
    if prediction.grid.same_as(reference.grid):
        return
    seen = field_of_view(prediction.grid, reference.grid)
    labelled = mask & (reference.data > 0)
    share, reached = _share(mask & seen, mask), _share(labelled & seen, labelled)
    beyond = (prediction.data > 0) & ~field_of_view(reference.grid, prediction.grid)
    beyond_ml = int(np.count_nonzero(beyond)) * prediction.grid.voxel_mm3 / 1000.0
    place = "reference's field of view" if mask.all() else "mask"
    if not share or (share < LEAST_COVERED and (reached < 1.0 or beyond_ml)):
        raise _too_little(share, place)
    if reached < LEAST_COVERED:
        raise _too_little(reached, "reference's labels")
    if reached < 1.0:
        remarks.append(
            f"{1 - reached:.2%} of the reference's labels lie beyond the prediction and count as "
            "background there"
        )
    if beyond_ml:
        remarks.append(
            f"{beyond_ml:.4g} ml of the predicted labels lie beyond the reference's field of view "
            "and are not scored"
        )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    """Return the share of a region's voxels in a part of it; all of nothing is 1."""
    count = np.count_nonzero(whole)
    return float(np.count_nonzero(part) / count) if count else 1.0


def _too_little(share: float, place: str) -> Refusal:
    message = f"the prediction reaches only {share:.0%} of the {place}"
    advice = "convert the whole field of view, or give a mask that the prediction covers"
    return Refusal(Problem("E_GRID_COVERAGE", message, advice, column="prediction"))
