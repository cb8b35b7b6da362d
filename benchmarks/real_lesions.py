"""Real lesions, described: from old persons' FLAIR to two patients with MS, adapted and not.

    export MEDGEN_REAL_DATA=...         # the folder that holds t1_flair/ and ms_lesions/
    python benchmarks/real_lesions.py --output real_lesions [--rows ROW ...] [--seeds N ...]
    python benchmarks/real_lesions.py --output real_lesions --table

The source's labels are automatic masks; the two patients' are an expert consensus, and are read
for the scores only. Adaptation learns from the images of the very two that it is scored on, as one
would who has a few scans to label. Two are too few for a mean, so there is none, and too few to
spare one for validation: nothing of the target is diagnosed, no penalty chooses weights, and the
last weights answer in every row. Small enough for one CPU core. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adaptation_runs import LABEL, Place, Scores
from real_lesion_cases import SITE, SOURCE, TARGET, write_cases
from real_lesion_pictures import draw

from medgen.baselines.answering import write_lesions
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.evaluation import evaluate, match_table
from medgen.files import write_json
from medgen.metrics import profile_named
from medgen.problems import Refusal
from medgen.runs import Model, choose_device, config_digest, load_model

CONFIG = Path(__file__).parents[1] / "configs" / "lesion_adaptation_demo.yaml"
METHOD, BRAIN, STEPS, SPACING_MM = "adapted_segmenter", "brain", 600, 2.0
NETWORK = {"name": "unet", "channels": [16, 32, 64], "features": 8, "residual_units": 2}
OPTIONS = {
    "network": NETWORK,
    "discriminator": {"channels": 32, "layers": 2},
    "taps": ["encoder_2", "bottom"],
    "ramp_from": 0.2,
    "ramp_to": 0.6,
    "optimizers": {"segmenter": {"learning_rate": 0.002}},
}
WEIGHT = 0.1
SIDES = {SOURCE: "forward", TARGET: "target"}
SCORES = ("dice", "lesion_f1", "volume_ml", "reference_volume_ml", "reference_lesions")


@dataclass(frozen=True)
class Row:
    """One way from the source to the two patients, apart from what all share."""

    title: str
    columns: tuple[str, ...] = ("flair",)
    adversarial: str | None = None
    """How the network is kept from telling the two origins apart; None: it does not adapt."""
    intensity: float = 0.1
    scale: str = "percentile"

    def settings(self, steps: int) -> list[str]:
        """Return the overrides that make the demo's configuration this row's."""
        sites = {"source": SOURCE, "target": TARGET}
        roles: dict[str, Any] = {
            role: {"columns": list(self.columns), "where": {SITE: site}}
            for role, site in sites.items()
        }
        adapting: dict[str, Any] = {"lambda_adversarial": 0}
        if self.adversarial is not None:
            adapting = {"lambda_adversarial": WEIGHT, "adversarial": self.adversarial}
        values = {
            "roles": {**roles, "label": [LABEL], "mask": BRAIN},
            "intensity": {column: {"scale": self.scale} for column in self.columns},
            "preprocessing.spacing_mm": [SPACING_MM] * 3,
            "method": METHOD,
            "methods": {METHOD: {**OPTIONS, **adapting}},
            "train.steps": steps,
            "train.batch_size": 4,
            "train.patch": [32, 32, 32],
            "train.augment.intensity": self.intensity,
            "train.ema": 0.98,
            "train.validate.every_steps": steps,  # once, at the end
            "train.validate.best_by": {"name": "dice", "mode": "max"},
        }
        return [f"{key}={json.dumps(value)}" for key, value in values.items()]


BOTH = ("flair", "t1")
THRESHOLD = "threshold"
ROWS = {
    "flair": Row("FLAIR"),
    "flair_reversal": Row("FLAIR, adapted by reversal", adversarial="reversal"),
    "flair_confusion": Row("FLAIR, adapted by confusion", adversarial="confusion"),
    "flair_t1": Row("FLAIR + T1", BOTH),
    "flair_t1_reversal": Row("FLAIR + T1, adapted by reversal", BOTH, adversarial="reversal"),
    "flair_t1_confusion": Row("FLAIR + T1, adapted by confusion", BOTH, adversarial="confusion"),
    "flair_intensity": Row("FLAIR, strong intensity augmentation", intensity=0.4),
    "flair_z_score": Row("FLAIR, z-score", scale="z_score"),
    THRESHOLD: Row("a threshold of FLAIR in the brain"),
}


def main() -> None:
    """Make the table, train what is missing, score it, draw, and print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="0")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each training; {STEPS}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", action="store_true", help="train nothing, show what is there")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    table = chosen.output / "cases.csv"
    if not chosen.table:
        place = os.environ.get("MEDGEN_REAL_DATA")
        if not place:
            sys.exit("set MEDGEN_REAL_DATA to the folder that holds t1_flair/ and ms_lesions/")
        write_cases(Path(place), chosen.output)
    bench = Bench(Place(chosen.output, choose_device(chosen.device)), table, chosen)
    for seed in () if chosen.table else chosen.seeds:
        for name in chosen.rows:
            bench.run(name, seed)
    runs = {name: mine for name in ROWS if (mine := bench.place.runs(name))}
    print("\n".join(markdown(runs)), flush=True)
    bench.draw(runs)


