"""CycleGAN without a single pair beside the paired GAN on sample heads, at one budget.

    python benchmarks/cycle_gan.py --output cycle [--seeds 3] [--steps N] [--only NAME ...]

Every variant has the same generator, generator's learning rate, batch, patches, steps and training
patients. The paired GAN sees both images of each of them; for the others half of them lent their MR
and the other half their CT. Test patients are in no domain. The weights that answer are chosen by
`monitor.doubt` of validation MR, without any pair; the paired GAN's by the MAE of validation pairs.
Prints the scores as Markdown and keeps them in results.json. Called again, it goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data.unpaired import unpaired_table
from medgen.evaluation import evaluate, match_table
from medgen.evaluation.statistics import interval
from medgen.files import write_json
from medgen.metrics import profile_named
from medgen.phantom import CohortSettings, write_cohort
from medgen.problems import Refusal
from medgen.runs import Model, choose_device, load_model
from medgen.training import Outcome, train_table

CONFIG = Path(__file__).parents[1] / "configs" / "unpaired_mr_to_ct_demo.yaml"
SCORES = {"mae": 1, "psnr": 2, "ssim": 4}
"""Of the profile synthrad2023, in the true body, with the digits to print."""
VERDICT = {"contrast": 2, "histogram_distance": 1, "outline_dice": 3, "doubt": 2}
SEED = 11
"""Of the heads: others than those on which the demo's settings were chosen (seeds 0 and 7)."""
PAIRED, BEST_OF_PAIRS = "conditional_gan", {"name": "mae", "mode": "min"}
Run = Mapping[str, Any]
Runs = Mapping[str, Run]


@dataclass(frozen=True)
class Variant:
    """A method as it is trained here, apart from what the demo's configuration says of it."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """Tell whether it sees pairs, and chooses its weights by them."""
        return self.method == PAIRED


VARIANTS = {
    PAIRED: Variant(PAIRED),
    "cycle_gan": Variant("cycle_gan"),
    "cycle_gan_without_anchors": Variant(
        "cycle_gan", {"lambda_background": 0.0, "lambda_identity": 0.0}
    ),
    "cycle_gan_structure": Variant("cycle_gan", {"lambda_structure": 1.0}),
}


def main() -> None:
    """Make the heads and the tables, train what is missing, score it, print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="table of the sample heads; made where left out")
    parser.add_argument("--persons", type=int, default=40, help="to make, and to divide; 40")
    parser.add_argument("--steps", type=int, default=1200, help="of each training; 1200")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant; 3")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="repeatable; all")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    bench = Bench(chosen)
    for seed in range(chosen.seeds):
        for name in chosen.only or VARIANTS:
            bench.run(name, seed)
    print("\n".join(markdown(bench.results["runs"])))


