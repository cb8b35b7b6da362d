"""The loop: batches in, moves made, averages kept, validations and states written.

It knows no discriminator: a method's `train_step` makes the moves through `minimize`.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import prefetch
from medgen.method import Method, OptimizerSpec, Stage
from medgen.problems import GuardStop, Interrupted, Problem
from medgen.runs import Precision, RunFolder, write_weights
from medgen.training.average import Average
from medgen.training.distributed import ALONE, Ranks
from medgen.training.guards import CollapseGuard, check_losses, check_parameters
from medgen.training.journal import Journal, Means, Silence
from medgen.training.players import Players
from medgen.training.schedule import clock_at, learning_rate_factor, stage_bounds, stages_of
from medgen.training.sharing import led, sent
from medgen.training.state import load_state, save_state, state_tensors, take_tensors
from medgen.training.stopping import Stop, Stopped, stop_requested
from medgen.training.validation import Scores, Validation

LOG_EVERY = 20
"""Steps between two readings of the losses; reading them makes a GPU wait."""

RANK_STRIDE = 1 << 48
"""Between the seeds of two processes: more than seeds and steps fill."""

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
    """One training: `run` goes on from `position` to the last step.

    Of several processes rank 0 alone writes; what norms and image pools gather is its own.
    """

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
        ranks: Ranks = ALONE,
    ) -> None:
        self._checks = checks
        self._ranks = ranks
        self.method = method.to(device)
        if device.type == "cuda":
            self.method.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.players = Players(method, specs, gradient_clip=config.train.gradient_clip, ranks=ranks)
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
        """Take up the last saved state, if there is one; every process begins as rank 0 does."""
        path, parts = self._folder.state, (self.method, self.average, self.players)
        if self._ranks.leads and path.is_file():
            self.position = Position(**load_state(path, *parts))
        if not self._ranks.alone:
            own = state_tensors(*parts) if self._ranks.leads else {}
            take_tensors(sent(self._ranks, own), *parts)
            self.position = Position(**self._ranks.told(lambda: vars(self.position)))
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
        with stop_requested(self._ranks) as stop, self._journal() as journal:
            means, losses = Means(), dict[str, float]()
            batches = prefetch(self._batch, self.position.step, self._steps)
            with contextlib.closing(batches):
                if not self.position.validated:
                    self._keep(self.position.step, stop, validation, journal)
                for batch in batches:
                    means.add(self.step(batch))
                    step = self.position.step
                    if step % LOG_EVERY == 0 or self._due(step) or stop.agreed():
                        losses = dict(self._ranks.mean(means.take()))
                        check_losses(losses, step)
                        journal.losses(step, losses, self._learning_rate_factor(step - 1))
                    progress(step, losses, self.position.best, self.position.warnings)
                    self._keep(step, stop, validation, journal)

    def step(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Make one step on one batch."""
        step = self.position.step
        clock, stage = clock_at(self._bounds, step, self._steps)
        if stage is not self._stage:
            resting = frozenset(self.players.parameters) - stage.players
            self.average.freeze_into(self.method, resting)
            # Who rests is one network for all processes, norms' statistics included.
            players = self.method.players()
            self._ranks.send([b for name in sorted(resting) for b in players[name].buffers()])
            self._set_modes(stage)
            self._stage = stage
        self.players.scale_learning_rates(self._learning_rate_factor(step))
        # Dropout and the like become functions of (seed, step): resuming equals never stopping.
        apart = self._ranks.rank * RANK_STRIDE
        torch.manual_seed(self._config.train.seed * 1_000_003 + step + apart)
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

    def _journal(self) -> Journal:
        return Journal(self._folder, self.position.step) if self._ranks.leads else Silence()

    def _keep(self, step: int, stop: Stop, validation: Validation, journal: Journal) -> None:
        """Validate and save where it is due, and stop where it was asked for.

        A stop does not wait for a validation: the state before it is saved, and resuming begins
        with the validation.
        """
        last = step == self._steps
        due = last or step % self._config.train.validate_.every_steps == 0
        self.position.validated = not due
        asked = stop.agreed()
        if due and not asked:
            self._check_weights()
            with contextlib.suppress(Stopped):
                self._validate(step, validation, journal, stop)
                self.position.validated = True
            asked = stop.agreed()
        self.position.finished = last and self.position.validated
        if asked or self._state_is_due(step):
            self._save()
        if asked and not self.position.finished:
            problem = Problem(
                "E_INTERRUPTED", f"stopped after step {step}; the state is saved", "use --resume"
            )
            raise Interrupted(problem)

    def _validate(self, step: int, validation: Validation, journal: Journal, stop: Stop) -> None:
        """Score the averaged weights and export them where they are the best so far.

        In all stages but the last, what answers is not whole yet: it is looked at, and not scored.
        """
        position, best_by = self.position, validation.best_by
        self.average.lend(self.method)
        # What is scored is what is exported, norms' statistics included.
        self._ranks.send([*self.average.method.state_dict().values()])
        previews = self._folder.previews / f"step_{step:07d}"
        drawn = self._drawn(previews, stop)
        whole = clock_at(self._bounds, step - 1, self._steps)[1] is self._bounds[-1][0]
        if not whole or not len(validation):
            journal.diagnosis(step, drawn)
            if whole:
                self._export(step, None)
                self._keep_beside(step, None)
            return
        scores = validation.run(previews, check=stop.check)
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

    def _drawn(self, previews: Path, stop: Stop) -> dict[str, float]:
        """Return what the checks find, where there are any; rank 0 makes them."""
        checks = self._checks
        if checks is None:
            return {}
        return dict(led(self._ranks, lambda: checks(self.average.method, previews, stop.check)))

    def _keep_beside(self, step: int, scores: Scores | None) -> None:
        """Keep these averaged weights, whether they are the best or not, where all are kept."""
        if self._config.train.validate_.keep_all:
            self._export(step, scores, path=self._folder.weights_at(step))

    def _export(self, step: int, scores: Scores | None, *, path: Path | None = None) -> None:
        """Write the averaged weights as the model, or to a path beside it."""
        if not self._ranks.leads:
            return
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
        parts = self.method, self.average, self.players
        if self._ranks.leads:
            save_state(self._folder.state, *parts, vars(self.position))
        self._ranks.wait()

    def _learning_rate_factor(self, step: int) -> float:
        clock, _ = clock_at(self._bounds, step, self._steps)
        return learning_rate_factor(clock.progress, self._config.train.decay_from)

    def _set_modes(self, stage: Stage) -> None:
        """Put the moving players into training, the resting ones into evaluation."""
        self.method.train()
        self.players.moving = stage.players
        for name, module in self.method.players().items():
            module.train(name in stage.players)


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold."""
    return value if math.isfinite(value) else None
