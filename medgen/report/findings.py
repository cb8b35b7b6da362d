"""A signed map in three planes, under the outlines of what is there and of what was marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.report.figures import DIFFERENCE, MARGIN_MM, round_up
from medgen.report.masks import level_cuts
from medgen.report.sheet import Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Cut, around, centre_of, cut

COLOURS = {"reference": "#8fe388", "mask": "#ffd24d"}
INCHES = 3.3


def map_sheet(
    values: NDArray[Any],
    outlines: Mapping[str, NDArray[Any]],
    *,
    region: NDArray[Any],
    aim: NDArray[Any],
    spacing_mm: Sequence[float],
) -> bytes:
    """Draw a signed map inside a region, dark at zero, and return PNG bytes.

    All are RAS (X, Y, Z) of one shape. Outlines go by "reference" and "mask". Each plane is cut
    where most of `aim` lies, else through the region's centre.
    """
    box = around(region, spacing_mm, MARGIN_MM)
    inside = np.asarray(region)[box] > 0
    shown = np.where(inside, np.asarray(values, np.float64)[box], 0.0)
    limit = round_up(float(np.percentile(np.abs(shown[inside]), 99.5))) if inside.any() else 1.0
    places = _places(np.asarray(aim)[box] > 0, inside)

    def cuts(volume: NDArray[Any]) -> list[Cut]:
        found = [cut(volume, spacing_mm, plane, places[NORMAL[plane]]) for plane in PLANES]
        return level_cuts(found, 0.0)

    sheet = Sheet([cuts(shown)], INCHES, "")
    look = Look(-limit, limit, DIFFERENCE, "map: blue below, red above what is expected")
    drawn = {name: cuts(np.asarray(volume)[box] * 1.0) for name, volume in outlines.items()}
    rim = cuts(inside * 1.0)
    for column, plane in enumerate(PLANES):
        sheet.head(column, plane)
        sheet.picture(0, column, look, None, hide=False)
        if not inside.all():
            sheet.contour(0, column, rim[column].pixels, 0.5, colour="#8d99a5")
        for name, found in drawn.items():
            sheet.contour(0, column, found[column].pixels, 0.5, colour=COLOURS[name], width=1.2)
    sheet.bar(0, look)
    titles = {"reference": "lesion by the reference", "mask": "marked by the model"}
    present = [name for name, volume in outlines.items() if np.any(np.asarray(volume)[box])]
    sheet.key(1, [(titles[name], COLOURS[name]) for name in present])
    return to_png(sheet.figure)


def _places(aim: NDArray[np.bool_], region: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return the slice of each axis that holds most of the aim."""
    if not aim.any():
        return centre_of(region)
    first, second, third = (
        int(np.argmax(aim.sum(axis=tuple(other for other in range(3) if other != axis))))
        for axis in range(3)
    )
    return first, second, third
