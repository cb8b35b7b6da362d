"""DICOM series behind the gate: a folder, a tree or a file becomes a volume, or is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from medgen.dicom import Choice, Series, read_series, split_choice, suv_factors
from medgen.dicom.index import SUFFIXES
from medgen.limits import Limits
from medgen.problems import Problem, Refusal
from medgen.volumes.grid import Grid
from medgen.volumes.volume import ARBITRARY, Volume

_MAGIC_AT = 128


def is_dicom(path: Path) -> bool:
    """Tell whether a path, less its choice, can only be DICOM: a folder, or a DICOM file."""
    place, _ = split_choice(path)
    if place.is_dir() or place.name.lower().endswith(SUFFIXES):
        return True
    try:
        with place.open("rb") as stream:
            stream.seek(_MAGIC_AT)
            return stream.read(4) == b"DICM"
    except OSError:
        return False


def open_series(path: Path, choice: Choice, *, limits: Limits) -> Volume:
    """Read a DICOM series as a volume in its physical unit.

    Raises:
        Refusal: with every problem of the series.
    """
    series = read_series(path, choice, limits=limits)
    return _volume(series)


def _volume(series: Series) -> Volume:
    return Volume(
        series.data,
        Grid(series.facts.shape, series.facts.affine),
        series.unit,
        series.digest,
        series.valid,
        series.facts,
        series.notes,
    )


def in_unit(volume: Volume, unit: str) -> Volume:
    """Return a volume in the unit that a configuration names.

    A volume of no known unit is taken at its word, as NIfTI must be. PET in Bq/ml becomes SUV by
    body weight where its series holds what that takes.

    Raises:
        Refusal: E_UNIT where the file says that it measures something else; E_SUV.
    """
    have, want = volume.unit, unit
    if ARBITRARY in (have, want) or have.casefold() == want.casefold():
        return volume
    if (have, want.upper()) == ("Bq/ml", "SUV") and volume.series is not None:
        factors, problems = suv_factors(volume.series.frames)
        if problems:
            raise Refusal(problems)
        if np.ptp(factors) > 1e-6 * float(np.max(factors)):
            if volume.series.straightened:
                message = "the slices were resampled, and their SUV factors differ"
                raise Refusal(Problem("E_SUV", message, "straighten it elsewhere first"))
            scaled = volume.data * np.asarray(factors, dtype=np.float32)
        else:
            scaled = volume.data * np.float32(factors[0])
        return volume.with_data(scaled.astype(np.float32, copy=False), unit="SUV")
    message = f"the file's header says {have}, and the configuration {want}"
    advice = "check the column of the table, or the unit under intensity"
    raise Refusal(Problem("E_UNIT", message, advice))


def believing(volume: Volume, unit: str) -> Volume:
    """Return a volume in the unit that a caller names, which is believed where the file names none.

    Raises:
        Refusal: E_UNIT or E_SUV, as `in_unit` does.
    """
    converted = in_unit(volume, unit)
    return replace(converted, unit=unit) if converted.unit == ARBITRARY else converted


def with_choice(path: Path, choice: Choice) -> Path:
    """Return a path that carries a choice, where it leads to DICOM; any other path as it is."""
    return choice.at(path) if choice != Choice() and is_dicom(path) else path
