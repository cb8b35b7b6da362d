"""Lesions at a second scanner: adapted or not, simple rivals, and the target's own labels.

    python benchmarks/adaptation.py --output lesions [--data cases.csv]
    python benchmarks/adaptation.py --output lesions --rows adapted --seeds 0 --steps 600
    python benchmarks/adaptation.py --output lesions --table
    python benchmarks/adaptation.py --output lesions --supervised

Lesions are labelled at site one; site two has another scanner and another contrast in one channel.
Every row has the same network, steps and split, which is drawn once among each site's patients;
test patients of both sites are in no training and no choice of weights. Each run has a folder of
its own, so rows and seeds may be run by several processes at once; `--table` prints what is there.
Called again, it goes on. `--supervised` compares networks on site one, where labels are.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adaptation_curves import draw_curves
from adaptation_results import (
    DICE,
    TRUTH,
    choice_table,
    curve_table,
    difference,
    mean_of,
    points_of,
    score_table,
    seed_table,
)
from adaptation_rows import (
    ADAPTED,
    ROWS,
    SOURCE_ONLY,
    UPPER_BOUND,
    divided_table,
)
from adaptation_runs import Place, Scores, matched_table
from supervised_lesions import Supervised

from medgen.config import Config, read_config
from medgen.files import write_json, write_text
from medgen.phantom.two_scanners import write_two_scanners
from medgen.runs import RunFolder, choose_device, config_digest, load_model

CONFIG = Path(__file__).parents[1] / "configs" / "lesion_adaptation_demo.yaml"
SEED, PERSONS = 17, 48
"""Of the sample cohort: others than those on which settings were chosen."""
VALIDATIONS = 4
"""In each run: as many choices of weights."""


def main() -> None:
    """Make the cohort and its split, train what is missing, score it, print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="table of the sample cohort; made if left out")
    parser.add_argument("--config", type=Path, default=CONFIG, help="the demo's")
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="all of them")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="0 1 2")
    parser.add_argument("--steps", type=int, help="of each training; the demo's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--table", action="store_true", help="train nothing, print what is there")
    parser.add_argument("--supervised", action="store_true", help="networks on site one instead")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    kind = Supervised if chosen.supervised else Adaptation
    bench: Adaptation | Supervised = kind(*opened(chosen), chosen.config)
    names = chosen.rows or list(bench.rows)
    if unknown := [name for name in names if name not in bench.rows]:
        parser.error(f"no row {', '.join(unknown)}; there is {', '.join(bench.rows)}")
    for seed in () if chosen.table else chosen.seeds:
        for name in names:
            bench.run(name, seed)
    print("\n".join(bench.report()))


def opened(chosen: argparse.Namespace) -> tuple[Place, Path, list[str]]:
    """Make the cohort and its split where they are not there; return what every run stands on."""
    place = Place(chosen.output, choose_device(chosen.device))
    settings = [f"train.steps={chosen.steps}"] if chosen.steps else []
    steps = read_config(chosen.config, [*settings, *chosen.set]).train.steps
    settings.append(f"train.validate.every_steps={math.ceil(steps / VALIDATIONS)}")
    settings = [*settings, "train.validate.keep_all=true", *chosen.set]
    table = chosen.output / "cases.csv"
    if not table.exists():
        data = chosen.data or chosen.output / "cohort" / "cases.csv"
        if not data.exists():
            write_two_scanners(data.parent, persons=PERSONS, seed=SEED)
        write_text(table, divided_table(data, read_config(chosen.config, settings), table.parent))
    return place, table, settings


class Adaptation:
    """The rows of the main table: one method, with and without its adversarial term."""

    rows = ROWS

    def __init__(self, place: Place, table: Path, settings: list[str], config: Path) -> None:
        self.place, self.table = place, table
        self.settings, self.config = settings, config
        self.demo = read_config(config, settings)
        self.penalties = self.demo.train.validate_.best_by.penalties

    def run(self, name: str, seed: int) -> None:
        """Train one row with one seed, and score it on the test patients of both sites."""
        key, config = f"{name}/seed_{seed}", self.configured(name, seed)
        if self.place.known(key, config):
            return
        table = self.data_of(name)
        outcome, seconds = self.place.train(config, table, key)
        found: dict[str, Any] = {
            "config": config_digest(config),
            "seconds": seconds,
            "best_step": outcome.best_step,
            **self.both_sites(name, table, key),
        }
        found["curve"] = self.curve(name, table, key)
        write_json(self.place.found(key), found)
        dice, picked = mean_of(found, "target", DICE), f"step {outcome.best_step}"
        print(f"{key}: {seconds / 60:.1f} minutes, {picked}, Dice {dice:.3f}", flush=True)

    def configured(self, name: str, seed: int) -> Config:
        """Return the demo's configuration with one row's settings."""
        own = ROWS[name].settings(self.demo)
        return read_config(self.config, [*self.settings, *own, f"train.seed={seed}"])

    def data_of(self, name: str) -> Path:
        """Return the table that a row learns from, made where it is not there."""
        if not ROWS[name].matched:
            return self.table
        return matched_table(self.table, self.demo, self.place.output / "matched")

    def both_sites(self, name: str, table: Path, key: str) -> dict[str, Scores]:
        """Score the chosen weights on the test patients of site two (`target`) and one."""
        model = load_model(self.place.run(key), device=self.place.device)
        found = {}
        for side, answer in answers_of(name).items():
            found[side] = self.place.score(model.facing(answer), table, f"{key}/{side}")
        return found

    def curve(self, name: str, table: Path, key: str) -> list[dict[str, float]]:
        """Return the run's validations, with the target's test Dice where the row draws a curve."""
        folder = RunFolder(self.place.run(key))
        logs = [file.read_text() for file in (folder.validation, folder.diagnosis) if file.exists()]
        points = points_of(*logs)
        for step, model in self.place.kept(key) if ROWS[name].curve else ():
            (point,) = (point for point in points if point["step"] == step)
            side = model.facing(answers_of(name)["target"])
            scores = self.place.score(side, table, f"{key}/step_{step}")
            point[TRUTH] = mean_of({"target": scores}, "target", DICE)
        return points

    def report(self) -> Iterator[str]:
        """Yield all that is known as Markdown; write and draw the curves."""
        titles = {name: row.title for name, row in ROWS.items()}
        runs = {name: mine for name in ROWS if (mine := self.place.runs(name))}
        yield from score_table(runs, titles, SOURCE_ONLY, UPPER_BOUND)
        yield from seed_table(runs, titles, SOURCE_ONLY, UPPER_BOUND)
        for name in SOURCE_ONLY if runs.get(ADAPTED) else ():
            if runs.get(name):
                gap = difference(runs, ADAPTED, name)
                yield f"\nTarget Dice of adapted less {titles[name]}: {gap} over patients."
        yield from choice_table(runs, titles, self.penalties)
        drawn = {name: mine for name, mine in runs.items() if ROWS[name].curve}
        if drawn:
            write_text(self.place.output / "curves.tsv", curve_table(drawn, self.penalties))
            draw_curves(drawn, titles, self.penalties, self.place.output / "curves.png")


def answers_of(name: str) -> dict[str, str]:
    """Return the answer to ask for by side: `target` is site two, whatever was learned from."""
    if ROWS[name].target_labels:
        return {"target": "forward", "source": "target"}
    return {"target": "target", "source": "forward"}


if __name__ == "__main__":
    main()
