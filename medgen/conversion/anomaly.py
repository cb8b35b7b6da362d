"""From a method's residual to what counts of it: cleaned, inside the body, and scored.

The steps are those of the comparative study of Baur et al., Medical Image Analysis 69 (2021). Each
is left out unless the configuration asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.calibration import Direction, Floats, oriented
from medgen.config import AnomalyConfig, CaseScore
from medgen.conversion.finite import check_finite
from medgen.data.masks import Mask, bounding_box, within
from medgen.problems import Problem, Refusal

TOP_SHARE = 0.01
"""Share of the map's voxels, the highest ones, whose mean is the score `map_top`."""


@dataclass(frozen=True, eq=False)
class Anomaly:
    """How far a case is from what a method expects, on the working grid."""

    residual: NDArray[np.float32]
    """Source less reconstruction (X, Y, Z) in encoded units, signed and filtered; 0 outside."""
    inside: Mask
    """The voxels (X, Y, Z) that count; never none."""
    scores: Mapping[CaseScore, float]
    """The case's scores by name, each at least 0: the higher, the less usual."""


def measure_anomaly(
    encoded: NDArray[np.float32],
    *,
    body: Mask,
    source: NDArray[np.float32],
    channel: int,
    settings: AnomalyConfig,
    spacing_mm: Sequence[float] | NDArray[np.float64],
) -> Anomaly:
    """Return what counts of an anomaly answer, and the case's scores.

    The residual is 0 outside the body, then filtered, then cut to the voxels that count. Scores of
    the map look only at the side that `settings.direction` names; those of the windows are the
    method's own and know neither direction nor filter.

    Args:
        encoded: (C + 1, X, Y, Z), the residuals of the source's channels, then the windows' score.
        body: the voxels (X, Y, Z) of the body.
        source: the encoded source, its channels first (C or more, X, Y, Z).
        channel: whose residual counts.
        settings: the steps and their sizes.
        spacing_mm: of the working grid.

    Raises:
        Refusal: E_ANSWER_NOT_FINITE; E_EMPTY_MASK where the steps leave no voxel of the body.
    """
    check_finite(encoded)
    inside = _counted(body, source[channel], settings, spacing_mm)
    residual = np.where(body, encoded[channel], np.float32(0.0))
    if settings.median_voxels > 1:
        residual = _filtered(residual, inside, settings.median_voxels)
    residual = np.where(inside, residual, np.float32(0.0))
    unusual = depth(residual[inside], settings.direction)
    windows = np.maximum(encoded[-1][body], 0.0)
    scores: dict[CaseScore, float] = {
        "map_top": _mean_of_highest(unusual, TOP_SHARE),
        "map_mean": float(np.mean(unusual, dtype=np.float64)),
        "window_max": float(windows.max()),
        "window_mean": float(np.mean(windows, dtype=np.float64)),
    }
    return Anomaly(residual, inside, scores)


def depth(values: Floats, direction: Direction) -> Floats:
    """Return how far signed values go to the side that counts, 0 where they go to the other."""
    return np.asarray(np.maximum(oriented(values, direction), 0.0))


def _counted(
    body: Mask,
    source: NDArray[np.float32],
    settings: AnomalyConfig,
    spacing_mm: Sequence[float] | NDArray[np.float64],
) -> Mask:
    """Return the body less its rim and less what is too dark to be looked for."""
    inside = body
    if settings.erode_mm:
        inside = _eroded(body, settings.erode_mm, spacing_mm)
    if settings.brighter_than and body.any():
        inside = inside & (source > np.quantile(source[body], settings.brighter_than))
    if not inside.any():
        message = f"convert.anomaly counts 0 of the body's {int(body.sum())} voxels"
        advice = "lower convert.anomaly's erode_mm or brighter_than"
        raise Refusal(Problem("E_EMPTY_MASK", message, advice))
    return inside


def _eroded(
    body: Mask, radius_mm: float, spacing_mm: Sequence[float] | NDArray[np.float64]
) -> Mask:
    """Return the voxels further than a radius from what is outside the body, or the volume."""
    outside = ~np.pad(body, 1)
    near = within(outside, spacing_mm=spacing_mm, radius_mm=radius_mm)
    return np.asarray(~near[1:-1, 1:-1, 1:-1])


def _filtered(residual: NDArray[np.float32], inside: Mask, edge: int) -> NDArray[np.float32]:
    """Return the medians over cubes around the voxels that count, which others are not needed of.

    An axis shorter than the cube's edge, as of a slice, goes on with its outermost voxels.
    """
    box = bounding_box(inside, margin=[edge // 2] * 3)
    filtered = np.zeros_like(residual)
    filtered[box] = ndimage.median_filter(residual[box], size=edge, mode="nearest")
    return filtered


def _mean_of_highest(values: Floats, share: float) -> float:
    """Return the mean of the highest values, of at least one."""
    count = max(1, int(np.ceil(share * values.size)))
    highest = np.partition(values, values.size - count)[values.size - count :]
    return float(np.mean(highest, dtype=np.float64))
