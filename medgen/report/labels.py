"""Two label volumes side by side, with their outlines and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import ListedColormap, to_hex
from numpy.typing import NDArray

from medgen.report.figures import MARGIN_MM, label_colours
from medgen.report.sheet import Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Cut, around, cut

EQUAL, MISSED, INVENTED, CONFUSED = "#59646e", "#ff5a4d", "#4ad7ff", "#ffd24d"
VERDICTS = {"equal": EQUAL, "missed": MISSED, "invented": INVENTED, "another class": CONFUSED}
OUTLINE = "#ffffff"
OUTLINED = 12
"""From more classes in a slice on, only the outline of all together is drawn."""


def label_preview(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    names: Sequence[str],
    *,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    panel_inches: float = 3.1,
) -> bytes:
    """Draw RAS volumes (X, Y, Z) of class indices in three planes and return PNG bytes.

    Index 0 is the background, `names[k - 1]` is class k. Columns: the reference; the prediction
    under the reference's outlines; and where they differ. Each plane is cut where most voxels
    differ, else where most are labelled. Raises ValueError where the volumes differ in shape.
    """
    if reference.shape != prediction.shape or reference.ndim != 3:
        shapes = f"{reference.shape} and {prediction.shape}"
        raise ValueError(f"a preview needs volumes (X, Y, Z) of one shape, got {shapes}")
    box = around((reference > 0) | (prediction > 0), spacing_mm, MARGIN_MM)
    reference, prediction = reference[box], prediction[box]
    verdict = verdicts(reference, prediction)
    at = where_to_cut(reference, prediction)
    volumes = (reference, prediction, verdict)
    cuts = [
        [cut(volume, spacing_mm, plane, at[NORMAL[plane]]) for volume in volumes]
        for plane in PLANES
    ]
    colours = label_colours(len(names))
    sheet = Sheet(cuts, panel_inches, "")
    _draw(sheet, cuts, colours)
    present = sorted({int(k) for volume in volumes[:2] for k in np.unique(volume)} - {0})
    sheet.key(0, [(names[k - 1], to_hex(colours(k))) for k in present])
    sheet.key(1, [("outline of the reference", OUTLINE)])
    sheet.key(2, list(VERDICTS.items()))
    return to_png(sheet.figure)


def _draw(sheet: Sheet, cuts: Sequence[Sequence[Cut]], colours: ListedColormap) -> None:
    """Draw reference, prediction and verdicts, and the reference's outlines on the prediction."""
    classes = Look(-0.5, colours.N - 0.5, colours, "", exact=True)
    judged = ListedColormap([to_hex(colours(0)), *VERDICTS.values()])
    looks = [classes, classes, Look(-0.5, judged.N - 0.5, judged, "", exact=True)]
    titles = ("reference", "prediction", "where they differ")
    for column, (title, look) in enumerate(zip(titles, looks, strict=True)):
        sheet.head(column, title)
        for row in range(len(PLANES)):
            sheet.picture(row, column, look, None, hide=False)
    for row, (expected, *_) in enumerate(cuts):
        for region in _outlined(expected):
            sheet.contour(row, 1, region.astype(float), 0.5, colour=OUTLINE)


def verdicts(reference: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.uint8]:
    """Return 0 where both are background, then 1 equal, 2 missed, 3 invented, 4 another class."""
    found = np.zeros(reference.shape, dtype=np.uint8)
    found[(reference > 0) & (prediction > 0)] = 4
    found[(reference == prediction) & (reference > 0)] = 1
    found[(reference > 0) & (prediction == 0)] = 2
    found[(reference == 0) & (prediction > 0)] = 3
    return found


def where_to_cut(reference: NDArray[Any], prediction: NDArray[Any]) -> tuple[int, int, int]:
    """Return, along each axis, the slice with most differing voxels, else with most labels."""
    different = reference != prediction
    regions = (different, (reference > 0) | (prediction > 0))
    region = next((found for found in regions if found.any()), None)
    if region is None:
        return reference.shape[0] // 2, reference.shape[1] // 2, reference.shape[2] // 2
    counts = [region.sum(axis=tuple({0, 1, 2} - {axis})) for axis in range(3)]
    return int(counts[0].argmax()), int(counts[1].argmax()), int(counts[2].argmax())


def _outlined(expected: Cut) -> list[NDArray[np.bool_]]:
    """Return the regions of a cut to be outlined."""
    present = [int(k) for k in np.unique(expected.pixels) if k]
    if len(present) > OUTLINED:
        return [expected.pixels > 0]
    return [expected.pixels == k for k in present]
