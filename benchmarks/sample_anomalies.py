"""Sample heads, healthy and not: every method by lesion, beside the trivial ways, and its time.

    python benchmarks/sample_anomalies.py --output sample_anomalies [--methods NAME ...]
    python benchmarks/sample_anomalies.py --output sample_anomalies --table

Methods learn healthy FLAIR by the demo's configuration and are tested on persons with white-matter
lesions and masses of several sizes and contrasts, each with the same head without lesions as a
healthy case. Called again, it goes on; baselines have no seed and run once.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from adaptation_runs import Place
from anomaly_runs import WAYS, Bench
from anomaly_tables import by_group, groups_of, speeds

from medgen.phantom.anomalies import write_anomalies
from medgen.runs import choose_device

SEEDS = (0, 1, 2)


def main() -> None:
    """Make the cohort, run what is missing, and print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), help="0 1 2")
    parser.add_argument("--steps", type=int, help="of each training; the configuration's")
    parser.add_argument("--spacing", type=float, help="mm; the configuration's")
    parser.add_argument("--anomalous", type=int, default=28, help="persons with lesions; 28")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", action="store_true", help="train nothing, show what is there")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    cohort = chosen.output / "cohort"
    if not (cohort / "cases.csv").exists():
        write_anomalies(cohort, anomalous=chosen.anomalous)
    settings = list(chosen.set)
    if chosen.steps:
        validate = max(1, chosen.steps // 4)
        settings += [f"train.steps={chosen.steps}", f"train.validate.every_steps={validate}"]
    if chosen.spacing:
        settings.append(f"preprocessing.spacing_mm={json.dumps([chosen.spacing] * 3)}")
    place = Place(chosen.output, choose_device(chosen.device))
    bench = Bench(place, cohort / "cases.csv", settings)
    for seed in () if chosen.table else chosen.seeds:
        for name in chosen.methods:
            bench.run(name, seed)
    runs = {name: mine for name in WAYS if (mine := place.runs(name))}
    if runs:
        print("\n".join(by_group(runs, groups_of(runs))))
        print("\n".join(["", *speeds(runs, "ano_gan", "f_ano_gan")]))


if __name__ == "__main__":
    main()
