"""The paired methods side by side on sample heads: one generator, one budget, held-out patients.

    python benchmarks/paired.py --output paired [--steps N] [--only NAME ...] [--seeds N]

Everything is trained with the same generator, steps, batch size, seed and training heads; what
differs are the losses, with each paper's weights, and the discriminators that go with them. Prints
the scores as Markdown and keeps them in results.json. Called again, it skips what is done.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.evaluation import evaluate, match_table
from medgen.evaluation.statistics import interval
from medgen.files import write_json, write_text
from medgen.metrics import profile_named
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.problems import Refusal
from medgen.runs import Model, choose_device, load_model
from medgen.training import Outcome, train_table
from medgen.volumes import open_volume, write_volume

CONFIG = Path(__file__).parents[1] / "configs" / "mr_to_ct_demo.yaml"
GENERATOR = {"name": "unet", "channels": [16, 32, 64, 128, 128], "features": 8, "residual_units": 2}
# A few hundred steps must do, so every generator takes the demo's learning rate.
OPTIMIZERS = {"generator": {"learning_rate": 0.002}}
JUDGE = {"name": "patch_discriminator", "channels": 8, "layers": 3}
EDGE_JUDGE = {**JUDGE, "norm": "batch", "padding": 2}
CONTEXT_JUDGE = {"name": "context_discriminator", "channels": 4}
SCORES = {"synthrad2023": ("mae", "psnr", "ssim"), "hu": ("gradient_mae",)}
DIGITS = {"mae": 1, "psnr": 2, "ssim": 4, "gradient_mae": 2}
BASELINE, SEGMENTER = "regression", "segmenter"
LABELS = {"air": 1, "soft": 2, "bone": 3, "brain": 4}
AIR_BELOW, BONE_ABOVE = -400.0, 250.0  # HU
Runs = Mapping[str, Mapping[str, Any]]
Scores = Mapping[str, Mapping[str, float]]
Trained = tuple[Outcome, float]


@dataclass(frozen=True)
class Variant:
    """A method as it is trained here, apart from what all share."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    chain: Mapping[str, Any] | None = None
    features: bool = False

    @property
    def networks(self) -> int:
        """How many trainings it takes: in a chain, each earlier stage its folds and a refit."""
        return 1 if self.chain is None else 1 + self.chain["folds"] * (self.chain["folds"] > 1) + 1


VARIANTS = {
    BASELINE: Variant("regression"),
    "conditional_gan": Variant("conditional_gan", {"discriminator": JUDGE, "lambda_l1": 100.0}),
    "gea_gan": Variant("ea_gan", {"discriminator": EDGE_JUDGE, "edges": "generator"}),
    "dea_gan": Variant("ea_gan", {"discriminator": EDGE_JUDGE, "edges": "discriminator"}),
    "context_aware_gan": Variant("context_aware_gan", {"discriminator": CONTEXT_JUDGE}),
    "context_aware_gan_2": Variant(
        "context_aware_gan",
        {"discriminator": CONTEXT_JUDGE},
        chain={"stages": 2, "folds": 2, "feed": "append"},
    ),
    # The SynthRAD2025 winner sums over levels, each weighing as much as the error itself. Here the
    # term is their mean, and the segmenter has three levels.
    "conditional_gan_features": Variant(
        "conditional_gan",
        {"discriminator": JUDGE, "lambda_l1": 100.0, "lambda_features": 300.0},
        features=True,
    ),
}


