"""A picture for each case of an output folder: what went in, what came out, how far to believe it.

A preview is for looking, never for measuring. It is the case's own: what fails here is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from medgen.conversion import Converted
from medgen.files import write_bytes
from medgen.report.case_sheet import Row, case_sheet
from medgen.report.figures import Panel, label_colours, look_of, round_up
from medgen.report.planes import Planes, planes_of
from medgen.report.raster import is_own
from medgen.volumes import Volume

FOLDER = "previews"
NOT_DRAWN = "no preview could be drawn of this case"
IN_THE_WAY = "the preview was not written: another program's file has its name"

_HEAD_BYTES = 1024
_SOURCES = 3
"""So many source columns are shown; a run with more is judged by these."""
_LABEL = "label"
_LEAST_Z = 5.0
_BESIDE = {"std": "standard deviation", "z": "z-map", "mask": "anomalies"}
"""Titles of volumes beside an answer, by what follows its name."""
_TWO_SIDED = ("z",)
_STRIKING = "#ffd24d"


def preview_of(folder: Path, case: str) -> Path:
    """Return where the preview of a case lies."""
    return folder / FOLDER / f"{case}.png"


def write_preview(
    folder: Path, case: str, volumes: Mapping[str, Volume], converted: Converted
) -> tuple[str, ...]:
    """Write the preview of a case into `folder`, and return warnings instead of raising.

    Rows are the source columns, the answer, and each volume beside it; columns are the axial, the
    coronal and the sagittal plane through the body's centre, or through what was labelled. Verdict
    and reasons stand above. A file of that name that convert did not write is left alone.
    """
    path = preview_of(folder, case)
    try:
        if not _may_replace(path):
            return (IN_THE_WAY,)
        write_bytes(path, picture_of(case, volumes, converted))
    except Exception:  # whatever it is, the answer itself is sound
        remove_preview(folder, case)  # an old one would be of another answer
        return (NOT_DRAWN,)
    return ()


def remove_preview(folder: Path, case: str) -> None:
    """Remove the preview of a case whose answer goes; a file of another program stays."""
    path = preview_of(folder, case)
    try:
        if _may_replace(path):
            path.unlink(missing_ok=True)
    except OSError:  # it is only a picture, and the index passes over it
        return


def picture_of(case: str, volumes: Mapping[str, Volume], converted: Converted) -> bytes:
    """Draw a case, and return PNG bytes."""
    answer = converted.volume
    sources = dict(list(volumes.items())[:_SOURCES])
    first = next((one for one in sources.values() if one.grid.same_as(answer.grid)), answer)
    planes = planes_of(first, look_at=_marked(converted))
    rows = [_image(name, volume, planes) for name, volume in sources.items()]
    under = rows[0] if rows else None
    rows.append(_answer(converted, planes, first, under))
    for name, volume in converted.beside.items():
        rows.append(_beside(name, volume, planes, under))
    trust = converted.trust
    verdict, lines = ("", ()) if trust is None else (trust.verdict, trust.reasons)
    return case_sheet(rows, title=case, verdict=verdict, lines=lines)


def _answer(converted: Converted, planes: Planes, first: Volume, under: Row | None) -> Row:
    answer, kind = converted.volume, converted.facts.get("kind")
    title = f"answer: {converted.facts.get('answer', '')}".rstrip(": ")
    if answer.unit == _LABEL:
        return _labels(title, answer, planes, under, _names(converted.facts.get("labels")))
    if kind == "anomaly":
        return _row(f"{title}, residual", answer, planes, "difference")
    # What measures the same as the source is shown as bright as the source.
    alike = answer.unit == first.unit and answer.unit != "arbitrary" and first is not answer
    window = (under.look.low, under.look.high) if alike and under is not None else None
    return _image(title, answer, planes, window)


def _beside(name: str, volume: Volume, planes: Planes, under: Row | None) -> Row:
    title = _BESIDE.get(name, name)
    if volume.unit == _LABEL:
        marked = _labels(title, volume, planes, under, {1: title})
        return replace(marked, colours={1: _STRIKING})
    if name not in _TWO_SIDED:
        return _row(title, volume, planes, "deviation")
    largest = float(np.percentile(np.abs(planes.shown(volume)), 99.9))
    limit = round_up(max(_LEAST_Z, largest))
    return _row(title, volume, planes, "difference", (-limit, limit))


def _image(
    name: str, volume: Volume, planes: Planes, window: tuple[float, float] | None = None
) -> Row:
    return _row(name, volume, planes, "image", window)


def _row(
    title: str,
    volume: Volume,
    planes: Planes,
    kind: Any,
    window: tuple[float, float] | None = None,
) -> Row:
    cuts = planes.cuts(volume)
    here = volume.grid.same_as(planes.grid)
    shown = planes.shown(volume) if here else np.concatenate([c.pixels.ravel() for c in cuts])
    return Row(title, cuts, look_of(Panel(title, shown, kind, volume.unit, window), None))


def _labels(
    title: str, volume: Volume, planes: Planes, under: Row | None, names: Mapping[int, str]
) -> Row:
    """Return labels painted over the first source."""
    ground = _row(title, volume, planes, "image", (0.0, 256.0)) if under is None else under
    cuts = planes.cuts(volume, linear=False)
    values = names or {int(value): str(int(value)) for value in np.unique(volume.data) if value}
    shades = label_colours(len(values))
    colours = {value: to_hex(shades(place)) for place, value in enumerate(values, start=1)}
    return Row(title, ground.cuts, ground.look, cuts, colours, values)


def _names(labels: object) -> dict[int, str]:
    """Return the classes' names by the value that is written, without the background."""
    named = labels if isinstance(labels, Mapping) else {}
    first = {name: value[0] if isinstance(value, list) else value for name, value in named.items()}
    return {int(value): str(name) for name, value in first.items() if value}


def _marked(converted: Converted) -> Any:
    """Return the voxels to look at, if the answer marks any."""
    if converted.volume.unit == _LABEL:
        return converted.volume.data
    mask = converted.beside.get("mask")
    return None if mask is None else mask.data


def _may_replace(path: Path) -> bool:
    """Tell whether there is no file of this name, or one that was written here."""
    try:
        with path.open("rb") as stream:
            return is_own(stream.read(_HEAD_BYTES))
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
