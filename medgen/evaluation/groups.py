"""Words of a table that results are grouped by: a lesion's kind or size, a scanner."""

from __future__ import annotations

from collections.abc import Iterable

from medgen.data.rows import Table, lacks
from medgen.problems import ConfigurationError, Problem

MOST_GROUPS = 24
LONGEST = 40
WITHOUT_WORD = "(no word)"
_OF_PATIENTS = ("case", "patient")


def words_of(table: Table, column: str, cases: Iterable[str]) -> dict[str, str]:
    """Return each case's word in a column; `WITHOUT_WORD` where its cell is empty.

    The words end up in a report, so a column that seems to tell patients apart is refused.

    Raises:
        ConfigurationError: E_TABLE_COLUMN, or E_GROUPS where the column names cases, holds more
            than 24 words or one of more than 40 characters.
    """
    if column not in table.columns:
        raise ConfigurationError(lacks(column, table.columns))
    if column in _OF_PATIENTS:
        raise _refuse(f"the column {column} names each case, and groups hold several")
    wanted = set(cases)
    words = {row.case: (row.word(column) or "").strip() for row in table.rows if row.case in wanted}
    distinct = set(words.values())
    if len(distinct) > MOST_GROUPS:
        message = (
            f"the column {column} holds {len(distinct)} different words, at most {MOST_GROUPS}"
        )
        raise _refuse(f"{message} make groups")
    if any(len(word) > LONGEST or not word.isprintable() for word in distinct):
        raise _refuse(
            f"the column {column} holds a text that is no word of up to {LONGEST} letters"
        )
    return {case: word or WITHOUT_WORD for case, word in words.items()}


def _refuse(message: str) -> ConfigurationError:
    advice = "name a column of a few kinds, e.g. the lesion's kind or size"
    return ConfigurationError(Problem("E_GROUPS", message, advice))