def main() -> None:
    """Make the heads, train what is missing, score it, and print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=350, help="of each network; 350")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each; 1")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), help="repeatable; all")
    parser.add_argument("--persons", type=int, default=24, help="half of them to test on; 24")
    parser.add_argument("--size", default="96x112x96", help="voxels of a head")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    bench = Bench(chosen)
    for seed in range(chosen.seeds):
        for name in chosen.only or VARIANTS:
            bench.run(name, seed)
    print("\n".join(markdown(bench.results["runs"])))


class Bench:
    """The heads, and the results so far."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.output = chosen, chosen.output
        self.device = choose_device(chosen.device)
        self.file = self.output / "results.json"
        self.data = self.output / "cases" / "cases.csv"
        settings = {name: getattr(chosen, name) for name in ("steps", "persons", "size", "set")}
        empty = {"settings": settings, "machine": machine(chosen.device), "runs": {}}
        self.results = json.loads(self.file.read_text()) if self.file.exists() else empty
        if self.results["settings"] != settings:
            raise SystemExit(f"{self.file} was made with {self.results['settings']}")
        if not self.data.exists():
            first, second, third = (int(part) for part in chosen.size.split("x"))
            case = CaseSettings(size=(first, second, third))
            write_cohort(CohortSettings(chosen.persons, case=case), self.data.parent)

    def run(self, name: str, seed: int) -> None:
        """Train one variant with one seed, convert the test heads and score them."""
        key = f"{name}/seed_{seed}"
        if key in self.results["runs"]:
            return
        variant = VARIANTS[name]
        lender = self.lender(seed) if variant.features else None
        config = self.configured(variant, seed)
        outcome, seconds = self.train(config, self.data, key, lender)
        found = {
            "seconds": seconds,
            "networks": variant.networks,
            "best_step": outcome.best_step,
            "scores": self.score(load_model(self.output / "runs" / key, device=self.device), key),
        }
        self.keep(key, found)
        print(f"{key}: {seconds / 60:.1f} minutes, best at step {outcome.best_step}", flush=True)

    def keep(self, key: str, found: Mapping[str, Any]) -> None:
        """Add one result to the file."""
        self.results["runs"][key] = found
        write_json(self.file, self.results)

    def configured(self, variant: Variant, seed: int) -> Config:
        """Return the demo's configuration with one variant's block."""
        block = {"generator": GENERATOR, "optimizers": OPTIMIZERS, **variant.options}
        settings = [f"method={variant.method}", f"methods.{variant.method}={json.dumps(block)}"]
        if variant.chain is not None:
            settings.append(f"chain={json.dumps(variant.chain)}")
        return read_config(CONFIG, [*self.shared(seed), *settings, *self.chosen.set])

    def shared(self, seed: int) -> list[str]:
        """Return what all trainings have in common, the segmenter's too."""
        steps = self.chosen.steps
        every = max(1, math.ceil(steps / 2))
        lengths = [f"train.steps={steps}", f"train.validate.every_steps={every}"]
        return [*lengths, "split.test=0.5", f"train.seed={seed}"]

    def lender(self, seed: int) -> Path:
        """Return the run of a segmenter of CT, trained on the same heads."""
        key = f"{SEGMENTER}/seed_{seed}"
        run: Path = self.output / "runs" / key
        if key in self.results["runs"]:
            return run
        table = self.output / "anatomy.csv"
        if not table.exists():
            write_text(table, anatomy_table(self.data, self.output / "anatomy"))
        network = {"name": "unet", "channels": [16, 32, 64, 128], "features": 16}
        settings = [
            "roles={source: [ct], label: [anatomy], mask: body}",
            f"labels={json.dumps(LABELS)}",
            "method=segmenter",
            f"methods.segmenter={json.dumps({'network': network})}",
            "train.validate.profile=segmentation",
            "train.validate.best_by={name: dice, mode: max}",
        ]
        config = read_config(CONFIG, [*self.shared(seed), *settings, *self.chosen.set])
        outcome, seconds = self.train(config, table, key, None)
        self.keep(key, {"seconds": seconds, "networks": 1, "validation_dice": outcome.best})
        print(f"{key}: {seconds / 60:.1f} minutes, Dice {outcome.best}", flush=True)
        return run

    def train(self, config: Config, data: Path, key: str, lender: Path | None) -> Trained:
        """Train, and return the outcome and the seconds of all calls that it took."""
        run, cache = self.output / "runs" / key, self.output / "cache"
        how: Any = {"device": self.chosen.device, "features": lender, "resume": True}
        with timed(self.output / "seconds" / f"{key.replace('/', '_')}.json") as clock:
            outcome = train_table(config, data=data, run=run, cache=cache, **how)
        return outcome, clock["seconds"]

    def score(self, model: Model, key: str) -> dict[str, dict[str, float]]:
        """Convert the test heads, and return the scores of each."""
        answers = self.output / "answers" / key
        cases, options = cases_of_table(self.data, model, split="test"), Options(overwrite=True)
        outcome = convert_cohort(model, cases, answers, device=self.device, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        matched = match_table(answers, self.data, column="ct", mask_column="body")
        scores: dict[str, dict[str, float]] = {}
        for profile, names in SCORES.items():
            place = self.output / "reports" / key / profile
            for result in evaluate(matched, profile_named(profile), place, overwrite=True).results:
                mine = {name: result.scores[name] for name in names}
                scores.setdefault(result.case, {}).update(mine)
        return scores


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


def anatomy_table(data: Path, folder: Path) -> str:
    """Label air, soft tissue, bone and brain in every head, and return the table of it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["case", "patient", "ct", "body", "anatomy"])
    for row in read_table(data, columns=["ct", "body", "tissue"]).rows:
        ct, body, tissue = (open_volume(row.cells[name]) for name in ("ct", "body", "tissue"))
        labels = np.full(ct.grid.shape, LABELS["soft"], np.float32)
        labels[ct.data < AIR_BELOW] = LABELS["air"]
        labels[ct.data > BONE_ABOVE] = LABELS["bone"]
        labels[tissue.data > 0] = LABELS["brain"]
        labels[body.data == 0] = 0
        path = folder / f"{row.case}.nii.gz"
        write_volume(path, body.with_data(labels), dtype="uint8")
        files = [row.cells["ct"], row.cells["body"], path]
        writer.writerow([row.case, row.patient, *(file.resolve() for file in files)])
    return stream.getvalue()


def markdown(runs: Runs) -> Iterator[str]:
    """Yield the scores, the differences from the baseline, and each head's error."""
    found = {name: scores for name in VARIANTS if (scores := by_case(runs, name))}
    names = list(next(iter(found.values()), {}))
    yield f"| {len(names)} test heads | {' | '.join(DIGITS)} | networks | minutes |"
    yield "|---|" + "---:|" * (len(DIGITS) + 2)
    for name, scores in found.items():
        mine = seeds_of(runs, name)
        minutes = sum(run["seconds"] for run in mine) / len(mine) / 60
        cells = [described(scores, column) for column in DIGITS]
        yield f"| {name} | {' | '.join(cells)} | {mine[0]['networks']} | {minutes:.1f} |"
    for run in seeds_of(runs, SEGMENTER):
        yield f"\n{SEGMENTER}: {run['seconds'] / 60:.1f} minutes, Dice {run['validation_dice']:.3f}"
    for name in found:
        of_seeds = [run["scores"].values() for run in seeds_of(runs, name)]
        means = [sum(head["mae"] for head in heads) / len(heads) for heads in of_seeds]
        if len(means) > 1:
            yield f"\n{name}: MAE {min(means):.1f} to {max(means):.1f} over {len(means)} seeds"
    base = found.get(BASELINE, {})
    if base:
        yield f"\n| less {BASELINE} | {' | '.join(DIGITS)} |"
        yield "|---|" + "---:|" * len(DIGITS)
    for name, scores in found.items() if base else ():
        if name != BASELINE:
            gaps = {h: {c: mine[c] - base[h][c] for c in DIGITS} for h, mine in scores.items()}
            cells = [described(gaps, column, sign="+") for column in DIGITS]
            yield f"| {name} | {' | '.join(cells)} |"
    yield f"\n| MAE (HU) | {' | '.join(found)} |"
    yield "|---|" + "---:|" * len(found)
    for head in names:
        cells = [f"{scores[head]['mae']:.1f}" for scores in found.values()]
        yield f"| {head} | {' | '.join(cells)} |"


def by_case(runs: Runs, name: str) -> Scores:
    """Return a variant's scores of each head, the mean over its seeds."""
    gathered: dict[str, list[Mapping[str, float]]] = {}
    for run in seeds_of(runs, name):
        for case, scores in run["scores"].items():
            gathered.setdefault(case, []).append(scores)
    return {
        case: {c: sum(one[c] for one in scores) / len(scores) for c in DIGITS}
        for case, scores in sorted(gathered.items())
    }


def seeds_of(runs: Runs, name: str) -> list[Mapping[str, Any]]:
    """Return a variant's runs, one for each seed."""
    return [run for key, run in runs.items() if key.split("/")[0] == name]


def described(scores: Scores, column: str, sign: str = "") -> str:
    """Return the mean over patients, one head each, and its bootstrap interval."""
    values, digits = [mine[column] for mine in scores.values()], DIGITS[column]
    low, high = interval(values, list(scores))
    mean, ends = sum(values) / len(values), f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"
    return f"{mean:{sign}.{digits}f} ({ends})"


def machine(device: str) -> dict[str, Any]:
    """Return what the times depend on."""
    place = choose_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


if __name__ == "__main__":
    main()
