"""The scores of an evaluation as tables for a terminal: heads, rows and what is set apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from medgen.metrics import Column, Profile

PEAK = "suv_peak_bias"
MARK = "*"


class Table(NamedTuple):
    """Heads and rows as `Terminal.table` takes them, and lines to stand below."""

    heads: list[str]
    rows: list[list[object]]
    below: tuple[str, ...] = ()


def overall(profile: Profile, scores: Mapping[str, Any]) -> Table:
    """Return the scores of whole cases; a number that only describes them stands below."""
    heads = ["score", "unit", "mean", "95% interval", "sd", "median", "cases"]
    judged = [column for column in profile.overall if column.better is not None]
    below = tuple(
        f"mean {column.name} [{column.unit}]: {_text(scores[column.name]['mean'])} "
        f"(no score: {column.definition})"
        for column in profile.overall
        if column.better is None
    )
    return Table(heads, [_row(column, scores[column.name]) for column in judged], below)


def by_class(profile: Profile, scores: Mapping[str, Any]) -> Table:
    """Return the means of the scores of each class, under their units."""
    judged = [column for column in profile.overall if column.better is not None]
    rows: list[list[object]] = [
        [name, *(scores[f"{column.name}_{name}"]["mean"] for column in judged)]
        for name in profile.classes
    ]
    return _under_units("class", judged, rows)


def by_region(profile: Profile, scores: Mapping[str, Any]) -> Table:
    """Return the means of the scores of each region, under their units.

    SUVpeak is marked where a case's region is smaller than the sphere that it is the mean over.
    """
    from medgen.metrics import PEAK_ML

    rows: list[list[object]] = []
    marked = False
    for region in profile.regions:
        row: list[object] = [region]
        smallest = scores[f"volume_ml_{region}"]["min"]
        for column in profile.regional:
            value = scores[f"{column.name}_{region}"]["mean"]
            if column.name == PEAK and value is not None and smallest < PEAK_ML:
                # Text stands to the left; as wide as its head it stands to the right.
                value, marked = f"{_text(value)}{MARK}".rjust(len(column.name)), True
            row.append(value)
        rows.append(row)
    below = (
        f"{MARK} a region under {PEAK_ML:g} ml, the sphere of SUVpeak: "
        "it says as much of the region's surroundings",
    )
    return _under_units("region", profile.regional, rows, below if marked else ())


def _under_units(
    first: str, columns: Sequence[Column], rows: list[list[object]], below: tuple[str, ...] = ()
) -> Table:
    """Return a table of means whose second line says the units."""
    units: list[object] = ["", *(column.unit for column in columns)]
    return Table([first, *(column.name for column in columns)], [units, *rows], below)


def _row(column: Column, found: Mapping[str, Any]) -> list[object]:
    low, high = found["ci95"]
    interval = f"{low:.4g} to {high:.4g}" if low is not None else ""
    cases = found["cases"]
    if found["infinite"]:
        cases = f"{cases} and {found['infinite']} infinite"
    spread = (found["mean"], interval, found["sd"], found["median"])
    return [column.name, column.unit, *spread, cases]


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
