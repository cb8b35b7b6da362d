"""The loop: batches in, moves made, averages kept, validations and states written.

It knows no discriminator: a method's `train_step` makes the moves through `minimize`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Protocol

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import prefetch
from medgen.method import Method, OptimizerSpec, Stage
from medgen.problems import GuardStop, Interrupted, Problem
from medgen.runs import Precision, RunFolder, write_weights
from medgen.training.average import Average
from medgen.training.guards import CollapseGuard, check_losses, check_parameters
from medgen.training.journal import Journal, Means
from medgen.training.players import Players
from medgen.training.schedule import clock_at, learning_rate_factor, stage_bounds, stages_of
from medgen.training.state import load_state, save_state
from medgen.training.validation import Scores, Validation

LOG_EVERY = 20
"""Steps between two readings of the losses; reading them makes a GPU wait."""


logger = logging.getLogger(__name__)


Checks = Callable[[Method, Path, Callable[[], None]], Mapping[str, float]]
"""Look at what a generative method draws: pictures into a folder, figures for the log.

The third argument is called now and then and may raise to stop.
"""


class Progress(Protocol):
    """Called after every step with its number, and the last known losses, score and warnings."""

    def __call__(
        self, step: int, losses: Mapping[str, float], score: float | None, warnings: Sequence[str]
    ) -> None:
        """Show it; the warnings are the monitor's of the last validation."""


@dataclass
class Position:
    """Where the run stands; everything besides tensors that resuming needs."""

    step: int = 0
    best: float | None = None
    best_step: int | None = None
    collapsed: int = 0
    validated: bool = True
    """False where a stop came before the validation that was due."""
    finished: bool = False
    warnings: list[str] = field(default_factory=list)
    """What the monitor said at the last validation."""


