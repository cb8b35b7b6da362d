"""kill -9 during `convert`: no partial final file, and a second call finishes the rest.

One process imports everything once and forks a child per experiment. The child kills itself
right before or after its n-th change of the disk (a sync, a rename, a removal), so that every
state that a kill can leave is met; between two changes nothing visible happens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import medgen
from medgen.cohort import Manifest
from medgen.files import sha256_of_file
from medgen.volumes import open_volume

DRIVER = """
import json, os, signal, sys, time
from pathlib import Path

from medgen.cli.app import main

run, heads, folder = sys.argv[1:]
events = 0


def counted(function, limit):
    def wrapper(*arguments, **options):
        global events
        events += 1
        if events == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*arguments, **options)
        events += 1
        if events == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return wrapper


def convert(output, more=()):
    arguments = ["convert", run, "--input", heads, "--output", output, "--device", "cpu", *more]
    return main(["--quiet", *arguments])


def convert_counting(output, limit, more):
    os.fsync = counted(os.fsync, limit)
    os.replace = counted(os.replace, limit)
    Path.unlink = counted(Path.unlink, limit)
    code = convert(output, more)
    (Path(output).parent / "events").write_text(str(events))
    return code


def forked(output, limit=0, seconds=None, more=()):
    child = os.fork()
    if child == 0:
        sys.stdout = open(os.devnull, "w")  # this pipe carries exit codes only
        os._exit(convert_counting(output, limit, more))
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


answers, sys.stdout = sys.stdout, open(os.devnull, "w")
convert(os.path.join(folder, "warm"))  # loads all that is imported late, before forking
for line in sys.stdin:
    request = json.loads(line)
    print(forked(**request), file=answers, flush=True)
"""


class Driver:
    """Ask the forking process for one conversion after the other."""

    def __init__(self, run: Path, heads: Path, folder: Path) -> None:
        script = folder / "driver.py"
        script.write_text(DRIVER)
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(run), str(heads), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(medgen.__file__).parents[1])},
        )

    def convert(self, output: Path, **request: Any) -> int:
        """Return the exit code of a conversion, negative where a signal ended it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"output": str(output), **request}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def driver(run: Path, heads: Path, tmp_path: Path) -> Any:
    (heads / "p3.nii.gz").unlink()  # two cases show everything
    driver = Driver(run, heads, tmp_path)
    yield driver
    driver.close()


def answers(output: Path) -> dict[str, str]:
    return {path.name: sha256_of_file(path) for path in output.glob("p*.[nt]*")}


def scored(output: Path) -> set[str]:
    """Return the cases that the table of scores lists; a table that is there is a whole one."""
    table = output / "scores.tsv"
    if not table.exists():
        return set()
    header, *lines = table.read_text().removesuffix("\n").split("\n")
    assert {line.count("\t") for line in lines} <= {header.count("\t")}
    return {line.split("\t")[0] for line in lines}


def check_killed(output: Path, reference: dict[str, str]) -> None:
    """No final file is partial, and the manifest promises nothing that is not there."""
    for name, digest in answers(output).items():
        assert digest == reference[name]
        if name.endswith(".nii.gz"):
            open_volume(output / name)
    for sidecar in output.glob("p*.json"):
        described = json.loads(sidecar.read_text())["output_digest"]
        assert described == sha256_of_file(output / f"{sidecar.stem}.nii.gz")
        noted = json.loads(sidecar.read_text()).get("lesion_table_digest")
        table = output / f"{sidecar.stem}_lesions.tsv"
        assert (sha256_of_file(table) if table.exists() else None) == noted
        for name, digest in json.loads(sidecar.read_text()).get("beside", {}).items():
            assert digest == sha256_of_file(output / f"{sidecar.stem}_{name}.nii.gz")
    assert scored(output) <= {e.case for e in Manifest(output).entries if e.status == "ok"}
    for entry in Manifest(output).entries:
        if entry.status == "ok":
            assert entry.output_digest == reference[f"{entry.case}.nii.gz"]


def check_finished(output: Path, reference: dict[str, str]) -> None:
    assert answers(output) == reference
    assert [(entry.case, entry.status) for entry in Manifest(output).entries] == [
        ("p1", "ok"),
        ("p2", "ok"),
    ]
    assert not [
        *output.glob(".tmp-*"),
        *output.glob("previews/.tmp-*"),
        *output.glob(".part-*.tsv"),
    ]
    assert {path.name for path in output.glob("previews/*")} == {"p1.png", "p2.png"}


def kill_at_every(step: int, driver: Driver, folder: Path, *more: str) -> None:
    """Kill a call after each so many changes, and have another one finish its work.

    With `more` arguments, the call that finishes has them only every other time.
    """
    assert driver.convert(folder / "undisturbed" / "out", more=more) == 0
    reference = answers(folder / "undisturbed" / "out")
    events = int((folder / "undisturbed" / "events").read_text())
    assert events > 20
    for limit in range(1, events + 1, step):
        output = folder / f"killed-{limit}" / "out"
        assert driver.convert(output, limit=limit, more=more) == -9
        check_killed(output, reference)
        assert driver.convert(output, more=more if limit % 2 else ()) == 0
        check_finished(output, reference)


def test_a_kill_leaves_no_partial_file_and_a_second_call_finishes(
    driver: Driver, tmp_path: Path
) -> None:
    kill_at_every(37, driver, tmp_path)


@pytest.mark.slow
def test_a_kill_of_a_part_at_any_change_of_the_disk(driver: Driver, tmp_path: Path) -> None:
    kill_at_every(1, driver, tmp_path, "--part", "1/1")


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk(driver: Driver, tmp_path: Path) -> None:
    kill_at_every(1, driver, tmp_path)


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk_leaves_no_partial_table(
    lesion_run: Path, heads: Path, tmp_path: Path
) -> None:
    (heads / "p3.nii.gz").unlink()
    driver = Driver(lesion_run, heads, tmp_path)
    try:
        kill_at_every(1, driver, tmp_path)
    finally:
        driver.close()
    assert len(answers(tmp_path / "undisturbed" / "out")) == 4, "two volumes and their tables"


@pytest.mark.slow
def test_a_kill_at_any_change_of_the_disk_leaves_no_partial_mask_or_score(
    anomaly_run: Path, heads: Path, tmp_path: Path
) -> None:
    (heads / "p3.nii.gz").unlink()
    driver = Driver(anomaly_run, heads, tmp_path)
    try:
        kill_at_every(1, driver, tmp_path)
    finally:
        driver.close()
    assert len(answers(tmp_path / "undisturbed" / "out")) == 6, "two maps, z-maps and masks"
    for output in tmp_path.glob("*/out"):
        assert scored(output) == {"p1", "p2"}


@pytest.mark.slow
def test_a_kill_at_any_moment(driver: Driver, tmp_path: Path) -> None:
    assert driver.convert(tmp_path / "undisturbed" / "out") == 0
    reference = answers(tmp_path / "undisturbed" / "out")
    killed = 0
    for moment in range(30):
        output = tmp_path / f"killed-{moment}" / "out"
        killed += driver.convert(output, seconds=0.01 + 0.02 * moment) == -9
        if output.exists():
            check_killed(output, reference)
        assert driver.convert(output) == 0
        check_finished(output, reference)
    assert killed >= 5
