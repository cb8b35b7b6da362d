"""Low-dose PET of sample heads: networks beside filters, and two stages beside one.

    python benchmarks/pet_doses.py --output low_dose [--steps N] [--only NAME ...]

At 1/4, 1/10 and 1/20 of the counts: the low-dose image itself, a Gaussian filter and non-local
means, each tuned on training heads, and two networks; at 1/10 the conditional GAN in two stages as
well. Prints scores and regional biases as Markdown and keeps them in results.json. Called again, it
skips what is done.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.restoration import denoise_nl_means

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import read_config
from medgen.data import Row, assign_splits, read_table
from medgen.evaluation import evaluate, match_table
from medgen.evaluation.statistics import interval
from medgen.files import write_json
from medgen.metrics import profile_named
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.problems import Refusal
from medgen.runs import choose_device, load_model
from medgen.training import train_table
from medgen.volumes import open_volume, write_volume

CONFIG = Path(__file__).parents[1] / "configs" / "low_dose_pet_demo.yaml"
DOSES = (4, 10, 20)
"""One over the share of the counts."""
REGIONS = {"csf": 1, "grey": 2, "white": 3, "hot_spots": 4}
DIGITS = {"psnr": 2, "nrmse_range": 4, "nrmse_mean": 4, "ssim": 4}
BIASES = ("suv_mean_bias", "suv_max_bias")
CHAINED_DOSE, CHAIN = 10, {"stages": 2, "folds": 2, "feed": "replace"}
TUNED_ON = 3
"""Training heads that filters are tuned on: non-local means takes seconds a head and width."""
FULL_WIDTH = math.sqrt(8.0 * math.log(2.0))
COLUMNS = ["pet_low", "pet_full", "body"]
Image = NDArray[Any]


@dataclass(frozen=True)
class Filter:
    """What needs no learning but one number, tried over a grid of values."""

    apply: Callable[[Image, float, tuple[float, ...]], Image]
    """Image (SUV), the number, and the spacing in mm."""
    values: tuple[float, ...]
    means: str


def gaussian(image: Image, width_mm: float, spacing_mm: tuple[float, ...]) -> Image:
    """Blur by a Gaussian of a full width at half maximum in mm."""
    sigma = [width_mm / FULL_WIDTH / spacing for spacing in spacing_mm]
    return np.asarray(ndimage.gaussian_filter(image, sigma))


def non_local_means(image: Image, strength: float, spacing_mm: tuple[float, ...]) -> Image:
    """Average voxels whose surroundings (3 voxels wide, up to 3 away) differ by little (SUV)."""
    options = {"patch_size": 3, "patch_distance": 3, "fast_mode": True}
    return np.asarray(denoise_nl_means(image.astype(np.float32), h=strength, **options))


FILTERS = {
    "low_dose": Filter(lambda image, *_: image, (0.0,), ""),
    "gaussian": Filter(gaussian, (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0), "FWHM, mm"),
    "non_local_means": Filter(non_local_means, (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0), "h, SUV"),
}
NETWORKS = {
    "regression": "method=regression",
    "conditional_gan": "method=conditional_gan",
    "two_stages": "method=conditional_gan",
}
NAMES = (*FILTERS, *NETWORKS)


def main() -> None:
    """Make the heads at each dose, do what is missing, and print all that is known."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=350, help="of each network; 350")
    parser.add_argument("--only", action="append", choices=NAMES, help="repeatable; all")
    parser.add_argument("--dose", action="append", type=int, choices=DOSES, help="1 over it; all")
    parser.add_argument("--persons", type=int, default=24, help="half of them to test on; 24")
    parser.add_argument("--size", default="96x112x96", help="voxels of a head")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="auto")
    chosen = parser.parse_args()
    bench = Bench(chosen)
    for dose in chosen.dose or DOSES:
        for name in chosen.only or NAMES:
            if name != "two_stages" or dose == CHAINED_DOSE:
                bench.run(dose, name)
    print("\n".join(markdown(bench.results["runs"])))


