import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import medgen
from medgen.cli import app as program
from medgen.cli.app import main
from medgen.problems import (
    ConfigurationError,
    Exit,
    GuardStop,
    Interrupted,
    MedgenError,
    NothingFound,
    Problem,
    Refusal,
)

VERBS = ("phantom", "thin", "init", "plan", "train", "convert", "evaluate", "compare", "info")
HEAVY = {
    "torch",
    "monai",
    "numpy",
    "scipy",
    "SimpleITK",
    "nibabel",
    "skimage",
    "matplotlib",
    "rich",
}


def failing_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `medgen init` fail."""

    def fail() -> Any:
        raise error

    monkeypatch.setattr("medgen.config.shipped_configs", fail)


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a process; the modules that it has loaded are its last stderr line."""
    code = (
        "import sys\n"
        "from medgen.cli.app import main\n"
        "code = main()\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_names_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == Exit.OK
    text = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n  {verb} " in text
    words = text.split()
    for code in Exit:
        assert str(code.value) in words


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == Exit.OK
    text = capsys.readouterr().out
    assert f"medgen {verb}" in text
    assert "--overwrite" in text or verb == "info"


def test_no_verb_is_a_usage_error_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == Exit.USAGE
    shown = capsys.readouterr()
    assert "Usage: medgen" in shown.out + shown.err


@pytest.mark.parametrize("arguments", [["--version"], ["init", "--version"]])
def test_the_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == Exit.OK
    assert capsys.readouterr().out == f"medgen {medgen.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["init", "--nonsense"], ["init", "a", "b"], ["init", "--log"], ["train"]],
)
def test_usage_errors_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == Exit.USAGE
    assert "Error" in capsys.readouterr().err


def test_a_near_verb_is_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["trian"])
    assert "Did you mean 'train'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError, Exit.USAGE),
        (NothingFound, Exit.NOTHING_FOUND),
        (Refusal, Exit.ALL_FAILED),
        (GuardStop, Exit.GUARD),
        (Interrupted, Exit.INTERRUPTED),
    ],
)
def test_a_coded_error_prints_every_problem_and_its_exit_code(
    error: type[MedgenError],
    code: Exit,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing_with(
        error([Problem("E_ONE", "one", case="p1", column="ct"), Problem("E_TWO", "two", "do")]),
        monkeypatch,
    )
    assert main(["init"]) == code
    assert capsys.readouterr().err.splitlines() == [
        "medgen: E_ONE [case p1, column ct]: one",
        "medgen: E_TWO: two -> do",
    ]


def test_an_internal_error_names_lines_but_no_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("MEDGEN_TRACEBACK", raising=False)
    log = tmp_path / "log.jsonl"
    failing_with(KeyError("DOE^JANE"), monkeypatch)
    assert main(["init", "--log", str(log)]) == Exit.INTERNAL
    text = capsys.readouterr().err
    assert "internal error: KeyError" in text
    assert "medgen/cli/init.py:" in text
    for part in ("DOE", str(tmp_path), str(Path(medgen.__file__).parent), "test_app"):
        assert part not in text + log.read_text(encoding="utf-8")


def test_what_the_system_refuses_is_one_line_without_its_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(OSError(28, "No space left on device", "/ward/DOE^JANE"), monkeypatch)
    assert main(["init"]) == Exit.USAGE
    text = capsys.readouterr().err
    assert "E_SYSTEM_FILE: the system refused a file: No space left on device ->" in text
    assert "DOE" not in text


def test_the_whole_trace_is_shown_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MEDGEN_TRACEBACK", "full")
    failing_with(KeyError("what"), monkeypatch)
    assert main(["init"]) == Exit.INTERNAL
    assert "KeyError: 'what'" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(130)])
def test_an_interrupt_exits_130(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(error, monkeypatch)
    assert main(["init"]) == Exit.INTERRUPTED
    assert capsys.readouterr().err == "medgen: interrupted\n"


def test_sigterm_is_an_interrupt_and_the_old_handler_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def terminate() -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("the signal did not arrive")

    monkeypatch.setattr("medgen.config.shipped_configs", terminate)
    assert main(["init"]) == Exit.INTERRUPTED
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    "order",
    [
        ["--quiet", "--log", "LOG", "init"],
        ["init", "--quiet", "--log", "LOG"],
        ["init", "--log=LOG", "--quiet"],
    ],
)
def test_common_options_stand_anywhere(
    order: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    assert main([part.replace("LOG", str(log)) for part in order]) == Exit.OK
    assert capsys.readouterr().err == ""
    first, last = (json.loads(line) for line in log.read_text(encoding="utf-8").splitlines())
    assert first["event"] == "started"
    assert first["fields"] == {"verb": "init", "version": medgen.__version__}
    assert last["event"] == "finished"
    assert last["fields"]["exit_code"] == 0


def test_what_stands_behind_two_dashes_is_no_option(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", "--", "--quiet"]) == Exit.USAGE
    assert "'--quiet'" in capsys.readouterr().err


def test_problems_reach_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    assert main(["init", "no_such_name", "--output", str(tmp_path / "x"), "--log", str(log)]) == 2
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [event["event"] for event in events] == ["started", "problem", "finished"]
    assert events[1]["fields"]["code"] == "E_CONFIG_NAME"


def test_a_log_that_cannot_be_written_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--log", str(tmp_path)]) == Exit.USAGE
    assert "E_LOG" in capsys.readouterr().err


@pytest.mark.parametrize("verb", sorted(program.VERBS_WITH_ANSWERS))
def test_verbs_with_answers_say_what_they_are_not_for(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([verb])
    assert "research use only" in capsys.readouterr().err
    main([verb, "--quiet"])
    assert "research use only" not in capsys.readouterr().err


def test_a_run_leaves_no_log_handler_behind() -> None:
    main(["init"])
    assert not logging.getLogger("medgen").handlers


def test_a_closed_pipe_is_no_internal_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = "import sys; from medgen.cli.app import main; sys.exit(main(['init']))"
    ended = subprocess.run(
        [sys.executable, "-c", command], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert b"internal error" not in ended.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["init"]])
def test_the_answer_comes_without_torch_or_monai(arguments: list[str]) -> None:
    ended = process(*arguments)
    assert ended.returncode == 0
    loaded = set(ended.stderr.splitlines()[-1].split())
    assert "medgen" in loaded
    assert not loaded & HEAVY


def test_help_is_quick() -> None:
    """The promise is 0.5 s on an idle machine; processor time, since tests share their cores."""
    seconds = []
    for _ in range(3):
        before = os.times()
        assert process("--help").returncode == 0
        after = os.times()
        spent = after.children_user + after.children_system
        seconds.append(spent - before.children_user - before.children_system)
    assert min(seconds) < 0.5
