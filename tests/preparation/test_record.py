from dataclasses import replace
from pathlib import Path

import pytest

from medgen.preparation.record import FILE_NAME, Record, Result, read_record
from medgen.problems import Problem

MOVED = Result(
    "flair",
    "flair_on_t1",
    "moved",
    "doubtful",
    ("edges apart",),
    "flair_on_t1.nii.gz",
    numbers={"moved_mm": 3.5, "folded": None},
    problems=(Problem("E_X", "wrong", "mend it", "c", "flair"),),
)
RECORD = Record("c", "done", "digest", {"t1": "a"}, (MOVED,), (), {"x.nii.gz": "b"}, 1.5)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert read_record(tmp_path) == RECORD


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": 2}', '{"format": 1, "case": 3}', "[" * 9999]
)
def test_what_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None


def test_the_worst_verdict_counts() -> None:
    fine = replace(MOVED, verdict="ok", problems=())
    bad = replace(MOVED, verdict="failed")
    assert replace(RECORD, results=(fine,)).verdict == "ok"
    assert replace(RECORD, results=(fine, MOVED)).verdict == "doubtful"
    assert replace(RECORD, results=(MOVED, bad, fine)).verdict == "failed"
    assert replace(RECORD, problems=MOVED.problems).verdict == "failed"


@pytest.mark.parametrize(
    ("code", "lasting"), [("E_REGISTRATION_REFUSED", True), ("E_DISK_FULL", False)]
)
def test_what_may_pass_is_tried_again(code: str, lasting: bool) -> None:
    assert replace(RECORD, problems=(Problem(code, ""),)).lasting is lasting
    assert not replace(RECORD, status="started").lasting


@pytest.mark.parametrize("name", ["../x", "/x", "..", ".", "", "a/b", "a\0b", "a\\b"])
def test_a_record_that_lists_files_elsewhere_is_none(tmp_path: Path, name: str) -> None:
    replace(RECORD, files={name: "b"}).write(tmp_path)
    assert read_record(tmp_path) is None


def test_files_of_a_started_case_are_names_without_digests(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(b"half")
    assert RECORD.changed(tmp_path) == ["x.nii.gz"]
    assert replace(RECORD, status="started").changed(tmp_path) == []
