"""Hand jobs to workers that may die at any moment: a retry elsewhere, and an end to retrying."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from medgen.cohort.cases import Job
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import Entry
from medgen.cohort.outcome import Result, problems_of
from medgen.cohort.previews import preview_of
from medgen.files import remove_leftovers, remove_whole
from medgen.problems import ConfigurationError, Problem, Refusal

RETRIES = 2
"""How often a case is given to another worker after the first one died with it."""
PATIENCE_SECONDS = 60.0
"""How long a cluster may be without any machine that could hold a worker."""
_LOOK_UP_SECONDS = 0.5
_WORKERS_DIE = Problem(
    "E_WORKER_DIED",
    f"{RETRIES + 1} workers in a row died while they loaded the run",
    "see that medgen is installed on every machine and has memory enough; the cluster's logs tell",
)
_NO_MACHINES = Problem(
    "E_NO_WORKERS",
    f"for {PATIENCE_SECONDS:g} s no machine of the cluster could hold a worker",
    "start the cluster again, then run the same command to go on",
)


class WorkerDied(Exception):
    """The worker that a call was made to is gone, or out of reach for good."""


class Crew(Protocol):
    """Workers elsewhere; a call to one is a token, whose answer is fetched once it is there."""

    def room(self) -> int:
        """Return how many workers there may be at once, as the machines are now."""
        ...

    def hire(self) -> tuple[Any, Hashable]:
        """Return a new worker, and the call that answers with why it cannot work, if so."""
        ...

    def hand(self, worker: Any, job: Job, before: Entry | None) -> Hashable:
        """Call a worker to convert a job; it answers with the manifest's entry and the result."""
        ...

    def first(self, calls: Sequence[Hashable], seconds: float) -> Hashable | None:
        """Return a call that has ended, or None after so many seconds."""
        ...

    def answer(self, call: Hashable) -> Any:
        """Return what an ended call answered.

        Raises:
            WorkerDied: nobody answers it any more.
        """
        ...

    def dismiss(self, worker: Any) -> None:
        """End a worker, whatever it is doing; its open call then ends too."""
        ...


@dataclass(frozen=True)
class _Task:
    """A job that was begun, or waits."""

    job: Job
    before: Entry | None = None
    deaths: int = 0


