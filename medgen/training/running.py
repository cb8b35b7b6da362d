"""One training from its first step, or the last that was saved, to a run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medgen import __version__
from medgen.files import locked
from medgen.runs import RunFolder, write_card
from medgen.training.calibrating import calibrate
from medgen.training.data import Report
from medgen.training.diagnosis import Diagnosis
from medgen.training.distributed import Ranks
from medgen.training.domains import is_unpaired
from medgen.training.loop import Loop, Progress
from medgen.training.opening import cases_json, keep_upstream, open_run, reopen_run
from medgen.training.session import Session
from medgen.training.sharing import check_alike
from medgen.training.validation import Validation


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
    with held(run, session.ranks):
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
    folder, config, ranks = RunFolder(run), session.config, session.ranks
    check_alike(ranks, _facts(session))
    if ranks.leads:
        _open(session, folder, resume=resume, overwrite=overwrite, upstream=upstream)
    loop = Loop(
        session.method,
        session.specs,
        config,
        folder,
        batch=session.batch,
        device=session.device,
        precision=session.precision,
        checks=session.checks,
        ranks=ranks,
    )
    loop.restore()
    validation = _validation(session, loop)
    try:
        if not loop.position.finished:
            loop.run(validation, progress)
        if ranks.leads:
            calibrate(folder, config, session.calibrated, device=session.device, report=report)
    finally:
        # Weights that can be converted with have a card, whatever stopped the training.
        if ranks.leads:
            write_card(folder, config, session.statistics, session.method.answers)
    ranks.wait()
    return Outcome(
        loop.position.step,
        loop.position.best_step,
        loop.position.best,
        validation.best_by.described,
        str(session.device),
        session.precision,
    )


@contextlib.contextmanager
def held(run: Path, ranks: Ranks) -> Iterator[None]:
    """Hold a run folder in the process that writes to it; see `locked`."""
    with locked(run) if ranks.leads else contextlib.nullcontext():
        yield


def _open(
    session: Session, folder: RunFolder, *, resume: bool, overwrite: bool, upstream: Path | None
) -> None:
    """Make the run folder, or check that it can be gone on with."""
    config, processes = session.config, session.ranks.size
    features = session.features_digest
    if resume and folder.cases.is_file():
        reopen_run(folder, config, session.cohort, features=features, processes=processes)
    else:
        # What a kill left of an opening holds nothing: resuming opens it anew.
        anew = overwrite or (resume and not folder.state.is_file())
        open_run(
            folder,
            config,
            session.cohort,
            session.statistics,
            features=features,
            processes=processes,
            overwrite=anew,
        )
    if upstream is not None:
        keep_upstream(folder, RunFolder(upstream))


def _validation(session: Session, loop: Loop) -> Validation:
    """Return what scores the averaged weights."""
    wanted = next(iter(session.method.answers.values())).target
    return Validation(
        loop.average.method,
        session.config,
        session.preprocessing,
        session.validated,
        device=session.device,
        precision=session.precision,
        domain=session.statistics.domains.get(wanted) if is_unpaired(session.method) else None,
        truths=session.scored,
        diagnosis=_diagnosis(session),
        ranks=session.ranks,
    )


def _facts(session: Session) -> dict[str, Any]:
    """Return, by what people call it, what several processes must have alike."""
    parameters = session.method.named_parameters()
    return {
        "version": [__version__, torch.__version__],
        "configuration": session.config.as_json(),
        "cases": cases_json(session.cohort),
        "network": [[name, list(tensor.shape)] for name, tensor in parameters],
        "device": [session.device.type, session.precision],
        "features": session.features_digest,
    }


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
