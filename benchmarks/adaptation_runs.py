"""A training in a folder of its own, and the scores of its answers as the pipelines take them."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from histogram_matching import match_table as match_histograms

from medgen.cohort import Options, cases_of_table, convert_cohort
from medgen.config import Config
from medgen.data import read_table
from medgen.evaluation import evaluate, match_table
from medgen.files import write_json
from medgen.metrics import profile_named
from medgen.problems import Refusal
from medgen.runs import Model, RunFolder, config_digest, load_model
from medgen.training import Outcome, train_table

LABEL = "lesion"
SCORES = ("dice", "lesion_f1")
Scores = dict[str, dict[str, float]]
"""By case, then by score; without what is not defined, where neither volume has a lesion."""


@dataclass(frozen=True)
class Place:
    """Where everything of the benchmark lies, and what computes it."""

    output: Path
    device: torch.device

    def run(self, key: str) -> Path:
        """Return the folder of a training."""
        return self.output / "runs" / key

    def answers(self, key: str) -> Path:
        """Return the folder of a training's answers to test patients."""
        return self.output / "answers" / key

    def found(self, key: str) -> Path:
        """Return the file of what a training came to."""
        return self.output / "found" / f"{key}.json"

    def known(self, key: str, config: Config) -> bool:
        """Tell whether a training was scored already, and refuse one of other settings."""
        file = self.found(key)
        if not file.exists():
            return False
        if json.loads(file.read_text())["config"] != config_digest(config):
            raise SystemExit(f"{file} was made with other settings")
        return True

    def train(self, config: Config, data: Path, key: str) -> tuple[Outcome, float]:
        """Train, and return the outcome and the seconds of all calls that it took."""
        cache = self.output / "cache"
        with timed(self.output / "seconds" / f"{key}.json") as clock:
            outcome = train_table(
                config,
                data=data,
                run=self.run(key),
                cache=cache,
                device=str(self.device),
                resume=True,
            )
        return outcome, clock["seconds"]

    def score(self, model: Model, data: Path, key: str) -> Scores:
        """Convert the test patients of the model's side, and return the scores of each."""
        answers = self.answers(key)
        cases, options = cases_of_table(data, model, split="test"), Options(overwrite=True)
        outcome = convert_cohort(model, cases, answers, device=self.device, options=options)
        if problems := [problem for result in outcome.results for problem in result.problems]:
            raise Refusal(problems)
        if outcome.interrupted:
            raise SystemExit(f"{key}: stopped; call it again to go on")
        return self.scores(answers, data, key)

    def scores(self, answers: Path, data: Path, key: str) -> Scores:
        """Return the scores of answers that lie in a folder."""
        matched = match_table(answers, data, column=LABEL)
        report = evaluate(
            matched, profile_named("segmentation"), self.output / "reports" / key, overwrite=True
        )
        return {
            result.case: {n: x for n in SCORES if not math.isnan(x := result.scores[n])}
            for result in report.results
        }

    def runs(self, name: str) -> dict[int, Any]:
        """Return what every finished seed of a row came to."""
        files = sorted((self.output / "found" / name).glob("seed_*.json"))
        return {int(f.stem.removeprefix("seed_")): json.loads(f.read_text()) for f in files}

    def kept(self, key: str) -> Iterator[tuple[int, Model]]:
        """Yield the step and the model of every validation whose weights were kept."""
        folder = RunFolder(self.run(key))
        for file in sorted(folder.training.glob("weights_step_*.safetensors")):
            with tempfile.TemporaryDirectory() as name:
                copy = RunFolder(Path(name))
                shutil.copytree(folder.model, copy.model)
                shutil.copyfile(file, copy.weights)
                model = load_model(copy.path, device=self.device)
            yield int(file.stem.rpartition("_")[2]), model


def matched_table(data: Path, config: Config, output: Path) -> Path:
    """Return a divided table whose source images have the target's histograms, made if need be.

    Those of the source's test patients too, as whoever uses such a network would have to. Each
    column is matched to the one in its place at the target, on the target's training patients.
    """
    source, target = config.roles.source, config.roles.target
    assert target is not None  # the demo has both
    rows = read_table(data, columns=config.roles.columns()).rows
    train = [row.case for row in rows if row.split == "train"]
    split = {"train": train, "validation": [row.case for row in rows if row.split != "train"]}
    for column, like in zip(source.columns, target.columns, strict=True):
        folder = output / f"{column}_like_{like}"
        if not (folder / "cases.csv").exists():
            match_histograms(
                data,
                folder,
                column=column,
                like=like,
                source_site=source.where["site"],
                target_site=target.where["site"],
                mask=None if config.roles.mask == "auto" else config.roles.mask,
                split=split,
            )
        data = folder / "cases.csv"
    return data


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
