"""What training on several domains asks of the data: who belongs where, and who is validated."""

from __future__ import annotations

from collections.abc import Sequence

from medgen.config import Roles
from medgen.data import Row, Table
from medgen.data.groups import ROLE_OF, cases_of, cases_read
from medgen.method import Answer, Method
from medgen.problems import ConfigurationError, Problem
from medgen.runs import MONITOR

DOUBT = f"{MONITOR}doubt"
"""The one that tells which weights are better: lower is."""


def unpaired_answers(method: Method) -> list[Answer]:
    """Return the image answers whose source and target training never sees of one case."""
    answers = method.answers.values()
    return [answer for answer in answers if answer.kind == "image" and not method.pairs(answer)]


def sources_of(method: Method) -> tuple[str, ...]:
    """Return the roles that answers start from, each once."""
    return tuple(dict.fromkeys(answer.source for answer in method.answers.values()))


def is_unpaired(method: Method) -> bool:
    """Tell whether the first answer is unpaired: the one that is validated."""
    return next(iter(method.answers.values())) in unpaired_answers(method)


def columns_of(roles: Roles, names: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the roles named, each once; the configuration may lack some roles."""
    named = {"source": roles.source, "target": roles.target, "label": roles.label}
    found = (role for name in names if (role := named.get(ROLE_OF.get(name, name))))
    columns = (column for role in found for column in role.columns)
    return tuple(dict.fromkeys(columns))


def check_domains(table: Table, roles: Roles, reads: Sequence[frozenset[str]]) -> None:
    """Refuse a case that counts as of the domain with labels and as of the one without.

    Whether it is labelled itself makes no difference: unlabelled images of the source stand for
    their domain, too.

    Raises:
        ConfigurationError: E_DOMAINS_OVERLAP.
    """
    others = [keys for keys in reads if "target" in keys and "label" not in keys]
    ours = [keys for keys in reads if keys not in others]
    if not any("label" in keys for keys in ours):
        return
    both = cases_read(table, roles, ours) & cases_read(table, roles, others)
    if both:
        message = f"{len(both)} cases, such as {min(both)}, count as source and as target"
        advice = "say which rows are whose: `{columns: [...], where: {site: ...}}` under both roles"
        raise ConfigurationError(Problem("E_DOMAINS_OVERLAP", message, advice))


def answerable(table: Table, rows: Sequence[Row], roles: Roles, method: Method) -> list[Row]:
    """Return the rows that validation answers: of a method with several domains, its source's.

    Of an unpaired method the others serve the way back, which is not validated; of one that adapts
    to a domain without labels nothing could be scored there. Of a method with one domain all rows
    are answered that `where` admits, and those that lack an image are refused elsewhere.
    """
    first = next(iter(method.answers.values()))
    if is_unpaired(method):
        admitted = cases_of(table, roles, ["source"])
    elif len(method.reads) > 1:
        admitted = cases_of(table, roles, [first.source, first.target])
    else:
        admitted = frozenset(row.case for row in table.select(roles.source.where))
    return [row for row in rows if row.case in admitted]


def scores_anomalies(method: Method) -> bool:
    """Tell whether a method's answers are held against healthy cases, and not against a truth."""
    return next(iter(method.answers.values())).kind == "anomaly"


def healthy(table: Table, rows: Sequence[Row], roles: Roles, method: Method) -> list[Row]:
    """Return the rows, of the split `calibrate`, that a method which scores anomalies measures."""
    if not scores_anomalies(method):
        return []
    admitted = {row.case for row in table.select(roles.source.where)}
    return [row for row in rows if row.case in admitted]


def with_truth(table: Table, rows: Sequence[Row], roles: Roles, method: Method) -> frozenset[str]:
    """Return the cases among the rows whose answers can be scored against their truth."""
    if not is_unpaired(method):
        return frozenset(row.case for row in rows)
    if roles.target is None:
        return frozenset()
    return cases_of(table, roles, ["target"]) & {row.case for row in rows}
