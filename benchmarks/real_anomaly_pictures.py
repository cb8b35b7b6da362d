"""Slices of painted heads beside the patients' real lesions, and of answers on both."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from real_anomaly_cases import BRAIN, ENDING, IMAGE, LESION

from medgen.files import write_bytes
from medgen.report import to_ras
from medgen.report.style import ORANGE, plot_figure
from medgen.volumes import open_volume

PANEL_INCHES = 2.4
SHOWN = 99.7
"""The percentile of the brain that is shown white."""


class Slice(NamedTuple):
    """An axial slice of a case, as it is hung."""

    image: NDArray[Any]
    lesion: NDArray[Any]
    limits: tuple[float, float]
    title: str


def draw_cases(folder: Path, painted: Sequence[str], real: Sequence[str], path: Path) -> None:
    """Draw every case's slice with most lesion: a head unpainted, painted, and with its outline.

    Patients, who have no unpainted self, are drawn plain and outlined.
    """
    rows: list[list[Slice | None]] = []
    for case in painted:
        at, after = slice_of(folder / case, case)
        _, before = slice_of(folder / case.removesuffix(ENDING), "the same unpainted", at=at)
        rows.append([before, after, after])
    for case in real:
        _, shown = slice_of(folder / case, f"{case}, real")
        rows.append([None, shown, shown])
    draw_rows(rows, path)


def slice_of(folder: Path, title: str, *, at: int | None = None) -> tuple[int, Slice]:
    """Return the axial slice with most lesion, or a given one, cut to the brain."""
    image, lesion, brain = (turned(folder / f"{name}.nii.gz") for name in (IMAGE, LESION, BRAIN))
    place = int(lesion.sum(axis=(0, 1)).argmax()) if at is None else at
    limits = 0.0, float(np.percentile(image[brain > 0], SHOWN))
    rows, columns = (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    shown, marked = (hung(values[..., place][box]) for values in (image, lesion))
    return place, Slice(shown, marked, limits, title)


def draw_rows(rows: Sequence[Sequence[Slice | None]], path: Path) -> None:
    """Draw rows of slices as PNG; the last of each row with its lesions outlined."""
    columns = max(len(row) for row in rows)
    size = PANEL_INCHES * columns, 1.2 * PANEL_INCHES * len(rows)
    with plot_figure(*size, rows=len(rows), columns=columns) as (figure, axes):
        for number, axis in enumerate(axes):
            row, column = rows[number // columns], number % columns
            shown = row[column]
            axis.set_axis_off()
            if shown is None:
                continue
            low, high = shown.limits
            axis.imshow(shown.image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_title(shown.title, fontsize=7)
            if column == columns - 1 and shown.lesion.any():
                axis.contour(shown.lesion, levels=[0.5], colors=ORANGE, linewidths=0.7)
        save(figure, path)


def draw_answers(folder: Path, maps: Mapping[str, Mapping[str, Path]], path: Path) -> None:
    """Draw each case's slice with most lesion, outlined, and every way's signed map on it.

    `maps` gives the map files by way for every case. Maps are shown from minus to plus their own
    99.5th percentile in the brain: blue is darker than expected, red brighter.
    """
    ways = list(dict.fromkeys(way for mine in maps.values() for way in mine))
    size = PANEL_INCHES * (1 + len(ways)), 1.2 * PANEL_INCHES * len(maps)
    with plot_figure(*size, rows=len(maps), columns=1 + len(ways)) as (figure, axes):
        panels = ((case, way) for case in maps for way in ("", *ways))
        for axis, (case, way) in zip(axes, panels, strict=True):
            at, shown = slice_of(folder / case, case)
            if (ill := folder / f"{case}{ENDING}").exists():  # where its painted self has most
                at, shown = slice_of(folder / case, f"{case}, unpainted", at=slice_of(ill, "")[0])
            axis.set_axis_off()
            if not way:
                axis.imshow(shown.image, cmap="gray", vmin=shown.limits[0], vmax=shown.limits[1])
                if shown.lesion.any():
                    axis.contour(shown.lesion, levels=[0.5], colors=ORANGE, linewidths=0.7)
                axis.set_title(shown.title, fontsize=7)
            elif way in maps[case]:
                values, brain = turned(maps[case][way]), turned(folder / case / f"{BRAIN}.nii.gz")
                most = float(np.percentile(np.abs(values[brain > 0]), 99.5)) or 1.0
                cut = boxed(values, brain, at)
                axis.imshow(cut, cmap="RdBu_r", vmin=-most, vmax=most)
                axis.set_title(way, fontsize=7)
        save(figure, path)


def boxed(values: NDArray[Any], brain: NDArray[Any], at: int) -> NDArray[Any]:
    """Return a slice (X, Y, Z) cut to the brain's box, as it is hung."""
    rows, columns = (np.flatnonzero(brain.any(axis=axes)) for axes in ((1, 2), (0, 2)))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return hung(values[..., at][box])


def turned(path: Path) -> NDArray[Any]:
    """Return a volume's values with axes to right, anterior and superior."""
    volume = open_volume(path)
    return to_ras(volume.data, volume.grid)[0]


def hung(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a slice (X, Y) as rows and columns: the nose above, the patient's right on the left.

    A mask's outline is drawn on the picture's own rows and columns, so it is turned like it.
    """
    return np.asarray(pixels, np.float32).T[::-1, ::-1]


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    write_bytes(path, stream.getvalue())
