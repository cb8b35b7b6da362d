"""Volumes side by side in three planes, with colour bars: for reports and training previews."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_hex
from numpy.typing import NDArray

from medgen.report.sheet import Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Plane, around, centre_of, cut

HU_WINDOW = (-400.0, 1100.0)
"""Shows fat, soft tissue and the inside of bone at once; air is black."""

MARGIN_MM = 12.0
STEPS = (1.0, 2.0, 3.0, 5.0, 10.0)

DIFFERENCE = LinearSegmentedColormap.from_list(
    "difference",
    [
        "#d3f0ff",
        "#6fc3ff",
        "#2274c9",
        "#123a6b",
        "#0d1013",
        "#6b1a12",
        "#cf3f21",
        "#ff9b54",
        "#ffe9bf",
    ],
)
"""Dark at zero, blue below, red above: what is equal vanishes."""


class Panel(NamedTuple):
    """One column of a preview: a RAS volume (X, Y, Z) and how to read its values.

    `kind` is "image" (grey), "difference" (two-sided around zero), "deviation" (from zero up) or
    "labels" (whole numbers, each with a colour of its own; 0 is the background). `window` is the
    range of an image's grey values, (-limit, limit) of a difference, (0, limit) of a deviation, or
    (0, largest) of labels, so that panels share their colours; None chooses by unit and values.
    """

    title: str
    volume: NDArray[Any]
    kind: Literal["image", "difference", "deviation", "labels"] = "image"
    unit: str = "arbitrary"
    window: tuple[float, float] | None = None


def preview(
    panels: Sequence[Panel | tuple[Any, ...]],
    *,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    mask: NDArray[Any] | None = None,
    centre: tuple[int, int, int] | None = None,
    planes: Sequence[Plane] = PLANES,
    title: str = "",
    panel_inches: float = 2.6,
) -> bytes:
    """Draw volumes of one RAS grid side by side, a row per plane, and return PNG bytes.

    Cuts go through `centre` (voxels), else the centre of `mask`, else the middle. The pictures
    keep a margin around the mask; it is outlined on images, and differences show only what lies
    inside it. Colour bars stand below. Raises ValueError where the volumes differ in shape.
    """
    columns = [Panel(*panel) for panel in panels]
    shapes = {panel.volume.shape for panel in columns}
    shapes |= set() if mask is None else {mask.shape}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ValueError(f"a preview needs volumes (X, Y, Z) of one shape, got {sorted(shapes)}")
    shape = next(iter(shapes))
    at = centre or centre_of(np.zeros(shape, bool) if mask is None else mask)
    if mask is not None:
        box = around(mask, spacing_mm, MARGIN_MM)
        columns = [panel._replace(volume=panel.volume[box]) for panel in columns]
        at = (
            _within(at[0], box[0], shape[0]),
            _within(at[1], box[1], shape[1]),
            _within(at[2], box[2], shape[2]),
        )
        mask = mask[box]
    looks = [look_of(panel, mask) for panel in columns]
    cuts = [
        [cut(panel.volume, spacing_mm, plane, at[NORMAL[plane]]) for panel in columns]
        for plane in planes
    ]
    insides: list[NDArray[np.bool_] | None] = [
        None if mask is None else cut(mask, spacing_mm, plane, at[NORMAL[plane]]).pixels > 0
        for plane in planes
    ]
    sheet = Sheet(cuts, panel_inches, title)
    for column, (panel, look) in enumerate(zip(columns, looks, strict=True)):
        sheet.head(column, panel.title)
        for row in range(len(planes)):
            sheet.picture(row, column, look, insides[row], hide=panel.kind == "difference")
        sheet.bar(column, look)
    return to_png(sheet.figure)


def _within(place: int, part: slice, length: int) -> int:
    """Return a voxel's index inside a box, at the nearest face where it lies outside."""
    start, stop, _ = part.indices(length)
    return min(max(place, start), stop - 1) - start


def look_of(panel: Panel, mask: NDArray[Any] | None) -> Look:
    """Choose a panel's range and colours; a two-sided range is that of what the mask holds."""
    unit = "" if panel.unit == "arbitrary" else f" [{panel.unit}]"
    if panel.kind == "difference":
        low, high = panel.window or _symmetric(panel.volume, mask)
        return Look(low, high, DIFFERENCE, f"difference{unit}")
    if panel.kind == "deviation":
        low, high = panel.window or (0.0, _symmetric(panel.volume, mask)[1])
        return Look(low, high, mpl.colormaps["inferno"], f"deviation{unit}")
    if panel.kind == "labels":
        largest = max(1, int(panel.window[1] if panel.window else np.max(panel.volume)))
        return Look(-0.5, largest + 0.5, label_colours(largest), "label", exact=True)
    if panel.window is not None:
        low, high = panel.window
    elif panel.unit.upper() == "HU":
        low, high = HU_WINDOW
    else:
        low, high = (float(end) for end in np.percentile(panel.volume, (0.5, 99.5)))
    if not high > low:
        high = low + 1.0
    return Look(low, high, mpl.colormaps["gray"], unit.strip(" []") or "arbitrary unit")


def label_colours(largest: int) -> ListedColormap:
    """Return a colour for each label from 0 to `largest`: background dark, then tab10's in turn."""
    tab10 = mpl.colormaps["tab10"]
    return ListedColormap(["#0d1013", *(to_hex(tab10(index % 10)) for index in range(largest))])


def _symmetric(volume: NDArray[Any], mask: NDArray[Any] | None) -> tuple[float, float]:
    """Return a two-sided round range that holds 99 % of the (masked) differences."""
    values = volume if mask is None or not np.any(mask) else volume[np.asarray(mask) > 0]
    limit = round_up(float(np.percentile(np.abs(values), 99)))
    return -limit, limit


def round_up(value: float) -> float:
    """Return the next of 1, 2, 3, 5, 10 times a power of ten; 1 for zero."""
    if not value > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in STEPS if value <= step * power * (1 + 1e-9)))
