"""What a person sees of a validation: source and answer, and the truth where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.report import preview, to_ras
from medgen.volumes import Volume


def picture(
    source: Volume,
    answer: Volume,
    truth: NDArray[Any] | None,
    mask: NDArray[np.bool_],
    *,
    labels: bool,
) -> bytes:
    """Draw source, answer, truth if known, and for images their difference inside the mask."""
    shared: tuple[Any, ...] = ()
    if labels and truth is not None:
        shared = ((0.0, float(max(1, answer.data.max(), truth.max()))),)
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
    turned = [(title, to_ras(data, answer.grid)[0], *rest) for title, data, *rest in panels]
    inside, spacing = to_ras(mask, answer.grid)
    return preview(turned, spacing_mm=spacing, mask=None if labels else inside)
