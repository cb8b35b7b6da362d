"""What a person sees of a validation: source and answer, and the truth where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.metrics import Kind
from medgen.report import preview, to_ras
from medgen.volumes import Volume, resample, working_grid


def picture(
    source: Volume,
    answer: Volume,
    truth: NDArray[Any] | None,
    mask: NDArray[np.bool_],
    *,
    kind: Kind,
    run_spacing_mm: Sequence[float] = (),
) -> bytes:
    """Draw source, answer, truth if known, and for images their difference inside the mask.

    Of an anomaly answer, a residual, the source is drawn with its reconstruction, whatever grid it
    came on; both as fine as the run's own spacing, where it is given.
    """
    labels = kind == "labels"
    shared: tuple[Any, ...] = ()
    if labels and truth is not None:
        shared = ((0.0, float(max(1, answer.data.max(), truth.max()))),)
    if kind == "anomaly":
        return _residual(source, answer, mask, run_spacing_mm)
    panels: list[tuple[Any, ...]] = [
        ("source", source.data, "image", source.unit),
        ("answer", answer.data, "labels" if labels else "image", answer.unit, *shared),
    ]
    if truth is not None and labels:
        panels.append(("label", truth, "labels", answer.unit, *shared))
    elif truth is not None:
        panels += [
            ("target", truth, "image", answer.unit),
            ("answer - target", answer.data - truth, "difference", answer.unit),
        ]
    return _drawn(panels, answer, None if labels else mask)


def _residual(
    source: Volume, answer: Volume, mask: NDArray[np.bool_], run_spacing_mm: Sequence[float]
) -> bytes:
    """Draw a source, the source less its residual, and the residual.

    The source goes by the run's grid, as the method saw it: of a finer one the middle picture would
    hold details that nobody reconstructed.
    """
    if run_spacing_mm:
        working = working_grid(source.grid, tuple(run_spacing_mm))
        seen = resample(source.data, source.grid, working)
        values = resample(seen, working, answer.grid, order=1)
    else:
        values = resample(source.data, source.grid, answer.grid, order=1)
    low, high = float(values.min()), float(values.max())
    rebuilt = np.where(mask, values - answer.data, low)
    panels: list[tuple[Any, ...]] = [
        ("source", values, "image", source.unit, (low, high)),
        ("source - residual", rebuilt, "image", source.unit, (low, high)),
        ("residual", answer.data, "difference", answer.unit),
    ]
    return _drawn(panels, answer, mask)


def _drawn(
    panels: Sequence[tuple[Any, ...]], answer: Volume, mask: NDArray[np.bool_] | None
) -> bytes:
    """Return the picture of panels on the answer's grid."""
    turned = [(title, to_ras(data, answer.grid)[0], *rest) for title, data, *rest in panels]
    inside = None if mask is None else to_ras(mask, answer.grid)[0]
    _, spacing = to_ras(answer.data, answer.grid)
    return preview(turned, spacing_mm=spacing, mask=inside)
