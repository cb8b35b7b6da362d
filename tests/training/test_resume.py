"""Law 4: resuming equals never stopping, bit for bit on the CPU, whatever stopped it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from medgen.methods import METHODS
from medgen.problems import ConfigurationError, Interrupted
from medgen.runs import RunFolder
from medgen.training import prepare_session, train

PROFILE = {"profile": "reconstruction", "best_by": {"name": "mae", "mode": "min"}}


def run_to_end(config: Any, data: Path, run: Path, cache: Path, **options: Any) -> None:
    train(prepare_session(config, data=data, cache=cache, device="cpu"), run, **options)


def assert_same_run(first: Path, second: Path) -> None:
    """Compare exported weights and resume states tensor by tensor."""
    for name in ("weights", "state"):
        one = load_file(getattr(RunFolder(first), name))
        two = load_file(getattr(RunFolder(second), name))
        assert one.keys() == two.keys()
        for key in one:
            assert torch.equal(one[key], two[key]), f"{name}: {key}"
    assert RunFolder(first).losses.read_text() == RunFolder(second).losses.read_text()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stop_at", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_stopping_by_signal_and_resuming_changes_nothing(
    method: str, stop_at: int, tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config(method)
    run_to_end(config, tiny_cohort, tmp_path / "whole", tmp_path / "cache")

    def interrupt(step: int, *_: object) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped = tmp_path / "stopped"
    with pytest.raises(Interrupted, match="--resume"):
        run_to_end(config, tiny_cohort, stopped, tmp_path / "cache", progress=interrupt)
    run_to_end(config, tiny_cohort, stopped, tmp_path / "cache", resume=True)
    for name in ("weights", "state"):
        one = load_file(getattr(RunFolder(tmp_path / "whole"), name))
        two = load_file(getattr(RunFolder(stopped), name))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name


STAGED = [name for name, method in METHODS.items() if method.stages]


@pytest.mark.parametrize("method", STAGED)
@pytest.mark.parametrize(
    "stop_at", [pytest.param(7, marks=pytest.mark.slow), 8, pytest.param(9, marks=pytest.mark.slow)]
)
def test_a_change_of_stage_resumes_to_the_same_weights(
    method: str, stop_at: int, tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    """Before, at and after the step from which on others move, and what rested is frozen."""
    config = make_config(method, steps=10, validate={"every_steps": 4, **PROFILE})
    run_to_end(config, tiny_cohort, tmp_path / "whole", tmp_path / "cache")

    def interrupt(step: int, *_: object) -> None:
        if step == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    stopped, options = tmp_path / "stopped", (config, tiny_cohort, tmp_path / "stopped")
    with pytest.raises(Interrupted):
        run_to_end(*options, tmp_path / "cache", progress=interrupt)
    run_to_end(*options, tmp_path / "cache", resume=True)
    for name in ("weights", "state"):
        one = load_file(getattr(RunFolder(tmp_path / "whole"), name))
        two = load_file(getattr(RunFolder(stopped), name))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_the_shortest_run_of_two_stages_leaves_a_whole_model(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    run_to_end(make_config("f_ano_gan", steps=2), tiny_cohort, tmp_path / "run", tmp_path / "cache")
    assert RunFolder(tmp_path / "run").weights.is_file()
    config = make_config("f_ano_gan", steps=1)
    with pytest.raises(ConfigurationError, match="E_STEPS"):
        run_to_end(config, tiny_cohort, tmp_path / "other", tmp_path / "cache")
    assert not (tmp_path / "other").exists()


def test_a_killed_training_resumes_to_the_same_weights(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config(steps=40, save_every_steps=5)
    settings = tmp_path / "config.yaml"
    settings.write_text(yaml.safe_dump(config.as_json()), encoding="utf-8")
    cache, killed = tmp_path / "cache", tmp_path / "killed"
    command = [sys.executable, "-m", "medgen", "train", str(settings)]
    command += ["--data", str(tiny_cohort), "--run", str(killed), "--cache", str(cache)]
    command += ["--device", "cpu"]
    state = RunFolder(killed).state
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.kill()
        _, errors = process.communicate()
    assert state.exists(), errors.decode()
    subprocess.run([*command, "--resume"], check=True, env=environment, capture_output=True)
    whole = tmp_path / "whole"
    command[command.index(str(killed))] = str(whole)
    subprocess.run(command, check=True, env=environment, capture_output=True)
    assert_same_run(whole, killed)


def test_a_changed_configuration_is_refused_by_name(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    run_to_end(make_config(), tiny_cohort, tmp_path / "run", tmp_path / "cache")
    with pytest.raises(ConfigurationError, match=r"train\.batch_size"):
        run_to_end(
            make_config(batch_size=1),
            tiny_cohort,
            tmp_path / "run",
            tmp_path / "cache",
            resume=True,
        )


def test_a_finished_run_stays_as_it_is(tiny_cohort: Path, make_config: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_to_end(make_config(), tiny_cohort, run, tmp_path / "cache")
    before = RunFolder(run).weights.read_bytes()
    run_to_end(make_config(), tiny_cohort, run, tmp_path / "cache", resume=True)
    assert RunFolder(run).weights.read_bytes() == before


def test_a_damaged_state_is_a_coded_error(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run_to_end(make_config(), tiny_cohort, run, tmp_path / "cache")
    state = RunFolder(run).state
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(ConfigurationError, match="E_RESUME_STATE"):
        run_to_end(make_config(), tiny_cohort, run, tmp_path / "cache", resume=True)


def test_a_stop_does_not_wait_for_the_validation_and_changes_nothing(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config("regression")
    run_to_end(config, tiny_cohort, tmp_path / "whole", tmp_path / "cache")
    stopped = tmp_path / "stopped"

    def interrupt(step: int, *_: object) -> None:
        if step in (3, 6):  # both are followed by a validation
            os.kill(os.getpid(), signal.SIGTERM)

    for resume in (False, True):
        with pytest.raises(Interrupted):
            run_to_end(
                config,
                tiny_cohort,
                stopped,
                tmp_path / "cache",
                resume=resume,
                progress=interrupt,
            )
    run_to_end(config, tiny_cohort, stopped, tmp_path / "cache", resume=True)
    for name in ("weights", "state"):
        one = load_file(getattr(RunFolder(tmp_path / "whole"), name))
        two = load_file(getattr(RunFolder(stopped), name))
        assert all(torch.equal(one[key], two[key]) for key in one), name
    whole, again = (RunFolder(tmp_path / name).validation for name in ("whole", "stopped"))
    assert whole.read_text() == again.read_text()


@pytest.mark.parametrize("left", [("model",), ("model", "cases"), ("model", "cases", "losses")])
def test_a_kill_before_the_first_state_is_resumable(
    left: tuple[str, ...], tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run_to_end(make_config("regression"), tiny_cohort, run, tmp_path / "cache")
    weights, folder = RunFolder(run).weights.read_bytes(), RunFolder(run)
    folder.state.unlink()
    folder.validation.unlink()
    folder.losses.write_text("" if "losses" in left else "step,l", encoding="utf-8")
    if "cases" not in left:
        folder.cases.unlink()
    run_to_end(make_config("regression"), tiny_cohort, run, tmp_path / "cache", resume=True)
    assert folder.weights.read_bytes() == weights