class HandingOut:
    """Jobs on their way through a crew, one at a time to each worker."""

    def __init__(
        self, crew: Crew, jobs: Sequence[Job], *, weights_digest: str, settings_digest: str
    ) -> None:
        self._crew = crew
        self._waiting = deque(map(_Task, jobs))
        self._calls: dict[Hashable, tuple[Any, _Task | None]] = {}
        """The worker of every open call, and its task; without one it is starting."""
        self._failed = Entry(
            "", "failed", weights_digest=weights_digest, settings_digest=settings_digest
        )
        self._failed_starts = 0
        self._last_room = monotonic()

    def results(
        self,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        interruption: Interruption,
    ) -> Generator[tuple[Entry, Result]]:
        """Yield what became of each job, in the order in which they end.

        Once an interruption is wanted, the cases in hand are waited for and no other is begun.
        Where the caller stops listening, they are dropped.

        Raises:
            ConfigurationError: a worker says why no worker can work; E_WORKER_DIED where workers
                die before they can; E_NO_WORKERS where the machines are gone.
        """
        try:
            while self._waiting or self._in_hand():
                if interruption.wanted:
                    self._waiting.clear()
                    self._dismiss_starting()
                self._hire()
                call = self._crew.first(list(self._calls), _LOOK_UP_SECONDS)
                if call is None:
                    self._look_for_machines()
                    continue
                worker, task = self._calls.pop(call)
                alive, ended = self._ended(call, worker, task)
                if ended is not None:
                    yield ended
                if alive:
                    self._next(worker, begin, before, wanted=not interruption.wanted)
        finally:
            self._drop()

    def _in_hand(self) -> bool:
        return any(task is not None for _, task in self._calls.values())

    def _hire(self) -> None:
        """Have as many workers as there is room for, and no more than there are jobs to do."""
        starting = sum(task is None for _, task in self._calls.values())
        if starting >= len(self._waiting):
            return
        for _ in range(min(self._crew.room() - len(self._calls), len(self._waiting) - starting)):
            worker, call = self._crew.hire()
            self._calls[call] = (worker, None)

    def _ended(
        self, call: Hashable, worker: Any, task: _Task | None
    ) -> tuple[bool, tuple[Entry, Result] | None]:
        """Return whether a call's worker lives, and what became of its case.

        That is None where there was no case, or it is to be retried.

        Raises:
            ConfigurationError: the worker cannot work, or too many died before they could.
        """
        try:
            answer = self._crew.answer(call)
        except WorkerDied:
            self._crew.dismiss(worker)  # out of reach is not dead, and two must not write a case
            return False, self._died(task)
        except Exception as error:  # the worker lives, but its answer is none
            if task is None:
                raise
            return True, self._gave_up(task.job, error)
        if task is not None:
            entry, result = answer
            output = None if result.output is None else task.job.output
            return True, (entry, replace(result, output=output))
        if answer:
            raise ConfigurationError(answer)
        self._failed_starts = 0
        return True, None

    def _died(self, task: _Task | None) -> tuple[Entry, Result] | None:
        """Let a dead worker's case be tried again, or give it up."""
        if task is None:
            self._failed_starts += 1
            if self._failed_starts > RETRIES:
                raise ConfigurationError(_WORKERS_DIE)
            return None
        clear(task.job)
        if task.deaths < RETRIES:
            self._waiting.appendleft(replace(task, deaths=task.deaths + 1))
            return None
        message = f"{RETRIES + 1} workers in a row died with this case"
        advice = "give a worker more memory, or convert the case by itself to see why"
        return self._gave_up(task.job, Refusal(Problem("E_WORKER_DIED", message, advice)))

    def _gave_up(self, job: Job, error: Exception) -> tuple[Entry, Result]:
        """Return the entry of a case that has no answer, once none of an earlier call is there."""
        if job.case.problem is None:
            for path in _written(job):
                remove_whole(path)
        name = job.case.name
        problems = problems_of(error, name)
        codes = ",".join(dict.fromkeys(problem.code for problem in problems))
        return replace(self._failed, case=name, code=codes), Result(
            name, "failed", problems=problems
        )

    def _next(
        self,
        worker: Any,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        *,
        wanted: bool,
    ) -> None:
        """Give a free worker its next job; where there is none, let it go."""
        if not (wanted and self._waiting):
            self._crew.dismiss(worker)
            return
        task = self._waiting.popleft()
        if task.deaths == 0:
            task = replace(task, before=before(task.job.case.name))
            begin(task.job)
        self._calls[self._crew.hand(worker, task.job, task.before)] = (worker, task)

    def _look_for_machines(self) -> None:
        """Wait for machines, but not for ever.

        Raises:
            ConfigurationError: E_NO_WORKERS.
        """
        if self._in_hand() or self._crew.room() > 0:
            self._last_room = monotonic()
        elif monotonic() - self._last_room > PATIENCE_SECONDS:
            raise ConfigurationError(_NO_MACHINES)

    def _dismiss_starting(self) -> None:
        for call, (worker, task) in list(self._calls.items()):
            if task is None:
                del self._calls[call]
                self._crew.dismiss(worker)

    def _drop(self) -> None:
        """End every worker, wait until they are gone, and clear away what they left."""
        for worker, _ in self._calls.values():
            self._crew.dismiss(worker)
        while self._calls:
            call = self._crew.first(list(self._calls), PATIENCE_SECONDS)
            ended = [call] if call is not None else list(self._calls)
            for gone in ended:
                _, task = self._calls.pop(gone)
                if task is not None:
                    clear(task.job)


def clear(job: Job) -> None:
    """Remove the temporaries that a dead worker left of a job; whole files stay."""
    written = _written(job)
    names = frozenset(path.name for path in written)
    with suppress(OSError):  # they go with the next call's otherwise
        for folder in {path.parent for path in written}:
            remove_leftovers(folder, of=names)


def _written(job: Job) -> list[Path]:
    preview = preview_of(job.output.parent, job.case.name)
    return [*job.written, *([preview] if job.pictured else [])]
