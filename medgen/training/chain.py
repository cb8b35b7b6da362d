"""Chains: ordinary runs in a row, each fed with the answers of the one before over whole volumes.

Training cases are answered by fold models that did not see them, so that the next stage learns from
answers as bad as those it will meet. Validation cases, and later every conversion, are answered by
a model of all training cases. The folds of patients are the same in every stage: from the third on,
a fold's models were fed answers that were learned from its patients, and a little leaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.config import Config
from medgen.data import Row, Table
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem
from medgen.runs import RunFolder, build, completed
from medgen.training.answering import answer_rows
from medgen.training.cohort import Cohort, read_cohort
from medgen.training.data import Report
from medgen.training.distributed import ALONE, Ranks
from medgen.training.domains import is_unpaired
from medgen.training.loop import Progress
from medgen.training.opening import check_unchanged, clear, is_taken, taken
from medgen.training.running import Outcome, held, train, train_held
from medgen.training.scoring import check_profile
from medgen.training.session import Session, prepare_session
from medgen.volumes import digest_of

Watch = Callable[[str, int, int, Mapping[str, float], float | None, Sequence[str]], None]
"""Called after every step with what is trained, the step, how many there are, losses, score and
the monitor's warnings."""


def unwatched(
    what: str,
    step: int,
    steps: int,
    losses: Mapping[str, float],
    best: float | None,
    warnings: Sequence[str],
) -> None:
    """Show nothing."""


