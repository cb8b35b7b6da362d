"""The cases of a cohort in threads of this process, one stage of a case beside others of the next.

While the device answers a case, the next ones are read and made ready, and the previous ones are
restored and written. Cases are answered, and handed back, in order.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import torch

from medgen.cohort.capacity import Capacity
from medgen.cohort.case_work import CaseWork, Opened, Turned
from medgen.cohort.cases import Job
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import Entry
from medgen.cohort.outcome import Result, Watch
from medgen.conversion.memory import free_bytes
from medgen.conversion.progress import Progress
from medgen.problems import Interrupted, Problem

AHEAD = 4
"""Cases in flight with one thread that reads and one that writes: those being read, waiting for the
device, with it, and being written."""
_MOST_HANDS = 3


class LocalExecutor:
    """Convert cases here, with as many in flight as the memory allows."""

    def __init__(
        self, case_work: CaseWork, *, ahead: int | None = None, hands: int | None = None
    ) -> None:
        """Take the work that is to be done with each case.

        Args:
            case_work: what converts a case.
            ahead: how many cases may be in flight at most, the one with the device included; 1 is
                one after the other. `AHEAD` where left out, and two more for each further hand.
            hands: how many threads read, and as many write. One where left out, as the network
                needs the processor too; more beside a GPU, which would wait for them.
        """
        self._case_work = case_work
        self._hands = _hands(case_work.converter.device) if hands is None else hands
        self._ahead = AHEAD + 2 * (self._hands - 1) if ahead is None else ahead
        if self._ahead < 1 or self._hands < 1:
            raise ValueError(f"ahead ({ahead}) and hands ({hands}) must be at least 1")

    def work(
        self,
        jobs: Sequence[Job],
        *,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        interruption: Interruption,
        watch: Watch,
    ) -> Iterator[tuple[Entry, Result]]:
        """Yield what became of each job, in order, until the end or an interruption."""
        limit, free = self._case_work.options.limit_bytes, free_bytes(torch.device("cpu"))
        capacity = Capacity(self._ahead, free_bytes=free if limit is None else min(free, limit))
        flow = _Flow(self._case_work, jobs, capacity, begin, before, interruption, watch)
        try:
            flow.start(self._hands)
            yield from flow.results()
        finally:
            flow.end()


@dataclass(eq=False)
class _Flight:
    """A case on its way, and what its stages will have made of it."""

    job: Job
    opened: Future[Opened]
    turned: Future[Turned] | None = None
    finished: Future[tuple[Entry, Result]] | None = None
    failed: bool = False


class _Flow:
    """All cases on their way, in the order in which they are handed back."""

    def __init__(
        self,
        case_work: CaseWork,
        jobs: Sequence[Job],
        capacity: Capacity,
        begin: Callable[[Job], None],
        before: Callable[[str], Entry | None],
        interruption: Interruption,
        watch: Watch,
    ) -> None:
        self._case_work, self._capacity = case_work, capacity
        self._begin, self._before = begin, before
        self._interruption, self._watch = interruption, watch
        self._waiting, self._flights = deque(jobs), deque[_Flight]()
        self._left = False

    def start(self, hands: int) -> None:
        """Start the threads."""
        self._readers, self._device, self._writers = (
            ThreadPoolExecutor(threads, thread_name_prefix=f"medgen-{name}")
            for name, threads in {"reader": hands, "device": 1, "writer": hands}.items()
        )

    def end(self) -> None:
        """Drop what was not begun, and wait for what was: no file is left half written."""
        self._left = True
        for pool in (self._readers, self._device, self._writers):
            pool.shutdown(wait=True, cancel_futures=True)

    def results(self) -> Iterator[tuple[Entry, Result]]:
        """Move the cases on until none is left."""
        while True:
            if self._interruption.wanted:
                self._drop()
            self._read_ahead()
            self._to_writer()
            self._to_device()
            if not self._flights:
                return
            first = self._flights[0].finished
            if first is not None and first.done():
                self._flights.popleft()
                yield first.result()
            else:
                wait(self._awaited(), return_when=FIRST_COMPLETED)

    def _drop(self) -> None:
        """Let no other case be begun."""
        self._waiting.clear()
        for flight in [flight for flight in self._flights if flight.turned is None]:
            flight.opened.cancel()
            self._flights.remove(flight)

    def _read_ahead(self) -> None:
        jobs = [flight.job for flight in self._flights]
        while self._waiting and self._capacity.has_room(jobs, self._waiting[0]):
            job = self._waiting.popleft()
            jobs.append(job)
            before = self._before(job.case.name)
            opened = self._readers.submit(self._case_work.open, job, before)
            self._flights.append(_Flight(job, opened))

    def _to_writer(self) -> None:
        """Have the answer written that the device has found, if so."""
        flight = self._with_device()
        if flight is None or flight.turned is None or not flight.turned.done():
            return
        try:
            turned = flight.turned.result()
        except Interrupted:
            self._flights.remove(flight)
            return
        if self._interruption.signalled:  # as if the signal had come between two windows
            self._flights.remove(flight)
            return
        flight.failed = turned.error is not None
        flight.finished = self._writers.submit(self._case_work.finish, turned)

    def _to_device(self) -> None:
        """Give an idle device the next case that is ready."""
        flight = self._next()
        if flight is None or not flight.opened.done():
            return
        opened = flight.opened.result()
        self._capacity.learn(flight.job, opened)
        if not opened.keeps:
            self._begin(flight.job)
        progress = self._progress(flight.job.case.name)
        flight.turned = self._device.submit(self._case_work.answer, opened, progress)

    def _with_device(self) -> _Flight | None:
        with_device = (one for one in self._flights if one.turned and not one.finished)
        return next(with_device, None)

    def _next(self) -> _Flight | None:
        """Return the case that the device takes next, or None where it takes none for now."""
        if self._with_device() is not None or self._interruption.wanted:
            return None
        fails_fast = self._case_work.options.fail_fast
        if fails_fast and any(flight.failed for flight in self._flights):
            return None  # until that is handed back, and the caller has asked for an end
        return next((flight for flight in self._flights if flight.turned is None), None)

    def _awaited(self) -> list[Future[Any]]:
        """Return what moves a case on as soon as it is done."""
        first, turning, following = self._flights[0].finished, self._with_device(), self._next()
        awaited: list[Future[Any] | None] = [
            first,
            None if turning is None else turning.turned,
            None if following is None else following.opened,
        ]
        return [future for future in awaited if future is not None]

    def _progress(self, case: str) -> Progress:
        def progress(done: int, total: int) -> None:
            if self._left or self._interruption.wanted:
                message = "the conversion was interrupted"
                raise Interrupted(Problem("E_INTERRUPTED", message, "run it again to go on"))
            self._watch.windows(case, done, total)

        return progress


def _hands(device: torch.device) -> int:
    """Return how many threads shall read, and as many write, beside a device."""
    if device.type == "cpu":
        return 1
    return max(1, min(_MOST_HANDS, len(os.sched_getaffinity(0)) // 2))
