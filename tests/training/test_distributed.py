"""Several processes train one network: as one would, with one voice, and none left behind.

They meet over loopback, and each calls the program as torchrun would; see `rank_driver`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import rank_driver
import torch
import torch.distributed as dist
import yaml
from safetensors.torch import load_file
from torch import Tensor

import medgen
from medgen.problems import ConfigurationError, Exit
from medgen.runs import RunFolder, assemble
from medgen.training import distributed, joined
from medgen.training.distributed import Ranks
from medgen.training.loop import Loop

Train = Callable[..., list[int]]


@pytest.fixture(scope="module")
def driver() -> Iterator[subprocess.Popen[str]]:
    """Start the process that forks the others."""
    with subprocess.Popen(
        [sys.executable, rank_driver.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(medgen.__file__).parents[1]),
        },
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def table(tiny_cohort: Path, tmp_path: Path) -> Path:
    """Return the tiny cohort with three cases to validate on: two processes get two and one."""
    text = tiny_cohort.read_text(encoding="utf-8")
    for index in range(5):
        text = text.replace(f"c{index}_", f"{tiny_cohort.parent}/c{index}_")
    text = text.replace("c2,p2,train", "c2,p2,validation").replace("p4,test", "p4,validation")
    path = tmp_path / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def asked(driver: subprocess.Popen[str], **request: Any) -> list[int]:
    """Return the exit codes of one experiment's processes."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(json.dumps(request) + "\n")
    driver.stdin.flush()
    codes: list[int] = json.loads(driver.stdout.readline())
    return codes


@pytest.fixture
def train(driver: subprocess.Popen[str], table: Path, tmp_path: Path) -> Train:
    """Return a function that trains in some processes and returns their exit codes."""

    def request(
        config: Any, run: Path, *options: str, size: int = 2, afflict: Any = None, other: Any = None
    ) -> list[int]:
        words: dict[str, list[str]] = {}
        for rank, settings in (("0", config), ("1", other or config)):
            path = tmp_path / f"{run.name}.{rank}.yaml"
            path.write_text(yaml.safe_dump(settings.as_json()), encoding="utf-8")
            words[rank] = ["train", str(path), "--data", str(table), "--run", str(run)]
            words[rank] += ["--cache", str(tmp_path / "cache"), "--device", "cpu", *options]
        log = str(tmp_path / run.name)
        return asked(driver, size=size, arguments=words, log=log, afflict=afflict or {})

    return request


def said(run: Path, rank: int) -> str:
    """Return what a process said, to people and to the shell."""
    return "".join(
        Path(f"{run}.{rank}.{name}").read_text(encoding="utf-8") for name in ("out", "err")
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def farthest(one: Path, other: Path, name: str, part: str = "", without: str = "\n") -> float:
    """Return how far any number of two files of tensors lies from its fellow's."""
    first, second = (load_file(getattr(RunFolder(run), name)) for run in (one, other))
    assert first.keys() == second.keys()
    named = [key for key in first if key.startswith(part) and not key.endswith(without)]
    return max(float((first[key].double() - second[key].double()).abs().max()) for key in named)


def plain(make_config: Any, **options: Any) -> Any:
    """Return a regression without batch statistics whose loss is a mean over all voxels."""
    config = make_config("regression", **options)
    changed = config.as_json()
    changed["methods"]["regression"] = {
        **changed["methods"]["regression"],
        "mask_loss": False,
    }
    return type(config).model_validate(changed)


def test_processes_tell_each_other_what_they_have(
    driver: subprocess.Popen[str], tmp_path: Path
) -> None:
    log = tmp_path / "talk"
    assert asked(driver, size=2, arguments={"0": []}, log=str(log), afflict={}) == [0, 0]
    first, second = (json.loads(said(log, rank)) for rank in (0, 1))
    assert str(first) == str(second)  # as text, since NaN is not itself
    assert first["gradients"] == [[[1.5] * 3] * 2, [[0.0, 0.5, 1.0], [1.5, 2.0, 2.5]], None]
    assert first["mean"]["both"] == 0.5
    assert all(math.isnan(first["mean"][name]) for name in ("of_0", "of_1"))
    assert first["told"] == ["rank", 0]
    assert first["sent"] == [[[0, 1], [2, 3]], True]
    assert first["shared"] == [[0, 0], [1, 1], [2, 0], [3, 1], [4, 0]]


def test_two_processes_equal_one_with_twice_the_batch(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert train(plain(make_config), two) == [0, 0], said(two, 0)
    assert train(plain(make_config, batch_size=4), one, size=1) == [0]
    # A bias before an instance norm changes no answer, and Adam moves it by rounding errors.
    of_no_effect = "conv.bias"
    assert farthest(one, two, "state", "method/", without=of_no_effect) < 1e-6
    assert farthest(one, two, "weights", without=of_no_effect) < 1e-6
    for name in ("losses", "validation"):
        alone, shared = (rows_of(getattr(RunFolder(run), name)) for run in (one, two))
        assert len(alone) == len(shared) > 0
        for row, fellow in zip(alone, shared, strict=True):
            assert row.keys() == fellow.keys()
            numbers = [key for key in row if key != "case"]
            found = [float(fellow[key]) for key in numbers]
            assert found == pytest.approx([float(row[k]) for k in numbers], rel=1e-4, nan_ok=True)


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "two", "RANK": "0"},
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2"},
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"},
    ],
)
def test_half_an_environment_of_torchrun_is_refused(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="E_TORCHRUN"), joined("cpu"):
        pass


