"""Real T1 to FLAIR: register, train the methods by their pipeline, and score them head by head.

    export MEDGEN_REAL_DATA=...           # the folder that holds t1_flair/
    python benchmarks/real_flair.py --output real_flair                 # table and registration
    python benchmarks/real_flair.py --output real_flair --method regression --method ea_gan

The 18 persons are divided 12/2/4 by a seeded draw before anything is registered, and written to a
`split` column. FLAIR is carried onto the T1 by `medgen prepare` (rigid); errors are taken inside
the brain mask that came with the data. Small enough for one CPU core. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from medgen.files import write_text
from medgen.preparation import Outcome, Request, prepare_table
from medgen.volumes import open_volume

CHECKOUT = Path(__file__).parents[1]
CONFIG, PIPELINE = (
    CHECKOUT / "configs" / "cross_modality_mr.yaml",
    CHECKOUT / "pipelines" / "cross_modality_mr.py",
)
FILES = {"t1": "t1.nii.gz", "flair": "flair.nii.gz", "brain": "brain_on_t1.nii.gz"}
TEST, VALIDATION, SEED = 4, 2, 0
TRIVIAL = "intensity_median"
SCORES = {"mae": ".2f", "nrmse": ".4f", "psnr": ".2f", "ssim": ".4f"}
UNET = {"name": "unet", "channels": [16, 32, 64, 128, 128], "features": 8, "residual_units": 2}
FAST = {"optimizers": {"generator": {"learning_rate": 0.002}}}
JUDGE = {"name": "patch_discriminator", "channels": 8, "layers": 3}


def main() -> None:
    """Make the table and the configuration, register, train, and print the errors per head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--method", action="append", default=[], help="repeatable; none: no train")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    place = os.environ.get("MEDGEN_REAL_DATA")
    if not place:
        sys.exit("set MEDGEN_REAL_DATA to the folder that holds t1_flair/")
    output: Path = chosen.output
    write_text(output / "cases.csv", table_of(Path(place) / "t1_flair", output))
    write_text(output / "t1_to_flair.yaml", configuration())
    show(register(output), output / "prepared")
    command = [sys.executable, str(PIPELINE), "--output", str(output / "learned")]
    command += ["--data", str(output / "prepared" / "cases.csv")]
    command += ["--config", str(output / "t1_to_flair.yaml"), "--device", chosen.device]
    for option, values in (("--method", chosen.method), ("--set", chosen.set)):
        command += [part for value in values for part in (option, value)]
    if not chosen.method:
        print(f"now the same with --method, or: {' '.join(command[1:])}")
        return
    subprocess.run(command, check=True)
    print("\n".join(markdown(output / "learned" / "reports", [TRIVIAL, *chosen.method])))


def table_of(folder: Path, output: Path) -> str:
    """Return the table of all persons, each with the split that the seeded draw gives."""
    names = sorted(path.name for path in folder.glob("subject*"))
    drawn = random.Random(SEED).sample(names, len(names))
    split = dict.fromkeys(names, "train") | dict.fromkeys(drawn[:TEST], "test")
    split |= dict.fromkeys(drawn[TEST : TEST + VALIDATION], "validation")
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", "split", *FILES])
    for name in names:
        paths = [os.path.relpath(folder / name / file, output) for file in FILES.values()]
        writer.writerow([name, name, split[name], *paths])
    return stream.getvalue()


def configuration() -> str:
    """Return the shipped configuration for these columns, with the demo's small networks."""
    raw = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    raw["roles"] |= {"target": ["flair_on_t1"], "mask": "brain"}
    raw["intensity"]["flair_on_t1"] = raw["intensity"].pop("flair")
    raw["methods"] = {
        "regression": {"generator": UNET, **FAST},
        "conditional_gan": {"generator": UNET, "discriminator": JUDGE, **FAST},
        "ea_gan": {"generator": UNET, "discriminator": JUDGE, **FAST},
    }
    raw["train"] |= {"steps": 1000, "patch": [64, 64, 64], "decay_from": 0.4, "ema": 0.98}
    raw["train"]["validate"] |= {"every_steps": 500}
    return yaml.safe_dump(json.loads(json.dumps(raw)), sort_keys=False)  # no aliases


def register(output: Path) -> Outcome:
    """Carry each FLAIR onto its T1, and tell how long it took."""
    request = Request(fixed="t1", moving=("flair",), carry={"brain": "t1"})
    begun = time.monotonic()
    outcome = prepare_table(output / "cases.csv", request, output / "prepared")
    seconds = time.monotonic() - begun
    print(f"{len(outcome.records)} cases, {len(outcome.kept)} kept: {seconds:.0f} s")
    return outcome


def show(outcome: Outcome, folder: Path) -> None:
    """Print what became of each registration, and how bright each FLAIR is, as a table."""
    print("| case | verdict | moved (mm) | turned (degrees) | edges (mm) | brightness | why |")
    print("|---|---|---:|---:|---:|---:|---|")
    for record in outcome.records:
        for result in record.results:
            if result.kind == "moved":
                moved, turned = (result.numbers[k] for k in ("moved_mm", "turned_degrees"))
                edges = result.after.get("edge_distance_mm") or float("nan")
                why = "; ".join(result.reasons)
                print(
                    f"| {record.case} | {result.verdict} | {moved:.1f} | {turned:.1f} "
                    f"| {edges:.2f} | {brightness(folder / record.case):.0f} | {why} |"
                )


def brightness(folder: Path) -> float:
    """Return the median FLAIR in the brain, of which the T1 says nothing: the scanner's gain."""
    flair, brain = (
        open_volume(folder / f"{name}.nii.gz").data for name in ("flair_on_t1", "brain")
    )
    return float(np.median(flair[brain > 0]))


def markdown(reports: Path, names: list[str]) -> Iterator[str]:
    """Yield a table of the errors per head, and one of each method's mean scores."""
    scores = {name: scores_of(reports / name / "mr" / "scores.csv") for name in names}
    yield f"| MAE in the brain | {' | '.join(names)} |"
    yield "|---|" + "---:|" * len(names)
    for case in sorted(scores[TRIVIAL]):
        cells = (f"{found[case]['mae']:.2f}" for found in scores.values())
        yield f"| {case} | " + " | ".join(cells) + " |"
    yield ""
    yield f"| mean | {' | '.join(SCORES)} | below {TRIVIAL} |"
    yield "|---|" + "---:|" * (len(SCORES) + 1)
    trivial = mean_of(scores[TRIVIAL], "mae")
    for name, found in scores.items():
        means = (format(mean_of(found, score), form) for score, form in SCORES.items())
        yield f"| {name} | {' | '.join(means)} | {1 - mean_of(found, 'mae') / trivial:.0%} |"


def scores_of(file: Path) -> dict[str, dict[str, float]]:
    """Return each case's scores by name."""
    with file.open(encoding="utf-8", newline="") as stream:
        return {
            row["case"]: {score: float(row[score]) for score in SCORES}
            for row in csv.DictReader(stream)
        }


def mean_of(found: dict[str, dict[str, float]], score: str) -> float:
    """Return the mean of a score over cases."""
    return sum(scores[score] for scores in found.values()) / len(found)


if __name__ == "__main__":
    main()
