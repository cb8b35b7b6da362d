from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

import pytest

from medgen.cohort import Entry, Result, handing_out
from medgen.cohort.cases import Case, Job
from medgen.cohort.handing_out import HandingOut, WorkerDied
from medgen.cohort.interruption import Interruption
from medgen.problems import ConfigurationError, Problem

Conversion = Callable[[str, int], Any]
"""What a worker does with a case, by its name and how often it was tried before; it may raise."""


class Crew:
    """Workers that are numbers, and that answer in the order in which they were called."""

    def __init__(self, convert: Conversion, *, room: int = 2, ready: Any = ()) -> None:
        self._convert = convert
        self._ready = ready
        self.rooms = room
        self.hired = 0
        self.dismissed: list[int] = []
        self.tried: Counter[str] = Counter()
        self.befores: list[Entry | None] = []
        self._answers: dict[Hashable, Any] = {}
        self._line: deque[Hashable] = deque()
        self.most_at_once = 0

    def room(self) -> int:
        return self.rooms

    def _call(self, answer: Any) -> Hashable:
        call = f"call-{len(self._answers)}"
        self._answers[call] = answer
        self._line.append(call)
        return call

    def hire(self) -> tuple[Any, Hashable]:
        self.hired += 1
        return self.hired, self._call(("ready", self.hired))

    def hand(self, worker: Any, job: Job, before: Entry | None) -> Hashable:
        assert worker not in self.dismissed
        self.befores.append(before)
        return self._call(("convert", job.case.name))

    def first(self, calls: Sequence[Hashable], seconds: float) -> Hashable | None:
        if not calls:
            return None
        self.most_at_once = max(self.most_at_once, len(calls))
        while (call := self._line.popleft()) not in calls:
            pass
        return call

    def answer(self, call: Hashable) -> Any:
        what, of = self._answers[call]
        if what == "ready":
            if isinstance(self._ready, Exception):
                raise self._ready
            return self._ready
        tried = self.tried[of]
        self.tried[of] += 1
        return self._convert(of, tried)

    def dismiss(self, worker: Any) -> None:
        self.dismissed.append(worker)


def fine(case: str, tried: int) -> tuple[Entry, Result]:
    return Entry(case, "ok"), Result(case, "ok", Path("/elsewhere") / case)


def jobs_in(folder: Path, count: int) -> list[Job]:
    return [Job(Case(f"p{n}"), folder / f"p{n}.nii.gz") for n in range(count)]


def hand_out(
    crew: Crew, jobs: Sequence[Job], *, interruption: Interruption | None = None
) -> tuple[list[tuple[Entry, Result]], list[str]]:
    begun: list[str] = []
    handing = HandingOut(crew, jobs, weights_digest="w", settings_digest="s")
    results = list(
        handing.results(
            lambda job: begun.append(job.case.name),
            lambda case: Entry(case, "started", code="before"),
            interruption or Interruption(),
        )
    )
    return results, begun


def test_every_job_is_begun_once_and_answered_once(tmp_path: Path) -> None:
    crew = Crew(fine, room=3)
    jobs = jobs_in(tmp_path, 7)
    results, begun = hand_out(crew, jobs)
    assert sorted(entry.case for entry, _ in results) == begun == [job.case.name for job in jobs]
    assert {result.output for _, result in results} == {job.output for job in jobs}
    assert crew.hired == crew.most_at_once == 3
    assert sorted(crew.dismissed) == [1, 2, 3]
    assert [before.code for before in crew.befores if before] == ["before"] * 7


def test_no_more_workers_are_hired_than_there_are_jobs(tmp_path: Path) -> None:
    crew = Crew(fine, room=64)
    hand_out(crew, jobs_in(tmp_path, 2))
    assert crew.hired == 2


