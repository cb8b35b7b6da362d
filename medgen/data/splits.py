"""Who is trained on and who is kept apart: by patient, seeded, independent of the row order."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from medgen.config import Split
from medgen.data.rows import SPLITS, Table
from medgen.problems import ConfigurationError, Problem


def assign_splits(
    table: Table, split: Split, *, domains: Sequence[Collection[str]] = ()
) -> dict[str, tuple[str, ...]]:
    """Return the case ids of train, validation, test and calibrate, in the table's order.

    A `split` column decides alone. Otherwise patients are ordered by a hash of seed and id, so
    that neither the order of rows nor the other patients move anyone, and dealt by the shares.

    `domains` are the case ids of each domain of an unpaired training. Patients are then dealt
    among those who have cases of the same domains, so that no split gets one domain alone by
    chance; of a domain with too few patients to be divided, all are trained on.

    Raises:
        ConfigurationError: E_SPLIT_TOO_FEW where a non-zero share would get no patient.
    """
    if any(row.split for row in table.rows):
        chosen = {row.case: row.split for row in table.rows}
    else:
        dealt: dict[str, str] = {}
        strata = _strata(table, domains)
        whole = [group for group in strata if len(group) <= len(_shares(split))]
        if len(whole) == len(strata):  # none can be divided: dealt together, or refused together
            strata, whole = [sorted(patient for group in strata for patient in group)], []
        for patients in strata:
            few = patients in whole
            dealt |= dict.fromkeys(patients, "train") if few else _deal(patients, split)
        chosen = {row.case: dealt[row.patient.casefold()] for row in table.rows}
    cases: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        cases[chosen[row.case] or ""].append(row.case)
    return {name: tuple(cases[name]) for name in SPLITS}


def _strata(table: Table, domains: Sequence[Collection[str]]) -> list[list[str]]:
    """Return the patients, sorted, in groups that have cases of the same domains."""
    having: dict[str, set[int]] = defaultdict(set)
    for row in table.rows:
        having[row.patient.casefold()] |= {i for i, d in enumerate(domains) if row.case in d}
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for patient in sorted(having):
        groups[tuple(sorted(having[patient]))].append(patient)
    return [groups[key] for key in sorted(groups)]


def _shares(split: Split) -> dict[str, float]:
    """Return the shares that are not zero, in the order in which they are dealt."""
    shares = {"test": split.test, "validation": split.validation, "calibrate": split.calibrate}
    return {name: share for name, share in shares.items() if share > 0}


def _deal(patients: list[str], split: Split) -> dict[str, str]:
    """Return the split of each patient."""
    order = sorted(patients, key=lambda patient: _rank(split.seed, patient))
    dealt = {}
    start = 0
    for name, count in _counts(len(patients), split).items():
        dealt.update(dict.fromkeys(order[start : start + count], name))
        start += count
    return dealt


def _rank(seed: int, patient: str) -> str:
    return hashlib.sha256(f"{seed}\n{patient}".encode()).hexdigest()


def _counts(patients: int, split: Split) -> Mapping[str, int]:
    """Round each share to whole patients, at least one; the rest is trained on."""
    shares = _shares(split)
    if patients <= len(shares):
        message = f"{patients} patients cannot fill train and {', '.join(shares) or 'nothing else'}"
        advice = "add patients, set a share to 0, or add a split column"
        raise ConfigurationError(Problem("E_SPLIT_TOO_FEW", message, advice))
    counts = {name: max(1, math.floor(s * patients + 0.5)) for name, s in shares.items()}
    while sum(counts.values()) >= patients:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return {**counts, "train": patients - sum(counts.values())}