class Loop:
    """One training: `run` goes on from `position` to the last step."""

    def __init__(
        self,
        method: Method,
        specs: Mapping[str, OptimizerSpec],
        config: Config,
        folder: RunFolder,
        *,
        batch: Callable[[int], Mapping[str, Tensor]],
        device: torch.device,
        precision: Precision,
        checks: Checks | None = None,
    ) -> None:
        self._checks = checks
        self.method = method.to(device)
        if device.type == "cuda":
            self.method.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.players = Players(method, specs, gradient_clip=config.train.gradient_clip)
        self.average = Average(method, config.train.ema)
        self.position = Position()
        self.last_scores: Scores | None = None
        self._config = config
        self._folder = folder
        self._batch = batch
        self._device = device
        self._precision = precision
        self._steps = config.train.steps
        self._bounds = stage_bounds(stages_of(method), self._steps)
        self._stage: Stage | None = None

    def restore(self) -> None:
        """Take up the last saved state, if there is one."""
        if self._folder.state.is_file():
            record = load_state(self._folder.state, self.method, self.average, self.players)
            self.position = Position(**record)
            if 0 < self.position.step < self._steps:
                # The stage's entry has already been applied to the saved weights.
                _, self._stage = clock_at(self._bounds, self.position.step - 1, self._steps)
                self._set_modes(self._stage)

    def run(self, validation: Validation, progress: Progress) -> None:
        """Train to the last step.

        Raises:
            GuardStop: a loss is not finite, or the answers collapsed.
            Interrupted: SIGINT or SIGTERM arrived; the state is saved.
        """
        with _stop_requested() as stop, Journal(self._folder, self.position.step) as journal:
            means, losses = Means(), dict[str, float]()
            batches = prefetch(self._batch, self.position.step, self._steps)
            with contextlib.closing(batches):
                if not self.position.validated:
                    self._keep(self.position.step, stop, validation, journal)
                for batch in batches:
                    means.add(self.step(batch))
                    step = self.position.step
                    if step % LOG_EVERY == 0 or stop.is_set() or self._due(step):
                        losses = means.take()
                        check_losses(losses, step)
                        journal.losses(step, losses, self._learning_rate_factor(step - 1))
                    progress(step, losses, self.position.best, self.position.warnings)
                    self._keep(step, stop, validation, journal)

    def step(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Make one step on one batch."""
        step = self.position.step
        clock, stage = clock_at(self._bounds, step, self._steps)
        if stage is not self._stage:
            self.average.freeze_into(
                self.method, frozenset(self.players.parameters) - stage.players
            )
            self._set_modes(stage)
            self._stage = stage
        self.players.scale_learning_rates(self._learning_rate_factor(step))
        # Dropout and the like become functions of (seed, step): resuming equals never stopping.
        torch.manual_seed(self._config.train.seed * 1_000_003 + step)
        on_device = {
            name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.items()
        }
        # Cached casts would outlive the optimizer step that makes them stale.
        with torch.autocast(
            self._device.type,
            torch.bfloat16,
            enabled=self._precision == "bf16",
            cache_enabled=False,
        ):
            losses = self.method.train_step(on_device, self.players, clock)
        # Players that move from a later stage on begin at random there, too.
        begun = next(first for known, first, _ in self._bounds if known is stage)
        self.average.update(self.method, step - begun, stage.players)
        self.position.step = step + 1
        return losses

    def _keep(
        self, step: int, stop: threading.Event, validation: Validation, journal: Journal
    ) -> None:
        """Validate and save where it is due, and stop where it was asked for.

        A stop does not wait for a validation: the state before it is saved, and resuming begins
        with the validation.
        """
        last = step == self._steps
        due = last or step % self._config.train.validate_.every_steps == 0
        self.position.validated = not due
        if due and not stop.is_set():
            self._check_weights()
            with contextlib.suppress(_Stopped):
                self._validate(step, validation, journal, stop)
                self.position.validated = True
        self.position.finished = last and self.position.validated
        if stop.is_set() or self._state_is_due(step):
            self._save()
        if stop.is_set() and not self.position.finished:
            problem = Problem(
                "E_INTERRUPTED", f"stopped after step {step}; the state is saved", "use --resume"
            )
            raise Interrupted(problem)

    def _validate(
        self, step: int, validation: Validation, journal: Journal, stop: threading.Event
    ) -> None:
        """Score the averaged weights and export them where they are the best so far.

        In all stages but the last, what answers is not whole yet: it is looked at, and not scored.
        """
        position, best_by = self.position, validation.best_by

        def check() -> None:
            if stop.is_set():
                raise _Stopped

        self.average.lend(self.method)
        previews = self._folder.previews / f"step_{step:07d}"
        drawn = dict(self._checks(self.average.method, previews, check)) if self._checks else {}
        whole = clock_at(self._bounds, step - 1, self._steps)[1] is self._bounds[-1][0]
        if not whole or not len(validation):
            journal.diagnosis(step, drawn)
            if whole:
                self._export(step, None)
                self._keep_beside(step, None)
            return
        scores = validation.run(previews, check=check)
        scores = replace(scores, figures={**scores.figures, **drawn})
        self.last_scores = scores
        journal.validation(step, scores.rows)
        journal.diagnosis(step, scores.figures)
        position.warnings = list(scores.warnings)
        if scores.warnings:
            logger.warning("step %d: %s", step, "; ".join(scores.warnings))
        score = scores.worth(best_by)
        sign = 1.0 if best_by.mode == "min" else -1.0
        if position.best is None or sign * score < sign * position.best:
            # A score that is not a number never becomes the one to beat.
            position.best = score if math.isfinite(score) else None
            position.best_step = step
            self._export(step, scores)
        self._keep_beside(step, scores)
        guard = CollapseGuard(position.collapsed)
        try:
            guard.check(scores.spread, step)
        except GuardStop:
            position.collapsed = guard.count
            self._save()
            raise
        position.collapsed = guard.count

    def _keep_beside(self, step: int, scores: Scores | None) -> None:
        """Keep these averaged weights, whether they are the best or not, where all are kept."""
        if self._config.train.validate_.keep_all:
            self._export(step, scores, path=self._folder.weights_at(step))

    def _export(self, step: int, scores: Scores | None, *, path: Path | None = None) -> None:
        """Write the averaged weights as the model, or to a path beside it."""
        # Case ids stay home: the model keeps the values alone.
        names = scores.names if scores else ()
        values = {name: [_finite(v) for v in scores.values(name)] for name in names if scores}
        values |= {name: [_finite(v)] for name, v in scores.figures.items()} if scores else {}
        record = {"step": step, "scores": values}
        if scores and scores.warnings:
            record["warnings"] = list(scores.warnings)
        write_weights(self._folder, self.average.method, record, path=path)

    def _due(self, step: int) -> bool:
        """Say whether the losses must be read: before a validation and before a saved state."""
        return self._state_is_due(step) or step % self._config.train.validate_.every_steps == 0

    def _state_is_due(self, step: int) -> bool:
        return step == self._steps or step % self._config.train.save_every_steps == 0

    def _check_weights(self) -> None:
        for method in (self.method, self.average.method):
            check_parameters(method, self.position.step)

    def _save(self) -> None:
        self._check_weights()
        save_state(self._folder.state, self.method, self.average, self.players, vars(self.position))

    def _learning_rate_factor(self, step: int) -> float:
        clock, _ = clock_at(self._bounds, step, self._steps)
        return learning_rate_factor(clock.progress, self._config.train.decay_from)

    def _set_modes(self, stage: Stage) -> None:
        """Put the moving players into training, the resting ones into evaluation."""
        self.method.train()
        self.players.moving = stage.players
        for name, module in self.method.players().items():
            module.train(name in stage.players)


class _Stopped(Exception):
    """A stop was asked for during a validation."""


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None


@contextlib.contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Yield an event that SIGINT or SIGTERM sets; handlers are put back at the end."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
