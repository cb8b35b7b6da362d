"""Ways to score anomalies on one table: trained or fitted, calibrated, answered and evaluated.

Everything is what the verbs do: training with its calibration, convert, and the profile `anomaly`.
Called again, it goes on, and refuses to mix results of different settings.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from adaptation_runs import Place

from medgen.baselines import IntensityZ, VoxelZ, write_anomaly_maps
from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config, read_config
from medgen.conversion import sidecar_of
from medgen.data import Row, read_table
from medgen.evaluation import evaluate_maps, match_table
from medgen.files import write_json
from medgen.problems import Refusal
from medgen.runs import config_digest, load_model

CONFIG = Path(__file__).parents[1] / "configs" / "anomaly_detection_demo.yaml"
GROUP, LESION, HEALTHY = "group", "lesion", "healthy"
OF_A_CASE = (
    "voxel_average_precision",
    "voxel_auroc",
    "dice",
    "recall",
    "oracle_dice",
    "prevalence",
    "lesion_ml",
    "mask_ml",
    "false_positive_ml",
    "p",
)
Found = dict[str, Any]
Runs = Mapping[str, Mapping[int, Found]]
"""What every finished seed of every way came to."""


@dataclass(frozen=True)
class Way:
    """One way to a map and a score, apart from what all share."""

    title: str
    method: str = ""
    """Empty: a baseline of that name, which learns nothing by steps and has no seed."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the method, over those of the configuration."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Of the block `train`, likewise."""

    def settings(self) -> list[str]:
        """Return the overrides that make a configuration this way's."""
        own = [
            f"methods.{self.method}.{key}={json.dumps(value)}"
            for key, value in self.options.items()
        ]
        own += [f"train.{key}={json.dumps(value)}" for key, value in self.training.items()]
        return [f"method={self.method}", *own]


LEARNING = {"learning_rate": 5e-4}
SLICES: Mapping[str, Any] = {
    "network": {
        "name": "residual_gan",
        "channels": 12,
        "levels": 3,
        "latent": 64,
        "spatial_dims": 2,
    },
    "optimizers": {
        "generator": LEARNING,
        "critic": LEARNING,
        "encoder": {"name": "adam", "learning_rate": 1e-3},
    },
}
"""In 3D a step of its critic costs seconds; the paper's own images are slices, too."""


