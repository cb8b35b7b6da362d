r"""Trust checks: how often they cry without need, which mishaps they see, and what they cost.

    python benchmarks/trust.py --run RUN --data cases.csv --output trust \
        [--cases 12] [--others t2,flair] [--source-only]

Converts the run's test cases, which it never saw, as they are (every `warn` or `fail` is a false
alarm) and once for each mishap of `trust_mishaps.py` (every `pass` is a miss). --source-only leaves
the network out: what the source alone tells. --others are further columns of the table, each put in
the source's place once. Writes OUTPUT/trust.json and prints the table.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trust_mishaps import MISHAPS, Case, instead

from medgen.conversion import Converter, converter_of
from medgen.data import Row, read_table
from medgen.files import write_json
from medgen.problems import Refusal
from medgen.runs import load_model
from medgen.volumes import open_volume


@dataclass
class Tally:
    """What became of all cases of one mishap."""

    verdicts: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    measures: list[Mapping[str, Any]] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return a row of the table."""
        found = ", ".join(f"{check} {count}" for check, count in self.checks.most_common(5))
        counts = (self.verdicts[word] for word in ("pass", "warn", "fail", "refused"))
        return f"| {name} | {' | '.join(str(count) for count in counts)} | {found} |"


def main() -> None:
    """Convert, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--others", default="")
    parser.add_argument("--source-only", action="store_true")
    options = parser.parse_args()
    model = load_model(options.run, device=torch.device("cpu"))
    others = [name for name in options.others.split(",") if name]
    table = read_table(options.data, columns=(*model.config.roles.columns(), *others))
    mishaps = {**MISHAPS, **{f"{name} in its place": instead(name) for name in others}}
    rows = [table.row(case) for case in model.split["test"]][: options.cases]
    converter = converter_of(model, device=torch.device("cpu"))
    tallies = {name: Tally() for name in mishaps}
    for number, row in enumerate(rows):
        case = _case(row, converter, number, others)
        for name, mishap in mishaps.items():
            _count(tallies[name], converter, mishap(case), source_only=options.source_only)
    print(f"{len(rows)} cases\n")
    print("| what happened | pass | warn | fail | refused | found by |")
    print("|---|---:|---:|---:|---:|---|")
    for name, tally in tallies.items():
        print(tally.line(name))
    _print_cost(converter, rows)
    write_json(options.output / "trust.json", {n: vars(t) for n, t in tallies.items()})


def _case(row: Row, converter: Converter, seed: int, others: Sequence[str]) -> Case:
    (column,) = converter.preprocessing.source_columns
    targets = [name for name in converter.preprocessing.target_columns if name in row.cells]
    ct = open_volume(row.cells[targets[0]]) if targets else None
    more = {name: open_volume(row.cells[name]) for name in others if name in row.cells}
    return Case(open_volume(row.cells[column]), ct, seed, more)


def _count(tally: Tally, converter: Converter, volume: Any, *, source_only: bool) -> None:
    if volume is None:
        return
    (column,) = converter.preprocessing.source_columns
    try:
        ready: Any = converter.ready({column: volume})
        trust = ready.trust
        if not source_only:
            trust = converter.restore(converter.infer(ready)).trust
    except Refusal as error:
        tally.verdicts["refused"] += 1
        tally.checks.update({problem.code for problem in error.problems})
        return
    tally.verdicts[trust.verdict] += 1
    tally.checks.update({found.check for found in trust.findings})
    tally.measures.append(trust.as_json()["measures"])


def _print_cost(converter: Converter, rows: list[Row]) -> None:
    """Print what the checks take beside the rest, of one case; the least of three.

    Of an ensemble or a chain the stages' own checks are not left out.
    """
    (column,) = converter.preprocessing.source_columns
    volumes = {column: open_volume(rows[0].cells[column])}
    found = {"with": [], "without": []}  # type: dict[str, list[float]]
    known = converter.judge, converter.monitor
    start = time.process_time()
    answered = converter.infer(converter.ready(volumes))
    whole = time.process_time() - start
    for _ in range(3):
        for name in found:
            converter.judge, converter.monitor = known if name == "with" else (None, None)
            start = time.process_time()
            converter.ready(volumes)
            converter.restore(answered)
            found[name].append(time.process_time() - start)
    converter.judge, converter.monitor = known
    best = {name: round(float(np.min(seconds)), 3) for name, seconds in found.items()}
    print(f"\nprocessor seconds of preparing and restoring a case: {json.dumps(best)}")
    print(f"of preparing it and answering: {whole:.3f}")


if __name__ == "__main__":
    main()
