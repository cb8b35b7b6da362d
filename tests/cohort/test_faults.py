"""Twenty cases under what goes wrong at night: none lost or half written, all as undisturbed.

One process imports everything once and forks a child for each call of `medgen convert`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medgen
from medgen.cohort import Manifest
from medgen.files import sha256_of_file
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, open_volume, write_volume

pytestmark = pytest.mark.slow

CASES = 20
KILLS = 100
PAGE = 4096
"""Bytes that a small disk in memory gives to the smallest file."""
NAMES = [f"p{number:02}" for number in range(CASES)]
FORKER = """
import json, os, subprocess, sys
from pathlib import Path

from medgen.cli.app import main

run, warm = sys.argv[1:]
answers, sys.stdout = sys.stdout, open(os.devnull, "w")


listed = False  # the first change of the disk comes after the cases were listed
opened, synced = Path.open, os.fsync


def damage(unread, vanish):
    def refusing(self, *arguments, **options):
        if listed and self == Path(unread):
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **options)

    def removing(descriptor):
        global listed
        listed = True
        Path(vanish).unlink(missing_ok=True)
        synced(descriptor)

    Path.open, os.fsync = refusing, removing


def convert(heads, output, loud=False):
    arguments = ["convert", run, "--input", heads, "--output", output, "--device", "cpu"]
    return main([*([] if loud else ["--quiet"]), *arguments])


def fork(heads, output, stderr, unread=None, vanish=None, loud=False):
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if stderr == os.devnull:  # a pipe that nobody reads any more
        reader, writer = os.pipe()
        os.dup2(writer, 2)
        os.close(reader)
    if unread:
        damage(unread, vanish)
    os._exit(convert(heads, output, loud))