def test_where_processes_cannot_meet_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(taken.getsockname()[1])}
        for name, value in {"WORLD_SIZE": "2", "RANK": "0", **where}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match=r"E_RANKS_MISSING: the 2 .* meet"):
            joined("cpu").__enter__()


def test_a_process_that_never_comes_is_not_waited_for_all_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = dist.HashStore()
    monkeypatch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(store, 0, 2)]))
    monkeypatch.setattr(distributed, "MEETING", timedelta(seconds=0.2))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ConfigurationError, match=r"E_RANKS_MISSING: .* not all 2 processes"):
        joined("cpu").__enter__()


@pytest.mark.slow
def test_one_process_speaks_and_writes(train: Train, make_config: Any, tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    assert train(make_config(), run, "--log", str(log)) == [0, 0]
    assert "2 processes, 2 patches each: 4 in a step" in said(run, 0)
    assert "trained 6 steps" in said(run, 0)
    assert said(run, 1) == ""
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("started") == events.count("finished") == 1
    validated = [(row["step"], row["case"]) for row in rows_of(RunFolder(run).validation)]
    assert validated == [(step, case) for step in ("3", "6") for case in ("c2", "c3", "c4")]
    assert len(list(RunFolder(run).tensorboard.iterdir())) == 1
    # Trying it out is one process' business.
    assert train(make_config(), tmp_path / "other", "--dry-run") == [0, 0]
    assert said(tmp_path / "other", 1) == ""
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("stopped", ["0", "1"])
def test_a_stop_of_one_process_stops_all_and_resuming_changes_nothing(
    stopped: str, train: Train, make_config: Any, tmp_path: Path
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    config = plain(make_config)
    assert train(config, run, afflict={stopped: "stop"}) == [Exit.INTERRUPTED] * 2
    assert "E_INTERRUPTED" in said(run, 0)
    assert said(run, 1) == ""
    assert train(config, run, "--resume") == [0, 0]
    assert train(config, whole) == [0, 0]
    assert farthest(run, whole, "state") == 0.0
    assert farthest(run, whole, "weights") == 0.0


def test_an_error_of_one_process_ends_all_with_its_code_and_its_words(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    config = make_config("regression")
    for rank in (0, 1):
        run = tmp_path / f"broken_{rank}"
        assert train(config, run, afflict={str(rank): "error"}) == [Exit.USAGE] * 2
        assert "E_SYSTEM_FILE" in said(run, rank)
        assert "E_" not in said(run, 1 - rank)


def test_a_guard_stops_all_processes_where_one_has_a_loss_that_is_no_number(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert train(make_config("regression"), run, afflict={"1": "nan"}) == [Exit.GUARD] * 2
    assert said(run, 0).count("E_LOSS_NOT_FINITE") == 1
    assert said(run, 1) == ""


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_its_training_resumes(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", make_config("regression")
    assert train(config, run, afflict={"1": "kill"}) == [Exit.INTERNAL, -9]
    assert "E_RANK_LOST" in said(run, 0)
    assert train(config, run, "--resume") == [0, 0]


def test_processes_that_would_learn_different_things_are_refused(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", make_config("regression", steps=7)
    assert train(make_config("regression"), run, other=other) == [Exit.USAGE] * 2
    assert "E_RANKS_DIFFER: the 2 processes of this training differ in config" in said(run, 0)
    assert said(run, 1) == ""
    assert not RunFolder(run).model.exists()


@pytest.mark.slow
def test_what_is_refused_is_refused_once(train: Train, make_config: Any, tmp_path: Path) -> None:
    run, config = tmp_path / "run", make_config("regression", steps=1)
    assert train(config, run) == [0, 0]
    assert train(config, run) == [Exit.USAGE] * 2
    assert said(run, 0).count("E_RUN_EXISTS") == 1
    assert said(run, 1) == ""
    assert train(config, run, "--device", "cuda:3", "--resume") == [Exit.USAGE] * 2
    assert said(run, 0).count("E_RANK_DEVICE") == 1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cycle_gan", "f_ano_gan", "segmenter", "vae_gan"])
def test_games_of_several_players_train_and_resume_in_one_process(
    method: str, train: Train, make_config: Any, tmp_path: Path
) -> None:
    """Pools, stages, drawn latents and diagnoses included; one process then goes on alone."""
    run, config = tmp_path / "run", make_config(method)
    assert train(config, run, afflict={"1": "stop"}) == [Exit.INTERRUPTED] * 2, said(run, 0)
    assert train(config, run, "--resume", size=1) == [0]
    assert RunFolder(run).weights.is_file()


@dataclass(frozen=True)
class Follower(Ranks):
    """The second of two processes, whose first one has ones in every norm's statistics."""

    rank: int = 1
    size: int = 2

    def send(self, tensors: Sequence[Tensor]) -> None:
        for tensor in tensors:
            tensor.fill_(1)


def test_who_rests_in_a_stage_is_the_same_network_in_every_process(
    make_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, specs = assemble(make_config("f_ano_gan"))
    loop = Loop(
        method,
        specs,
        make_config("f_ano_gan"),
        RunFolder(tmp_path),
        batch=lambda step: {},
        device=torch.device("cpu"),
        precision="fp32",
        ranks=Follower(),
    )
    monkeypatch.setattr(method, "train_step", lambda *_: {})
    loop.step({})
    gathered = [buffer.clone() for buffer in method.generator.buffers()]  # type: ignore[union-attr]
    assert any((buffer != 1).any() for buffer in gathered)
    loop.position.step = 5  # the encoder's stage, in which the generator and the critic rest
    loop.step({})
    assert all((buffer == 1).all() for buffer in method.generator.buffers())  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_chain_is_trained_by_two_processes(
    train: Train, make_config: Any, tmp_path: Path
) -> None:
    config = plain(make_config, steps=2)
    chained = {**config.as_json(), "chain": {"stages": 2, "folds": 2, "feed": "replace"}}
    config = type(config).model_validate(chained)
    assert train(config, tmp_path / "run") == [0, 0], said(tmp_path / "run", 0)
    folder = RunFolder(tmp_path / "run")
    assert folder.weights.is_file()
    assert folder.upstream.weights.is_file()


@pytest.mark.slow
def test_torchrun_trains_stops_resumes_and_its_run_converts(
    table: Path, make_config: Any, tmp_path: Path
) -> None:
    run, settings = tmp_path / "run", tmp_path / "config.yaml"
    config = make_config("regression", steps=60, validate={"every_steps": 20})
    settings.write_text(yaml.safe_dump(config.as_json()), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    # The two hyphens keep torchrun from taking --run for an option of its own.
    command += ["--nproc-per-node", "2", "-m", "--", "medgen", "train", str(settings)]
    command += ["--data", str(table), "--run", str(run), "--cache", str(tmp_path / "cache")]
    command += ["--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not RunFolder(run).state.exists() and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode != 0
    assert b"E_INTERRUPTED" in errors
    answered = subprocess.run(
        [*command, "--resume"], env=environment, capture_output=True, check=False
    )
    assert answered.returncode == 0, answered.stderr.decode()
    assert answered.stdout.decode().count("trained 60 steps") == 1
    rows = rows_of(RunFolder(run).validation)
    assert [row["step"] for row in rows] == [str(step) for step in (20, 40, 60) for _ in range(3)]
    convert = [sys.executable, "-m", "medgen", "convert", str(run), "--data", str(table)]
    convert += ["--split", "validation", "--output", str(tmp_path / "out"), "--device", "cpu"]
    subprocess.run(convert, env=environment, capture_output=True, check=True)
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 3
