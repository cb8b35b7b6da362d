"""Real T1 heads and CTs of other people: CycleGAN where no pair exists, as it comes.

    export MEDGEN_REAL_DATA=...         # the folder that holds heads/ and ct_heads/
    python benchmarks/real_unpaired.py --output real_unpaired [--steps N] [--only two_ct|atlas]

`atlas`: T1 of 18 heads and `ct_atlas` of 18 others; the 18 heads that are left, in neither domain,
are the test. Beside it a GAN of as many steps that sees the T1 of those 18 CT heads too, the
median by intensity fitted on the same pairs, and water. `two_ct`: the same T1 heads and two
acquired CTs. Two are too few for quality: it shows what a user would be told of such a run.

`ct_atlas` is no acquired CT: the average CT of a template was carried onto each T1 by registration.
Errors against it, in `ct_mask`, say how near answers come to that, and nothing of patients.

Heads are cut alike in both domains (see comparable_heads.py), so that no border gives a domain
away. 6 further T1 heads choose the weights by `monitor.doubt`. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from comparable_heads import (
    AIR_HU,
    COLUMNS,
    HOUNSFIELD,
    Files,
    cut_around_brain,
    cut_at_vertex,
    divided,
    paired_text,
    prepare_ct,
    unpaired_text,
)

from medgen.baselines import IntensityMedian, open_pair
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.conversion import sidecar_of
from medgen.data import body_mask, read_table
from medgen.evaluation import evaluate, match_table
from medgen.evaluation.statistics import interval
from medgen.files import write_bytes, write_json, write_text
from medgen.metrics import profile_named
from medgen.problems import Refusal
from medgen.report import Panel, preview, to_ras
from medgen.runs import choose_device, load_model
from medgen.training import train_table
from medgen.volumes import Volume, open_volume, write_volume

CONFIG = Path(__file__).parents[1] / "configs" / "unpaired_mr_to_ct_demo.yaml"
UNPAIRED, PAIRED, MEDIAN, WATER = "cycle_gan", "conditional_gan", "intensity_median", "water"
PROFILE, SCORES = "synthrad2023", {"mae": 1, "psnr": 2, "ssim": 4}
VERDICT = {"contrast": 2, "histogram_distance": 1, "outline_dice": 3, "doubt": 2}
CT_SCALE = {"scale": "window", "low": -1024, "high": 3000, "unit": "HU", "background": -1024}


@dataclass(frozen=True)
class Experiment:
    """A table, and what is trained on it and called how."""

    name: str
    target: str
    methods: tuple[str, ...]


EXPERIMENTS = {
    "atlas": Experiment("atlas", "ct_atlas", (UNPAIRED, PAIRED, MEDIAN, WATER)),
    "two_ct": Experiment("two_ct", "ct", (UNPAIRED, WATER)),
}


def main() -> None:
    """Prepare the heads, train what is missing, convert, score, draw, and print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500, help="of each training; 500")
    parser.add_argument("--only", choices=list(EXPERIMENTS), help="one experiment; both")
    parser.add_argument("--prepare", action="store_true", help="prepare and draw the heads only")
    parser.add_argument("--pictures", type=int, default=4, help="test heads to draw; 4")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    place = os.environ.get("MEDGEN_REAL_DATA")
    if not place:
        sys.exit("set MEDGEN_REAL_DATA to the folder that holds heads/ and ct_heads/")
    for name in [chosen.only] if chosen.only else EXPERIMENTS:
        bench = Bench(EXPERIMENTS[name], chosen, Path(place))
        if not chosen.prepare:
            for method in bench.experiment.methods:
                bench.run(method)
            print("\n".join(bench.markdown()), flush=True)
        bench.draw(chosen.pictures)


