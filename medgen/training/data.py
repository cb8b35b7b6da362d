"""From a divided table to the training's arrays: caches, patch streams, what is examined."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from medgen.config import Config, Roles
from medgen.data import (
    KEYS,
    Batches,
    Cache,
    CachedCase,
    Domain,
    Group,
    Preprocessing,
    Row,
    Usual,
    prepare_cohort,
)
from medgen.data.groups import ROLE_OF, cases_of
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.runs import Statistics
from medgen.training.cohort import Cohort
from medgen.training.domains import (
    answerable,
    columns_of,
    healthy,
    is_unpaired,
)
from medgen.training.usual import domains_among, measure_labels, measure_usual

logger = logging.getLogger(__name__)

Report = Callable[[str, int, int], None]
"""Called with what is being done, how many are done, and how many there are."""


@dataclass(frozen=True)
class Examined:
    """A group of validation cases that the method's diagnosis is shown, and whose they are."""

    group: Group
    patients: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """What a training draws from."""

    batches: Batches
    domains: Mapping[str, Domain]
    """What unpaired answers are held against, by role."""
    usual: Mapping[str, Mapping[str, Usual]]
    """What is usual among the training cases, by role and column."""
    label_ml: Mapping[str, tuple[float, float]]
    """The least and the largest volume of each class in a training case."""
    examined: tuple[Examined, ...] = ()
    trained: tuple[CachedCase, ...] = ()
    """The cases of the first group: what a generative method's samples are held against."""
    held: tuple[CachedCase, ...] = ()
    """Those that validation answers."""

    def told(self, statistics: Statistics) -> Statistics:
        """Return the statistics with what preparing the cases has told."""
        return replace(statistics, domains=self.domains, usual=self.usual, label_ml=self.label_ml)


def prepare_data(
    cohort: Cohort,
    config: Config,
    method: Method,
    preprocessing: Preprocessing,
    cache: Cache,
    report: Report,
) -> Prepared:
    """Prepare (or find in the cache) every training and validation case; make the patch streams.

    Validation converts from the files; its pairs are prepared so that a bad one is refused now, and
    so are the cases that the run will be calibrated on.

    Raises:
        Refusal: with the problems of every case that cannot be used.
    """
    groups, examined = [], []
    problems: dict[Problem, None] = {}
    noted: dict[str, list[CachedCase]] = {}

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
        for case in cases:
            noted.setdefault(case.case, []).append(case)
        return cases

    for keys in method.reads:
        rows = _rows_for(keys, cohort, config)
        groups.append(Group(keys, prepare("preparing training cases", rows, prepared_for(keys))))
    held = cohort.rows("validation")
    rows = answerable(cohort.table, held, config.roles, method)
    problems.update(dict.fromkeys(_unscorable(rows, method, preprocessing)))
    first = next(iter(method.answers.values()))
    wanted = KEYS if first.kind == "image" else frozenset({first.source, first.target})
    checked = prepare("checking validation cases", rows, wanted)
    rows = healthy(cohort.table, cohort.rows("calibrate"), config.roles, method)
    problems.update(dict.fromkeys(_unmeasurable(rows, preprocessing)))
    rows = [row for row in rows if all(column in row.cells for column in preprocessing.given)]
    prepare("checking calibration cases", rows, wanted)
    for keys in method.examines:
        admitted = cases_of(cohort.table, config.roles, keys)
        rows = [row for row in held if row.case in admitted]
        patients = tuple(row.patient.casefold() for row in rows)
        found = prepare("preparing validation cases", rows, prepared_for(keys))
        examined.append(Examined(Group(keys, found), patients))
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
        located=method.located,
    )
    usual = measure_usual(groups, method, preprocessing)
    return Prepared(
        batches,
        domains_among(usual, method),
        usual,
        measure_labels(groups, preprocessing),
        examined=tuple(examined),
        trained=tuple(groups[0].cases),
        held=tuple(checked),
    )


def prepared_for(keys: frozenset[str]) -> frozenset[str]:
    """Return what a group's cases are prepared for.

    A role's images under another name are prepared without the role's labels, though that takes an
    entry of the cache more: a label widens the mask by a rim of air, and leaves voxels out that it
    did not see. Patches centred in that mask would not lie as those of unlabelled cases do, and a
    discriminator would know the domain by it.
    """
    return keys | {ROLE_OF[key] for key in keys if key in ROLE_OF}


def _unscorable(
    rows: Sequence[Row], method: Method, preprocessing: Preprocessing
) -> Iterator[Problem]:
    """Find the validation cases that a `split` column names and whose answer cannot be scored.

    An unpaired method's answers are monitored, with a truth or without.
    """
    if is_unpaired(method):
        return
    kind = next(iter(method.answers.values())).kind
    truths = {
        "image": preprocessing.target_columns[:1],
        "labels": (preprocessing.label_column,),
        "anomaly": preprocessing.given,
    }
    wanted = [column for column in (*preprocessing.inputs, *truths[kind]) if column is not None]
    for row in rows:
        for column in (column for column in wanted if column not in row.cells):
            message = "a validation case lacks an image that scoring its answer needs"
            advice = "fill the cell, or give the case another split"
            yield Problem("E_COLUMN_EMPTY", message, advice, row.case, column)


def _unmeasurable(rows: Sequence[Row], preprocessing: Preprocessing) -> Iterator[Problem]:
    """Find the calibration cases that a `split` column names and that cannot be converted."""
    for row in rows:
        for column in (column for column in preprocessing.given if column not in row.cells):
            message = "a calibration case lacks a column that converting it needs"
            advice = "fill the cell, or give the case another split"
            yield Problem("E_COLUMN_EMPTY", message, advice, row.case, column)


def _tell(cases: Mapping[str, Sequence[CachedCase]]) -> None:
    """Log each case's outline overlaps, and warn once of all that is doubtful in its entries."""
    for name, entries in cases.items():
        overlaps = {c: d for entry in entries for c, d in (entry.overlaps or {}).items()}
        fields = {"case": name, **{c: round(dice, 3) for c, dice in overlaps.items()}}
        logger.info("outline_overlap", extra={"fields": fields})
        for warning in dict.fromkeys(w for entry in entries for w in entry.warnings):
            logger.warning("case %s: %s", name, warning)


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
        where = _where(roles, keys)
        message = f"no training case{where} fills the columns {', '.join(columns)} together"
        advice = "fill the cells, or change roles"
        raise ConfigurationError(Problem("E_GROUP_EMPTY", message, advice))
    return chosen


def _where(roles: Roles, keys: frozenset[str]) -> str:
    """Say which rows the roles of a group admit, where any says so: a word may be misspelt."""
    named = {"source": roles.source, "target": roles.target, "label": roles.label}
    read = [role for key in sorted(keys) if (role := named.get(ROLE_OF.get(key, key)))]
    words = [f"{column} {value}" for role in read for column, value in role.where.items()]
    return f" of {', '.join(dict.fromkeys(words))}" if words else ""
