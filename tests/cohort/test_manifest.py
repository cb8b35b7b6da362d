from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.cohort.manifest import COLUMNS, HEADER, Entry, Manifest, cell, join
from medgen.problems import ConfigurationError

DONE = Entry(
    "p1", "ok", "", "a" * 64, "b" * 64, "c" * 64, "d" * 64, "e" * 64, 2.5, 3, "thick slices",
    "warn", "its slices are 5 mm apart, at most 2 mm in training",
)  # fmt: skip


def filled(folder: Path, *entries: Entry) -> Manifest:
    manifest = Manifest(folder)
    manifest.tidy()
    for entry in entries:
        manifest.add(entry)
    return manifest


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    failed = Entry("p2", "failed", "E_NAN,E_4D")
    filled(tmp_path, DONE, failed)
    again = Manifest(tmp_path)
    assert again.entries == (DONE, failed)
    assert again.get("p1") == DONE
    assert again.get("p3") is None


def test_it_is_a_table_with_the_promised_columns(tmp_path: Path) -> None:
    filled(tmp_path, DONE)
    with (tmp_path / "manifest.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == list(COLUMNS)
    assert COLUMNS == (
        "case", "status", "code", "input_digest", "output_digest", "dicom_digest",
        "weights_digest", "settings_digest", "seconds", "clipped_voxels", "warnings",
        "verdict", "reasons",
    )  # fmt: skip
    assert rows[0]["seconds"] == "2.5"


def test_a_later_line_replaces_an_earlier_one(tmp_path: Path) -> None:
    filled(tmp_path, Entry("p1", "started"), DONE)
    again = Manifest(tmp_path)
    assert again.entries == (DONE,)
    again.tidy()
    assert (tmp_path / "manifest.tsv").read_text().count("\n") == 2


@pytest.mark.parametrize("kept", range(0, 60, 7))
def test_a_torn_last_line_is_passed_over(tmp_path: Path, kept: int) -> None:
    filled(tmp_path, DONE)
    path = tmp_path / "manifest.tsv"
    line = "\t".join(["p2", "ok", "", *["e" * 64] * 5, "1.0", "0", "none", "pass", ""])
    path.write_text(path.read_text() + line[:kept])
    assert Manifest(tmp_path).entries == (DONE,)


def test_appending_after_a_torn_line_needs_a_tidy_file(tmp_path: Path) -> None:
    filled(tmp_path, DONE)
    path = tmp_path / "manifest.tsv"
    path.write_text(path.read_text() + "p2\tok\t")
    manifest = filled(tmp_path, Entry("p3", "started"))
    assert [entry.case for entry in manifest.entries] == ["p1", "p3"]
    assert Manifest(tmp_path).entries == manifest.entries


@pytest.mark.parametrize(
    "line",
    [
        "p2",
        "p2\tmaybe" + "\t" * 7 + "1.0\t0\t\t\t",
        "p2\tok" + "\t" * 11,
        "p2\tok" + "\t" * 7 + "1.0\t0\t\t",
        "p2\tok" + "\t" * 7 + "x\t0\t\t\t",
    ],
)
def test_damaged_lines_are_passed_over(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.tsv").write_text(f"{HEADER}\n{line}\n")
    assert Manifest(tmp_path).entries == ()


def test_a_torn_header_is_no_manifest_yet(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text(HEADER[:10])
    assert Manifest(tmp_path).entries == ()


def test_a_whole_line_among_them_is_read(tmp_path: Path) -> None:
    line = "p2\tok" + "\t" * 7 + "1.0\t0\t\t\t"
    (tmp_path / "manifest.tsv").write_text(f"{HEADER}\n{line}\n")
    assert Manifest(tmp_path).entries == (Entry("p2", "ok", seconds=1.0),)


def test_a_manifest_of_the_version_before_is_read_and_rewritten(tmp_path: Path) -> None:
    path, older = tmp_path / "manifest.tsv", COLUMNS[: COLUMNS.index("warnings") + 1]
    cells = ["p1", "ok", "", *[letter * 64 for letter in "abcde"], "2.5", "3", "thick slices"]
    torn = "\t".join(["p2", *cells[1:7]])
    path.write_text("\t".join(older) + "\n" + "\t".join(cells) + "\n" + torn)
    manifest = Manifest(tmp_path)
    assert manifest.entries == (replace(DONE, verdict="", reasons=""),)
    manifest.tidy()
    manifest.add(replace(DONE, case="p3"))
    assert path.read_text().startswith(HEADER + "\n")
    assert Manifest(tmp_path).entries == manifest.entries


def test_a_foreign_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.tsv").write_text("subject\tscan\n1\t2\n")
    with pytest.raises(ConfigurationError, match="E_MANIFEST_FOREIGN"):
        Manifest(tmp_path)


@given(st.lists(st.text(), max_size=4))
def test_any_text_is_one_harmless_cell(parts: list[str]) -> None:
    text = join(parts)
    assert text == cell(text)
    assert text.isprintable()
    assert text[:1] not in ("=", "+", "-", "@")
