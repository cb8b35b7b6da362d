"""Networks on the site whose lesions are labelled, by the size of a lesion, and a threshold.

Nothing is adapted here: every network is trained by `segmenter` on site one and scored on its test
patients. Lesions are counted over all of them together, so that each weighs the same, and over the
seeds; size is the lesion's own volume.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from adaptation_results import DICE, F1, Run, Runs, mean_of, of_seeds, spread
from adaptation_rows import BRAIN, columns_of, table_text
from adaptation_runs import LABEL, Place

from medgen.baselines.answering import write_lesions
from medgen.config import Config, read_config
from medgen.data import read_table
from medgen.evaluation import match_table
from medgen.files import write_json, write_text
from medgen.metrics.lesion_sizes import SizeBin, detect_by_size, pooled
from medgen.metrics.lesions import Detection
from medgen.runs import config_digest, load_model
from medgen.volumes import open_volume

NARROW = {"name": "deep_medic", "channels": [12, 12, 16, 16, 16, 16, 20, 20], "hidden": [60, 60]}
UNET = {"name": "unet", "channels": [16, 32, 64], "features": 8, "residual_units": 2}
THRESHOLD = "threshold"
WIDE = "[63, 63, 63]"


@dataclass(frozen=True)
class Network:
    """A network as it is trained here, apart from what the demo's configuration says."""

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    patch: int = 0
    """Voxels along each axis of what is answered."""
    batch: int = 0
    rate: float = 1e-3
    """The learning rate."""
    window: str = "auto"
    """Of conversion; by patches of 9 voxels most of a DeepMedic's work would be its margin."""

    def settings(self) -> list[str]:
        """Return the overrides that make the demo's configuration this network's."""
        moved = {"segmenter": {"learning_rate": self.rate}}
        block = {"segmenter": {"network": dict(self.options), "optimizers": moved}}
        patch = f"train.patch={[self.patch] * 3}"
        sizes = [patch, f"train.batch_size={self.batch}", f"convert.window={self.window}"]
        return [f"methods={json.dumps(block)}", *sizes]


SUPERVISED = {
    "deep_medic_narrow": Network("DeepMedic, 2/5 as wide", NARROW, patch=18, batch=4, window=WIDE),
    "deep_medic": Network("DeepMedic", {"name": "deep_medic"}, patch=9, batch=10, window=WIDE),
    "unet": Network("U-Net", UNET, patch=24, batch=4, rate=3e-3),
    THRESHOLD: Network("threshold of the first channel"),
}
"""An original step takes twice the narrow one's time, and seven times the U-Net's."""


class Supervised:
    """The rows of the second table."""

    rows = SUPERVISED

    def __init__(self, place: Place, table: Path, settings: list[str], config: Path) -> None:
        self.place, self.settings, self.config = place, settings, config
        self.demo = read_config(config, settings)
        self.columns = columns_of(table, self.demo)
        self.table = place.output / "site_one.csv"
        if not self.table.exists():
            rows = read_table(table, columns=self.columns).select(self.demo.roles.source.where)
            write_text(self.table, table_text(rows, self.columns, place.output))

    def run(self, name: str, seed: int) -> None:
        """Train one network with one seed, or fit the threshold once, and score it."""
        if name == THRESHOLD:
            self.threshold()
            return
        key, config = f"supervised/{name}/seed_{seed}", self.configured(name, seed)
        if self.place.known(key, config):
            return
        outcome, seconds = self.place.train(config, self.table, key)
        model = load_model(self.place.run(key), device=self.place.device)
        scores = self.place.score(model, self.table, key)
        sizes = self.sizes(self.place.answers(key))
        found = {"config": config_digest(config), "seconds": seconds}
        found |= {"source": scores, "sizes": sizes}
        write_json(self.place.found(key), found)
        dice, picked = mean_of(found, "source", DICE), f"step {outcome.best_step}"
        print(f"{key}: {seconds / 60:.1f} minutes, {picked}, Dice {dice:.3f}", flush=True)

    def configured(self, name: str, seed: int) -> Config:
        """Return the configuration of one network."""
        own = [
            "roles.target=null",
            "method=segmenter",
            "train.validate.best_by={name: dice, mode: max}",
            "train.validate.keep_all=false",
        ]
        shared = [*self.settings, *own, *SUPERVISED[name].settings(), f"train.seed={seed}"]
        return read_config(self.config, shared)

    def threshold(self) -> None:
        """Fit the threshold on the training cases and score its answers to the test patients."""
        key = f"supervised/{THRESHOLD}/seed_0"
        if self.place.found(key).exists():
            return
        rows = read_table(self.table, columns=self.columns).rows
        split = {n: [row.case for row in rows if row.split == n] for n in ("train", "test")}
        fitted, answers = write_lesions(
            self.table,
            split,
            self.place.answers(key),
            source=self.demo.roles.source.columns[0],
            label=LABEL,
            labels=self.demo.labels,
            mask=BRAIN if BRAIN in self.columns else None,
        )
        found = {
            "source": self.place.scores(answers, self.table, key),
            "sizes": self.sizes(answers),
            "fitted": asdict(fitted),
        }
        write_json(self.place.found(key), found)

    def sizes(self, answers: Path) -> list[dict[str, Any]]:
        """Count the lesions of all test patients by size."""
        cases = []
        for case in match_table(answers, self.table, column=LABEL).cases:
            predicted, truth = open_volume(case.prediction), open_volume(case.reference)
            cases.append(detect_by_size(predicted.data, truth.data, truth.grid.spacing_mm))
        return [{"above_ml": each.least_ml, "counts": list(each.counts)} for each in pooled(cases)]

    def report(self) -> Iterator[str]:
        """Yield all that is known as Markdown."""
        found: dict[str, dict[int, Run]] = {
            name: self.place.runs(f"supervised/{name}") for name in SUPERVISED
        }
        return size_tables({name: mine for name, mine in found.items() if mine})


def size_tables(runs: Runs) -> Iterator[str]:
    """Yield each row's scores on the test patients, and its detection by the size of a lesion."""
    columns = ["Dice", "lesion F1, mean over patients", "seeds", "minutes"]
    yield f"| site one, mean, sd over seeds | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, mine in runs.items():
        cells = [spread(of_seeds(mine, "source", score)) for score in (DICE, F1)]
        seconds = [run["seconds"] for run in mine.values() if "seconds" in run]
        cells += [str(len(mine)), f"{statistics.fmean(seconds) / 60:.1f}" if seconds else "-"]
        yield f"| {SUPERVISED[name].title} | {' | '.join(cells)} |"
    bins = {name: pooled(map(bins_of, mine.values())) for name, mine in runs.items()}
    sizes = next(iter(bins.values()), ())
    yield f"\n| F1 (recall, precision) by size | {' | '.join(size.name for size in sizes)} |"
    yield "|---|" + "---:|" * len(sizes)
    for name, found in bins.items():
        cells = [f"{_share(b.f1)} ({_share(b.recall)}, {_share(b.precision)})" for b in found]
        yield f"| {SUPERVISED[name].title} | {' | '.join(cells)} |"
    counts = [str(size.counts.reference // len(mine)) for mine in runs.values() for size in sizes]
    yield f"| lesions of the test patients | {' | '.join(counts[: len(sizes)])} |"


def bins_of(run: Run) -> tuple[SizeBin, ...]:
    """Return the bins that a run's file keeps."""
    least = [each["above_ml"] for each in run["sizes"]]
    counts = [Detection(*each["counts"]) for each in run["sizes"]]
    return tuple(map(SizeBin, least, [*least[1:], math.inf], counts))


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"