class Bench:
    """The rows on one table."""

    def __init__(self, place: Place, table: Path, chosen: argparse.Namespace) -> None:
        self.place, self.table, self.chosen = place, table, chosen
        rows = read_table(table, columns=[LABEL, BRAIN, *BOTH]).rows
        self.images = {row.case: row.cells["flair"] for row in rows if row.site == TARGET}
        self.labels = {case.case: case.cells[LABEL] for case in rows}
        self.train = [r.case for r in rows if r.site == SOURCE and r.split == "train"]
        test = [r.case for r in rows if r.site == SOURCE and r.split == "test"]
        self.sides: dict[str, Sequence[str]] = {SOURCE: test, TARGET: list(self.images)}

    def run(self, name: str, seed: int) -> None:
        """Train one row with one seed, or fit the threshold once, and score both sides."""
        key = f"{name}/seed_{seed}"
        if name == THRESHOLD:
            self.threshold(f"{name}/seed_0")
            return
        config = self.configured(name, seed)
        if self.place.known(key, config):
            return
        _, seconds = self.place.train(config, self.table, key)
        model = load_model(self.place.run(key), device=self.place.device)
        for side, answer in SIDES.items():
            self.convert(model.facing(answer), side, key)
        found = {"config": config_digest(config), "seconds": seconds}
        write_json(self.place.found(key), found | self.scores(key))
        print(f"{key}: {seconds / 60:.1f} minutes", flush=True)

    def configured(self, name: str, seed: int) -> Config:
        """Return the configuration of a row."""
        own = ROWS[name].settings(self.chosen.steps)
        return read_config(CONFIG, [*own, *self.chosen.set, f"train.seed={seed}"])

    def convert(self, model: Model, side: str, key: str) -> None:
        """Answer a side's scored cases."""
        every = cases_of_table(self.table, model)
        cases = [case for case in every if case.name in self.sides[side]]
        answers, options = self.place.answers(key), Options(overwrite=True)
        outcome = convert_cohort(model, cases, answers, device=self.place.device, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)

    def threshold(self, key: str) -> None:
        """Fit the threshold on the source's training cases, and answer both sides."""
        if self.place.found(key).exists():
            return
        split = {"train": self.train, "test": [c for side in self.sides.values() for c in side]}
        labels, answers = {LABEL: (1,)}, self.place.answers(key)
        fitted, folder = write_lesions(
            self.table, split, answers, source="flair", label=LABEL, labels=labels, mask=BRAIN
        )
        found = {"fitted": asdict(fitted), "answers": folder.name}
        write_json(self.place.found(key), found | self.scores(key, folder))

    def scores(self, key: str, answers: Path | None = None) -> dict[str, Scores]:
        """Return the scores of every answered case, by side."""
        matched = match_table(answers or self.place.answers(key), self.table, column=LABEL)
        report = self.place.output / "reports" / key
        results = evaluate(matched, profile_named("segmentation"), report, overwrite=True).results
        found = {
            result.case: {n: x for n in SCORES if not math.isnan(x := result.scores[n])}
            for result in results
        }
        return {side: {case: found[case] for case in self.sides[side]} for side in SIDES}

    def draw(self, runs: Mapping[str, Mapping[int, Any]]) -> None:
        """Draw both patients with the answers of every row's first seed."""
        for case, image in self.images.items() if runs else ():
            answers = {}
            for name, mine in runs.items():
                first = min(mine)
                folder = self.place.answers(f"{name}/seed_{first}") / mine[first].get("answers", "")
                answers[ROWS[name].title] = folder / f"{case}.nii.gz"
            path = self.place.output / "pictures" / f"{case}.png"
            draw(image, self.labels[case], answers, path)
            print(f"look at {path}")


def markdown(runs: Mapping[str, Mapping[int, Any]]) -> Iterator[str]:
    """Yield each seed's scores patient by patient, and beside them the source's test mean."""
    patients = sorted({case for mine in runs.values() for r in mine.values() for case in r[TARGET]})
    heads = [f"{case}: {word}" for case in patients for word in ("Dice", "lesion F1", "ml")]
    heads += ["source: Dice", "lesion F1", "minutes"]
    yield f"| row, seed | {' | '.join(heads)} |"
    yield "|---|" + "---:|" * len(heads)
    for name, mine in runs.items():
        for seed, run in sorted(mine.items()):
            cells = [cell for case in patients for cell in described(run[TARGET][case])]
            for score in ("dice", "lesion_f1"):
                values = [scores[score] for scores in run[SOURCE].values() if score in scores]
                cells.append(f"{statistics.fmean(values):.2f}" if values else "-")
            cells.append(f"{run['seconds'] / 60:.1f}" if "seconds" in run else "-")
            title = ROWS[name].title + ("" if name == THRESHOLD else f", {seed}")
            yield f"| {title} | {' | '.join(cells)} |"
    yield ""
    for case in patients:
        first = next(run[TARGET][case] for mine in runs.values() for run in mine.values())
        lesions = f"{first['reference_lesions']:.0f} lesions"
        yield f"{case}: reference {first['reference_volume_ml']:.1f} ml in {lesions}."


def described(scores: Mapping[str, float]) -> list[str]:
    """Return Dice, lesion F1 and predicted volume of one patient; a dash where undefined."""
    forms = {"dice": ".2f", "lesion_f1": ".2f", "volume_ml": ".1f"}
    return [format(scores[name], form) if name in scores else "-" for name, form in forms.items()]


if __name__ == "__main__":
    main()