def train_table(
    config: Config,
    *,
    data: Path,
    run: Path,
    cache: Path,
    device: str = "auto",
    start_from: Path | None = None,
    features: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    report: Report = lambda what, done, total: None,
    prepared: Callable[[str, Session], None] = lambda what, session: None,
    progress: Watch = unwatched,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Train on a table and leave a run folder; a chain trains its stages one after the other.

    Args:
        config: the configuration.
        data: the table (`cases.csv`).
        run: the folder to make, or to go on with.
        cache: folder of preprocessed voxels, shared by all runs; never inside the run.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        start_from: a run whose best weights the answering players start from; not with a chain.
        features: the run of a segmenter, for a method whose losses compare features.
        resume: go on from the last saved state; from the start where there is none.
        overwrite: replace a run that is there.
        report: called while cases are prepared.
        prepared: called with each training's name and session before its first step.
        progress: called after every step.
        ranks: the processes that train together; a chain's must see one run folder.

    Raises:
        ConfigurationError, Refusal, GuardStop, Interrupted: see `prepare_session` and `train`.
    """
    folder = RunFolder(run)
    if config.fed_column is None:
        if folder.chain.exists() and not folder.cases.is_file() and not overwrite:
            raise _unfinished() if resume else taken()
        session = prepare_session(
            config,
            data=data,
            cache=cache,
            device=device,
            start_from=start_from,
            features=features,
            report=report,
            ranks=ranks,
        )
        prepared("training", session)
        watch = _watch(progress, "training", config)
        return train(
            session, run, resume=resume, overwrite=overwrite, progress=watch, report=report
        )
    method, _ = build(config)
    check_chain(config, method, start_from=start_from)
    check_profile(config, method)
    # Held from the first stage on: another process must not clear what the stages are made of.
    with held(run, ranks):
        if ranks.leads:
            _begin(folder, config, resume=resume, overwrite=overwrite)
        cohort = read_cohort(data, config, reads=method.reads)
        links = _Links(config, folder, cache, device, features, report, prepared, progress, ranks)
        return links.train(cohort)


def _begin(folder: RunFolder, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Clear a chain's folder, or check that it may be begun or gone on with."""
    if overwrite:
        clear(folder, chain=True)
    elif not resume and (is_taken(folder) or folder.chain.exists()):
        raise taken()
    elif folder.cases.is_file():
        check_unchanged(folder, completed(config))


def _unfinished() -> ConfigurationError:
    """Return the refusal to begin one run in the midst of a chain."""
    message = "the folder holds an unfinished chain, and the configuration has no `chain`"
    advice = "resume with the configuration and every --set that it began with, or --overwrite it"
    return ConfigurationError(Problem("E_RESUME_CONFIG", message, advice))


def check_chain(config: Config, method: Method, *, start_from: Path | None = None) -> None:
    """Refuse what a chain cannot do before its first stage is trained.

    Raises:
        ConfigurationError: E_CHAIN_METHOD where an answer is no image of the target, which alone
            can be fed in the target's scale, or where training sees no truth that a next stage
            could come nearer to; E_CHAIN_FROM.
    """
    first = next(iter(method.answers.values()))
    if is_unpaired(method):
        message = f"{config.method!r} trains without pairs, and a chain comes nearer to a truth"
        advice = "train without a chain (--set chain.stages=1), or choose another method"
        raise ConfigurationError(Problem("E_CHAIN_METHOD", message, advice))
    if first.kind != "image" or first.target != "target":
        message = f"{config.method!r} answers with {first.kind}, and a chain feeds images"
        advice = "train without a chain (--set chain.stages=1), or choose another method"
        raise ConfigurationError(Problem("E_CHAIN_METHOD", message, advice))
    if start_from is not None:
        message = "--from gives one network's weights, and a chain trains several"
        advice = "leave --from out, or train without a chain (--set chain.stages=1)"
        raise ConfigurationError(Problem("E_CHAIN_FROM", message, advice))


@dataclass(frozen=True)
class _Links:
    """One chain's trainings, and what they all share."""

    config: Config
    folder: RunFolder
    cache: Path
    device: str
    features: Path | None
    report: Report
    prepared: Callable[[str, Session], None]
    progress: Watch
    ranks: Ranks

    @property
    def stages(self) -> int:
        assert self.config.chain is not None
        return self.config.chain.stages

    def train(self, cohort: Cohort) -> Outcome:
        """Train every stage, and return what the last one came to."""
        folds = folds_of(self.config, cohort)
        for stage in range(1, self.stages):
            cohort = self._stage(stage, cohort, folds)
        upstream = self.folder.stage_run(self.stages - 1)
        return self._train(self.stages, cohort, self.folder.path, self._name(self.stages), upstream)

    def _name(self, stage: int, fold: int = 0) -> str:
        """Return what a training is called for people; fold 0 is the one of all cases."""
        assert self.config.chain is not None
        number = (stage - 1) * self.config.chain.in_a_stage + 1 + fold
        of_fold = f", fold {fold} of {self.config.chain.folds}" if fold else ""
        total = self.config.chain.trainings
        return f"training {number} of {total}: stage {stage} of {self.stages}{of_fold}"

    def _stage(self, stage: int, cohort: Cohort, folds: Sequence[frozenset[str]]) -> Cohort:
        """Train one earlier stage, and return the cohort with its answers as one more column."""
        name = self._name(stage)
        upstream = self.folder.stage_run(stage - 1) if stage > 1 else None
        everyone = self.folder.stage_run(stage)
        self._train(stage, cohort, everyone, name, upstream)
        rows = cohort.rows("validation")
        if len(folds) == 1:
            rows += cohort.rows("train")
        answers = self._answer(stage, everyone, rows, name)
        for number, held_out in enumerate(folds if len(folds) > 1 else [], start=1):
            of_fold = self.folder.stage_run(stage, number)
            what = self._name(stage, number)
            self._train(stage, _without(cohort, held_out), of_fold, what, upstream)
            left = [row for row in cohort.rows("train") if row.case in held_out]
            answers |= self._answer(stage, of_fold, left, what)
        fed = self.config.at_stage(stage + 1).fed_column
        assert fed is not None
        return _with_column(cohort, fed, answers)

    def _train(
        self, stage: int, cohort: Cohort, run: Path, what: str, upstream: Path | None
    ) -> Outcome:
        config = self.config.at_stage(stage)
        session = prepare_session(
            config,
            data=cohort,
            cache=self.cache,
            device=self.device,
            features=self.features,
            report=self.report,
            ranks=self.ranks,
        )
        self.prepared(what, session)
        watch = _watch(self.progress, what, config)
        # An earlier stage is resumed whatever was asked for: the whole chain was asked before.
        begin = train_held if run == self.folder.path else train
        return begin(session, run, resume=True, upstream=upstream, progress=watch)

    def _answer(self, stage: int, run: Path, rows: Sequence[Row], what: str) -> dict[str, Path]:
        place = self.folder.stage_answers(stage)
        device = str(self.ranks.device or self.device)

        def answer() -> dict[str, str]:
            answers = answer_rows(
                run,
                rows,
                place,
                device=device,
                report=lambda done, total: self.report(f"{what}: answering cases", done, total),
            )
            return {case: str(path) for case, path in answers.items()}

        return {case: Path(path) for case, path in self.ranks.told(answer).items()}


def _watch(progress: Watch, what: str, config: Config) -> Progress:
    """Return what a training calls after every step, under its own name."""

    def shown(
        step: int, losses: Mapping[str, float], score: float | None, warnings: Sequence[str]
    ) -> None:
        progress(what, step, config.train.steps, losses, score, warnings)

    return shown


def folds_of(config: Config, cohort: Cohort) -> tuple[frozenset[str], ...]:
    """Return the training cases of each fold: whole patients, dealt by a hash of their ids.

    Raises:
        ConfigurationError: E_CHAIN_FOLDS where there are fewer patients than folds.
    """
    assert config.chain is not None
    folds, seed = config.chain.folds, config.split.seed
    patients: dict[str, list[str]] = {}
    for row in cohort.rows("train"):
        patients.setdefault(row.patient.casefold(), []).append(row.case)
    if len(patients) < max(2, folds) and folds > 1:
        message = f"{len(patients)} training patients cannot be divided into {folds} folds"
        raise ConfigurationError(Problem("E_CHAIN_FOLDS", message, "lower chain.folds"))
    order = sorted(patients, key=lambda p: hashlib.sha256(f"fold\n{seed}\n{p}".encode()).digest())
    return tuple(
        frozenset(case for patient in order[fold::folds] for case in patients[patient])
        for fold in range(folds)
    )


def _without(cohort: Cohort, held_out: frozenset[str]) -> Cohort:
    """Return the cohort without some training cases."""
    split = dict(cohort.split)
    split["train"] = tuple(case for case in split["train"] if case not in held_out)
    digests = {case: d for case, d in cohort.digests.items() if case not in held_out}
    return replace(cohort, split=split, digests=digests)


def _with_column(cohort: Cohort, column: str, answers: Mapping[str, Path]) -> Cohort:
    """Return the cohort with a column of answers, for the cases that have one."""
    rows = tuple(
        replace(row, cells={**row.cells, column: answers[row.case]}) if row.case in answers else row
        for row in cohort.table.rows
    )
    digests = {
        case: {**known, column: digest_of(answers[case])} if case in answers else known
        for case, known in cohort.digests.items()
    }
    return replace(cohort, table=Table(rows, (*cohort.table.columns, column)), digests=digests)
