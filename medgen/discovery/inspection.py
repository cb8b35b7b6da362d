"""One volume as plain values: what the gate says of it, and what a user asks before using it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medgen.dicom.choice import Choice, split_choice
from medgen.dicom.identifying import identification
from medgen.dicom.index import Index, IndexedSeries, index_tree
from medgen.dicom.values import quiet, text_of, value_of
from medgen.discovery.sequences import MODALITIES
from medgen.problems import ConfigurationError, NothingFound, Problem, Refusal
from medgen.volumes import Grid, Volume, is_dicom, open_volume, ras_permutation
from medgen.volumes.listing import suffix_of

Facts = dict[str, Any]
OnSeries = Callable[[int, int], None]
"""Is told how many of several series were opened, of how many."""

PERCENTILES = (0.5, 5, 25, 50, 75, 95, 99.5)
AIR_BELOW_HU = -500.0
BACKGROUND = 0.05
"""Share of the range from the least value to the 99.5th percentile that counts as background."""

_SHOWN_VALUES = 3
_FORMATS = {".nii": "NIfTI", ".nii.gz": "NIfTI", ".mha": "MetaImage", ".mhd": "MetaImage"}
_UID = re.compile(r"[0-9.]{1,64}")
_NO_HEADER = Problem(
    "E_NO_IDENTITY",
    "the format names no patient, study or frame of reference",
    "give --dicom-template SERIES to convert, or write NIfTI",
)


def inspect(
    path: Path,
    choice: Choice = Choice(),  # noqa: B008
    *,
    nan_to: float | None = None,
    phi: bool = False,
    on_series: OnSeries = lambda done, total: None,
) -> Facts:
    """Return a volume's facts as JSON values, or why the gate refuses it, with `verdict` first.

    Of a DICOM folder with several series, all are opened and told under `series`, unless the choice
    picks one. `phi` adds the identifying values, which nothing else of the answer holds; the
    `select` of a series without a number of its own is its UID.

    Raises:
        NothingFound: E_MISSING_FILE or E_NO_SERIES, where there is nothing to judge.
        ConfigurationError: E_CELL_SELECTOR, where the choice makes no sense for the path.
    """
    place, own = split_choice(path)
    if not place.exists():
        advice = "check the spelling"
        raise NothingFound(Problem("E_MISSING_FILE", "there is no such file or folder", advice))
    choice = own.over(choice)
    if not is_dicom(place):
        if choice != Choice():
            message = "--series, --echo, --phase and --straighten are for DICOM; this is none"
            raise ConfigurationError(Problem("E_CELL_SELECTOR", message, "leave them out"))
        volume, problems = _open(place, nan_to)
        return {**_volume_facts(volume, problems), **_file_facts(place, volume)}
    return _inspect_dicom(place, choice, nan_to=nan_to, phi=phi, on_series=on_series)


def _inspect_dicom(
    place: Path, choice: Choice, *, nan_to: float | None, phi: bool, on_series: OnSeries
) -> Facts:
    try:
        index = index_tree(place)
    except OSError as error:
        message = f"the folder cannot be read: {error.strerror or 'input/output error'}"
        raise NothingFound(Problem("E_UNREADABLE", message, "check its permissions")) from None
    if not (index.series or index.unread):
        message = f"no DICOM image is here, but {index.others} other DICOM files"
        advice = "give a volume file or a series' folder; medgen scan searches folders of volumes"
        raise NothingFound(Problem("E_NO_SERIES", message, advice))
    volume, problems = _open(choice.at(place), nan_to)
    chosen = _chosen(index, choice, volume)
    facts = _volume_facts(volume, problems)
    with quiet():
        facts |= _series_facts(chosen, volume)
        headers = [file.header for one in chosen for file in one.instances]
        facts["identifying"] = _identifying(headers, phi)
    if any(problem.code == "E_SEVERAL_SERIES" for problem in problems):
        facts["series"] = _listing(place, index, choice, nan_to, on_series)
    return facts


def _open(path: Path, nan_to: float | None) -> tuple[Volume | None, tuple[Problem, ...]]:
    try:
        return open_volume(path, nan_to=nan_to), ()
    except Refusal as refusal:
        return None, refusal.problems


def _volume_facts(volume: Volume | None, problems: Sequence[Problem]) -> Facts:
    """Return the verdict, and where a volume is and what its values are; null where refused."""
    facts: Facts = {
        "verdict": "ok" if volume is not None else "refused",
        "problems": [problem.as_json() for problem in problems],
        "notes": [problem.as_json() for problem in volume.notes] if volume is not None else [],
    }
    geometry = ("shape", "spacing_mm", "affine", "orientation", "oblique_degrees")
    if volume is None:
        return {**facts, **dict.fromkeys((*geometry, "field_of_view_mm", "unit", "values"))}
    grid = volume.grid
    word, degrees = _orientation(grid)
    extent = np.array(grid.shape) * grid.spacing_mm
    return {
        **facts,
        "shape": list(grid.shape),
        "spacing_mm": [round(float(step), 6) for step in grid.spacing_mm],
        "affine": [[float(number) for number in row] for row in grid.affine],
        "orientation": word,
        "oblique_degrees": round(degrees, 3),
        "field_of_view_mm": [round(float(length), 3) for length in extent],
        "unit": volume.unit,
        "values": _values(volume),
    }


def _orientation(grid: Grid) -> tuple[str, float]:
    """Return where the array axes run (`LPS`: left, posterior, superior), and how far off they are.

    The angle is the greatest between an array axis and the patient's axis that it is named after.
    """
    axes, signs = ras_permutation(grid.affine)
    letters = [""] * 3
    cosines = []
    for world, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        letters[axis] = ("RAS" if sign > 0 else "LPI")[world]
        cosines.append(abs(float(grid.directions[world, axis])))
    return "".join(letters), float(np.degrees(np.arccos(min(1.0, *cosines))))


def _values(volume: Volume) -> Facts:
    """Return least, greatest, mean and percentiles of what was measured, and the background.

    Background is air below -500 HU; in other units, what lies in the lowest twentieth of the range
    up to the 99.5th percentile.
    """
    values = volume.data if volume.valid is None else volume.data[volume.valid]
    flat = values.reshape(-1)
    if not flat.size:
        return {"padded_share": 1.0}
    marks = np.percentile(flat, PERCENTILES)
    low = float(flat.min())
    limit = AIR_BELOW_HU if volume.unit == "HU" else low + BACKGROUND * (float(marks[-1]) - low)
    return {
        "min": low,
        "max": float(flat.max()),
        "mean": float(flat.mean(dtype=np.float64)),
        "percentiles": {f"{q:g}": float(v) for q, v in zip(PERCENTILES, marks, strict=True)},
        "background_share": round(float(np.mean(flat <= limit)), 4),
        "background_up_to": limit,
        "padded_share": round(1.0 - flat.size / volume.data.size, 4),
    }


def _file_facts(path: Path, volume: Volume | None) -> Facts:
    suffix = suffix_of(path)
    return {
        "format": _FORMATS.get(suffix, "NRRD" if suffix else None),
        "modality": None,
        "files": 1,
        "transfer_syntax": [],
        "frame_of_reference": False,
        "derived_dicom": _derivable((_NO_HEADER,)) if volume is not None else None,
        "identifying": {"attributes": 0, "private": 0},
    }


def _series_facts(chosen: Sequence[IndexedSeries], volume: Volume | None) -> Facts:
    headers = [instance.header for one in chosen for instance in one.instances]
    modalities = {_modality(header) for header in headers}
    frames = {str(value_of(header, "FrameOfReferenceUID") or "") for header in headers}
    series = volume.series if volume is not None else None
    return {
        "format": "DICOM",
        "modality": modalities.pop() if len(modalities) == 1 else None,
        "files": len(headers),
        "transfer_syntax": sorted({_transfer_syntax(header) for header in headers}),
        "frame_of_reference": bool(frames) and "" not in frames,
        "derived_dicom": _derivable(series.identity) if series is not None else None,
    }


def _derivable(problems: Iterable[Problem]) -> Facts:
    """Return whether identity allows a derived series, and else why not."""
    reasons = [problem.as_json() for problem in problems]
    return {"possible": not reasons, "problems": reasons}


def _chosen(index: Index, choice: Choice, volume: Volume | None) -> Sequence[IndexedSeries]:
    """Return the series that was read; where none was, those that the choice may mean."""
    if volume is not None and volume.series is not None:
        read = {frame.instance.path for frame in volume.series.frames}
        return [one for one in index.series if any(file.path in read for file in one.instances)]
    if choice.series:
        named = [one for one in index.series if choice.series in (one.uid, str(one.number))]
        return named or index.series
    return index.series


def _modality(header: Dataset) -> str | None:
    modality = text_of(header, "Modality")
    return modality if modality in MODALITIES else None


def _transfer_syntax(header: Dataset) -> str:
    """Return the name of a transfer syntax; a UID that stands for none is not repeated."""
    meta = getattr(header, "file_meta", Dataset())
    uid = UID(str(value_of(meta, "TransferSyntaxUID") or ""))
    return str(uid.name) if uid.type == "Transfer Syntax" else "unknown"


def _identifying(headers: Sequence[Dataset], phi: bool) -> Facts:
    found = identification(headers)
    facts: Facts = {"attributes": len(found.attributes), "private": found.private}
    if phi:
        facts["found"] = [
            {
                "name": one.name,
                "files": one.files,
                "values": list(one.values[:_SHOWN_VALUES]),
                "different": len(one.values),
            }
            for one in found.attributes
        ]
    return facts


def _listing(
    place: Path, index: Index, choice: Choice, nan_to: float | None, on_series: OnSeries
) -> list[Facts]:
    """Return each of several series with its verdict and what to give for --series."""
    numbers = [_number(one) for one in index.series]
    listed = []
    for done, (one, number) in enumerate(zip(index.series, numbers, strict=True), 1):
        select = ""
        if number is not None and number >= 0 and numbers.count(number) == 1:
            select = str(number)
        elif _UID.fullmatch(one.uid):
            select = one.uid
        folder = _folder(one, place)
        _, problems = _open(replace(choice, series=select).at(folder), nan_to)
        listed.append(
            {
                "number": number,
                "modality": _modality(one.first),
                "files": len(one.instances),
                "verdict": "refused" if problems else "ok",
                "problems": [problem.as_json() for problem in problems],
                "select": select,
            }
        )
        on_series(done, len(index.series))
    return listed


def _number(series: IndexedSeries) -> int | None:
    with quiet():
        try:
            return series.number
        except (TypeError, ValueError, OverflowError):  # a damaged SeriesNumber
            return None


def _folder(series: IndexedSeries, place: Path) -> Path:
    """Return the innermost folder that holds a series' files, so that others are not searched."""
    folder = series.instances[0].path.parent
    while not all(one.path.is_relative_to(folder) for one in series.instances):
        folder = folder.parent
    return place if place.is_file() else folder
