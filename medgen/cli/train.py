"""The verb `train`: learn a translation from a table of cases."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medgen.cli.ranks import follows
from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.training import Session


def train(
    context: typer.Context,
    config: Annotated[Path, typer.Argument(help="A configuration; `medgen init` writes one.")],
    data: Annotated[Path, typer.Option("--data", help="The table of cases (cases.csv).")],
    run: Annotated[Path, typer.Option("--run", help="The run folder to make.")],
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one key, e.g. train.steps=2000; repeatable."
        ),
    ] = None,
    start_from: Annotated[
        Path | None,
        typer.Option("--from", metavar="RUN", help="Start from another run's best weights."),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="RUN",
            help="A segmenter's run, for losses that compare features (lambda_features).",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", help="Folder of preprocessed voxels, shared by runs; default: user cache."
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last saved state.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the run that is there.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check everything, make one step, write no run."),
    ] = False,
) -> None:
    """Train a method on a table's cases; Ctrl-C saves, and --resume goes on.

    Started by torchrun, several processes train one network: each takes a GPU and its part of a
    batch as many times as large.
    """
    from medgen.config import read_config
    from medgen.problems import ConfigurationError, Problem
    from medgen.runs import assemble
    from medgen.training import (
        check_chain,
        folds_of,
        joined,
        prepare_session,
        train_table,
        try_step,
    )

    terminal = Terminal.of(context)
    if resume and (overwrite or start_from is not None):
        problem = Problem(
            "E_USAGE", "--resume goes on with a run; --overwrite and --from begin one", "choose one"
        )
        raise ConfigurationError(problem)
    settings = read_config(config, assignments or [])
    voxels = cache if cache is not None else default_cache()
    if dry_run and follows("train"):
        return
    if dry_run:
        method, _ = assemble(settings)
        first, chained = settings, settings.fed_column is not None
        if chained:
            first = settings.at_stage(1)
            check_chain(settings, method, start_from=start_from)
        with terminal.progress("cases", total=None) as bar:
            session = prepare_session(
                first,
                data=data,
                cache=voxels,
                device=device,
                start_from=start_from,
                features=features,
                report=lambda what, done, total: bar.set(done, total=total, note=what),
            )
        if settings.chain is not None and chained:
            folds_of(settings, session.cohort)
            count, steps = settings.chain.trainings, settings.train.steps
            terminal.note(f"medgen: a chain of {count} trainings of {steps} steps each")
        tell(terminal, session)
        losses = try_step(session)
        terminal.say("dry run: everything is in order; " + summary(losses, None))
        return
    chained = settings.fed_column is not None
    with joined(device) as ranks, terminal.progress("training", total=None) as bar:

        def prepared(what: str, session: Session) -> None:
            if chained:
                terminal.note(f"medgen: {what}")
            if ranks.leads:
                tell(terminal, session)

        def progress(
            what: str,
            step: int,
            steps: int,
            losses: Mapping[str, float],
            score: float | None,
            warnings: Sequence[str],
        ) -> None:
            stage = f"{what}: " if chained else ""
            bar.set(step, total=steps, note=stage + summary(losses, score, warnings))

        outcome = train_table(
            settings,
            data=data,
            run=run,
            cache=voxels,
            device=device,
            start_from=start_from,
            features=features,
            resume=resume,
            overwrite=overwrite,
            report=lambda what, done, total: bar.set(done, total=total, note=what),
            prepared=prepared,
            progress=progress,
            ranks=ranks,
        )
    if not ranks.leads:
        return
    best = "" if outcome.best is None else f", best {outcome.best_by} {outcome.best:.4g}"
    terminal.event("trained", steps=outcome.steps, best=outcome.best, best_step=outcome.best_step)
    chosen = "the last weights" if outcome.best_step is None else f"step {outcome.best_step}"
    terminal.say(f"{run}: trained {outcome.steps} steps{best} ({chosen})")


def tell(terminal: Terminal, session: Session) -> None:
    """Say what is trained on what, and where that is doubtful."""
    counts = session.statistics.counts
    terminal.note(
        f"{counts['train_cases']} training, {counts['validation_cases']} validation, "
        f"{counts['test_cases']} test cases; {session.device}, {session.precision}"
    )
    if not session.ranks.alone:
        size, each = session.ranks.size, session.config.train.batch_size
        terminal.note(f"{size} processes, {each} patches each: {size * each} in a step")
    if session.calibrated:
        terminal.note(f"healthy cases to calibrate on, once trained: {len(session.calibrated)}")
    domains = [f"{counts[f'train_{role}_cases']} {role}" for role in session.statistics.domains]
    if domains:
        terminal.note(f"without pairs: {' and '.join(domains)} training cases")
    if not session.validated:
        terminal.warn(_unvalidated(session))


def _unvalidated(session: Session) -> str:
    """Say why there is nothing to validate on, and what helps."""
    kept = "the last weights are kept, whatever they are worth"
    held = session.statistics.counts["validation_cases"]
    if not held:
        return f"no validation case: {kept}"
    roles, first = session.config.roles, next(iter(session.method.answers.values()))
    wanted = [*roles.source.columns]
    wanted += roles.label.columns if first.kind == "labels" and roles.label else ()
    columns = ", ".join(wanted)
    return f"none of the {held} validation cases has {columns}: {kept}; give that split some"


def default_cache() -> Path:
    """Return the user's cache folder for preprocessed voxels."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "medgen"


def summary(losses: Mapping[str, float], score: float | None, warnings: Sequence[str] = ()) -> str:
    """Return the monitor's warnings, the losses, and the best score so far, in one short line."""
    parts = [f"! {warning}" for warning in warnings]
    parts += [f"{name} {value:.3g}" for name, value in losses.items()]
    return "  ".join(parts + ([] if score is None else [f"best {score:.4g}"]))
