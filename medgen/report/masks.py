"""Masks as outlines on their image, in three planes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from medgen.report.sheet import OUTLINE, Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Cut, around, centre_of, cut

COLOURS = (OUTLINE, "#5cc8ff", "#ff8fb0", "#8fe388", "#ffb070", "#c9a7ff")
MARGIN_MM = 10.0
PANEL_INCHES = 3.5


def mask_sheet(
    image: NDArray[Any],
    masks: Mapping[str, NDArray[Any]],
    *,
    spacing_mm: Sequence[float],
    centre_on: str,
    title: str = "",
) -> bytes:
    """Draw an image with the outline of each mask, and return PNG bytes.

    All are RAS (X, Y, Z) of one shape; the cuts go through the centre of the mask `centre_on`.
    """
    union = np.zeros(image.shape, dtype=np.bool_)
    for mask in masks.values():
        union |= np.asarray(mask) > 0
    box = around(union, spacing_mm, MARGIN_MM)
    at = centre_of(np.asarray(masks[centre_on])[box])
    known = image[union] if union.any() else image
    low, high = (float(end) for end in np.percentile(known, (0.5, 99.5)))
    look = Look(low, high if high > low else low + 1.0, mpl.colormaps["gray"], "")

    def cuts(volume: NDArray[Any], empty: float) -> list[Cut]:
        found = [cut(volume[box], spacing_mm, plane, at[NORMAL[plane]]) for plane in PLANES]
        return level_cuts(found, empty)

    sheet = Sheet([cuts(image, low)], PANEL_INCHES, title)
    outlines = {name: cuts((np.asarray(mask) > 0) * 1.0, 0.0) for name, mask in masks.items()}
    for column, plane in enumerate(PLANES):
        sheet.head(column, plane)
        sheet.picture(0, column, look, None, hide=False)
        for number, found in enumerate(outlines.values()):
            colour = COLOURS[number % len(COLOURS)]
            sheet.contour(0, column, found[column].pixels, 0.5, colour=colour)
    legend = [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(masks)]
    sheet.legend(legend)
    return to_png(sheet.figure)


def level_cuts(cuts: Sequence[Cut], empty: float) -> list[Cut]:
    """Frame cuts to one size in mm, so that they stand in a row."""
    width, height = max(c.width_mm for c in cuts), max(c.height_mm for c in cuts)
    framed = []
    for each in cuts:
        rows, columns = each.pixels.shape
        down = round((height / each.height_mm - 1) * rows / 2)
        across = round((width / each.width_mm - 1) * columns / 2)
        pixels = np.pad(
            np.asarray(each.pixels, np.float64),
            ((down, down), (across, across)),
            constant_values=empty,
        )
        across_mm = each.width_mm * pixels.shape[1] / columns
        down_mm = each.height_mm * pixels.shape[0] / rows
        framed.append(each._replace(pixels=pixels, width_mm=across_mm, height_mm=down_mm))
    return framed
