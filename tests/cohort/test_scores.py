"""The table of scores: what the sidecars say, of cases that are there, and of nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from medgen.cohort import Entry, Manifest
from medgen.cohort.scores import COLUMNS, FILE_NAME, Scores
from medgen.problems import ConfigurationError

SCORES = {"map_top": 1.5, "map_mean": 0.25, "window_max": 3.0, "window_mean": 1 / 3}


def note(folder: Path, manifest: Manifest, case: str, *, status: Any = "ok", **facts: Any) -> None:
    """Write a case's sidecar and its line in the manifest."""
    anomaly = {
        "score": "map_top",
        "scores": SCORES,
        "p": dict.fromkeys(SCORES, 0.05),
        "unusual": True,
        "case_threshold": 1.25,
        "mask_ml": 12.5,
        "column": "t1",
        "direction": "both",
        "calibration_cases": 20,
        **facts,
    }
    content = {"output_digest": f"of {case}", "weights_digest": "abc", "anomaly": anomaly}
    (folder / f"{case}.json").write_text(json.dumps(content))
    manifest.add(Entry(case, status, output_digest=f"of {case}"))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / FILE_NAME).open(newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    manifest = Manifest(tmp_path)
    manifest.tidy()
    return manifest


def test_a_row_says_what_the_sidecar_says(tmp_path: Path, manifest: Manifest) -> None:
    note(tmp_path, manifest, "b")
    bare = {"p": {}, "unusual": None, "case_threshold": None, "mask_ml": None}
    note(tmp_path, manifest, "a", **bare, calibration_cases=0)
    Scores(tmp_path, wanted=True).write(manifest)
    first, second = rows(tmp_path)
    assert tuple(first) == COLUMNS
    assert [first["case"], second["case"]] == ["a", "b"]
    assert {name: first[name] for name in ("p", "unusual", "mask_ml")} == {
        "p": "",
        "unusual": "",
        "mask_ml": "",
    }
    assert (second["score"], second["p"], second["unusual"]) == ("1.5", "0.05", "yes")
    assert (second["window_mean"], second["score_name"]) == ("0.333333", "map_top")
    assert (second["case_threshold"], second["weights_digest"]) == ("1.25", "abc")


def test_only_cases_that_the_manifest_calls_ok_are_listed(
    tmp_path: Path, manifest: Manifest
) -> None:
    for case, status in (("a", "failed"), ("b", "started"), ("c", "ok"), ("d", "ok"), ("e", "ok")):
        note(tmp_path, manifest, case, status=status)
    (tmp_path / "d.json").write_text('{"output_digest": "of another answer"}')
    (tmp_path / "e.json").unlink()
    manifest.add(Entry("f/../c", "ok", output_digest="of c"))
    Scores(tmp_path, wanted=True).write(manifest)
    assert [row["case"] for row in rows(tmp_path)] == ["c"]
    Scores(tmp_path, wanted=True).write(manifest, but={"c"})
    assert rows(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"output_digest": "of b"}',
        '{"output_digest": "of b", "anomaly": []}',
        "[" * 9999,
    ],
)
def test_a_sidecar_that_tells_nothing_is_passed_over(
    tmp_path: Path, manifest: Manifest, content: str
) -> None:
    note(tmp_path, manifest, "a")
    note(tmp_path, manifest, "b")
    (tmp_path / "b.json").write_text(content)
    Scores(tmp_path, wanted=True).write(manifest)
    assert [row["case"] for row in rows(tmp_path)] == ["a"]


def test_a_foreign_table_is_refused_where_one_is_to_be_written(
    tmp_path: Path, manifest: Manifest
) -> None:
    (tmp_path / FILE_NAME).write_text("subject\tscore\n")
    with pytest.raises(ConfigurationError, match="E_SCORES_FOREIGN"):
        Scores(tmp_path, wanted=True)
    note(tmp_path, manifest, "a")
    Scores(tmp_path, wanted=False).write(manifest)
    assert (tmp_path / FILE_NAME).read_text() == "subject\tscore\n"


def test_without_scores_there_is_no_table(tmp_path: Path, manifest: Manifest) -> None:
    manifest.add(Entry("a", "ok", output_digest="x"))
    Scores(tmp_path, wanted=True).write(manifest)
    assert not (tmp_path / FILE_NAME).exists()


def test_no_row_outlives_its_case(tmp_path: Path, manifest: Manifest) -> None:
    note(tmp_path, manifest, "a")
    Scores(tmp_path, wanted=True).write(manifest)
    manifest.add(Entry("a", "failed"))
    Scores(tmp_path, wanted=False).write(manifest)
    assert rows(tmp_path) == []


def test_no_cell_is_a_formula_or_breaks_a_line(tmp_path: Path, manifest: Manifest) -> None:
    note(tmp_path, manifest, "a", column="=t1\tx\n")
    Scores(tmp_path, wanted=True).write(manifest)
    (row,) = rows(tmp_path)
    assert row["column"] == "'=t1 x"
