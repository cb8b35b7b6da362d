"""The table of a training: divided into splits, and its files fingerprinted."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.config import Config, Roles
from medgen.data import Row, Table, assign_splits, read_table
from medgen.data.groups import cases_of, cases_read, domains_of
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.training.domains import check_domains, columns_of
from medgen.volumes import digest_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cohort:
    """A table, divided."""

    table: Table
    split: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, Mapping[str, str]]
    """Case -> column -> SHA-256 of the file, for training and validation cases, and for those to
    calibrate on where they are looked at."""

    def rows(self, name: str) -> list[Row]:
        """Return the rows of one split, in the split's order."""
        return [self.table.row(case) for case in self.split[name]]


def read_cohort(
    data: Path, config: Config, *, reads: Sequence[frozenset[str]], calibrates: bool = False
) -> Cohort:
    """Read and divide the table, and fingerprint the files that training will see.

    With `calibrates` those of the split `calibrate` are seen as well, once the weights stand: what
    is measured on them may not be told of them.

    Where the table leaves the splits to us, cases that no group of `reads` can use, since they lack
    an image or the roles' `where` does not admit them, are drawn for none of them: they can be
    neither learned from nor scored. Where there are several groups, every one of them gets its
    share of each split.

    Raises:
        ConfigurationError: the table is refused, or no case is left to train on.
        Refusal: files that cannot be read, all of them.
    """
    columns = config.roles.columns()
    table = read_table(data, columns=columns)
    if not any(row.split for row in table.rows):
        table = _usable(table, cases_read(table, config.roles, reads))
    split = assign_splits(table, config.split, domains=domains_of(table, config.roles, reads))
    if not split["train"]:
        problem = Problem(
            "E_SPLIT_EMPTY", "no case is left for training", "add cases, or lower the split shares"
        )
        raise ConfigurationError(problem)
    check_domains(table, config.roles, reads)
    seen = ("train", "validation", *(("calibrate",) if calibrates else ()))
    rows = [table.row(case) for name in seen for case in split[name]]
    digests: dict[str, dict[str, str]] = {row.case: {} for row in rows}
    unreadable = []
    for row in rows:
        for column in _columns_read(table, row, config.roles, reads):
            if column in row.cells:
                try:
                    digests[row.case][column] = digest_of(row.cells[column])
                except OSError as error:
                    message = f"the file cannot be read ({type(error).__name__})"
                    advice = "check its permissions and the disk"
                    unreadable.append(Problem("E_UNREADABLE", message, advice, row.case, column))
    if unreadable:
        raise Refusal(unreadable)
    return Cohort(table, split, digests)


def _usable(table: Table, usable: Collection[str]) -> Table:
    """Return the table without the rows that no group can use; all of it where none can."""
    rows = tuple(row for row in table.rows if row.case in usable)
    left = len(table.rows) - len(rows)
    if not rows or not left:
        return table
    every = len(table.rows)
    logger.warning(
        "%d of %d cases lack an image that the method needs, or are not asked for: left out",
        left,
        every,
    )
    return replace(table, rows=rows)


def _columns_read(
    table: Table, row: Row, roles: Roles, reads: Sequence[frozenset[str]]
) -> tuple[str, ...]:
    """Return the columns that training looks at in a row; what others hold makes no difference.

    Of several groups only those that take the row count: the labels of a target case may be there,
    and are never read.
    """
    if len(reads) == 1:
        return roles.columns()
    keys = [key for keys in reads if row.case in cases_of(table, roles, keys) for key in keys]
    masks = () if roles.mask == "auto" else (roles.mask,)
    return tuple(dict.fromkeys([*columns_of(roles, sorted(keys)), *masks]))