def steps(count: int, **more: Any) -> dict[str, Any]:
    """Return a training of so many steps: about as many CPU minutes for each way."""
    return {"steps": count, "validate.every_steps": count // 2, **more}


WAYS = {
    VoxelZ.name: Way("voxelwise z-score"),
    IntensityZ.name: Way("intensity alone"),
    "denoising_autoencoder": Way(
        "denoising autoencoder", "denoising_autoencoder", training=steps(600)
    ),
    "vae": Way("VAE", "vae", training=steps(1500)),
    "vae_placeless": Way("VAE, not told the place", "vae", {"located": False}, steps(1500)),
    "vae_restored": Way("VAE, restored", "vae", {"restoration_steps": 50}, steps(1500)),
    "vae_gan": Way("VAE-GAN", "vae_gan", training=steps(700)),
    "ano_gan": Way("AnoGAN", "ano_gan", {"search_steps": 50}, steps(2000)),
    "f_ano_gan": Way(
        "f-AnoGAN, slices",
        "f_ano_gan",
        SLICES,
        steps(1500, patch=[32, 32, 1], batch_size=16),
    ),
}
BASELINES = tuple(name for name, way in WAYS.items() if not way.method)


class Bench:
    """Ways on one table."""

    def __init__(self, place: Place, table: Path, settings: Sequence[str]) -> None:
        """Take what is shared: the folder, the table, and the overrides of the configuration."""
        self.place, self.table, self.settings = place, table, list(settings)
        roles = self.configured("vae", 0).roles
        self.source, self.mask = roles.source.columns[0], roles.mask
        self.rows = read_table(table, columns=[self.source, LESION, self.mask]).rows

    def configured(self, name: str, seed: int) -> Config:
        """Return the configuration of a way; a baseline's are its columns and its calibration."""
        way = WAYS[name]
        own = way.settings() if way.method else []
        return read_config(CONFIG, [*self.settings, *own, f"train.seed={seed}"])

    def run(self, name: str, seed: int) -> None:
        """Train or fit a way with a seed, answer the test cases and score them."""
        if not WAYS[name].method:
            self.fit()
            return
        key, config = f"{name}/seed_{seed}", self.configured(name, seed)
        if self.place.known(key, config):
            return
        _, training = self.place.train(config, self.table, key)
        model = load_model(self.place.run(key), device=self.place.device)
        folder, options = self.place.answers(key), Options(overwrite=True)
        cases = cases_of_table(self.table, model, split="test")
        begun = time.monotonic()
        outcome = convert_cohort(model, cases, folder, device=self.place.device, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        if outcome.interrupted:
            raise SystemExit(f"{key}: stopped; call it again to go on")
        files = [result.output for result in outcome.results if result.output is not None]
        notes = [json.loads(sidecar_of(file).read_text()) for file in files]
        self.keep(
            key,
            folder,
            {
                "config": config_digest(config),
                "train_seconds": training,
                "seconds": statistics.median(note["seconds"]["infer"] for note in notes),
            },
        )
        took = (time.monotonic() - begun) / 60
        print(f"{key}: {training / 60:.1f} minutes, {took:.1f} to answer and score", flush=True)

    def fit(self) -> None:
        """Fit both baselines, answer and score."""
        config = self.configured("vae", 0)
        settings = {**config.convert.anomaly.model_dump(mode="json"), "source": self.source}
        keys = {name: f"{name}/seed_0" for name in BASELINES}
        if all(self.place.found(key).exists() for key in keys.values()):
            for key in keys.values():
                if json.loads(self.place.found(key).read_text())["config"] != settings:
                    raise SystemExit(f"{self.place.found(key)} was made with other settings")
            return
        split = {
            name: [row.case for row in self.rows if row.split == name]
            for name in ("train", "calibrate", "test")
        }
        heard: dict[str, list[float]] = {name: [] for name in BASELINES}
        folders = write_anomaly_maps(
            self.table,
            split,
            self.place.output / "answers" / "baselines",
            source=self.source,
            mask=self.mask,
            settings=config.convert.anomaly,
            on_answer=lambda name, case: heard[name].append(time.monotonic()),
        )
        for folder in folders:
            times = heard[folder.name]
            apart = [after - before for before, after in pairwise(times)]
            seconds = statistics.median(apart)
            self.keep(keys[folder.name], folder, {"config": settings, "seconds": seconds})

    def keep(self, key: str, folder: Path, found: Found) -> None:
        """Evaluate answers and write down what they came to."""
        matched = match_table(
            folder,
            self.table,
            column=LESION,
            mask_column=self.mask,
            group_column=GROUP,
            split="test",
        )
        report = evaluate_maps(matched, self.place.output / "reports" / key, overwrite=True)
        if report.failed:
            raise Refusal(problem for result in report.failed for problem in result.problems)
        summary = report.summary["anomaly"]
        scores = {result.case: result.scores for result in report.results}
        cases = {row.case: self.case(row, scores, summary["score"]) for row in self.test}
        write_json(
            self.place.found(key),
            {**found, "answers": str(folder.relative_to(self.place.output)), "cases": cases}
            | {"summary": summary, "paired": paired(cases)},
        )

    @property
    def test(self) -> list[Row]:
        """Return the test cases' rows."""
        return [row for row in self.rows if row.split == "test"]

    def case(self, row: Row, scores: Mapping[str, Mapping[str, float]], name: str) -> Found:
        """Return what is kept of a case: its group, its score and its healthy twin's."""
        twins = [
            other.case
            for other in self.test
            if other.patient == row.patient and other.word(GROUP) == HEALTHY
        ]
        mine = {key: scores[row.case][key] for key in OF_A_CASE}
        return {
            "group": row.word(GROUP),
            "score": scores[row.case][name],
            "twin": scores[twins[0]][name] if twins and row.word(GROUP) != HEALTHY else None,
            **{key: value for key, value in mine.items() if not math.isnan(value)},
        }


def paired(cases: Mapping[str, Found]) -> dict[str, list[int]]:
    """Return, by group, how many cases score higher than their healthy twins, and of how many."""
    found: dict[str, list[int]] = {}
    for case in cases.values():
        if case["twin"] is not None:
            pair = found.setdefault(case["group"], [0, 0])
            pair[0] += case["score"] > case["twin"]
            pair[1] += 1
    return found
