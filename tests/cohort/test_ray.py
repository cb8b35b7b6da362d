"""A cohort on Ray: a worker lost midway, and every answer is what one process writes."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import medgen
from medgen.cohort import Manifest, Options, cases_of_input, convert_cohort, ray_cluster
from medgen.cohort.cases import Case, place
from medgen.cohort.ray_cluster import RayCrew, RayExecutor, Share, share_of
from medgen.cohort.ray_worker import RayWorker
from medgen.cohort.recipe import Recipe, absolute_job
from medgen.files import sha256_of_file
from medgen.problems import ConfigurationError, Exit
from medgen.runs import Model

CPU = torch.device("cpu")
CASES = 8
DRIVER = """
import json, sys
from pathlib import Path
import torch
from medgen.cohort import Watch, cases_of_input, convert_cohort
from medgen.cohort.ray_cluster import RayExecutor
from medgen.cohort.recipe import Recipe
from medgen.runs import load_model

run, heads, output, address = sys.argv[1:]
device = torch.device("cpu")
model = load_model(Path(run), device=device)
executor = RayExecutor(Recipe.of([Path(run)], [model]), address=address or None, cores_per_worker=1)
outcome = convert_cohort(
    model,
    cases_of_input(Path(heads), model),
    Path(output),
    device=device,
    executor=executor,
    watch=Watch(case=lambda result: print(result.case, result.status, flush=True)),
)
sys.exit(int(outcome.exit_code))
"""
CLUSTER = """
import sys
from ray.cluster_utils import Cluster

small = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(nodes.pop(), allow_graceful=False)
    print("lost", flush=True)
