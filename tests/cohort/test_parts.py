"""Parts: who gets which case, who may work beside whom, and nothing is lost between them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import medgen.cohort.manifest as module
from medgen.cohort import (
    Entry,
    Manifest,
    Options,
    Outcome,
    Part,
    Result,
    Watch,
    cases_of_input,
    check_cohort,
    convert_cohort,
)
from medgen.cohort.ledger import Ledger
from medgen.cohort.parts import held, holding, merging, tables
from medgen.cohort.scores import Scores
from medgen.conversion import Provenance
from medgen.files import locked, sha256_of_file
from medgen.problems import ConfigurationError
from medgen.runs import Model, load_model

CPU = torch.device("cpu")
NAMES = ("p1", "p2", "p3", "p4", "p5")


@given(st.lists(st.integers()), st.integers(1, 12))
def test_every_item_is_in_one_part(items: list[int], count: int) -> None:
    shares = [Part(number, count).share(items) for number in range(1, count + 1)]
    assert sorted(item for share in shares for item in share) == sorted(items)
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(1, 999), st.integers(0, 999))
def test_a_part_is_read_as_it_is_written(number: int, more: int) -> None:
    part = Part(number, number + more)
    assert Part.parse(f" {part.number} / {part.count}") == part


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "a/b", "1.0/2"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"E_PART.*--part 3/8"):
        Part.parse(text)


@pytest.mark.parametrize(
    ("first", "second", "names", "message"),
    [
        (None, Part(1, 2), NAMES, "another medgen process"),
        (Part(1, 2), None, NAMES, "another medgen process"),
        (Part(1, 2), Part(1, 2), NAMES, "converts part 1/2"),
        (Part(1, 2), Part(1, 3), NAMES, "part 1/2 of this folder, and this is part 1/3"),
        (Part(1, 2), Part(2, 2), NAMES[:-1], "another list of cases"),
    ],
)
def test_who_may_not_work_beside_whom(
    tmp_path: Path, first: Part | None, second: Part | None, names: tuple[str, ...], message: str
) -> None:
    with (
        holding(tmp_path, first, NAMES),
        pytest.raises(ConfigurationError, match=f"E_LOCKED.*{message}"),
        holding(tmp_path, second, names),
    ):
        pass
    with holding(tmp_path, second, names):
        pass


def test_other_numbers_work_at_once(tmp_path: Path) -> None:
    parts = [Part(number, 3) for number in (1, 2, 3)]
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(holding(tmp_path, part, NAMES))
        with merging(tmp_path, parts[0]):
            assert held(tmp_path) == parts
    assert held(tmp_path) == []


@pytest.fixture
def five(heads: Path, make_head: Any) -> Path:
    """Return a folder of five volumes."""
    for number in (4, 5):
        make_head(heads / f"p{number}.nii.gz", number)
    return heads


def convert(model: Model, source: Path, output: Path, part: Part | None = None) -> Outcome:
    cases = cases_of_input(source, model)
    return convert_cohort(model, cases, output, device=CPU, options=Options(part=part))


def named(outcome: Outcome) -> list[tuple[str, str]]:
    return [(result.case, result.status) for result in outcome.results]


def test_parts_one_after_the_other_do_what_one_call_does(
    model: Model, five: Path, tmp_path: Path
) -> None:
    convert(model, five, tmp_path / "whole")
    out = tmp_path / "out"
    assert named(convert(model, five, out, Part(2, 2))) == [("p2", "ok"), ("p4", "ok")]
    assert [entry.case for entry in Manifest(out).entries] == ["p2", "p4"]
    assert named(convert(model, five, out, Part(1, 2))) == [(f"p{n}", "ok") for n in (1, 3, 5)]
    assert named(convert(model, five, out)) == [(name, "kept") for name in NAMES]
    for name in NAMES:
        answers = [sha256_of_file(tmp_path / to / f"{name}.nii.gz") for to in ("whole", "out")]
        assert answers[0] == answers[1]
    assert tables(out) == []
    left = {path.name for path in out.iterdir() if path.name.startswith(".")}
    assert left <= {".lock", ".merge.lock"}


def test_parts_at_once_keep_what_the_other_has_written(
    model: Model, five: Path, tmp_path: Path
) -> None:
    out, cases = tmp_path / "out", cases_of_input(five, model)
    other: list[Outcome] = []

    def beside(result: Result) -> None:
        if result.case == "p1":  # the second part runs from start to end within the first
            other.append(convert(model, five, out, Part(2, 2)))
            assert {entry.case: entry.status for entry in Manifest(out).entries}["p4"] == "ok"

    options = Options(part=Part(1, 2))
    mine = convert_cohort(model, cases, out, device=CPU, options=options, watch=Watch(case=beside))
    assert [len(mine.results), len(other[0].results)] == [3, 2]
    assert [(entry.case, entry.status) for entry in Manifest(out).entries] == [
        (name, "ok") for name in NAMES
    ]
    assert tables(out) == []


@pytest.mark.parametrize("following", [None, Part(1, 2), Part(2, 2), Part(1, 3)])
def test_what_a_killed_part_had_done_is_kept(
    model: Model, five: Path, tmp_path: Path, following: Part | None
) -> None:
    out, cases = tmp_path / "out", cases_of_input(five, model)

    def killed(result: Result) -> None:
        if result.case == "p3":
            raise KeyboardInterrupt

    options = Options(part=Part(1, 2))
    with pytest.raises(KeyboardInterrupt):
        convert_cohort(model, cases, out, device=CPU, options=options, watch=Watch(case=killed))
    assert [path.name for path in tables(out)] == [".part-1-of-2.tsv"]
    checked = check_cohort(model, cases, out)
    assert [result.status for result in checked.results].count("kept") == 2
    convert(model, five, out, following)
    assert tables(out) == []
    states = {entry.case: entry.status for entry in Manifest(out).entries}
    assert states["p1"] == states["p3"] == "ok"
    outcome = convert(model, five, out)
    assert {result.status for result in outcome.results} <= {"ok", "kept"}
    assert len(Manifest(out).entries) == 5


def test_a_part_of_more_parts_than_cases_may_be_empty(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    outcome = convert(model, heads, tmp_path / "out", Part(4, 4))
    assert (outcome.cases, outcome.exit_code) == (0, 0)


def test_a_file_is_not_shared_out(model: Model, heads: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="E_PART"):
        convert(model, heads / "p1.nii.gz", tmp_path / "out.nii.gz", Part(1, 2))


def test_a_dry_run_of_a_part_checks_the_part(model: Model, five: Path, tmp_path: Path) -> None:
    options = Options(part=Part(2, 2))
    outcome = check_cohort(model, cases_of_input(five, model), tmp_path / "out", options=options)
    assert named(outcome) == [("p2", "ok"), ("p4", "ok")]


@pytest.fixture
def scored(anomaly_run: Path, five: Path, tmp_path: Path) -> Path:
    """Return a folder of five scored answers."""
    convert(load_model(anomaly_run, device=CPU), five, tmp_path / "scored")
    return tmp_path / "scored"


def rows(folder: Path) -> list[str]:
    return [line.split("\t")[0] for line in (folder / "scores.tsv").read_text().splitlines()[1:]]


def test_scores_list_nothing_that_a_part_may_be_replacing(scored: Path) -> None:
    provenance = Provenance("w", "c", "s", "denoising_autoencoder")
    first, second = Part(1, 2), Part(2, 2)
    with holding(scored, first, NAMES), holding(scored, second, NAMES):
        other = Ledger(scored, second, NAMES, provenance)
        other.open(Scores(scored, wanted=True), todo=["p2"])
        assert rows(scored) == ["p1", "p3", "p4", "p5"], "the first part has not begun"
        ledger = Ledger(scored, first, NAMES, provenance)
        ledger.open(Scores(scored, wanted=True), todo=["p1"])
        assert rows(scored) == ["p3", "p5"], "not p1, and nothing of the other part"
        before = ledger.manifest.get("p1")
        assert before is not None
        ledger.begin("p1")
        started = Manifest(scored).get("p1")
        assert started == replace(before, status="started", seconds=0.0, verdict="", reasons="")
        ledger.add(before)
        ledger.close(Scores(scored, wanted=True), pictured=False)
        assert rows(scored) == ["p1", "p3", "p5"]
        # The first has merged, and has not let go of its lock yet: nobody comes after the second.
        other.close(Scores(scored, wanted=True), pictured=False)
        assert rows(scored) == list(NAMES)


def test_lines_that_another_part_merges_meanwhile_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Manifest(tmp_path, Part(1, 3))
    table.begin()
    table.add(Entry("p1", "ok", output_digest="a"))
    read = module._read

    def merged_after_the_first(path: Path) -> list[Entry]:
        entries = list(read(path))
        monkeypatch.setattr(module, "_read", read)
        Manifest(tmp_path).tidy()
        (tmp_path / Part(1, 3).table).unlink()
        return entries

    monkeypatch.setattr(module, "_read", merged_after_the_first)
    assert Manifest(tmp_path).get("p1") == Entry("p1", "ok", output_digest="a")


def test_a_part_waits_while_another_merges(tmp_path: Path) -> None:
    with (
        locked(tmp_path, ".merge.lock"),
        pytest.raises(ConfigurationError, match="E_LOCKED"),
        locked(tmp_path, ".merge.lock"),
    ):
        pass
    with merging(tmp_path, None), merging(tmp_path, Part(1, 2)):
        pass


def test_a_begun_case_without_an_earlier_answer_is_of_this_model(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, None, NAMES, Provenance("w", "c", "s", "regression"))
    ledger.open(Scores(tmp_path, wanted=False), todo=NAMES)
    ledger.begin("p1")
    started = Entry("p1", "started", weights_digest="w", settings_digest="s")
    assert Manifest(tmp_path).get("p1") == started
