"""From a table to the training's cases: splits, statistics, caches, patch streams."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.config import Config
from medgen.data import (
    KEYS,
    Batches,
    Cache,
    CachedCase,
    Group,
    Preprocessing,
    Row,
    Table,
    assign_splits,
    fit_decoding,
    fit_statistics,
    prepare_cohort,
    read_table,
)
from medgen.data.domain import Domain
from medgen.data.groups import cases_of, cases_read, domains_of
from medgen.data.modality import modality_of
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.runs import Statistics, preprocessing_of
from medgen.training.unpaired import (
    answerable,
    columns_of,
    is_unpaired,
    measure_domains,
    unpaired_answers,
)
from medgen.volumes import digest_of

DOSE_COLUMN = "dose_fraction"
"""The column of words that says which share of the full dose the low-dose image had."""

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True)
class Cohort:
    """A table, divided."""

    table: Table
    split: Mapping[str, tuple[str, ...]]
    digests: Mapping[str, Mapping[str, str]]
    """Case -> column -> SHA-256 of the file, for training and validation cases."""

    def rows(self, name: str) -> list[Row]:
        """Return the rows of one split, in the split's order."""
        return [self.table.row(case) for case in self.split[name]]


def read_cohort(data: Path, config: Config, *, reads: Sequence[frozenset[str]]) -> Cohort:
    """Read and divide the table, and fingerprint the files that training will see.

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
    rows = [table.row(case) for name in ("train", "validation") for case in split[name]]
    digests: dict[str, dict[str, str]] = {row.case: {} for row in rows}
    unreadable = []
    for row in rows:
        for column in columns:
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
    rows, preprocessing = cohort.rows("train"), preprocessing_of(config, {})
    read = cases_read(table, roles, method.reads)
    decoded = {}
    for role in dict.fromkeys(answer.target for answer in unpaired_answers(method)):
        own = cases_of(table, roles, [role])
        for name, cases in cohort.split.items():
            counts[f"{name}_{role}_cases"] = len(own.intersection(cases))
        columns = columns_of(roles, [role])
        decoded[role] = fit_decoding(preprocessing, [r for r in rows if r.case in own], columns)
    return Statistics(
        cohort=fit_statistics(preprocessing, [row for row in rows if row.case in read]),
        counts=counts,
        dose_fractions=dose_fractions(cohort, config.roles.source.columns),
        seen=frozenset(
            digest
            for digests in cohort.digests.values()
            for column, digest in digests.items()
            if column in sources
        ),
        decoded=decoded,
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


def prepare_data(
    cohort: Cohort,
    config: Config,
    method: Method,
    preprocessing: Preprocessing,
    cache: Cache,
    report: Report,
) -> tuple[Batches, dict[str, Domain]]:
    """Prepare (or find in the cache) every training and validation case; make the patch streams.

    Validation converts from the files; its pairs are prepared so that a bad one is refused now.
    The domains that unpaired answers are held against come along, by role.

    Raises:
        Refusal: with the problems of every case that cannot be used.
    """
    groups = []
    problems: dict[Problem, None] = {}
    noted: dict[str, CachedCase] = {}

    def prepare(what: str, rows: list[Row], keys: frozenset[str] = KEYS) -> list[CachedCase]:
        try:
            cases = prepare_cohort(
                rows,
                preprocessing,
                cache,
                on_progress=lambda done, total: report(what, done, total),
                keys=keys,
            )
        except Refusal as error:
            problems.update(dict.fromkeys(error.problems))
            return []
        noted.update({case.case: case for case in cases})
        return cases

    for keys in method.reads:
        rows = _rows_for(keys, cohort, config)
        groups.append(Group(keys, prepare("preparing training cases", rows, keys)))
    rows = answerable(cohort.table, cohort.rows("validation"), config.roles, method)
    problems.update(dict.fromkeys(_unscorable(rows, method, preprocessing)))
    prepare("checking validation cases", rows)
    if problems:
        raise Refusal(problems)
    _tell(noted)
    train = config.train
    batches = Batches(
        groups,
        patch=train.patch,
        margin=method.margin,
        batch_size=train.batch_size,
        inside_mask=train.inside_mask,
        foreground=train.foreground,
        augment=train.augment,
        seed=train.seed,
    )
    return batches, measure_domains(groups, method, report)


def _unscorable(
    rows: Sequence[Row], method: Method, preprocessing: Preprocessing
) -> Iterator[Problem]:
    """Find the validation cases that a `split` column names and whose answer cannot be scored.

    An unpaired method's answers are monitored, with a truth or without.
    """
    if is_unpaired(method):
        return
    labels = next(iter(method.answers.values())).kind == "labels"
    truth = (preprocessing.label_column,) if labels else preprocessing.target_columns[:1]
    wanted = [column for column in (*preprocessing.inputs, *truth) if column is not None]
    for row in rows:
        for column in (column for column in wanted if column not in row.cells):
            message = "a validation case lacks an image that scoring its answer needs"
            advice = "fill the cell, or give the case another split"
            yield Problem("E_COLUMN_EMPTY", message, advice, row.case, column)


def _tell(cases: Mapping[str, CachedCase]) -> None:
    """Log each case's outline overlaps, and warn of what is doubtful in it."""
    for case in cases.values():
        fields = {
            "case": case.case,
            **{c: round(dice, 3) for c, dice in (case.overlaps or {}).items()},
        }
        logger.info("outline_overlap", extra={"fields": fields})
        for warning in case.warnings:
            logger.warning("case %s: %s", case.case, warning)


def _rows_for(keys: frozenset[str], cohort: Cohort, config: Config) -> list[Row]:
    """Return the training rows whose cells fill the group's roles and that their `where` admits.

    Raises:
        ConfigurationError: no row does.
    """
    roles = config.roles
    beside = [config.fed_column] if config.fed_column and "source" in keys else []
    beside += [roles.mask] if "mask" in keys and roles.mask != "auto" else []
    admitted = cases_of(cohort.table, roles, keys)
    chosen = [
        row
        for row in cohort.rows("train")
        if row.case in admitted and all(column in row.cells for column in beside)
    ]
    if not chosen:
        columns = [*columns_of(roles, sorted(keys)), *beside]
        problem = Problem(
            "E_GROUP_EMPTY",
            f"no training case fills the columns {', '.join(columns)} together",
            "fill the cells, or change roles",
        )
        raise ConfigurationError(problem)
    return chosen
