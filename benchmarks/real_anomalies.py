"""Real heads, healthy and not: what methods that learn the healthy ones say of lesions in T1.

    export MEDGEN_REAL_DATA=...         # the folder that holds heads/ and ms_lesions/
    python benchmarks/real_anomalies.py --output real_anomalies [--methods NAME ...] [--seeds N ...]
    python benchmarks/real_anomalies.py --output real_anomalies --table

Which heads are learned from, calibrated on and tested is in `real_anomaly_cases.py`, how lesions
were painted into ten of them in `painted_lesions.py`, which also says what is not realistic about
them. Each painted head is compared with itself unpainted, so nothing but lesions tells them apart.
The two patients with MS are apart in every table: their scanner and their skull-stripping differ
from the healthy heads' too, so that their case scores say little about lesions. Lesions
are dark in T1, so only residuals below what is expected count, unless told otherwise by
`--set convert.anomaly.direction=both`. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adaptation_runs import Place
from anomaly_runs import WAYS, Bench, Runs
from anomaly_tables import by_case, by_load, by_seed, speeds
from real_anomaly_cases import BRAIN, ENDING, IMAGE, MS, PAINTED, write_cases
from real_anomaly_pictures import draw_answers, draw_cases

from medgen.runs import choose_device

STEPS, SPACING_MM, PATCH = 4000, 3.0, 32
SHOWN = 3
"""Painted heads on the page of maps: of the least, the middle and the highest load."""


def main() -> None:
    """Make the cohort, run what is missing, draw, and print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="0")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each training; {STEPS}")
    parser.add_argument("--spacing", type=float, default=SPACING_MM, help=f"mm; {SPACING_MM:g}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cases", action="store_true", help="make and draw the cohort, no more")
    parser.add_argument("--table", action="store_true", help="train nothing, show what is there")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    cohort = chosen.output / "cohort"
    if not (cohort / "cases.csv").exists():
        place = os.environ.get("MEDGEN_REAL_DATA")
        if not place:
            sys.exit("set MEDGEN_REAL_DATA to the folder that holds heads/ and ms_lesions/")
        write_cases(Path(place), cohort)
    settings = [*shared(chosen.steps, chosen.spacing), *chosen.set]
    bench = Bench(
        Place(chosen.output, choose_device(chosen.device)), cohort / "cases.csv", settings
    )
    draw_cohort(bench, cohort)
    for seed in () if chosen.table or chosen.cases else chosen.seeds:
        for name in chosen.methods:
            bench.run(name, seed)
    runs = {name: mine for name in WAYS if (mine := bench.place.runs(name))}
    if runs:
        print("\n".join(markdown(runs)), flush=True)
        draw_maps(bench, cohort, runs)


def shared(steps: int, spacing_mm: float) -> list[str]:
    """Return the overrides that make the demo's configuration this benchmark's."""
    values: dict[str, Any] = {
        "roles": {"source": [IMAGE], "mask": BRAIN},
        "intensity": {IMAGE: {"scale": "percentile", "low": 0.5, "high": 99.5}},
        "preprocessing.spacing_mm": [spacing_mm] * 3,
        "train.patch": [PATCH] * 3,
        "train.steps": steps,
        "train.validate.every_steps": max(1, steps // 2),
        "convert.anomaly.direction": "negative",
    }
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def markdown(runs: Runs) -> Iterator[str]:
    """Yield the painted heads against themselves unpainted, then the two patients."""
    cases = next(iter(next(iter(runs.values())).values()))["cases"]
    patients = sorted(name for name, case in cases.items() if case["group"] == MS)
    yield "Painted heads against the same unpainted:"
    yield ""
    yield from by_seed(runs, PAINTED)
    yield ""
    yield from by_load(runs, PAINTED)
    yield ""
    yield from speeds(runs, "ano_gan", "f_ano_gan")
    yield ""
    yield "Patients with MS:"
    yield ""
    yield from by_case(runs, patients)
    for patient in patients:
        yield ""
        yield f"{patient}: {cases[patient]['lesion_ml']:.1f} ml of lesions."


def draw_cohort(bench: Bench, cohort: Path) -> None:
    """Draw every painted head beside itself, and the patients' real lesions below them."""
    path = bench.place.output / "pictures" / "cohort.png"
    if not path.exists():
        groups = {row.case: row.word("group") for row in bench.rows}
        painted, real = ([c for c, g in groups.items() if g == kind] for kind in (PAINTED, MS))
        draw_cases(cohort, painted, real, path)
    print(f"look at {path}, and read {cohort / 'contrasts.md'}")


def draw_maps(bench: Bench, cohort: Path, runs: Runs) -> None:
    """Draw the maps of every way, first seed: some painted heads, one unpainted, the patients."""
    cases = next(iter(next(iter(runs.values())).values()))["cases"]
    painted = sorted(
        (name for name in cases if cases[name]["group"] == PAINTED),
        key=lambda name: float(cases[name]["lesion_ml"]),
    )
    some = [painted[round(k * (len(painted) - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    some += [some[-1].removesuffix(ENDING)]
    some += [name for name in cases if cases[name]["group"] == MS]
    maps: dict[str, dict[str, Path]] = {case: {} for case in some}
    for name, mine in runs.items():
        folder = bench.place.output / mine[min(mine)]["answers"]
        for case in some:
            maps[case][WAYS[name].title] = folder / f"{case}.nii.gz"
    path = bench.place.output / "pictures" / "maps.png"
    draw_answers(cohort, maps, path)
    print(f"look at {path}")


if __name__ == "__main__":
    main()
