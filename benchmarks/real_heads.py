"""Real MR heads with a CT atlas carried onto them: methods against baselines, head by head.

    python benchmarks/real_heads.py --output real_heads --method conditional_gan [--set KEY=VALUE]

MEDGEN_REAL_DATA names the folder of the data. The 36 heads that have `ct_atlas` are divided
28/4/4 by training's own seeded split; scores are taken inside `ct_mask`. The atlas is no acquired
CT: it was carried onto each MR by registration, so the figures say how well methods learn that
propagation, and nothing of the accuracy on patients. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

from medgen.baselines import write_answers
from medgen.cohort import Options, cases_of_input, cases_of_table, convert_cohort
from medgen.config import Split, read_config
from medgen.data import assign_splits, read_table
from medgen.evaluation import evaluate, match_table
from medgen.files import write_text
from medgen.metrics import PROFILES
from medgen.runs import choose_device, load_model
from medgen.training import prepare_session, train

CONFIG = Path(__file__).parents[1] / "configs" / "mr_to_ct.yaml"
COLUMNS = {"mr": "t1", "ct": "ct_atlas", "ct_mask": "ct_mask"}
TRIVIAL = ("intensity_median", "aligned_median")
OTHERS = 10


def main() -> None:
    """Make the table, train, convert, score, and print the errors per head."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--method", action="append", default=[], help="repeatable; none: baselines")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--others", action="store_true", help="convert ten other heads as well")
    chosen = parser.parse_args()
    heads, output = Path(os.environ["MEDGEN_REAL_DATA"]) / "heads", chosen.output
    data = output / "cases.csv"
    write_text(data, table_of(heads))
    split = assign_splits(read_table(data, columns=list(COLUMNS)), Split())
    for folder in (output / "answers" / name for name in TRIVIAL):
        if not folder.exists():
            write_answers(data, split, folder.parent, source="mr", target="ct", mask="ct_mask")
    for method in chosen.method:
        learn(data, output, [*chosen.set, f"method={method}"], chosen.device)
    names = [folder.name for folder in sorted((output / "answers").iterdir())]
    for name in names:
        matched = match_table(output / "answers" / name, data, column="ct", mask_column="ct_mask")
        evaluate(matched, PROFILES["hu"], output / "reports" / name, overwrite=True)
    print("\n".join(markdown(output / "reports", names)))
    for method in chosen.method if chosen.others else ():
        convert_others(heads, output, method, chosen.device)


def learn(data: Path, output: Path, settings: list[str], device: str) -> None:
    """Train one method and convert the test heads."""
    config = read_config(CONFIG, ["roles.mask=ct_mask", *settings])
    begun = time.monotonic()
    session = prepare_session(config, data=data, cache=output / "cache", device=device)
    run = output / "runs" / config.method
    train(session, run, resume=True)
    print(f"{config.method}: trained in {(time.monotonic() - begun) / 60:.0f} minutes")
    model = load_model(run, device=session.device)
    cases, options = cases_of_table(data, model, split="test"), Options(overwrite=True)
    answers = output / "answers" / config.method
    convert_cohort(model, cases, answers, device=session.device, options=options)


def table_of(heads: Path) -> str:
    """Return the table of the heads that have an atlas."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", *COLUMNS])
    for folder in sorted(heads.iterdir()):
        if (folder / "ct_atlas.nii.gz").exists():
            files = [(folder / f"{name}.nii.gz").resolve() for name in COLUMNS.values()]
            writer.writerow([folder.name, folder.name, *files])
    return stream.getvalue()


def markdown(reports: Path, names: list[str]) -> Iterator[str]:
    """Yield a table of the mean absolute errors: a row per head, a column per method."""
    errors = {name: errors_of(reports / name / "scores.csv") for name in names}
    yield f"| MAE in `ct_mask` (HU) | {' | '.join(errors)} |"
    yield "|---|" + "---:|" * len(errors)
    for case in sorted(errors[TRIVIAL[0]]):
        yield f"| {case} | " + " | ".join(f"{found[case]:.1f}" for found in errors.values()) + " |"
    means = {name: sum(found.values()) / len(found) for name, found in errors.items()}
    yield "| mean | " + " | ".join(f"{mean:.1f}" for mean in means.values()) + " |"
    for trivial in TRIVIAL:
        gains = (f"{1 - mean / means[trivial]:.0%}" for mean in means.values())
        yield f"| below {trivial} | " + " | ".join(gains) + " |"


def errors_of(scores: Path) -> dict[str, float]:
    """Return the mean absolute error of each case."""
    with scores.open(encoding="utf-8", newline="") as stream:
        return {row["case"]: float(row["mae"]) for row in csv.DictReader(stream)}


def convert_others(heads: Path, output: Path, method: str, device: str) -> None:
    """Convert the T1 of heads that have no atlas, which nothing was trained or tested on."""
    place = choose_device(device)
    model = load_model(output / "runs" / method, device=place)
    folders = sorted(f for f in heads.iterdir() if f.is_dir())
    plain = [f for f in folders if not (f / "ct_atlas.nii.gz").exists()][:OTHERS]
    for folder in plain:
        cases = cases_of_input(folder / "t1.nii.gz", model)
        file = output / "others" / f"{folder.name}.nii.gz"
        outcome = convert_cohort(model, cases, file, device=place, options=Options(overwrite=True))
        print(f"{folder.name}: {outcome.results[0].status}")


if __name__ == "__main__":
    main()
