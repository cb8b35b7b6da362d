"""What is measured on the training cases and kept in the run, since conversion will need it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from medgen.config import Config
from medgen.data import fit_decoding, fit_statistics
from medgen.data.groups import cases_of, cases_read
from medgen.data.modality import modality_of
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem
from medgen.runs import Statistics, preprocessing_of
from medgen.training.cohort import Cohort
from medgen.training.domains import columns_of, sources_of, unpaired_answers

DOSE_COLUMN = "dose_fraction"
"""The column of words that says which share of the full dose the low-dose image had."""


def measure_statistics(cohort: Cohort, config: Config, method: Method) -> Statistics:
    """Measure on the training cases what conversion will need later.

    An answer's source has been seen, in either direction of a method that has two.
    """
    patients = {
        name: len({cohort.table.row(case).patient for case in cases})
        for name, cases in cohort.split.items()
    }
    counts = {f"{name}_cases": len(cases) for name, cases in cohort.split.items()}
    counts |= {f"{name}_patients": number for name, number in patients.items()}
    roles, table = config.roles, cohort.table
    sources = columns_of(roles, [answer.source for answer in method.answers.values()])
    kind = next(iter(method.answers.values())).kind
    rows, preprocessing = cohort.rows("train"), preprocessing_of(config, {}, kind=kind)
    read = cases_read(table, roles, method.reads)
    for role in sources_of(method) if len(method.reads) > 1 else ():
        group = next(keys for keys in method.reads if role in keys)
        own = cases_of(table, roles, group)
        for name, cases in cohort.split.items():
            counts[f"{name}_{role}_cases"] = len(own.intersection(cases))
    decoded = {}
    for role in dict.fromkeys(answer.target for answer in unpaired_answers(method)):
        own = cases_of(table, roles, [role])
        columns = columns_of(roles, [role])
        decoded[role] = fit_decoding(preprocessing, [r for r in rows if r.case in own], columns)
    seen = source_digests(cohort, cohort.digests, sources)
    learned = source_digests(cohort, (*cohort.split["train"], *cohort.split["validation"]), sources)
    return Statistics(
        cohort=fit_statistics(preprocessing, [row for row in rows if row.case in read]),
        counts=counts,
        dose_fractions=dose_fractions(cohort, config.roles.source.columns),
        seen=seen,
        kept=seen - learned,
        decoded=decoded,
    )


def source_digests(
    cohort: Cohort, cases: Iterable[str], sources: Collection[str]
) -> frozenset[str]:
    """Return the SHA-256 of the cases' files in these columns, of those that were read."""
    return frozenset(
        digest
        for case in cases
        for column, digest in cohort.digests.get(case, {}).items()
        if column in sources
    )


def dose_fractions(cohort: Cohort, sources: Sequence[str]) -> tuple[float, ...]:
    """Return the doses of the training cases' PET sources, each once, where the table has them.

    A column's own doses are in COLUMN_dose_fraction, as `medgen thin` writes them, else in
    `dose_fraction`. Sources that are MR or CT by name have none, whatever the table says of PET.

    Raises:
        ConfigurationError: E_DOSE_FRACTION, listing the cells that are no share of a dose.
    """
    found: set[float] = set()
    problems: dict[Problem, None] = {}
    dosed = _dose_columns(sources, cohort.table.columns)
    for row in cohort.rows("train"):
        for column in (name for source, name in dosed.items() if source in row.cells):
            text = row.word(column) or ""
            if not text:
                continue
            try:
                dose = float(text.replace(",", "."))
            except ValueError:
                dose = math.nan
            if not 0.0 < dose <= 1.0:
                message = "the cell is not a share of the full dose, above 0 and up to 1"
                advice = "write 0.1 for a tenth of the dose, or leave it empty"
                problems[Problem("E_DOSE_FRACTION", message, advice, row.case, column)] = None
            found.add(dose)
    if problems:
        raise ConfigurationError(problems)
    return tuple(sorted(found))


def _dose_columns(sources: Sequence[str], known: Collection[str]) -> dict[str, str]:
    """Return where a table says each PET source's dose; a name that says nothing may be PET's."""
    kinds = {source: modality_of(source) for source in sources}
    kind = "pet" if "pet" in kinds.values() else "other"
    dosed = {}
    for source in (source for source in sources if kinds[source] == kind):
        own = f"{source}_{DOSE_COLUMN}"
        dosed[source] = own if own in known else DOSE_COLUMN
    return dosed