cluster.shutdown()
"""
"""Three machines on this one: a head without processors, and two that can hold a worker each."""


class Driver:
    """A conversion on Ray, which can be watched and disturbed.

    It has a process of its own, since Ray changes the one that imports it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def lines(self) -> Iterator[list[str]]:
        """Yield the case and the status of each result, as it comes."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.split()

    def workers(self, title: str = "ray::RayWorker") -> list[int]:
        """Return the processes of its workers; those `.convert` are busy."""
        return [pid for pid in _descendants(self.process.pid) if _title(pid).startswith(title)]

    def busy(self) -> int:
        """Return a worker once it converts."""
        for _ in range(6000):
            for pid in self.workers("ray::RayWorker.convert"):
                return pid
            time.sleep(0.005)
        raise AssertionError("no worker converts")


@contextmanager
def driving(*arguments: str | Path, address: str = "", **variables: str) -> Iterator[Driver]:
    """Start a conversion of a run, a folder of heads, to an output."""
    with started(DRIVER, *arguments, address, **variables) as process:
        yield Driver(process)


@contextmanager
def started(
    program: str, *arguments: str | Path, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Run a Python program in a process group of its own, at most until the block ends."""
    code = str(Path(medgen.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": code, **variables},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def _descendants(root: int) -> list[int]:
    """Return a process' children, their children, and so on (Linux)."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(after_name[1]), []).append(int(stat.parent.name))
    found, left = [], [root]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def answers(output: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in output.glob("*.nii.gz")}


@pytest.fixture
def many_heads(tmp_path: Path, make_head: Any) -> Path:
    for number in range(CASES):
        make_head(tmp_path / "many" / f"p{number}.nii.gz", number)
    return tmp_path / "many"


@pytest.fixture
def reference(model: Model, many_heads: Path, tmp_path: Path) -> dict[str, str]:
    convert_cohort(model, cases_of_input(many_heads, model), tmp_path / "alone", device=CPU)
    return answers(tmp_path / "alone")


def check_finished(output: Path, reference: dict[str, str]) -> None:
    assert answers(output) == reference
    entries = Manifest(output).entries
    assert [(entry.case, entry.status) for entry in entries] == [
        (f"p{number}", "ok") for number in range(CASES)
    ]
    for entry in entries:
        assert entry.output_digest == reference[f"{entry.case}.nii.gz"]
    assert not list(output.rglob(".tmp-*"))


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_write_what_one_process_writes(
    run: Path, many_heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    with driving(run, many_heads, tmp_path / "out") as driver:
        results = driver.lines()
        first = next(results)
        before = set(driver.workers())
        os.kill(lost := driver.busy(), signal.SIGKILL)
        lines = [first, *results]
        assert driver.process.wait() == Exit.OK
    assert lost in before
    assert len(before) == 2
    assert sorted(lines) == [[f"p{number}", "ok"] for number in range(CASES)]
    check_finished(tmp_path / "out", reference)


@pytest.mark.slow
def test_a_machine_of_a_cluster_that_is_lost_takes_no_case_with_it(
    run: Path, many_heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    folder = tmp_path / "out"
    with started(CLUSTER, RAY_USAGE_STATS_ENABLED="0", **token) as cluster:
        assert cluster.stdin is not None
        assert cluster.stdout is not None
        address = cluster.stdout.readline().strip()
        with driving(run, many_heads, folder, address=address, **token) as driver:
            results = driver.lines()
            first = next(results)
            cluster.stdin.write("\n")
            cluster.stdin.flush()
            assert cluster.stdout.readline() == "lost\n"
            lines = [first, *results]
            assert driver.process.wait() == Exit.OK
        cluster.stdin.close()
        cluster.wait()
    assert sorted(lines) == [[f"p{number}", "ok"] for number in range(CASES)]
    check_finished(folder, reference)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_the_caller_ends_its_workers_and_a_second_call_goes_on(
    number: signal.Signals, run: Path, many_heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    with (  # a killed process cannot remove its cluster's folder, and a long name will not do
        tempfile.TemporaryDirectory(prefix="m-", dir="/tmp", ignore_cleanup_errors=True) as short,
        driving(run, many_heads, folder, TMPDIR=short) as driver,
    ):
        results = driver.lines()
        next(results)
        workers = driver.workers()
        if number == signal.SIGINT:
            os.killpg(driver.process.pid, number)  # as Ctrl-C does, to workers and all
        else:
            driver.process.kill()
        left = len(list(results))
        code = driver.process.wait()
    assert code == (Exit.INTERRUPTED if number == signal.SIGINT else -number)
    assert left <= 2, "no case was begun after the signal"
    assert wait_for(lambda: not any(_title(pid).startswith("ray::") for pid in workers))
    for name, digest in answers(folder).items():
        assert digest == reference[name]
    if number == signal.SIGINT:
        assert not list(folder.rglob(".tmp-*"))
        entries = Manifest(folder).entries
        assert {entry.status for entry in entries} == {"ok"}, "the cases in hand were finished"
    with driving(run, many_heads, folder) as again:
        assert len(list(again.lines())) == CASES
        assert again.process.wait() == Exit.OK
    check_finished(folder, reference)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Wait at most a minute until a condition holds."""
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.1)
    return False


def recipe_of(run: Path, model: Model, **options: Any) -> Recipe:
    return Recipe.of([run], [model], options=Options(**options))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return what fills with how many threads torch was told to use."""
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    return asked


def test_a_worker_writes_what_the_caller_would(
    run: Path, model: Model, heads: Path, tmp_path: Path, threads: list[int]
) -> None:
    cases = cases_of_input(heads, model)
    convert_cohort(model, cases, tmp_path / "alone", device=CPU)
    worker = RayWorker(recipe_of(run, model), cores=3, gpu=False, silent=False)
    assert threads == [3]
    assert worker.ready() == ()
    jobs = place(cases, tmp_path / "out")
    entries = [worker.convert(absolute_job(job), None)[0] for job in jobs]
    assert [entry.status for entry in entries] == ["ok"] * 3
    assert answers(tmp_path / "out") == answers(tmp_path / "alone")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": "0.0.1"}, "E_WORKER_VERSION"),
        ({"runs": (Path("/nowhere"),)}, "E_WORKER_RUN"),
        ({"options": Options(nan_to=1.0)}, "E_WORKER_RUN"),
    ],
)
def test_a_worker_that_would_answer_otherwise_says_so(
    change: dict[str, Any], code: str, run: Path, model: Model, threads: list[int]
) -> None:
    recipe = replace(recipe_of(run, model), **change)
    worker = RayWorker(recipe, cores=1, gpu=False, silent=False)
    assert [problem.code for problem in worker.ready()] == [code]
    assert "nowhere" not in str(worker.ready())


def test_a_worker_with_another_runs_weights_says_so(
    run: Path, model: Model, make_run: Any, tmp_path: Path, threads: list[int]
) -> None:
    other = make_run(tmp_path / "other", seed=1)
    worker = RayWorker(
        replace(recipe_of(run, model), runs=(other,)), cores=1, gpu=False, silent=False
    )
    assert [problem.code for problem in worker.ready()] == ["E_WORKER_RUN"]


def test_what_is_sent_to_other_machines_has_whole_paths(
    run: Path, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = replace(
        recipe_of(run, model), runs=(Path("run"),), options=Options(template=Path("s/#echo=2"))
    )
    assert recipe.absolute().runs == (tmp_path / "run",)
    assert recipe.absolute().options.template == tmp_path / "s/#echo=2"
    (job,) = place([Case("p1", {"mr": Path("in/p1.nii.gz")})], Path("out"), ("nifti", "dicom"))
    sent = absolute_job(job)
    assert sent.case.inputs == {"mr": tmp_path / "in/p1.nii.gz"}
    assert set(sent.outputs) == {tmp_path / "out/p1.nii.gz", tmp_path / "out/p1"}


BIG, SMALL = {"CPU": 64.0}, {"CPU": 2.0, "memory": 1e9}
TWO_GPUS, MANY_GPUS = {"CPU": 32.0, "GPU": 2.0}, {"CPU": 12.0, "GPU": 8.0}


@pytest.mark.parametrize(
    ("machines", "share", "room"),
    [
        ([BIG], Share(4), 16),
        ([BIG, SMALL], Share(4), 16),
        ([SMALL], Share(2), 1),
        ([SMALL, {}], Share(2), 1),
        ([TWO_GPUS, BIG], Share(4, gpu=True), 2),
        ([MANY_GPUS], Share(1, gpu=True), 8),
        ([MANY_GPUS, TWO_GPUS], Share(1, gpu=True), 10),
    ],
)
def test_every_gpu_gets_a_worker_or_so_many_cores(
    machines: list[dict[str, float]], share: Share, room: int
) -> None:
    assert share_of(machines, cores_per_worker=4) == share
    assert share.room(machines) == room


@pytest.mark.parametrize(
    ("machines", "use_gpus"), [([], None), ([{"memory": 1.0}], None), ([BIG], True), ([{}], False)]
)
def test_machines_that_can_hold_no_worker_are_refused(
    machines: list[dict[str, float]], use_gpus: bool | None
) -> None:
    with pytest.raises(ConfigurationError, match="E_NO_WORKERS"):
        share_of(machines, cores_per_worker=4, use_gpus=use_gpus)


def test_processors_are_used_where_no_gpu_is_wanted() -> None:
    assert share_of([TWO_GPUS], cores_per_worker=4, use_gpus=False) == Share(4)


def test_without_an_open_call_a_crew_waits_before_it_looks_again(
    run: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(ray_cluster, "sleep", slept.append)
    assert RayCrew(None, recipe_of(run, model), Share(1)).first([], 0.5) is None
    assert slept == [0.5]


def test_a_cluster_that_is_lost_is_no_refused_file(
    run: Path, model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's error is one of the system's, which are taken for a file's elsewhere."""
    answers = iter([[{"Resources": BIG, "Alive": True}]])

    def nodes() -> Any:
        for answer in answers:
            return answer
        raise ConnectionError("at host:port")

    errors = SimpleNamespace(
        RayError=type("RayError", (Exception,), {}), RayTaskError=type("Task", (Exception,), {})
    )
    ray = SimpleNamespace(nodes=nodes, exceptions=errors)
    monkeypatch.setattr(ray_cluster, "connected", lambda address: nullcontext(ray))
    executor = RayExecutor(recipe_of(run, model))
    with pytest.raises(ConfigurationError, match="E_RAY_LOST"):
        convert_cohort(
            model, cases_of_input(heads, model), tmp_path / "out", device=CPU, executor=executor
        )


def test_without_ray_the_extra_is_named(
    run: Path, model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    cases = cases_of_input(heads, model)
    executor = RayExecutor(recipe_of(run, model))
    with pytest.raises(ConfigurationError, match=r"pip install 'medgen\[ray\]'"):
        convert_cohort(model, cases, tmp_path / "out", device=CPU, executor=executor)
    assert {entry.status for entry in Manifest(tmp_path / "out").entries} <= {"started"}


def test_where_nothing_is_left_to_do_ray_is_not_started(
    run: Path, model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = cases_of_input(heads, model)
    convert_cohort(model, cases, tmp_path / "out", device=CPU)
    monkeypatch.setitem(sys.modules, "ray", None)
    executor = RayExecutor(recipe_of(run, model))
    outcome = convert_cohort(model, cases, tmp_path / "out", device=CPU, executor=executor)
    assert outcome.count("kept") == 3
