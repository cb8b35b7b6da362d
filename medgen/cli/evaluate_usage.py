"""What can be wrong with the command line of `evaluate` itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from medgen.problems import Problem


def usage_of_evaluate(
    reference: Path | None,
    beside: Mapping[str, Path | None],
    data: Path | None,
    of_table: Mapping[str, str | None],
    nan_to: float | None,
) -> list[Problem]:
    """Return what is wrong with the command line itself; options go by their names."""
    problems = []
    if (reference is None) == (data is None):
        advice = "volumes by --reference, or a table by --data and --column"
        problems.append(Problem("E_USAGE", "give either --reference or --data", advice))
    if data is not None and of_table["column"] is None:
        advice = "name the column of the references, e.g. --column ct"
        problems.append(Problem("E_USAGE", "--data needs --column", advice))
    for name, path in beside.items():
        if data is not None and path is not None:
            option = {"mask": "--mask-column", "regions": "--region-column"}[name]
            message = f"--{name} does not go with --data"
            problems.append(Problem("E_USAGE", message, f"name their column by {option}"))
    for name, value in of_table.items():
        if value is not None and data is None:
            problems.append(Problem("E_USAGE", f"--{name} needs --data", "give a table by --data"))
    if nan_to is not None and not math.isfinite(nan_to):
        problems.append(Problem("E_USAGE", "--nan-to must be a finite number", "e.g. --nan-to 0"))
    return problems


def region_names_of(text: str) -> tuple[dict[str, int], list[Problem]]:
    """Return names with their label values, and what is wrong with them."""
    names: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = (each.strip() for each in part.partition("="))
        if not name or not value.isdecimal() or int(value) == 0:
            fault = f"--region-names: {part!r} is no NAME=VALUE with a whole value above 0"
        elif name in names or int(value) in names.values():
            fault = f"--region-names: {part!r} repeats a name or a value"
        else:
            names[name] = int(value)
            continue
        return {}, [Problem("E_USAGE", fault, "write e.g. --region-names spot=4,grey=2")]
    return names, []
