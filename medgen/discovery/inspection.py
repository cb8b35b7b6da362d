"""One volume as plain values: what the gate says of it, and what a user asks before using it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medgen.dicom.choice import Choice, split_choice
from medgen.dicom.identifying import identification
from medgen.dicom.index import Index, IndexedSeries, index_tree
from medgen.dicom.selection import select
from medgen.dicom.values import modality_of, quiet, text_of, value_of
from medgen.discovery.sequences import MODALITIES
from medgen.problems import ConfigurationError, NothingFound, Problem, Refusal
from medgen.volumes import Grid, Volume, is_dicom, list_volumes, open_volume, ras_permutation
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
    picks one; what is true of one volume only is None then. `case_id` is what `convert --input`
    would call it. `phi` adds the identifying values, which nothing else of the answer holds but the
    UIDs of several series, by which one is chosen.

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
        facts = {**_volume_facts(volume, problems), **_file_facts(place, volume)}
        return {**facts, "case_id": list_volumes(place)[0].name}
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
        message = "there is no DICOM file here"
        if index.others:
            files = "file" if index.others == 1 else "files"
            message = f"no DICOM image is here, only {index.others} DICOM {files} without pixels"
        advice = "give a volume file or a series' folder; medgen scan searches folders of volumes"
        raise NothingFound(Problem("E_NO_SERIES", message, advice))
    volume, problems = _open(choice.at(place), nan_to)
    facts = _volume_facts(volume, problems)
    with quiet():
        chosen = _chosen(index, choice, volume)
        facts |= _series_facts(chosen, volume)
        headers = [file.header for one in chosen for file in one.instances]
        facts["identifying"] = _identifying(headers, phi)
    names = _names(place)
    facts["case_id"] = _case_id(names, place, chosen[0]) if len(chosen) == 1 else None
    if len(chosen) > 1:
        facts["series"] = _listing(place, index, choice, nan_to, on_series)
        for one, listed in zip(index.series, facts["series"], strict=True):
            listed["case_id"] = _case_id(names, place, one)
    return facts


def _names(place: Path) -> dict[tuple[Path, str], str]:
    """Return what `convert --input` calls each volume, by its folder and the series in it."""
    found = [(split_choice(one.path), one.name) for one in reversed(list_volumes(place))]
    return {(folder, choice.series): name for (folder, choice), name in found}


def _case_id(names: Mapping[Any, str], place: Path, series: IndexedSeries) -> str | None:
    """Return what a series is called; None for medgen's own second form of an answer."""
    folder = _folder(series, place)
    return names.get((folder, series.uid)) or names.get((folder, ""))


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
        "files": 1,
        "transfer_syntax": [],
        "frame_of_reference": False,
        **dict.fromkeys(("modality", "synthetic", "derived")),
        "derived_dicom": _derivable((_NO_HEADER,)) if volume is not None else None,
        "identifying": {"attributes": 0, "private": 0},
    }


def _series_facts(chosen: Sequence[IndexedSeries], volume: Volume | None) -> Facts:
    headers = [instance.header for one in chosen for instance in one.instances]
    series = volume.series if volume is not None else None
    facts: Facts = {
        "format": "DICOM",
        "files": len(headers),
        "transfer_syntax": sorted({_transfer_syntax(header) for header in headers}),
        **dict.fromkeys(("modality", "frame_of_reference", "synthetic", "derived")),
        "derived_dicom": _derivable(series.identity) if series is not None else None,
    }
    if len(chosen) != 1:
        return facts
    modalities = {_modality(header) for header in headers}
    return {
        **facts,
        "modality": modalities.pop() if len(modalities) == 1 else None,
        "frame_of_reference": all(value_of(one, "FrameOfReferenceUID") for one in headers),
        **_making(chosen[0]),
    }


def _making(series: IndexedSeries) -> Facts:
    """Return whether any image says that it is synthetic, or derived from others.

    SyntheticData (PS3.3 C.12.1.1) and the first value of ImageType (PS3.3 C.7.6.1.1.2).
    """
    headers = [instance.header for instance in series.instances]
    return {
        "synthetic": any(text_of(header, "SyntheticData") == "YES" for header in headers),
        "derived": any(text_of(header, "ImageType") == "DERIVED" for header in headers),
    }


def _derivable(problems: Iterable[Problem]) -> Facts:
    """Return whether identity allows a derived series, and else why not."""
    reasons = [problem.as_json() for problem in problems]
    return {"possible": not reasons, "problems": reasons}


def _chosen(index: Index, choice: Choice, volume: Volume | None) -> Sequence[IndexedSeries]:
    """Return the series that was read or refused; where none was picked, all."""
    if volume is not None and volume.series is not None:
        judged = {frame.instance.path for frame in volume.series.frames}
    else:
        judged = {instance.path for instance in select(index, choice).instances}
    found = [one for one in index.series if any(file.path in judged for file in one.instances)]
    return found or index.series


def _uid(series: IndexedSeries) -> str | None:
    return series.uid if _UID.fullmatch(series.uid) else None


def _modality(header: Dataset) -> str | None:
    modality = modality_of(header)
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
    numbers = [one.number for one in index.series]
    listed = []
    for done, (one, number) in enumerate(zip(index.series, numbers, strict=True), 1):
        name = _uid(one) or ""
        if number is not None and number >= 0 and numbers.count(number) == 1:
            name = str(number)
        folder = _folder(one, place)
        _, problems = _open(replace(choice, series=name).at(folder), nan_to)
        listed.append(
            {
                "number": number,
                "uid": _uid(one),
                "modality": _modality(one.first),
                "files": len(one.instances),
                **_making(one),
                "verdict": "refused" if problems else "ok",
                "problems": [problem.as_json() for problem in problems],
                "select": name,
            }
        )
        on_series(done, len(index.series))
    return listed


def _folder(series: IndexedSeries, place: Path) -> Path:
    """Return the innermost folder that holds a series' files, so that others are not searched."""
    folder = series.instances[0].path.parent
    while not all(one.path.is_relative_to(folder) for one in series.instances):
        folder = folder.parent
    return place if place.is_file() else folder
