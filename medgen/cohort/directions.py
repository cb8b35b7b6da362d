"""Cases that another of a model's answers would convert: those of its other domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from medgen.config import Role
from medgen.data.table import Row, read_table
from medgen.problems import ConfigurationError, NothingFound
from medgen.runs import Model


def other_directions(model: Model) -> dict[str, Role]:
    """Return, by name, the answers that start from another role's images, and that role."""
    names: dict[str, str] = {}
    for name, answer in model.method.answers.items():
        names.setdefault(answer.source, name)
    del names[model.method.answers[model.answer].source]
    return {name: model.facing(name).config.roles.source for name in names.values()}


def direction_of(row: Row, directions: Mapping[str, Role]) -> str | None:
    """Return which of the directions would convert a row; None where none of them would.

    Its words are those of the role's `where`, and the role's cells are filled; their files, which
    the direction asked for does not read, may be missing.
    """
    for name, role in directions.items():
        admitted = all(row.word(column) == value for column, value in role.where.items())
        if admitted and all(c in row.cells or row.word(c) for c in role.columns):
            return name
    return None


def pointed_at(
    error: ConfigurationError, path: Path, directions: Mapping[str, Role]
) -> ConfigurationError:
    """Return what a table was refused for; where it lacks a column, with the direction that fits.

    A table of the other domain alone need not have the columns of this one.
    """
    if any(problem.code == "E_TABLE_COLUMN" for problem in error.problems):
        for name, role in directions.items():
            try:
                rows = read_table(path, columns=role.columns).rows
            except (ConfigurationError, NothingFound):
                continue
            count = sum(direction_of(row, {name: role}) == name for row in rows)
            if count:
                return ConfigurationError(
                    replace(problem, advice=f"{problem.advice}; {advice({name: count})}")
                    if problem.code == "E_TABLE_COLUMN"
                    else problem
                    for problem in error.problems
                )
    return error


def advice(counts: Mapping[str, int]) -> str:
    """Say which directions convert how many cases of a table."""
    return ", ".join(
        f"--direction {name} converts {count} {'case' if count == 1 else 'cases'} of this table"
        for name, count in counts.items()
    )
