"""The names inside a run folder; no other package knows them.

`model/` is all that conversion needs and may be shared: no path, no case id, no picture.
`training/` holds what resuming needs and what shows patients, and stays home.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """A run on disk."""

    path: Path

    @property
    def model(self) -> Path:
        """Everything that may leave the hospital."""
        return self.path / "model"

    @property
    def config(self) -> Path:
        """The complete configuration, defaults included."""
        return self.model / "config.yaml"

    @property
    def weights(self) -> Path:
        """The best averaged weights of the answering players."""
        return self.model / "weights.safetensors"

    @property
    def statistics(self) -> Path:
        """Measured on the training cases: cohort scales, counts, fingerprints of seen sources."""
        return self.model / "statistics.json"

    @property
    def calibration(self) -> Path:
        """How healthy cases score, of a method that scores anomalies; absent without such cases."""
        return self.model / "calibration.json"

    @property
    def record(self) -> Path:
        """The versions that the run was made with."""
        return self.model / "versions.json"

    @property
    def card(self) -> Path:
        """The model card."""
        return self.model / "card.md"

    @property
    def upstream(self) -> RunFolder:
        """In a chain, the run of the stage before; of it there is `model/` alone."""
        return RunFolder(self.model / "upstream")

    @property
    def training(self) -> Path:
        """What stays home."""
        return self.path / "training"

    @property
    def chain(self) -> Path:
        """The earlier stages of a chain, whose answers to the training cases are pictures too."""
        return self.training / "chain"

    def stage_run(self, stage: int, fold: int | None = None) -> Path:
        """Return the run of an earlier stage, or of one of its folds, counted from one."""
        return self.chain / f"stage_{stage}" / ("all" if fold is None else f"fold_{fold}")

    def stage_answers(self, stage: int) -> Path:
        """Return the folder of a stage's answers to training and validation cases."""
        return self.chain / f"stage_{stage}" / "answers"

    @property
    def state(self) -> Path:
        """The last complete state: players, averages, optimizers, position."""
        return self.training / "state.safetensors"

    @property
    def cases(self) -> Path:
        """Which case went into which split, and the fingerprints of its files."""
        return self.training / "cases.json"

    @property
    def losses(self) -> Path:
        """Mean losses per interval."""
        return self.training / "losses.csv"

    @property
    def validation(self) -> Path:
        """Scores per validation and case."""
        return self.training / "validation.csv"

    @property
    def diagnosis(self) -> Path:
        """The method's own figures per validation, which no truth is needed for."""
        return self.training / "diagnosis.csv"

    def weights_at(self, step: int) -> Path:
        """The averaged weights of one validation, where all are kept."""
        return self.training / f"weights_step_{step:07d}.safetensors"

    @property
    def previews(self) -> Path:
        """Pictures of validation cases."""
        return self.training / "previews"

    @property
    def tensorboard(self) -> Path:
        """Event files."""
        return self.training / "tensorboard"