class Bench:
    """The heads at each dose, and the results so far."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self.chosen, self.output = chosen, chosen.output
        self.file = self.output / "results.json"
        settings = {name: getattr(chosen, name) for name in ("steps", "persons", "size", "set")}
        empty = {"settings": settings, "machine": machine(chosen.device), "runs": {}}
        self.results = json.loads(self.file.read_text()) if self.file.exists() else empty
        if self.results["settings"] != settings:
            raise SystemExit(f"{self.file} was made with {self.results['settings']}")
        every = max(1, math.ceil(chosen.steps / 2))
        lengths = [f"train.steps={chosen.steps}", f"train.validate.every_steps={every}"]
        self.settings = [*lengths, "split.test=0.5", *chosen.set]

    def run(self, dose: int, name: str) -> None:
        """Answer the test heads by one method, score them, and keep the scores."""
        key = f"{dose}/{name}"
        if key in self.results["runs"]:
            return
        data = self.cases(dose)
        with timed(self.output / "seconds" / f"{dose}_{name}.json") as clock:
            fill = self.filter if name in FILTERS else self.learn
            found = fill(data, name, key)
        found |= {"seconds": clock["seconds"], "scores": self.score(data, key)}
        self.results["runs"][key] = found
        write_json(self.file, self.results)
        print(f"{key}: {clock['seconds'] / 60:.1f} minutes", flush=True)

    def cases(self, dose: int) -> Path:
        """Return the table of the heads at a dose; anatomy and full dose are the same at each."""
        data: Path = self.output / f"cases_{dose}" / "cases.csv"
        if not data.exists():
            first, second, third = (int(part) for part in self.chosen.size.split("x"))
            case = CaseSettings(size=(first, second, third), dose_fraction=1.0 / dose)
            write_cohort(CohortSettings(self.chosen.persons, case=case), data.parent)
        return data

    def filter(self, data: Path, name: str, key: str) -> dict[str, Any]:
        """Tune a filter on training heads and filter the test heads."""
        table = read_table(data, columns=COLUMNS)
        split = assign_splits(table, read_config(CONFIG, self.settings).split)
        chosen = FILTERS[name]
        tuning = [table.row(case) for case in split["train"][:TUNED_ON]]
        trials = {
            value: statistics.mean(training_error(row, chosen, value) for row in tuning)
            for value in (chosen.values if len(chosen.values) > 1 else ())
        }
        best = min(trials, key=lambda value: trials[value], default=chosen.values[0])
        for case in split["test"]:
            low = open_volume(table.row(case).cells["pet_low"])
            answer = chosen.apply(low.data, best, tuple(low.grid.spacing_mm))
            path = self.output / "answers" / key / f"{case}.nii.gz"
            write_volume(path, low.with_data(answer), dtype="float32")
        return {"networks": 0, "tuned": best, "trials": {str(k): v for k, v in trials.items()}}

    def learn(self, data: Path, name: str, key: str) -> dict[str, Any]:
        """Train a network, or a chain of two, and convert the test heads."""
        chain = [f"chain={json.dumps(CHAIN)}"] if name == "two_stages" else []
        config = read_config(CONFIG, [NETWORKS[name], *chain, *self.settings])
        run, place = self.output / "runs" / key, choose_device(self.chosen.device)
        trained = train_table(
            config,
            data=data,
            run=run,
            cache=self.output / "cache",
            device=self.chosen.device,
            resume=True,
        )
        model = load_model(run, device=place)
        cases, options = cases_of_table(data, model, split="test"), Options(overwrite=True)
        answers = self.output / "answers" / key
        outcome = convert_cohort(model, cases, answers, device=place, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        return {"networks": 4 if chain else 1, "best_step": trained.best_step}

    def score(self, data: Path, key: str) -> dict[str, dict[str, Any]]:
        """Return the scores of each test head."""
        matched = match_table(
            self.output / "answers" / key,
            data,
            column="pet_full",
            mask_column="body",
            region_column="regions",
        )
        place, profile = self.output / "reports" / key, profile_named("pet")
        found = evaluate(matched, profile, place, region_names=REGIONS, overwrite=True)
        wanted = (*DIGITS, *BIASES)
        return {
            result.case: {
                name: score if math.isfinite(score) else None
                for name, score in result.scores.items()
                if name.startswith(wanted)
            }
            for result in found.results
        }


def training_error(row: Row, chosen: Filter, value: float) -> float:
    """Return the root mean squared error (SUV) in the body of a filtered training head."""
    low, full, body = (open_volume(row.cells[name]) for name in COLUMNS)
    answer = chosen.apply(low.data, value, tuple(low.grid.spacing_mm))
    return float(np.sqrt(np.square(answer - full.data)[body.data > 0].mean(dtype=np.float64)))


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


Runs = Mapping[str, Mapping[str, Any]]


def markdown(runs: Runs) -> Iterator[str]:
    """Yield scores and biases at each dose, what was tuned, and two stages less one."""
    for dose in DOSES:
        found = {name: runs[f"{dose}/{name}"] for name in NAMES if f"{dose}/{name}" in runs}
        if not found:
            continue
        heads = len(next(iter(found.values()))["scores"])
        yield f"\n| 1/{dose} of the dose, {heads} test heads | {' | '.join(DIGITS)} | minutes |"
        yield "|---|" + "---:|" * (len(DIGITS) + 1)
        for name, run in found.items():
            cells = [described(values(run, column), digits) for column, digits in DIGITS.items()]
            yield f"| {name} | {' | '.join(cells)} | {run['seconds'] / 60:.1f} |"
        for bias in BIASES:
            yield f"\n| 1/{dose}: {bias}, % | {' | '.join(REGIONS)} |"
            yield "|---|" + "---:|" * len(REGIONS)
            for name, run in found.items():
                cells = [off_by(values(run, f"{bias}_{region}")) for region in REGIONS]
                yield f"| {name} | {' | '.join(cells)} |"
        for name, run in found.items():
            if run.get("trials"):
                grid = [float(value) for value in run["trials"]]
                end = ", the end of the grid" if run["tuned"] in (min(grid), max(grid)) else ""
                yield f"\n{name}: {run['tuned']:g} ({FILTERS[name].means}){end}"
    one, two = (runs.get(f"{CHAINED_DOSE}/{name}") for name in ("conditional_gan", "two_stages"))
    if one and two:
        yield f"\n| 1/{CHAINED_DOSE}: two stages less one | {' | '.join(DIGITS)} |"
        yield "|---|" + "---:|" * len(DIGITS)
        cells = [
            described([b - a for a, b in zip(values(one, c), values(two, c), strict=True)], n, "+")
            for c, n in DIGITS.items()
        ]
        yield f"| mean over patients | {' | '.join(cells)} |"


def values(run: Mapping[str, Any], column: str) -> list[float]:
    """Return a score of every head that has it, in the order of the heads' names."""
    scores = (run["scores"][case].get(column) for case in sorted(run["scores"]))
    return [score for score in scores if score is not None]


def described(scores: list[float], digits: int, sign: str = "") -> str:
    """Return the mean over patients, one head each, and its bootstrap interval."""
    low, high = interval(scores, [str(number) for number in range(len(scores))])
    ends = f"{low:{sign}.{digits}f} to {high:{sign}.{digits}f}"
    return f"{statistics.mean(scores):{sign}.{digits}f} ({ends})"


def off_by(biases: list[float]) -> str:
    """Return the mean bias and its standard deviation over heads."""
    if not biases:
        return "none"
    spread = statistics.stdev(biases) if len(biases) > 1 else math.nan
    return f"{statistics.mean(biases):+.1f} ± {spread:.1f}"


def machine(device: str) -> dict[str, Any]:
    """Return what the times depend on."""
    place = choose_device(device)
    name = torch.cuda.get_device_name(place) if place.type == "cuda" else platform.machine()
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


if __name__ == "__main__":
    main()
