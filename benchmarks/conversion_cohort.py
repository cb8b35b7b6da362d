"""A folder of volumes for `conversion.py`: each contestant in a process of its own, in turn.

    python benchmarks/conversion_cohort.py --run RUN --input DIR --output DIR

Called itself it is medgen's contestant: the folder is converted in this process, with all that
`medgen convert` does, and the last line printed is JSON: seconds without imports and loading the
weights, and the process's peak memory. The rival is monai_conversion.py.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from medgen.cohort import Options, cases_of_input, convert_cohort
from medgen.runs import choose_device, load_model
from medgen.volumes import open_volume

HERE = Path(__file__).parent
AIR_HU = -900.0


def main() -> None:
    """Convert a folder by medgen and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    device = choose_device(chosen.device)
    model = load_model(chosen.run, device=device)
    cases = cases_of_input(chosen.input, model, output=chosen.output)
    begun = time.perf_counter()
    outcome = convert_cohort(model, cases, chosen.output, device=device, options=Options())
    seconds = time.perf_counter() - begun
    if outcome.count("ok") != len(cases):
        raise SystemExit("a case was not converted")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"cases": len(cases), "seconds": seconds, "peak_gib": peak}))


def measured(
    run: Path, volumes: Path, output: Path, device: str, *, rounds: int
) -> dict[str, dict[str, float]]:
    """Convert a folder by each contestant; return medians by contestant."""
    common = ["--run", str(run), "--input", str(volumes), "--device", device]
    rival = [sys.executable, str(HERE / "monai_conversion.py"), *common]
    commands = {
        "MONAI loop, overlap 0.25": [*rival, "--overlap", "0.25"],
        "MONAI loop, overlap 0.5": [*rival, "--overlap", "0.5"],
        "medgen convert": [sys.executable, str(Path(__file__)), *common],
    }
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    places = {}
    for number in range(rounds):
        for index, (name, command) in enumerate(commands.items()):
            places[name] = output / f"{index}-{number}"
            asked = [*command, "--output", str(places[name])]
            told = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True)
            figures[name].append(json.loads(told.stdout.strip().splitlines()[-1]))
    found = {}
    for name, each in figures.items():
        found[name] = {
            "cases": each[0]["cases"],
            "seconds": statistics.median(one["seconds"] for one in each),
            "peak_gib": max(one["peak_gib"] for one in each),
            **differences(places[name], places["medgen convert"]),
        }
    return found


def differences(first: Path, second: Path) -> dict[str, float]:
    """Return how far the volumes of two folders are apart, where the second does not show air."""
    gaps = []
    for path in sorted(second.glob("*.nii.gz")):
        ours, theirs = open_volume(path).data, open_volume(first / path.name).data
        shown = ours > AIR_HU
        gaps.append(np.abs(ours.astype(np.float32) - theirs)[shown])
    together = np.concatenate(gaps)
    return {
        "mean_difference": float(together.mean()),
        "largest_difference": float(together.max()),
    }


def table(found: dict[str, dict[str, float]]) -> Iterator[str]:
    """Yield a row per contestant."""
    ours = found["medgen convert"]["seconds"]
    told = ["seconds", "of medgen's", "seconds a volume", "peak GiB"]
    told += ["mean difference (HU)", "largest (HU)"]
    cases = int(found["medgen convert"]["cases"])
    yield f"| {cases} volumes | {' | '.join(told)} |"
    yield "|---|" + "---:|" * len(told)
    for name, each in found.items():
        cells: Sequence[str] = (
            f"{each['seconds']:.1f}",
            f"{each['seconds'] / ours:.2f}",
            f"{each['seconds'] / cases:.2f}",
            f"{each['peak_gib']:.2f}",
            f"{each['mean_difference']:.1f}",
            f"{each['largest_difference']:.0f}",
        )
        yield f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