class Bench:
    """The heads, their two tables, and the results so far."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.output = chosen, chosen.output
        self.device = choose_device(chosen.device)
        self.file = self.output / "results.json"
        settings = {name: getattr(chosen, name) for name in ("steps", "persons", "set")}
        settings["variants"] = {name: dict(each.options) for name, each in VARIANTS.items()}
        empty = {"settings": settings, "machine": machine(chosen.device), "runs": {}}
        self.results = json.loads(self.file.read_text()) if self.file.exists() else empty
        if self.results["settings"] != settings:
            raise SystemExit(f"{self.file} was made with {self.results['settings']}")
        self.pairs = chosen.data or self.output / "cases" / "cases.csv"
        if not self.pairs.exists():
            write_cohort(CohortSettings(chosen.persons, seed=SEED), self.pairs.parent)
        split = read_config(CONFIG, chosen.set).split
        place = self.output / "unpaired.csv"
        self.unpaired = unpaired_table(self.pairs, place, source="mr", target="ct", split=split)

    def run(self, name: str, seed: int) -> None:
        """Train one variant with one seed, convert the test heads and score them."""
        key, variant = f"{name}/seed_{seed}", VARIANTS[name]
        if key in self.results["runs"]:
            return
        config = self.configured(variant, seed)
        outcome, seconds = self.train(config, self.pairs if variant.paired else self.unpaired, key)
        model = load_model(self.output / "runs" / key, device=self.device)
        validate = config.train.validate_
        found: Run = {
            "seconds": seconds,
            "best_step": outcome.best_step,
            "best": outcome.best,
            "best_by": validate.best_by.name,
            "heads": self.score(model, key),
        }
        self.results["runs"][key] = found
        write_json(self.file, self.results)
        picked = f"step {outcome.best_step} by {validate.best_by.name} {outcome.best:.3f}"
        error = mean([head["mae"] for head in found["heads"].values()])
        print(f"{key}: {seconds / 60:.1f} minutes, {picked}, MAE {error:.1f}", flush=True)

    def configured(self, variant: Variant, seed: int) -> Config:
        """Return the demo's configuration with one variant's options."""
        steps = self.chosen.steps
        every = max(1, math.ceil(steps / 4))
        settings = [f"train.steps={steps}", f"train.validate.every_steps={every}"]
        settings += [f"train.seed={seed}", f"method={variant.method}"]
        for option, value in variant.options.items():
            settings.append(f"methods.{variant.method}.{option}={json.dumps(value)}")
        if variant.paired:
            settings.append(f"train.validate.best_by={json.dumps(BEST_OF_PAIRS)}")
        return read_config(CONFIG, [*settings, *self.chosen.set])

    def train(self, config: Config, data: Path, key: str) -> tuple[Outcome, float]:
        """Train, and return the outcome and the seconds of all calls that it took."""
        run, cache = self.output / "runs" / key, self.output / "cache"
        with timed(self.output / "seconds" / f"{key.replace('/', '_')}.json") as clock:
            outcome = train_table(
                config, data=data, run=run, cache=cache, device=self.chosen.device, resume=True
            )
        return outcome, clock["seconds"]

    def score(self, model: Model, key: str) -> dict[str, dict[str, float]]:
        """Convert the test heads; return the scores of each, and what the monitor says of it."""
        answers = self.output / "answers" / key
        cases = cases_of_table(self.pairs, model, split="test")
        options = Options(overwrite=True)
        outcome = convert_cohort(model, cases, answers, device=self.device, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        matched = match_table(answers, self.pairs, column="ct", mask_column="body")
        place = self.output / "reports" / key
        scored = evaluate(matched, profile_named("synthrad2023"), place, overwrite=True)
        heads: dict[str, dict[str, float]] = {}
        for result in scored.results:
            verdict = json.loads((answers / f"{result.case}.json").read_text()).get("monitor", {})
            mine = {name: result.scores[name] for name in SCORES}
            heads[result.case] = mine | {name: verdict[name] for name in VERDICT if verdict}
        return heads


@contextmanager
def timed(file: Path) -> Iterator[dict[str, float]]:
    """Add the seconds of the block to those of earlier calls, also where it is interrupted."""
    clock = json.loads(file.read_text()) if file.exists() else {"seconds": 0.0}
    begun = time.monotonic()
    try:
        yield clock
    finally:
        clock["seconds"] += time.monotonic() - begun
        write_json(file, clock)


def markdown(runs: Runs) -> Iterator[str]:
    """Yield the scores, the ratios to the paired GAN, the verdicts, the trainings and the heads."""
    found = {name: mine for name in VARIANTS if (mine := seeds_of(runs, name))}
    heads = list(next(iter(next(iter(found.values()), {}).values()), {"heads": {}})["heads"])
    columns = ["seeds", *SCORES, f"MAE over {PAIRED}", "minutes"]
    yield f"| {len(heads)} test heads | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, mine in found.items():
        minutes = mean([run["seconds"] for run in mine.values()]) / 60
        cells = [pooled(mine.values(), score, digits) for score, digits in SCORES.items()]
        cells = [str(len(mine)), *cells, ratios(mine, found.get(PAIRED, {}), name)]
        yield f"| {name} | {' | '.join(cells)} | {minutes:.1f} |"
    yield f"\n| the monitor: means, and ends | {' | '.join(VERDICT)} | inverted |"
    yield "|---|" + "---:|" * (len(VERDICT) + 1)
    for name, mine in found.items():
        if not VARIANTS[name].paired:
            every = [head for run in mine.values() for head in run["heads"].values()]
            cells = [
                ends([h[key] for h in every if h[key] is not None], digits)
                for key, digits in VERDICT.items()
            ]
            yield f"| {name} | {' | '.join(cells)} | {sum(map(inverted, every))} of {len(every)} |"
    yield "\n| training | chosen at step | by | its value | MAE | ratio | minutes |"
    yield "|---|---:|---|---:|---:|---:|---:|"
    for name, mine in found.items():
        for seed, run in mine.items():
            ratio = ratios({seed: run}, found.get(PAIRED, {}), name)
            cells = [str(run["best_step"]), run["best_by"], f"{run['best']:.3f}"]
            cells += [f"{error(run):.1f}", ratio, f"{run['seconds'] / 60:.1f}"]
            yield f"| {name}/{seed} | {' | '.join(cells)} |"
    yield f"\n| MAE (HU), and the monitor's doubt; ! inverted | {' | '.join(found)} |"
    yield "|---|" + "---:|" * len(found)
    for head in heads:
        cells = [told([run["heads"][head] for run in mine.values()]) for mine in found.values()]
        yield f"| {head} | {' | '.join(cells)} |"


def seeds_of(runs: Runs, name: str) -> dict[str, Run]:
    """Return a variant's runs by their seed."""
    return {key.split("/")[1]: run for key, run in runs.items() if key.split("/")[0] == name}


def error(run: Run) -> float:
    """Return the mean MAE over the test heads."""
    return mean([head["mae"] for head in run["heads"].values()])


def ratios(mine: Runs, paired: Runs, name: str) -> str:
    """Return how many times the paired GAN's MAE of the same seed it is: mean, least to most."""
    found = [error(run) / error(paired[seed]) for seed, run in mine.items() if seed in paired]
    return "-" if VARIANTS[name].paired or not found else ends(found, 2)


def pooled(runs: Iterable[Run], score: str, digits: int) -> str:
    """Return the mean over heads of their means over seeds, and its bootstrap interval."""
    every = list(runs)
    heads = list(every[0]["heads"])
    values = [mean([run["heads"][head][score] for run in every]) for head in heads]
    low, high = interval(values, heads)
    return f"{mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def told(heads: Sequence[Mapping[str, float]]) -> str:
    """Return a head's error, the mean over seeds, and what the monitor thinks of the answers."""
    text = f"{mean([head['mae'] for head in heads]):.1f}"
    if "doubt" not in heads[0]:
        return text
    return f"{text} ({mean([h['doubt'] for h in heads]):.2f}){'!' * sum(map(inverted, heads))}"


def inverted(head: Mapping[str, float | None]) -> bool:
    """Tell whether the body of an answer is darker than the air; of an empty one nobody knows."""
    contrast = head["contrast"]
    return contrast is not None and contrast <= 0


def ends(values: Sequence[float], digits: int) -> str:
    """Return the mean and, of several values, the least and the most."""
    if len(values) < 2:
        return f"{values[0]:.{digits}f}" if values else "-"
    text = f"{mean(values):.{digits}f}"
    return f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def machine(device: str) -> dict[str, Any]:
    """Return what the times depend on."""
    place = choose_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


if __name__ == "__main__":
    main()
