"""What is trained in `adaptation.py`: the rows of its tables, and the table they learn from.

Every row has the demo's network, steps and patches, and the same split. A row that does not adapt
is the same method without its adversarial term, which then learns nothing of the target.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medgen.config import Config, Split
from medgen.data import Row as Case
from medgen.data import assign_splits, read_table

METHOD = "adapted_segmenter"
BRAIN = "tissue"
"""A column that is above 0 in the brain; what a threshold may look at."""
SHARES = Split(validation=1 / 6, test=1 / 3, seed=0)
"""Of each site's patients; half of them are trained on."""


@dataclass(frozen=True)
class Row:
    """One way to a network for the target, apart from what all share."""

    title: str
    shared: bool = False
    """Whether only the columns that both sites have are fed in."""
    adapted: bool = False
    target_labels: bool = False
    """Whether the target's labels are learned from instead of the source's: the upper bound."""
    intensity: float | None = None
    """Relative gain, offset and gamma jitter of training patches; None: the demo's."""
    scale: str | None = None
    """The scale of every image; None: the demo's."""
    matched: bool = False
    """Whether the source's images have the target's histograms."""
    curve: bool = False
    """Whether the weights of every validation are scored on the target, to judge the choice."""

    def settings(self, config: Config) -> list[str]:
        """Return the overrides that make the demo's configuration this row's."""
        source, target = config.roles.source, config.roles.target
        assert target is not None  # the demo has both
        sites: dict[str, dict[str, Any]] = {
            name: {"columns": list(role.columns), "where": dict(role.where)}
            for name, role in (("source", source), ("target", target))
        }
        if self.shared:
            both = [column for column in source.columns if column in target.columns]
            sites = {name: {**site, "columns": both} for name, site in sites.items()}
        if self.target_labels:
            sites = {"source": sites["target"], "target": sites["source"]}
        found = [f"roles.{name}={json.dumps(site)}" for name, site in sites.items()]
        if not self.adapted:
            found += [
                f"methods.{METHOD}.lambda_adversarial=0",
                "train.validate.best_by={name: dice, mode: max}",
            ]
        if self.intensity is not None:
            found.append(f"train.augment.intensity={self.intensity}")
        if self.scale is not None:
            columns = dict.fromkeys((*source.columns, *target.columns))
            found += [f"intensity.{column}={{scale: {self.scale}}}" for column in columns]
        return found


ADAPTED = "adapted"
SOURCE_ONLY = ("source_only", "source_only_shared")
UPPER_BOUND = "target_labels"
LESS = "without the swapped channel"
ROWS = {
    "source_only": Row("source only"),
    "source_only_shared": Row(f"source only, {LESS}", shared=True),
    ADAPTED: Row("adapted", adapted=True, curve=True),
    "adapted_shared": Row(f"adapted, {LESS}", adapted=True, shared=True, curve=True),
    "intensity": Row("strong intensity augmentation", intensity=0.4),
    "intensity_shared": Row(f"strong intensity, {LESS}", intensity=0.4, shared=True),
    "z_score": Row("z-score", scale="z_score"),
    "z_score_shared": Row(f"z-score, {LESS}", scale="z_score", shared=True),
    "matched": Row("matched histograms", matched=True),
    "matched_shared": Row(f"matched histograms, {LESS}", matched=True, shared=True),
    UPPER_BOUND: Row("trained on target labels", target_labels=True),
}


def columns_of(data: Path, config: Config) -> tuple[str, ...]:
    """Return the columns that roles name, and the brain where the table has it."""
    columns = config.roles.columns()
    header = read_table(data, columns=columns).columns
    return (*columns, *((BRAIN,) if BRAIN in header and BRAIN not in columns else ()))


def divided_table(data: Path, config: Config, folder: Path) -> str:
    """Return a table with the split of every case, drawn once among each site's patients.

    Its cells are relative to `folder`. Other columns than `columns_of` are left out.
    """
    columns = columns_of(data, config)
    table = read_table(data, columns=columns)
    members = [
        {row.case for row in table.select(role.where)}
        for role in (config.roles.source, config.roles.target)
        if role is not None
    ]
    split = assign_splits(table, SHARES, domains=members)
    dealt = {case: name for name, cases in split.items() for case in cases}
    return table_text([replace(row, split=dealt[row.case]) for row in table.rows], columns, folder)


def table_text(rows: Sequence[Case], columns: Sequence[str], folder: Path) -> str:
    """Return rows with a split as CSV text, with cells relative to `folder`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", "site", "split", *columns])
    for row in rows:
        cells = {column: os.path.relpath(path, folder) for column, path in row.cells.items()}
        words = [row.case, row.patient, row.site or "", row.split or ""]
        writer.writerow([*words, *(cells.get(column, "") for column in columns)])
    return text.getvalue()
