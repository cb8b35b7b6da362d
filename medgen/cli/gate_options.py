"""The options GATE of the verbs that open volumes: what to pick, and what to let pass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.problems import ConfigurationError, Problem

if TYPE_CHECKING:
    from medgen.dicom.choice import Choice

SeriesOption = Annotated[
    str,
    typer.Option(
        "--series", metavar="UID|NUMBER", help="DICOM: which series of a folder that holds several."
    ),
]
EchoOption = Annotated[
    int | None,
    typer.Option("--echo", min=1, metavar="N", help="DICOM: which echo, counted from 1."),
]
PhaseOption = Annotated[
    int | None,
    typer.Option("--phase", min=1, metavar="N", help="DICOM: which time point, counted from 1."),
]
StraightenOption = Annotated[
    bool,
    typer.Option("--straighten", help="DICOM: resample tilted or unevenly spaced slices."),
]
NanToOption = Annotated[
    float | None,
    typer.Option("--nan-to", metavar="VALUE", help="Replace NaN and infinite voxels by this."),
]


def choice_of(series: str, echo: int | None, phase: int | None, straighten: bool) -> Choice:
    """Return what the options of the same names pick, for `Choice.at(path)`.

    Raises:
        ConfigurationError: E_CELL_SELECTOR where --series is neither a UID nor a number.
    """
    from medgen.dicom.choice import Choice

    series = series.strip()
    plain = series.isascii() and series.replace(".", "").isdigit() and len(series) <= 64
    if series and not plain:
        message = "--series is neither a SeriesInstanceUID nor a SeriesNumber"
        advice = "medgen inspect FOLDER lists the series of a folder"
        raise ConfigurationError(Problem("E_CELL_SELECTOR", message, advice))
    return Choice(series=series, echo=echo, phase=phase, straighten=straighten)


def check_nan_to(value: float | None) -> float | None:
    """Return the value of --nan-to; raises ConfigurationError E_NAN_TO where it is not finite."""
    if value is None or math.isfinite(value):
        return value
    problem = Problem("E_NAN_TO", "--nan-to is not a finite number", "give a number, such as 0")
    raise ConfigurationError(problem)
