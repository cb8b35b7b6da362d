"""Axial slices of a patient: the reference's outline and every answer's."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.files import write_bytes
from medgen.report import to_ras
from medgen.report.style import BLUE, ORANGE, plot_figure
from medgen.volumes import Volume, open_volume

SLICES, APART_MM, PANEL_INCHES = 3, 15.0, 2.1
Mask = NDArray[np.bool_]


def draw(image: Path, reference: Path, answers: Mapping[str, Path], path: Path) -> None:
    """Draw the slices with most of the reference (orange) and every answer (blue), as PNG."""
    shown, spacing = turned(open_volume(image))
    truth = turned(open_volume(reference))[0] > 0
    drawn = {title: turned(open_volume(file))[0] > 0 for title, file in answers.items()}
    places = slices_of(truth, round(APART_MM / spacing[2]))
    brain = shown != 0
    low, high = np.percentile(shown[brain], [0.5, 99.8])
    rows, columns = (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    size = PANEL_INCHES * (1 + len(drawn)), 1.25 * PANEL_INCHES * len(places)
    with plot_figure(*size, rows=len(places), columns=1 + len(drawn)) as (figure, axes):
        panels = [(at, title) for at in places for title in ("", *drawn)]
        for axis, (at, title) in zip(axes, panels, strict=True):
            axis.imshow(hung(shown[..., at][box]), cmap="gray", vmin=low, vmax=high)
            axis.set_axis_off()
            axis.set_title(fill(title, 24) if at == places[0] else "", fontsize=7)
            for mask, colour in ((truth, ORANGE), (drawn.get(title), BLUE)):
                if title and mask is not None and (cut := mask[..., at][box]).any():
                    axis.contour(hung(cut), levels=[0.5], colors=colour, linewidths=0.8)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
    write_bytes(path, stream.getvalue())


def turned(volume: Volume) -> tuple[NDArray[Any], tuple[float, float, float]]:
    """Return a volume with axes to right, anterior and superior, and its spacing in mm."""
    return to_ras(volume.data, volume.grid)


def slices_of(mask: Mask, apart: int) -> list[int]:
    """Return the axial slices that hold most of a mask (X, Y, Z), `apart` slices or more apart.

    From the feet up; fewer than three where the mask is shorter.
    """
    areas = mask.sum(axis=(0, 1))
    chosen: list[int] = []
    for place in np.argsort(-areas, kind="stable"):
        if areas[place] and all(abs(place - other) >= apart for other in chosen):
            chosen.append(int(place))
    return sorted(chosen[:SLICES])


def hung(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a slice (X, Y) as rows and columns: the nose above, the patient's right on the left.

    A mask's outline is drawn on the picture's own rows and columns, so it is turned like it.
    """
    return np.asarray(pixels, np.float32).T[::-1, ::-1]
