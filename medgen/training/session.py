"""The verb train as a function: a table and a configuration in, a run folder out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import Batches, Cache, Preprocessing, Row
from medgen.files import locked
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
    write_card,
)
from medgen.training.calibrating import calibrate, check_kept, check_rates
from medgen.training.cohort import Cohort, read_cohort
from medgen.training.data import Examined, Report, prepare_data
from medgen.training.diagnosis import Diagnosis, check_examined
from medgen.training.domains import (
    answerable,
    healthy,
    is_unpaired,
    scores_anomalies,
    with_truth,
)
from medgen.training.features import check_features
from medgen.training.generative import checks_of
from medgen.training.loop import Checks, Loop, Progress
from medgen.training.notices import tell
from medgen.training.opening import keep_upstream, open_run, reopen_run
from medgen.training.schedule import stage_bounds, stages_of
from medgen.training.scoring import check_profile
from medgen.training.statistics import measure_statistics
from medgen.training.validation import Validation, check_window


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
        """Return the batch of one step, ready for a fast copy to the device."""
        drawn = self.batches.batch(step)
        if self.device.type != "cuda":
            return drawn
        return {key: tensor.pin_memory() for key, tensor in drawn.items()}


@dataclass(frozen=True)
class Outcome:
    """What a training came to."""

    steps: int
    best_step: int | None
    best: float | None
    best_by: str
    """The score that `best` is."""
    device: str
    precision: str


def prepare_session(
    config: Config,
    *,
    data: Path | Cohort,
    cache: Path,
    device: str = "auto",
    start_from: Path | None = None,
    features: Path | None = None,
    report: Report = lambda what, done, total: None,
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

    Raises:
        ConfigurationError: the configuration or the table is refused, or the features are.
        Refusal: a case is; every problem of every case is listed.
    """
    place = choose_device(device)
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
    prepared = prepare_data(cohort, config, method, preprocessing, Cache(cache), report)
    found = check_examined(config, prepared.examined, method)
    precision = choose_precision(config.train.precision, place)
    session = Session(
        config,
        method,
        specs,
        cohort,
        replace(statistics, domains=prepared.domains),
        preprocessing,
        prepared.batches,
        prepared.examined if found else (),
        place,
        precision,
        checks_of(
            method, config, prepared.trained, prepared.held, device=place, precision=precision
        ),
        features_digest,
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


def train(
    session: Session,
    run: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    upstream: Path | None = None,
    progress: Progress = lambda step, losses, score, warnings: None,
    report: Report = lambda what, done, total: None,
) -> Outcome:
    """Train and leave a run folder.

    Args:
        session: what `prepare_session` returned; used for one training only.
        run: the folder to make, or to go on with.
        resume: go on from the last saved state; from the start where there is none.
        overwrite: replace a run that is there.
        upstream: in a chain, the finished run of the stage before, which the run will keep.
        progress: called after every step.
        report: called while healthy cases are measured, which anomalies are held against.

    Raises:
        ConfigurationError: the run folder is refused.
        GuardStop, Interrupted: see `Loop.run`.
        Refusal, Interrupted: see `calibrate`.
    """
    with locked(run):
        return train_held(
            session,
            run,
            resume=resume,
            overwrite=overwrite,
            upstream=upstream,
            progress=progress,
            report=report,
        )


def train_held(
    session: Session,
    run: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    upstream: Path | None = None,
    progress: Progress = lambda step, losses, score, warnings: None,
    report: Report = lambda what, done, total: None,
) -> Outcome:
    """Do what `train` does, in a folder whose lock the caller holds."""
    folder, config = RunFolder(run), session.config
    if resume and folder.cases.is_file():
        reopen_run(folder, config, session.cohort, features=session.features_digest)
    else:
        # What a kill left of an opening holds nothing: resuming opens it anew.
        anew = overwrite or (resume and not folder.state.is_file())
        open_run(
            folder,
            config,
            session.cohort,
            session.statistics,
            features=session.features_digest,
            overwrite=anew,
        )
    if upstream is not None:
        keep_upstream(folder, RunFolder(upstream))
    loop = Loop(
        session.method,
        session.specs,
        config,
        folder,
        batch=session.batch,
        device=session.device,
        precision=session.precision,
        checks=session.checks,
    )
    loop.restore()
    wanted = next(iter(session.method.answers.values())).target
    validation = Validation(
        loop.average.method,
        config,
        session.preprocessing,
        session.validated,
        device=session.device,
        precision=session.precision,
        domain=session.statistics.domains.get(wanted) if is_unpaired(session.method) else None,
        truths=session.scored,
        diagnosis=_diagnosis(session),
    )
    try:
        if not loop.position.finished:
            loop.run(validation, progress)
        calibrate(folder, config, session.calibrated, device=session.device, report=report)
    finally:
        # Weights that can be converted with have a card, whatever stopped the training.
        write_card(folder, config, session.statistics, session.method.answers)
    return Outcome(
        loop.position.step,
        loop.position.best_step,
        loop.position.best,
        validation.best_by.described,
        str(session.device),
        session.precision,
    )


def _diagnosis(session: Session) -> Diagnosis | None:
    """Return what is found at each validation without a truth, where a method finds anything."""
    if not session.examined:
        return None
    return Diagnosis(
        session.examined,
        session.config,
        margin=session.method.margin,
        device=session.device,
        precision=session.precision,
    )
