"""The verb train as a function: a table and a configuration in, a run folder out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import Batches, Cache, Preprocessing
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
    preprocessing_of,
    read_run_files,
    read_weights,
    write_card,
)
from medgen.training.data import Cohort, Report, measure_statistics, prepare_data, read_cohort
from medgen.training.loop import Loop, Progress
from medgen.training.opening import open_run, reopen_run
from medgen.training.validation import Validation, check_profile


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
    device: torch.device
    precision: Precision

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
    device: str
    precision: str


def prepare_session(
    config: Config,
    *,
    data: Path,
    cache: Path,
    device: str = "auto",
    start_from: Path | None = None,
    report: Report = lambda what, done, total: None,
) -> Session:
    """Check all that a training will need, and preprocess training and validation cases.

    Args:
        config: the complete configuration.
        data: the table (`cases.csv`).
        cache: folder of preprocessed voxels, shared by all runs; never inside the run.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        start_from: a run whose best weights the answering players start from.
        report: called while cases are prepared.

    Raises:
        ConfigurationError: the configuration or the table is refused.
        Refusal: a case is; every problem of every case is listed.
    """
    place = choose_device(device)
    if place.type == "cpu":
        spare_a_core()
    torch.manual_seed(config.train.seed)
    method, specs = assemble(config)
    check_profile(config, method)
    config = completed(config)
    parent: frozenset[str] = frozenset()
    if start_from is not None:
        read_weights(RunFolder(start_from), method)
        parent = read_run_files(RunFolder(start_from))[1].seen
    cohort = read_cohort(data, config, reads=method.reads)
    statistics = measure_statistics(cohort, config)
    statistics = replace(statistics, seen=statistics.seen | parent)
    preprocessing = preprocessing_of(config, statistics.cohort)
    batches = prepare_data(cohort, config, method, preprocessing, Cache(cache), report)
    return Session(
        config,
        method,
        specs,
        cohort,
        statistics,
        preprocessing,
        batches,
        place,
        choose_precision(config.train.precision, place),
    )


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
    progress: Progress = lambda step, losses, score: None,
) -> Outcome:
    """Train and leave a run folder.

    Args:
        session: what `prepare_session` returned; used for one training only.
        run: the folder to make, or to go on with.
        resume: go on from the last saved state; from the start where there is none.
        overwrite: replace a run that is there.
        progress: called after every step.

    Raises:
        ConfigurationError: the run folder is refused.
        GuardStop, Interrupted: see `Loop.run`.
    """
    folder, config = RunFolder(run), session.config
    with locked(run):
        if resume and folder.cases.is_file():
            reopen_run(folder, config, session.cohort)
        else:
            # What a kill left of an opening holds nothing: resuming opens it anew.
            anew = overwrite or (resume and not folder.state.is_file())
            open_run(folder, config, session.cohort, session.statistics, overwrite=anew)
        loop = Loop(
            session.method,
            session.specs,
            config,
            folder,
            batch=session.batch,
            device=session.device,
            precision=session.precision,
        )
        loop.restore()
        validation = Validation(
            loop.average.method,
            config,
            session.preprocessing,
            session.cohort.rows("validation"),
            device=session.device,
            precision=session.precision,
        )
        try:
            if not loop.position.finished:
                loop.run(validation, progress)
        finally:
            # Weights that can be converted with have a card, whatever stopped the training.
            write_card(folder, config, session.statistics)
    return Outcome(
        loop.position.step,
        loop.position.best_step,
        loop.position.best,
        str(session.device),
        session.precision,
    )


def try_step(session: Session) -> dict[str, float]:
    """Make the first step, write nothing, and return its losses: the dry run's last check."""
    loop = Loop(
        session.method,
        session.specs,
        session.config,
        RunFolder(Path()),
        batch=session.batch,
        device=session.device,
        precision=session.precision,
    )
    return {name: float(loss.detach()) for name, loss in loop.step(session.batch(0)).items()}