convert(warm, warm + "-answers")  # loads all that is imported late, before forking
print("ready", file=answers, flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
    elif "command" in request:
        answer = subprocess.run(request["command"]).returncode
    else:
        answer = fork(**request)
    print(answer, file=answers, flush=True)
"""


class Forker:
    """Start conversions of one run, and wait for them."""

    def __init__(self, run: Path, warm: Path, *, within: tuple[str, ...] = ()) -> None:
        self._process = subprocess.Popen(
            [*within, sys.executable, "-c", FORKER, str(run), str(warm)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(medgen.__file__).parents[1])},
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise OSError("the forking process did not start")
        self.stderr = warm.parent / "stderr"

    @property
    def pid(self) -> int:
        return self._process.pid

    def resize(self, disk: Path, size: int) -> int:
        """Give a small disk another size in bytes; return the exit code."""
        return self.ask(command=["mount", "-o", f"remount,size={size}", str(disk)])

    def ask(self, **request: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, heads: Path, output: Path, **faults: Any) -> int:
        """Return the process of a conversion."""
        where = {"stderr": str(self.stderr), **faults}
        return self.ask(heads=str(heads), output=str(output), **where)

    def end(self, process: int) -> int:
        """Return the exit code of a conversion, negative where a signal ended it."""
        return self.ask(wait=process)

    def convert(self, heads: Path, output: Path, **faults: Any) -> int:
        return self.end(self.start(heads, output, **faults))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def write_head(path: Path, seed: int) -> None:
    """Write a bright ball of 16 voxels."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 16)] * 3, indexing="ij")
    noise = np.random.default_rng(seed).uniform(0, 20, axes[0].shape)
    values = np.where(sum(axis**2 for axis in axes) < 0.6, 500 + 200 * axes[0], 0) + noise
    grid = Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    write_volume(path, Volume(values.astype(np.float32), grid), dtype="int16")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of twenty heads; who changes it copies it."""
    folder = tmp_path_factory.mktemp("twenty") / "heads"
    for number, name in enumerate(NAMES):
        write_head(folder / f"{name}.nii.gz", number)
    return folder


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warm") / "one"
    write_head(folder / "w.nii.gz", 0)
    return folder


@pytest.fixture(scope="module")
def forker(run: Path, warm: Path) -> Iterator[Forker]:
    forker = Forker(run, warm)
    yield forker
    forker.close()


@pytest.fixture(scope="module")
def undisturbed(forker: Forker, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what an undisturbed call writes."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    assert forker.convert(cohort, output) == Exit.OK
    assert {path.name for path in output.glob("*.nii.gz")} == {f"{n}.nii.gz" for n in NAMES}
    return output


@pytest.fixture(scope="module")
def reference(undisturbed: Path) -> dict[str, str]:
    return answers(undisturbed)


@pytest.fixture
def heads(cohort: Path, tmp_path: Path) -> Path:
    """Return a copy of the cohort that a test may damage."""
    return Path(shutil.copytree(cohort, tmp_path / "heads"))


def answers(output: Path) -> dict[str, str]:
    volumes = [*output.glob("p*.nii.gz"), *output.glob("previews/p*.png")]
    return {path.name: sha256_of_file(path) for path in volumes}


def statuses(output: Path) -> dict[str, str]:
    return {entry.case: entry.status for entry in Manifest(output).entries}


def check_no_half_file(output: Path, reference: dict[str, str]) -> None:
    """Every file that has a final name is whole, and no line promises what is not there."""
    for name, digest in answers(output).items():
        assert digest == reference[name]
    for sidecar in output.glob("p*.json"):
        described = json.loads(sidecar.read_text())["output_digest"]
        assert described == reference[f"{sidecar.stem}.nii.gz"]
        assert described == sha256_of_file(output / f"{sidecar.stem}.nii.gz")
    for entry in Manifest(output).entries:
        if entry.status == "ok":
            assert entry.output_digest == reference[f"{entry.case}.nii.gz"]
            open_volume(output / f"{entry.case}.nii.gz")
    index = output / "index.html"
    assert not index.exists() or index.read_text().rstrip().endswith("</html>")


def check_finished(output: Path, reference: dict[str, str]) -> None:
    check_no_half_file(output, reference)
    assert answers(output) == reference
    assert statuses(output) == dict.fromkeys(NAMES, "ok")
    assert not list(output.rglob(".tmp-*"))


def failed_with(output: Path) -> dict[str, str]:
    return {entry.case: entry.code for entry in Manifest(output).entries if entry.status != "ok"}


def test_a_hundred_kills_lose_no_case(
    forker: Forker, cohort: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    """Kill call after call on one folder until it is finished, then begin with another folder."""
    begun = time.perf_counter()
    assert forker.convert(cohort, tmp_path / "timed") == Exit.OK
    whole = time.perf_counter() - begun
    moments = random.Random(9)
    killed, resumed, folders, done = 0, 0, 1, 0
    while killed < KILLS:
        output = tmp_path / f"killed-{folders}"
        process = forker.start(cohort, output)
        time.sleep(moments.uniform(0.0, whole / 2))
        os.kill(process, signal.SIGKILL)
        if (code := forker.end(process)) == Exit.OK:
            check_finished(output, reference)
            folders, done = folders + 1, 0
            continue
        assert code == -signal.SIGKILL
        killed, resumed = killed + 1, resumed + bool(done)
        if output.exists():
            check_no_half_file(output, reference)
            before, done = done, list(statuses(output).values()).count("ok")
            assert done >= before, "a case that was converted is to be converted again"
    print(f"{killed} kills in {folders} folders, {resumed} of them of a call that went on")
    assert resumed >= KILLS // 10
    for number in range(1, folders + 1):
        output = tmp_path / f"killed-{number}"
        assert forker.convert(cohort, output) == Exit.OK
        check_finished(output, reference)


def test_a_full_disk_fails_cases_and_leaves_none_half_written(
    run: Path, warm: Path, cohort: Path, undisturbed: Path, tmp_path: Path
) -> None:
    unshare, disk = shutil.which("unshare"), tmp_path / "disk"
    if unshare is None:
        pytest.skip("there is no unshare, to mount a small disk in a namespace of its own")
    disk.mkdir()
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    mount = 'mount -t tmpfs -o size=16k tmpfs "$0" && exec "$@"'
    try:
        forker = Forker(run, warm, within=(unshare, "-m", *as_root, "sh", "-c", mount, str(disk)))
    except OSError:
        pytest.skip("this system lets no process mount a small disk in a namespace of its own")
    # From outside of the namespace, the disk is seen through the process that lives in it.
    seen = Path(f"/proc/{forker.pid}/root{disk}/out")
    reference = answers(undisturbed)
    files = [*undisturbed.glob("*.nii.gz"), *undisturbed.glob("p*.json")]
    least = sum(-(-path.stat().st_size // PAGE) * PAGE for path in files)
    codes, words = [], ""
    try:
        for share in (0.0, 0.1, 0.3, 0.6, 0.9):
            if share:
                assert forker.resize(disk, round(share * least)) == 0
            codes.append(forker.convert(cohort, disk / "out"))
            words += (said := forker.stderr.read_text())
            assert "E_DISK_FULL" in said or "E_OUTPUT_UNWRITABLE" in said
            assert "Traceback" not in said
            check_no_half_file(seen, reference)
        assert Exit.OK not in codes
        assert "E_DISK_FULL" in words
        assert forker.resize(disk, 2**26) == 0
        assert forker.convert(cohort, disk / "out") == Exit.OK
        # A preview that found no room is a warning of its case, and no reason to convert it again.
        without = {e.case for e in Manifest(seen).entries if "no preview could" in e.warnings}
        missing = {f"{case}.png" for case in without}
        check_finished(seen, {n: digest for n, digest in reference.items() if n not in missing})
    finally:
        print(f"exit codes as the disk grew: {codes}")
        forker.close()


def test_inputs_that_cannot_be_read_or_vanish_fail_alone(
    forker: Forker, heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    unread, vanishing = heads / "p03.nii.gz", heads / "p12.nii.gz"
    kept = vanishing.read_bytes()
    output = tmp_path / "out"
    code = forker.convert(heads, output, unread=str(unread), vanish=str(vanishing))
    assert code == Exit.SOME_FAILED
    assert failed_with(output) == {"p03": "E_UNREADABLE", "p12": "E_MISSING_FILE"}
    check_no_half_file(output, reference)
    assert len(list(output.glob("*.nii.gz"))) == CASES - 2
    assert str(heads) not in forker.stderr.read_text()
    vanishing.write_bytes(kept)
    assert forker.convert(heads, output) == Exit.OK
    check_finished(output, reference)


def test_a_corrupt_case_in_the_middle_fails_alone(
    forker: Forker, heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    corrupt = heads / "p09.nii.gz"
    kept = corrupt.read_bytes()
    output = tmp_path / "out"
    middle = len(kept) // 2
    for damaged in (kept[:middle], kept[:middle] + b"\xff" * 64 + kept[middle + 64 :], b""):
        corrupt.write_bytes(damaged)
        assert forker.convert(heads, output) == Exit.SOME_FAILED
        assert list(failed_with(output)) == ["p09"]
        assert failed_with(output)["p09"] not in ("", "E_INTERNAL")
        check_no_half_file(output, reference)
        assert len(list(output.glob("*.nii.gz"))) == CASES - 1
    corrupt.write_bytes(kept)
    assert forker.convert(heads, output) == Exit.OK
    check_finished(output, reference)


def test_nobody_listening_on_stderr_stops_nothing(
    forker: Forker, heads: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    corrupt = heads / "p04.nii.gz"
    kept = corrupt.read_bytes()
    corrupt.write_bytes(kept[:100])  # so that there is something to say in the middle
    output = tmp_path / "out"
    assert forker.convert(heads, output, stderr=os.devnull, loud=True) == Exit.SOME_FAILED
    assert list(failed_with(output)) == ["p04"]
    check_no_half_file(output, reference)
    assert len(list(output.glob("*.nii.gz"))) == CASES - 1
    corrupt.write_bytes(kept)
    assert forker.convert(heads, output) == Exit.OK
    check_finished(output, reference)


def test_of_two_writers_one_is_refused(
    forker: Forker, cohort: Path, reference: dict[str, str], tmp_path: Path
) -> None:
    refused = 0
    for attempt, seconds in enumerate((0.0, 0.02, 0.1, 0.5)):
        output, said = tmp_path / f"both-{attempt}", [tmp_path / f"said-{n}" for n in (1, 2)]
        first = forker.start(cohort, output, stderr=str(said[0]))
        time.sleep(seconds)
        second = forker.start(cohort, output, stderr=str(said[1]))
        codes = [forker.end(first), forker.end(second)]
        for code, words in zip(codes, said, strict=True):
            assert code in (Exit.OK, Exit.USAGE)  # one that came late finds all done
            assert (code == Exit.USAGE) == ("E_LOCKED" in words.read_text())
            refused += code == Exit.USAGE
        assert Exit.OK in codes
        check_finished(output, reference)
        assert forker.convert(cohort, output) == Exit.OK
    print(f"{refused} of 4 second writers were refused")
    assert refused
