import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.cli.terminal import Terminal, printable
from medgen.problems import ConfigurationError, Problem


class Screen(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    terminal.configure(quiet=False, log=None)
    yield terminal
    terminal.close()


@given(st.text())
def test_printable_text_is_one_line_and_tells_what_was_there(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


def test_control_codes_of_a_header_are_shown_not_obeyed() -> None:
    assert printable("a\x1b[31mb\n\u202ec") == "a\\x1b[31mb\\n\\u202ec"


def test_a_result_goes_to_stdout_and_a_message_to_stderr(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.say("one\ntwo")
    terminal.note("three")
    shown = capsys.readouterr()
    assert shown.out == "one\ntwo\n"
    assert shown.err == "three\n"


def test_quiet_hides_notes_but_no_result_warning_or_problem(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal()
    terminal.configure(quiet=True, log=None)
    terminal.note("note")
    terminal.banner()
    terminal.say("result")
    terminal.warn("warning")
    terminal.error(
        ConfigurationError(
            [Problem("E_X", "bad", "mend it", case="p1"), Problem("E_Y", "worse", column="ct")]
        )
    )
    terminal.close()
    shown = capsys.readouterr()
    assert shown.out == "result\n"
    assert shown.err.splitlines() == [
        "medgen: warning: warning",
        "medgen: E_X [case p1]: bad -> mend it",
        "medgen: E_Y [column ct]: worse",
    ]


def test_a_problem_is_one_line(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.problem(Problem("E_X", "first\nsecond"))
    assert capsys.readouterr().err == "medgen: E_X: first second\n"


def test_a_table_is_aligned(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(["case", "mae"], [["p1", 63.21789], ["patient2", None]])
    assert capsys.readouterr().out.splitlines() == [
        "case        mae",
        "p1        63.22",
        "patient2",
    ]


def test_an_empty_table_has_its_head(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.table(["case", "mae"], [])
    assert capsys.readouterr().out == "case  mae\n"


def test_json_is_json(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.json({"mae": 1.5})
    assert json.loads(capsys.readouterr().out) == {"mae": 1.5}
    with pytest.raises(ValueError, match="JSON compliant"):
        terminal.json({"mae": float("nan")})


def test_progress_is_drawn_only_where_somebody_watches(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with terminal.progress("training", total=2) as bar:
        bar.advance(note="loss 1")
        bar.set(2, total=3)
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_screen(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with terminal.progress("training", total=2) as bar:
        bar.advance(note="[red]loss\x1b")
        terminal.note("[bold]a message")
        with terminal.progress("validation", total=None) as inner:
            inner.set(1, total=4)
        bar.set(2)
    shown = screen.getvalue()
    for part in ("training", "validation", "[red]loss\\x1b", "[bold]a message", "2/2"):
        assert part in shown


def test_quiet_draws_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    terminal = Terminal()
    terminal.configure(quiet=True, log=None)
    with terminal.progress("training", total=2) as bar:
        bar.advance()
    terminal.close()
    assert screen.getvalue() == ""


def test_the_librarys_warnings_are_shown_until_the_terminal_closes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal = Terminal()
    terminal.configure(quiet=True, log=None)
    logger = logging.getLogger("medgen.training")
    logger.info("too little")
    logger.warning("bf16 is slow here")
    terminal.close()
    assert capsys.readouterr().err == "medgen: warning: bf16 is slow here\n"
    assert not logging.getLogger("medgen").handlers


def test_nobody_listening_on_stderr_stops_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        terminal.warn("nobody reads this")
        terminal.error(ConfigurationError(Problem("E_X", "nor this")))
