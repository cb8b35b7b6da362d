"""Which cases of a table a group of batch keys can be read from."""

from __future__ import annotations

from collections.abc import Iterable

from medgen.config import Roles
from medgen.data.rows import Table

ROLE_OF = {"source_at_large": "source"}
"""Batch keys that are a role's images under another name."""


def cases_of(table: Table, roles: Roles, keys: Iterable[str]) -> frozenset[str]:
    """Return the cases that fill the columns of the keys' roles, and that their `where` admits."""
    named = {"source": roles.source, "target": roles.target, "label": roles.label}
    found = frozenset(row.case for row in table.rows)
    for role in (role for key in keys if (role := named.get(ROLE_OF.get(key, key)))):
        found &= {row.case for row in table.select(role.where, filled=role.columns)}
    return found


def cases_read(table: Table, roles: Roles, reads: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return the cases that any of the groups can be read from."""
    return frozenset[str]().union(*(cases_of(table, roles, keys) for keys in reads))


def domains_of(
    table: Table, roles: Roles, reads: Iterable[frozenset[str]]
) -> tuple[frozenset[str], ...]:
    """Return the cases of each domain where training reads several groups, else nothing."""
    groups = list(reads)
    return tuple(cases_of(table, roles, keys) for keys in groups) if len(groups) > 1 else ()
