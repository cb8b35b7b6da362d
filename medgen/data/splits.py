"""Who is trained on and who is kept apart: by patient, seeded, independent of the row order."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping

from medgen.config import Split
from medgen.data.rows import SPLITS, Table
from medgen.problems import ConfigurationError, Problem


def assign_splits(table: Table, split: Split) -> dict[str, tuple[str, ...]]:
    """Return the case ids of train, validation, test and calibrate, in the table's order.

    A `split` column decides alone. Otherwise patients are ordered by a hash of seed and id, so
    that neither the order of rows nor the other patients move anyone, and dealt by the shares.

    Raises:
        ConfigurationError: E_SPLIT_TOO_FEW where a non-zero share would get no patient.
    """
    if any(row.split for row in table.rows):
        chosen = {row.case: row.split for row in table.rows}
    else:
        dealt = _deal(sorted({row.patient.casefold() for row in table.rows}), split)
        chosen = {row.case: dealt[row.patient.casefold()] for row in table.rows}
    cases: dict[str, list[str]] = defaultdict(list)
    for row in table.rows:
        cases[chosen[row.case] or ""].append(row.case)
    return {name: tuple(cases[name]) for name in SPLITS}


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
    shares = {"test": split.test, "validation": split.validation, "calibrate": split.calibrate}
    shares = {name: share for name, share in shares.items() if share > 0}
    if patients <= len(shares):
        message = f"{patients} patients cannot fill train and {', '.join(shares) or 'nothing else'}"
        advice = "add patients, set a share to 0, or add a split column"
        raise ConfigurationError(Problem("E_SPLIT_TOO_FEW", message, advice))
    counts = {name: max(1, math.floor(s * patients + 0.5)) for name, s in shares.items()}
    while sum(counts.values()) >= patients:
        counts[max(counts, key=lambda name: counts[name])] -= 1
    return {**counts, "train": patients - sum(counts.values())}