def test_a_case_whose_worker_died_is_given_to_another(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-0123abcd-p1.nii.gz"

    def convert(case: str, tried: int) -> tuple[Entry, Result]:
        if case == "p1" and tried < 2:
            left.write_bytes(b"half")
            raise WorkerDied
        assert case != "p1" or not left.exists(), "what the dead worker left is in the way"
        return fine(case, tried)

    crew = Crew(convert)
    results, begun = hand_out(crew, jobs_in(tmp_path, 4))
    assert {(entry.case, entry.status) for entry, _ in results} == {
        (f"p{n}", "ok") for n in range(4)
    }
    assert begun == ["p0", "p1", "p2", "p3"], "a retry is no new beginning"
    assert crew.tried == {"p0": 1, "p1": 3, "p2": 1, "p3": 1}
    assert crew.hired == 4


def test_a_case_that_kills_three_workers_fails_alone(tmp_path: Path) -> None:
    jobs = jobs_in(tmp_path, 3)
    jobs[1].output.write_bytes(b"an answer to files that have changed")

    def convert(case: str, tried: int) -> tuple[Entry, Result]:
        if case == "p1":
            raise WorkerDied
        return fine(case, tried)

    crew = Crew(convert)
    results, _ = hand_out(crew, jobs)
    (failed,) = [(entry, result) for entry, result in results if entry.status == "failed"]
    assert failed[0] == Entry(
        "p1", "failed", code="E_WORKER_DIED", weights_digest="w", settings_digest="s"
    )
    assert failed[1].problems[0].case == "p1"
    assert "3 workers" in failed[1].problems[0].message
    assert crew.tried["p1"] == 3
    assert len(results) == 3
    assert not jobs[1].output.exists()


def test_a_refused_case_is_not_retried(tmp_path: Path) -> None:
    def refuse(case: str, tried: int) -> tuple[Entry, Result]:
        problem = Problem("E_TRUNCATED", "the file ends too early", case=case)
        entry = Entry(case, "failed", code="E_TRUNCATED")
        return entry, Result(case, "failed", problems=(problem,))

    crew = Crew(refuse)
    results, _ = hand_out(crew, jobs_in(tmp_path, 3))
    assert [entry.code for entry, _ in results] == ["E_TRUNCATED"] * 3
    assert set(crew.tried.values()) == {1}
    assert crew.hired == 2


def test_an_answer_that_cannot_be_read_fails_the_case_without_its_words(tmp_path: Path) -> None:
    def strange(case: str, tried: int) -> tuple[Entry, Result]:
        raise ValueError("/home/JANE")

    results, _ = hand_out(Crew(strange), jobs_in(tmp_path, 2))
    assert [entry.code for entry, _ in results] == ["E_INTERNAL"] * 2
    assert "JANE" not in str(results)


def test_after_an_interruption_the_cases_in_hand_end_and_no_other_begins(tmp_path: Path) -> None:
    interruption = Interruption()

    def convert(case: str, tried: int) -> tuple[Entry, Result]:
        interruption.stop()
        return fine(case, tried)

    crew = Crew(convert)
    results, begun = hand_out(crew, jobs_in(tmp_path, 6), interruption=interruption)
    assert begun == ["p0", "p1"]
    assert [entry.case for entry, _ in results] == ["p0", "p1"]
    assert sorted(crew.dismissed) == [1, 2]


def test_who_stops_listening_leaves_no_worker_and_no_half_file(tmp_path: Path) -> None:
    crew = Crew(fine)
    jobs = jobs_in(tmp_path, 5)
    results = HandingOut(crew, jobs, weights_digest="", settings_digest="").results(
        lambda job: None, lambda case: None, Interruption()
    )
    next(results)
    left = tmp_path / ".tmp-0123abcd-p1.nii.gz"
    left.write_bytes(b"half")
    results.close()
    assert set(crew.dismissed) == {2}, "the other one was between two cases"
    assert not left.exists()


def test_a_worker_that_cannot_work_says_why(tmp_path: Path) -> None:
    problem = Problem("E_WORKER_RUN", "a worker has no run folder")
    with pytest.raises(ConfigurationError, match="E_WORKER_RUN"):
        hand_out(Crew(fine, ready=(problem,)), jobs_in(tmp_path, 3))


def test_workers_that_die_while_they_start_are_not_hired_for_ever(tmp_path: Path) -> None:
    crew = Crew(fine, ready=WorkerDied())
    with pytest.raises(ConfigurationError, match="E_WORKER_DIED"):
        hand_out(crew, jobs_in(tmp_path, 9))
    assert crew.hired <= 4


def test_a_cluster_without_machines_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_out, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(ConfigurationError, match="E_NO_WORKERS"):
        hand_out(Crew(fine, room=0), jobs_in(tmp_path, 1))