class Bench:
    """One experiment: its heads, its tables, its answers."""

    def __init__(self, experiment: Experiment, chosen: argparse.Namespace, data: Path) -> None:
        self.experiment, self.chosen = experiment, chosen
        self.output: Path = chosen.output / experiment.name
        self.device = choose_device(chosen.device)
        settings = {"steps": chosen.steps, "set": chosen.set}
        noted = self.output / "settings.json"
        if noted.exists() and json.loads(noted.read_text()) != settings:
            sys.exit(f"{noted} holds {noted.read_text()}: give the same, or another --output")
        write_json(noted, settings)
        self.split = divided(data / "heads")
        heads = {name: self.head(data / "heads" / name) for name in self.split}
        cts: dict[str, Files] = {}
        if experiment.name == "two_ct":
            for file in sorted((data / "ct_heads").glob("*.nii.gz")):
                name = file.name.removesuffix(".nii.gz")
                folder = self.output / "heads" / name
                found = {"ct": folder / "ct.nii.gz"}
                cts[name] = found if found["ct"].exists() else prepare_ct(file, folder)
        self.table, self.pairs = self.output / "unpaired.csv", self.output / "paired.csv"
        write_text(self.table, unpaired_text(self.split, heads, cts, self.output))
        write_text(self.pairs, paired_text(self.split, heads, self.output))

    def head(self, folder: Path) -> Files:
        """Return a head's prepared files by column, cut as this experiment wants it."""
        output = self.output / "heads" / folder.name
        known = {name: output / f"{name}.nii.gz" for name in COLUMNS}
        has_atlas = (folder / "ct_atlas.nii.gz").exists()
        wanted = ("t1", "ct_atlas", "ct_mask") if has_atlas else ("t1",)
        if all(known[name].exists() for name in wanted):
            return {name: known[name] for name in wanted}
        cut = cut_around_brain if self.experiment.name == "atlas" else cut_at_vertex
        return cut(folder, output)

    def run(self, method: str) -> None:
        """Answer the test heads by one method, which is trained where it has to be."""
        answers = self.output / "answers" / method
        if method in (MEDIAN, WATER):
            self.answer_by_rule(method, answers)
        else:
            self.learn(method)
            run = self.output / "runs" / method
            model, options = load_model(run, device=self.device), Options(overwrite=True)
            cases = cases_of_table(self.table, model, split="test")
            outcome = convert_cohort(model, cases, answers, device=self.device, options=options)
            if problems := [problem for each in outcome.results for problem in each.problems]:
                raise Refusal(problems)
        matched = match_table(answers, self.table, column="ct_atlas", mask_column="ct_mask")
        place = self.output / "reports" / method
        evaluate(matched, profile_named(PROFILE), place, overwrite=True)

    def learn(self, method: str) -> None:
        """Train a method to its last step, or go on with it."""
        clock = self.output / "seconds" / f"{method}.json"
        if clock.exists() and json.loads(clock.read_text())["done"]:
            return
        config = self.configured(method)
        run, cache = self.output / "runs" / method, self.output / "cache"
        data = self.pairs if method == PAIRED else self.table
        how: Any = {"device": self.chosen.device, "resume": True}
        with timed(clock):
            train_table(config, data=data, run=run, cache=cache, **how)

    def configured(self, method: str) -> Config:
        """Return the demo's configuration for this experiment's columns."""
        target = self.experiment.target
        scales = {"t1": {"scale": "percentile", "low": 0.5, "high": 99.5}, target: CT_SCALE}
        steps = self.chosen.steps
        mask, best = "auto", {"name": "monitor.doubt", "mode": "min"}
        if method == PAIRED:  # no pair is spared for validation: the last weights answer
            mask, best = "ct_mask", {"name": "mae", "mode": "min"}
        settings = [
            f"roles={json.dumps({'source': ['t1'], 'target': [target], 'mask': mask})}",
            f"intensity={json.dumps(scales)}",
            f"method={method}",
            f"train.steps={steps}",
            f"train.validate.every_steps={max(1, -(-steps // 5))}",
            f"train.save_every_steps={max(1, min(100, steps))}",
            f"train.validate.best_by={json.dumps(best)}",
        ]
        return read_config(CONFIG, [*settings, *self.chosen.set])

    def answer_by_rule(self, name: str, answers: Path) -> None:
        """Write what needs no network: the median by intensity, or water in the outline."""
        table = read_table(self.pairs, columns=["t1", "ct_atlas", "ct_mask"])
        rows = [row for row in table.rows if row.split == "test"]
        missing = [row for row in rows if not (answers / f"{row.case}.nii.gz").exists()]
        median: IntensityMedian | None = None
        if missing and name == MEDIAN:
            pairs = [row for row in table.rows if row.split == "train"]
            opened = [open_pair(r, source="t1", target="ct_atlas", mask="ct_mask") for r in pairs]
            median = IntensityMedian.fit(opened)
        for row in missing:
            source = open_volume(row.cells["t1"])
            answer = median.predict(source) if median is not None else water(source)
            write_volume(answers / f"{row.case}.nii.gz", answer, dtype="int16")

    def markdown(self) -> Iterator[str]:
        """Yield the scores by method, the errors by head, and what the monitor says of each."""
        scores = {name: self.scores(name) for name in self.experiment.methods}
        heads = sorted(scores[WATER])
        yield f"\n## {self.experiment.name}: {len(heads)} test heads, against `ct_atlas`"
        yield "\nThe atlas is no acquired CT; scores are taken in `ct_mask`.\n"
        yield f"| method | {' | '.join(SCORES)} | minutes |\n|---|" + "---:|" * (len(SCORES) + 1)
        for name, found in scores.items():
            cells = [described([found[h][s] for h in heads], d) for s, d in SCORES.items()]
            clock = self.output / "seconds" / f"{name}.json"
            spent = f"{json.loads(clock.read_text())['seconds'] / 60:.1f}" if clock.exists() else ""
            yield f"| {name} | {' | '.join(cells)} | {spent} |"
        yield f"\n| MAE (HU) | {' | '.join(scores)} | {' | '.join(VERDICT)} | faults |"
        yield "|---|" + "---:|" * (len(scores) + len(VERDICT)) + "---|"
        for head in heads:
            cells = [f"{found[head]['mae']:.1f}" for found in scores.values()]
            yield f"| {head} | {' | '.join([*cells, *self.verdict(head)])} |"

    def verdict(self, head: str) -> Iterator[str]:
        """Yield the monitor's figures of one answer, and its faults in few words."""
        answer = self.output / "answers" / UNPAIRED / f"{head}.nii.gz"
        found = json.loads(sidecar_of(answer).read_text(encoding="utf-8"))["monitor"]
        for name, digits in VERDICT.items():
            yield "unknown" if found[name] is None else f"{found[name]:.{digits}f}"
        yield "; ".join(found.get("faults", ())) or "none"

    def scores(self, method: str) -> dict[str, dict[str, float]]:
        """Return each head's scores by name."""
        file = self.output / "reports" / method / "scores.csv"
        with file.open(encoding="utf-8", newline="") as stream:
            rows = csv.DictReader(stream)
            return {row["case"]: {score: float(row[score]) for score in SCORES} for row in rows}

    def draw(self, count: int) -> None:
        """Draw test heads with all answers, and a head of each domain as training has it."""
        table = read_table(self.table, columns=list(COLUMNS))
        for row in [row for row in table.rows if row.split == "test"][:count]:
            volumes = {"T1": open_volume(row.cells["t1"])}
            for name in self.experiment.methods:
                answer = self.output / "answers" / name / f"{row.case}.nii.gz"
                volumes |= {name: open_volume(answer)} if answer.exists() else {}
            volumes["ct_atlas (no acquired CT)"] = open_volume(row.cells["ct_atlas"])
            mask = open_volume(row.cells["ct_mask"]).data > 0
            self.picture(row.case, volumes, mask)
        for column in ("t1", self.experiment.target):
            rows = [row for row in table.rows if row.split == "train" and column in row.cells]
            for row in rows[:2]:
                shown = open_volume(row.cells[column])
                self.picture(f"training_{row.case}", {column: shown}, np.ones(shown.grid.shape))
        print(f"look at {self.output / 'pictures'}")

    def picture(self, name: str, volumes: Mapping[str, Volume], mask: Any) -> None:
        """Write one head in three planes."""
        grid = next(iter(volumes.values())).grid
        panels = []
        for title, volume in volumes.items():
            window = None if title.lower() == "t1" else (-400.0, 1100.0)
            shown = to_ras(volume.data, volume.grid)[0]
            unit = "arbitrary" if window is None else HOUNSFIELD
            panels.append(Panel(title, shown, "image", unit, window))
        inside, spacing = to_ras(mask, grid)
        drawn = preview(panels, spacing_mm=spacing, mask=inside, panel_inches=2.0)
        write_bytes(self.output / "pictures" / f"{name}.png", drawn)


def described(values: Sequence[float], digits: int) -> str:
    """Return the mean over patients, one head each, and its bootstrap interval."""
    low, high = interval(values, [str(number) for number in range(len(values))])
    return f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def water(source: Volume) -> Volume:
    """Return water inside a head's outline and air outside: what costs nothing to know."""
    body = body_mask(source.data, spacing_mm=source.grid.spacing_mm)
    return Volume(np.where(body, 0.0, AIR_HU).astype(np.float32), source.grid, HOUNSFIELD)


@contextmanager
def timed(file: Path) -> Iterator[None]:
    """Add the seconds of the block to those of earlier calls, also where it is interrupted."""
    before = json.loads(file.read_text())["seconds"] if file.exists() else 0.0
    begun, done = time.monotonic(), False
    try:
        yield
        done = True
    finally:
        write_json(file, {"seconds": before + time.monotonic() - begun, "done": done})


if __name__ == "__main__":
    main()
