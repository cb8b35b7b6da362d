"""What a training stands on: the table divided, the method assembled, the cases prepared."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import Batches, Cache, Preprocessing, Row
from medgen.method import Method, OptimizerSpec
from medgen.runs import (
    Precision,
    RunFolder,
    Statistics,
    assemble,
    choose_device,
    choose_precision,
    completed,
    lend_features,
    preprocessing_of,
    read_run_files,
    read_weights,
)
from medgen.training.calibrating import check_kept, check_rates
from medgen.training.cohort import Cohort, read_cohort
from medgen.training.data import Examined, Report, prepare_data
from medgen.training.diagnosis import check_examined
from medgen.training.distributed import ALONE, Ranks
from medgen.training.domains import (
    answerable,
    healthy,
    scores_anomalies,
    with_truth,
)
from medgen.training.features import check_features
from medgen.training.generative import checks_of
from medgen.training.loop import Checks
from medgen.training.notices import tell
from medgen.training.schedule import stage_bounds, stages_of
from medgen.training.scoring import check_profile
from medgen.training.statistics import measure_statistics
from medgen.training.validation import check_window


@dataclass(frozen=True)
class Session:
    """Everything that a training stands on, checked and prepared."""

    config: Config
    method: Method
    specs: Mapping[str, OptimizerSpec]
    cohort: Cohort
    statistics: Statistics
    preprocessing: Preprocessing
    batches: Batches
    examined: tuple[Examined, ...]
    device: torch.device
    precision: Precision

    checks: Checks | None = None
    """What looks at a generative method's samples at each validation."""
    features_digest: str = ""
    """SHA-256 of the weights whose features the losses compare, where they do."""
    ranks: Ranks = ALONE
    """The processes that train together."""

    @property
    def validated(self) -> list[Row]:
        """Return the cases that validation answers."""
        rows = self.cohort.rows("validation")
        return answerable(self.cohort.table, rows, self.config.roles, self.method)

    @property
    def scored(self) -> frozenset[str]:
        """Return those of them whose answers are scored against their truth."""
        return with_truth(self.cohort.table, self.validated, self.config.roles, self.method)

    @property
    def calibrated(self) -> list[Row]:
        """Return the healthy cases that anomalies will be held against."""
        rows = self.cohort.rows("calibrate")
        return healthy(self.cohort.table, rows, self.config.roles, self.method)

    def batch(self, step: int) -> Mapping[str, Tensor]:
        """Return this process' batch of one step, ready for a fast copy to the device."""
        drawn = self.batches.batch(step, self.ranks.rank, world=self.ranks.size)
        if self.device.type != "cuda":
            return drawn
        return {key: tensor.pin_memory() for key, tensor in drawn.items()}


def prepare_session(
    config: Config,
    *,
    data: Path | Cohort,
    cache: Path,
    device: str = "auto",
    start_from: Path | None = None,
    features: Path | None = None,
    report: Report = lambda what, done, total: None,
    ranks: Ranks = ALONE,
) -> Session:
    """Check all that a training will need, and preprocess training and validation cases.

    Args:
        config: the complete configuration.
        data: the table (`cases.csv`), or its cases where they have been read.
        cache: folder of preprocessed voxels, shared by all runs; never inside the run.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        start_from: a run whose best weights the answering players start from.
        features: the run of a segmenter, for a method whose losses compare features.
        report: called while cases are prepared.
        ranks: the processes that train together; `device` is then theirs.

    Raises:
        ConfigurationError: the configuration or the table is refused, or the features are.
        Refusal: a case is; every problem of every case is listed.
    """
    place = ranks.device or choose_device(device)
    if place.type == "cpu":
        spare_a_core()
    torch.manual_seed(config.train.seed)
    method, specs = assemble(config)
    check_profile(config, method)
    stage_bounds(stages_of(method), config.train.steps)  # refuses a stage without a step
    config = completed(config)
    check_window(config, method)
    parent = Statistics()
    if start_from is not None:
        read_weights(RunFolder(start_from), method)
        parent = read_run_files(RunFolder(start_from))[1]
    check_features(config, method, features)
    cohort = data
    if not isinstance(cohort, Cohort):
        scores = scores_anomalies(method)
        cohort = read_cohort(cohort, config, reads=method.reads, calibrates=scores)
    check_rates(cohort, config, method)
    statistics = measure_statistics(cohort, config, method)
    statistics = statistics.after(parent)
    check_kept(cohort, config, method, statistics)
    wanted = next(iter(method.answers.values()))
    decoded = statistics.decoded.get(wanted.target)
    preprocessing = preprocessing_of(config, statistics.cohort, decoded, kind=wanted.kind)
    features_digest = ""
    if features is not None:
        lent = lend_features(features, config, statistics.cohort, place)
        method.feature_extractor, features_digest = lent.extractor, lent.weights_digest
    read = cohort
    prepared = ranks.in_turn(
        lambda: prepare_data(read, config, method, preprocessing, Cache(cache), report)
    )
    found = check_examined(config, prepared.examined, method)
    precision = choose_precision(config.train.precision, place)
    session = Session(
        config,
        method,
        specs,
        cohort,
        prepared.told(statistics),
        preprocessing,
        prepared.batches,
        prepared.examined if found else (),
        place,
        precision,
        checks_of(
            method, config, prepared.trained, prepared.held, device=place, precision=precision
        ),
        features_digest,
        ranks,
    )
    tell(session)
    return session


def spare_a_core() -> None:
    """Leave one core to the thread that prepares batches, unless OMP_NUM_THREADS decides.

    Where it shares the network's cores, every parallel loop waits for the thread that it displaced
    (measured on two cores: 0.30 s a step on both, 0.25 s on one).
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
