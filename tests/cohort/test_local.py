"""The stages of different cases overlap, within bounds, and nothing else changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from medgen.cohort import Entry, Options, Result, Watch, cases_of_input
from medgen.cohort.asked import ask
from medgen.cohort.capacity import PEAK, SHARE, Capacity
from medgen.cohort.case_work import CaseWork, Opened, Turned
from medgen.cohort.cases import Case, Job
from medgen.cohort.interruption import Interruption
from medgen.cohort.local import LocalExecutor
from medgen.problems import Interrupted
from medgen.runs import Model

CPU = torch.device("cpu")
PATIENCE = 20.0
"""Seconds to wait for what ought to happen at once."""


@dataclass
class Spy:
    """Stages that note when they begin and end, and wait where a test tells them to."""

    options: Options = field(default_factory=Options)
    events: list[str] = field(default_factory=list)
    wait_in: dict[str, threading.Event] = field(default_factory=dict)
    reached: dict[str, threading.Event] = field(default_factory=dict)
    failing: frozenset[str] = frozenset()
    open_now: set[str] = field(default_factory=set)
    most_open: int = 0

    @property
    def converter(self) -> Any:
        return type("Converter", (), {"device": CPU})

    def _pass(self, stage: str, case: str) -> None:
        name = f"{stage} {case}"
        self.events.append(name)
        self.reached.setdefault(name, threading.Event()).set()
        if name in self.wait_in:
            assert self.wait_in[name].wait(PATIENCE)

    def open(self, job: Job, before: Entry | None) -> Opened:
        name = job.case.name
        self.open_now.add(name)
        self.most_open = max(self.most_open, len(self.open_now))
        self._pass("open", name)
        error = ValueError("no") if f"open {name}" in self.failing else None
        ready = None if error else cast(Any, type("Ready", (), {"source": np.zeros(1)}))
        return Opened(job, before, {}, ready, error)

    def answer(self, opened: Opened, progress: Callable[[int, int], None]) -> Turned:
        name = opened.job.case.name
        self._pass("answer", name)
        progress(1, 1)
        error = ValueError("no") if f"answer {name}" in self.failing else opened.error
        return Turned(opened, error=error)

    def finish(self, turned: Turned) -> tuple[Entry, Result]:
        name = turned.opened.job.case.name
        self._pass("finish", name)
        self.open_now.discard(name)
        status: Any = "failed" if turned.error else "ok"
        return Entry(name, status), Result(name, status)


def jobs_of(folder: Path, count: int) -> list[Job]:
    jobs = []
    for number in range(1, count + 1):
        path = folder / f"c{number}.nii"
        path.write_bytes(bytes(100))
        jobs.append(Job(Case(f"c{number}", {"mr": path}), folder / f"out{number}.nii"))
    return jobs


def start(
    spy: Spy,
    jobs: list[Job],
    *,
    interruption: Interruption | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Iterator[tuple[Entry, Result]]:
    return LocalExecutor(cast(CaseWork, spy), **options).work(
        jobs,
        begin=lambda job: spy.events.append(f"begin {job.case.name}"),
        before=lambda name: None,
        interruption=interruption or Interruption(),
        watch=watch or Watch(),
    )


def test_reading_answering_and_writing_overlap(tmp_path: Path) -> None:
    spy = Spy()
    let_go = {name: threading.Event() for name in ("answer c2", "finish c1")}
    spy.wait_in = dict(let_go)
    spy.reached["open c3"] = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        results = pool.submit(lambda: list(start(spy, jobs_of(tmp_path, 3), ahead=3)))
        # All three are under way at the same time, or this waits in vain.
        assert spy.reached["open c3"].wait(PATIENCE)
        for event in let_go.values():
            event.set()
        assert [entry.case for entry, _ in results.result(PATIENCE)] == ["c1", "c2", "c3"]
    assert spy.most_open == 3


@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("hands", [1, 3])
def test_no_more_cases_are_in_flight_than_are_allowed(
    tmp_path: Path, ahead: int, hands: int
) -> None:
    spy = Spy()
    results = list(start(spy, jobs_of(tmp_path, 8), ahead=ahead, hands=hands))
    assert [entry.case for entry, _ in results] == [f"c{number}" for number in range(1, 9)]
    assert spy.most_open <= ahead


def test_a_case_is_begun_before_it_is_answered_and_in_order(tmp_path: Path) -> None:
    spy = Spy()
    list(start(spy, jobs_of(tmp_path, 5), ahead=4, hands=2))
    order = [event for event in spy.events if event.split()[0] in ("begin", "answer")]
    expected = [f"{stage} c{n}" for n in range(1, 6) for stage in ("begin", "answer")]
    assert order == expected


@pytest.mark.parametrize("stage", ["open", "answer"])
def test_failing_fast_begins_nothing_after_a_failure(tmp_path: Path, stage: str) -> None:
    spy = Spy(Options(fail_fast=True), failing=frozenset({f"{stage} c2"}))
    interruption, results = Interruption(), []
    for entry, result in start(spy, jobs_of(tmp_path, 6), interruption=interruption, ahead=4):
        results.append((entry.case, result.status))
        if result.status == "failed":
            interruption.stop()
    assert results == [("c1", "ok"), ("c2", "failed")]
    assert "begin c3" not in spy.events


def test_a_signal_drops_the_case_in_hand_and_has_the_one_before_written(tmp_path: Path) -> None:
    spy, interruption = Spy(), Interruption()

    def windows(case: str, done: int, total: int) -> None:
        interruption.signalled = interruption.signalled or case == "c3"

    jobs, watch = jobs_of(tmp_path, 6), Watch(windows=windows)
    results = list(start(spy, jobs, interruption=interruption, watch=watch, ahead=4))
    assert [entry.case for entry, _ in results] == ["c1", "c2"]
    assert not any(event.endswith(("finish c3", "begin c4")) for event in spy.events)


def test_leaving_in_the_middle_stops_the_device_and_waits_for_what_is_being_written(
    tmp_path: Path,
) -> None:
    spy = Spy()
    results = start(spy, jobs_of(tmp_path, 20), ahead=4)
    assert next(results)[0].case == "c1"
    results.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("medgen-device") for thread in threading.enumerate())
    answered = {event.split()[1] for event in spy.events if event.startswith("answer")}
    assert len(answered) <= 5
    events = list(spy.events)
    assert events == spy.events


@pytest.mark.parametrize(("ahead", "hands"), [(0, 1), (1, 0)])
def test_nobody_works_with_nothing(ahead: int, hands: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        LocalExecutor(cast(CaseWork, Spy()), ahead=ahead, hands=hands)


def opened_of(job: Job, values: int) -> Opened:
    ready = cast(Any, type("Ready", (), {"source": np.zeros(values, np.float32)}))
    return Opened(job, None, {}, ready)


def test_as_many_cases_are_read_as_memory_holds(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 6)
    each = PEAK * 4 * 1000  # bytes, of 1000 values
    capacity = Capacity(6, free_bytes=round(3.5 * each / SHARE))
    assert capacity.has_room([], jobs[0])
    assert not capacity.has_room(jobs[:1], jobs[1]), "nobody knows yet what a case takes"
    capacity.learn(jobs[0], opened_of(jobs[0], 1000))
    assert capacity.has_room(jobs[:2], jobs[2])
    assert not capacity.has_room(jobs[:3], jobs[3])
    jobs[2].case.inputs["mr"].write_bytes(bytes(250))
    assert not capacity.has_room(jobs[:2], jobs[2]), "its file is 2.5 times as large"
    assert capacity.has_room([], jobs[2]), "alone it is tried, whatever its size"


def test_what_cannot_be_measured_is_read_alone(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, 2)
    capacity = Capacity(4, free_bytes=10**9)
    failed = replace(opened_of(jobs[0], 10), ready=None, error=ValueError("no"))
    capacity.learn(jobs[0], failed)
    assert not capacity.has_room(jobs[:1], jobs[1])
    jobs[1].case.inputs["mr"].unlink()
    capacity.learn(jobs[0], opened_of(jobs[0], 10))
    assert capacity.has_room(jobs[:1], jobs[1]), "a file out of reach is refused by the gate"


def test_a_memory_limit_leaves_the_answers_as_they_are(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    answers = []
    for limit in (None, 1):
        options = Options(limit_bytes=limit)
        asked = ask(model, (), cases_of_input(heads, model), tmp_path / "out", Options(), CPU)
        work = CaseWork(asked.converter, asked.provenance, options)
        executor = LocalExecutor(work)
        results = executor.work(
            asked.jobs,
            begin=lambda job: None,
            before=lambda name: None,
            interruption=Interruption(),
            watch=Watch(),
        )
        answers.append([(entry.case, entry.output_digest) for entry, _ in results])
    assert answers[0] == answers[1]
    assert all(digest for _, digest in answers[0])


def test_the_whole_is_its_stages(model: Model, heads: Path, tmp_path: Path) -> None:
    asked = ask(model, (), cases_of_input(heads, model), tmp_path / "out", Options(), CPU)
    work, job = CaseWork(asked.converter, asked.provenance, Options()), asked.jobs[0]
    entry, result = work.whole(job, None)
    again, _ = work.finish(work.answer(work.open(job, entry)))
    assert replace(again, seconds=0.0) == replace(entry, seconds=0.0)
    assert result.status == "ok"

    def stop(done: int, total: int) -> None:
        raise Interrupted([])

    with pytest.raises(Interrupted):
        work.whole(job, None, stop)
    assert job.output.exists(), "an answer goes only when the next one is there to be written"
