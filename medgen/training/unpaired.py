"""What training without pairs asks of the data: domains to be like, and cases to validate on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from medgen.config import Roles
from medgen.data import Group, Row, Table
from medgen.data.domain import Domain, fit_domain
from medgen.data.groups import cases_of
from medgen.method import Answer, Method
from medgen.runs import MONITOR

DOUBT = f"{MONITOR}doubt"
"""The one that tells which weights are better: lower is."""


def unpaired_answers(method: Method) -> list[Answer]:
    """Return the image answers whose source and target training never sees of one case."""
    answers = method.answers.values()
    return [answer for answer in answers if answer.kind == "image" and not method.pairs(answer)]


def is_unpaired(method: Method) -> bool:
    """Tell whether the first answer is unpaired: the one that is validated."""
    return next(iter(method.answers.values())) in unpaired_answers(method)


def columns_of(roles: Roles, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the roles named, each once; the configuration may lack some roles."""
    named = {"source": roles.source, "target": roles.target, "label": roles.label}
    columns = (column for name in names if (role := named.get(name)) for column in role.columns)
    return tuple(dict.fromkeys(columns))


def measure_domains(
    groups: Sequence[Group], method: Method, report: Callable[[str, int, int], None]
) -> dict[str, Domain]:
    """Measure, by role, the training images that unpaired answers should look like.

    `report` is called with what is measured, how many cases are done, and how many there are.
    """
    domains = {}
    for role in dict.fromkeys(answer.target for answer in unpaired_answers(method)):
        cases = next(group.cases for group in groups if role in group.keys)
        shown = partial(report, f"measuring the {role} images")
        domains[role] = fit_domain(cases, role, on_progress=shown)
    return domains


def answerable(table: Table, rows: Sequence[Row], roles: Roles, method: Method) -> list[Row]:
    """Return the rows that validation answers: of an unpaired method, those of the source's domain.

    The others serve the way back, which is not validated. A paired method's rows are all answered,
    and those that lack an image are refused elsewhere.
    """
    if not is_unpaired(method):
        return list(rows)
    admitted = cases_of(table, roles, ["source"])
    return [row for row in rows if row.case in admitted]


def with_truth(table: Table, rows: Sequence[Row], roles: Roles, method: Method) -> frozenset[str]:
    """Return the cases among the rows whose answers can be scored against their truth."""
    if not is_unpaired(method):
        return frozenset(row.case for row in rows)
    if roles.target is None:
        return frozenset()
    return cases_of(table, roles, ["target"]) & {row.case for row in rows}
