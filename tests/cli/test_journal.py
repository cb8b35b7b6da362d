import json
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from medgen.cli.journal import Journal, JournalHandler
from medgen.problems import ConfigurationError


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_line_has_time_level_event_and_fields(tmp_path: Path) -> None:
    journal = Journal()
    journal.open(tmp_path / "log.jsonl")
    journal.write("case_converted", {"case": "p1", "seconds": 1.5})
    (line,) = lines(tmp_path / "log.jsonl")
    journal.close()
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert line == {
        "level": "info",
        "event": "case_converted",
        "fields": {"case": "p1", "seconds": 1.5},
    }


def test_an_earlier_log_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for event in ("first", "second"):
        journal = Journal()
        journal.open(path)
        journal.write(event, {})
        journal.close()
    assert [line["event"] for line in lines(path)] == ["first", "second"]


def test_values_that_json_lacks_are_named_and_paths_are_not_told(tmp_path: Path) -> None:
    journal = Journal()
    journal.open(tmp_path / "log.jsonl")
    journal.write(
        "odd",
        {
            "nan": float("nan"),
            "path": Path("/hospital/DOE^JANE"),
            "nested": {"list": [1, float("-inf"), Path("x")]},
            "text": 'a\n"b"\x1b',
        },
    )
    journal.close()
    assert "DOE" not in (tmp_path / "log.jsonl").read_text(encoding="utf-8")
    (line,) = lines(tmp_path / "log.jsonl")
    assert line["fields"] == {
        "nan": "nan",
        "path": "PosixPath",
        "nested": {"list": [1, "-inf", "PosixPath"]},
        "text": 'a\n"b"\x1b',
    }


def test_without_a_file_nothing_is_written() -> None:
    Journal().write("event", {"case": "p1"})


def test_a_log_that_cannot_be_opened_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="E_LOG") as caught:
        Journal().open(tmp_path / "missing" / "log.jsonl")
    assert str(tmp_path) not in str(caught.value)


def test_log_records_become_lines(tmp_path: Path) -> None:
    journal = Journal()
    journal.open(tmp_path / "log.jsonl")
    logger = logging.Logger("medgen.cohort")
    logger.addHandler(JournalHandler(journal))
    logger.debug("unseen")
    logger.info("case_refused", extra={"fields": {"case": "p1"}})
    logger.warning("step %d", 3)
    journal.close()
    assert [
        (line["level"], line["event"], line["fields"]) for line in lines(tmp_path / "log.jsonl")
    ] == [
        ("info", "case_refused", {"case": "p1"}),
        ("warning", "step 3", {}),
    ]
