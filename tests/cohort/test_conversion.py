from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.cohort import (
    Manifest,
    Options,
    Outcome,
    Watch,
    cases_of_input,
    check_cohort,
    convert_cohort,
)
from medgen.conversion import Answered, Converter
from medgen.conversion.trust import Finding, Trust, Verdict
from medgen.files import locked, sha256_of_file
from medgen.problems import ConfigurationError, Exit
from medgen.runs import Model
from medgen.volumes import open_volume

CPU = torch.device("cpu")


def convert(model: Model, source: Path, output: Path, **options: Any) -> Outcome:
    watch = options.pop("watch", Watch())
    return convert_cohort(
        model,
        cases_of_input(source, model),
        output,
        device=CPU,
        options=Options(**options),
        watch=watch,
    )


def statuses(outcome: Outcome) -> list[str]:
    return [result.status for result in outcome.results]


def test_every_case_gets_an_answer_a_sidecar_and_a_line(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = convert(model, heads, out)
    assert outcome.exit_code == Exit.OK
    names = {"p1.nii.gz", "p2.nii.gz", "p3.nii.gz", "p1.json", "p2.json", "p3.json"}
    assert {path.name for path in out.iterdir()} == names | {
        "manifest.tsv",
        "index.html",
        "previews",
        ".lock",
    }
    assert {path.name for path in (out / "previews").iterdir()} == {
        "p1.png",
        "p2.png",
        "p3.png",
    }
    for entry in Manifest(out).entries:
        assert entry.status == "ok"
        assert entry.output_digest == sha256_of_file(out / f"{entry.case}.nii.gz")
        assert entry.input_digest == sha256_of_file(heads / f"{entry.case}.nii.gz")
        assert entry.weights_digest == model.weights_digest
        assert entry.seconds > 0
    answer = open_volume(out / "p1.nii.gz")
    assert answer.grid.same_as(open_volume(heads / "p1.nii.gz").grid)


def test_nothing_that_was_written_names_a_path(model: Model, heads: Path, tmp_path: Path) -> None:
    (heads / "p4.nii.gz").write_bytes(b"damaged")
    convert(model, heads, tmp_path / "out")
    for path in (tmp_path / "out").glob("*.[jt]s*"):
        assert str(tmp_path) not in path.read_text()
        assert tmp_path.name not in path.read_text()


def test_a_failed_case_does_not_stop_the_others(model: Model, heads: Path, tmp_path: Path) -> None:
    (heads / "p2.nii.gz").write_bytes((heads / "p2.nii.gz").read_bytes()[:1000])
    outcome = convert(model, heads, tmp_path / "out")
    assert statuses(outcome) == ["ok", "failed", "ok"]
    assert outcome.exit_code == Exit.SOME_FAILED
    entry = Manifest(tmp_path / "out").get("p2")
    assert entry is not None
    assert entry.status == "failed"
    assert entry.code.startswith("E_")
    assert not (tmp_path / "out" / "p2.nii.gz").exists()


@pytest.mark.parametrize("verdict", ["pass", "warn", "fail"])
def test_a_verdict_is_written_down_and_a_bad_one_told_by_the_exit_code(
    model: Model, heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    trust = Trust((Finding("body", verdict, "the body; it is cut"), Finding("x", "pass", "fine")))
    monkeypatch.setattr("medgen.conversion.converter.trust_of", lambda *arguments: trust)
    out = tmp_path / "out"
    outcomes = [convert(model, heads, out), convert(model, heads, out)]
    assert [statuses(outcome)[0] for outcome in outcomes] == ["ok", "kept"]
    for outcome in outcomes:
        assert outcome.exit_code == (Exit.SOME_FAILED if verdict == "fail" else Exit.OK)
        assert {result.verdict for result in outcome.results} == {verdict}
    assert outcomes[0].results[0].reasons == trust.reasons
    entry = Manifest(out).get("p1")
    assert entry is not None
    assert (entry.verdict, entry.reasons) == (verdict, "; ".join(trust.reasons))


def test_when_every_case_fails_the_exit_code_says_so(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    for path in heads.iterdir():
        path.write_bytes(b"")
    assert convert(model, heads, tmp_path / "out").exit_code == Exit.ALL_FAILED


def test_failing_fast_leaves_the_rest(model: Model, heads: Path, tmp_path: Path) -> None:
    (heads / "p1.nii.gz").write_bytes(b"")
    outcome = convert(model, heads, tmp_path / "out", fail_fast=True)
    assert statuses(outcome) == ["failed"]
    assert outcome.exit_code == Exit.SOME_FAILED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("/home/JANE/x"), "E_INTERNAL"),
        (MemoryError(), "E_OUT_OF_MEMORY"),
        (torch.OutOfMemoryError("CUDA out of memory"), "E_OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, "No space left", "/home/JANE/x"), "E_DISK_FULL"),
    ],
)
def test_strangers_errors_are_isolated_and_their_words_dropped(
    model: Model,
    heads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
) -> None:
    infer = Converter.infer
    calls = 0

    def fail_once(self: Converter, *arguments: Any, **options: Any) -> Answered:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        return infer(self, *arguments, **options)

    monkeypatch.setattr(Converter, "infer", fail_once)
    outcome = convert(model, heads, tmp_path / "out")
    assert statuses(outcome) == ["failed", "ok", "ok"]
    assert outcome.results[0].problems[0].code == code
    assert "JANE" not in str(outcome.results[0].problems)
    assert "JANE" not in (tmp_path / "out" / "manifest.tsv").read_text()


def test_a_second_call_keeps_what_is_done(model: Model, heads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("p[0-9]*")}
    outcome = convert(model, heads, out)
    assert statuses(outcome) == ["kept"] * 3
    assert outcome.exit_code == Exit.OK
    assert before == {path.name: path.stat().st_mtime_ns for path in out.glob("p[0-9]*")}


def refuse_to_read(monkeypatch: pytest.MonkeyPatch, refused: Path) -> None:
    """Let opening a file fail, also for root."""
    opened = Path.open

    def open_or_fail(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_or_fail)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    "change",
    [
        lambda heads, out: (out / "p2.nii.gz").unlink(),
        lambda heads, out: (out / "p2.json").unlink(),
        lambda heads, out: os.replace(heads / "p1.nii.gz", heads / "p2.nii.gz"),
    ],
    ids=["lost answer", "lost sidecar", "another input"],
)
def test_resuming_goes_by_hashes_not_by_existence(
    model: Model, heads: Path, tmp_path: Path, change: Callable[[Path, Path], object]
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    change(heads, out)
    outcome = convert(model, heads, out)
    assert {result.case: result.status for result in outcome.results}["p2"] == "ok"
    assert statuses(outcome).count("ok") == 1
    assert open_volume(out / "p2.nii.gz").data.shape == (20, 20, 20)
    assert (out / "p2.json").exists()


def test_a_changed_answer_is_kept_unless_overwritten(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    whole = sha256_of_file(out / "p2.nii.gz")
    damage(out / "p2.nii.gz")
    changed = sha256_of_file(out / "p2.nii.gz")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_CHANGED") as caught:
        convert(model, heads, out)
    assert [problem.case for problem in caught.value.problems] == ["p2"]
    assert sha256_of_file(out / "p2.nii.gz") == changed
    assert statuses(convert(model, heads, out, overwrite=True)).count("kept") == 2
    assert sha256_of_file(out / "p2.nii.gz") == whole


@pytest.mark.parametrize("code", ["E_MISSING_FILE", "E_UNREADABLE"])
def test_an_input_out_of_reach_costs_no_answer(
    model: Model,
    other_model: Model,
    heads: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
) -> None:
    out, source = tmp_path / "out", heads / "p2.nii.gz"
    convert(model, heads, out)
    before = {path.name: sha256_of_file(path) for path in out.glob("p[0-9]*")}
    cases = cases_of_input(heads, model)
    if code == "E_MISSING_FILE":
        os.replace(source, tmp_path / "away.nii.gz")
    else:
        refuse_to_read(monkeypatch, source)
    outcome = convert_cohort(model, cases, out, device=CPU)
    assert statuses(outcome) == ["kept", "kept", "failed"]
    assert outcome.results[2].problems[0].code == code
    assert "was kept" in outcome.results[2].warnings[0]
    assert before == {path.name: sha256_of_file(path) for path in out.glob("p[0-9]*")}
    entry = Manifest(out).get("p2")
    assert entry is not None
    assert (entry.status, entry.code) == ("failed", code)
    assert entry.output_digest == before["p2.nii.gz"]
    assert entry.weights_digest == model.weights_digest
    with pytest.raises(ConfigurationError, match="E_OUTPUT_OF_OTHER_MODEL"):
        convert_cohort(other_model, cases, out, device=CPU)

    monkeypatch.undo()
    if code == "E_MISSING_FILE":
        os.replace(tmp_path / "away.nii.gz", source)
    assert statuses(convert(model, heads, out)) == ["kept", "kept", "ok"]


def test_an_input_that_changed_and_is_refused_costs_the_stale_answer(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    convert(model, heads, tmp_path / "out")
    damage(heads / "p2.nii.gz")
    assert statuses(convert(model, heads, tmp_path / "out")) == ["kept", "kept", "failed"]
    assert not list((tmp_path / "out").glob("p2*"))


def test_answers_of_another_model_are_kept_unless_overwritten(
    model: Model, other_model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    before = sha256_of_file(out / "p1.nii.gz")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_OF_OTHER_MODEL") as caught:
        convert(other_model, heads, out)
    assert len(caught.value.problems) == 3
    assert sha256_of_file(out / "p1.nii.gz") == before
    outcome = convert(other_model, heads, out, overwrite=True)
    assert statuses(outcome) == ["ok"] * 3
    assert sha256_of_file(out / "p1.nii.gz") != before


def test_other_settings_are_another_answer(model: Model, heads: Path, tmp_path: Path) -> None:
    convert(model, heads, tmp_path / "out")
    with pytest.raises(ConfigurationError, match="other settings, such as the direction"):
        convert(model, heads, tmp_path / "out", nan_to=0.0)


@pytest.mark.parametrize("name", ["p2.nii.gz", "p2.json"])
def test_a_foreign_file_is_not_overwritten_unasked(
    model: Model, heads: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_EXISTS"):
        convert(model, heads, out)
    assert [path.name for path in out.iterdir() if path.name != ".lock"] == [name]
    assert convert(model, heads, out, overwrite=True).exit_code == Exit.OK


def test_a_failure_leaves_no_stale_answer(
    model: Model, other_model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    convert(model, heads, out)
    damage(heads / "p1.nii.gz")
    outcome = convert(other_model, heads, out, overwrite=True)
    assert statuses(outcome) == ["failed", "ok", "ok"]
    assert not (out / "p1.nii.gz").exists()
    assert not (out / "p1.json").exists()


def test_a_second_writer_is_refused(model: Model, heads: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(ConfigurationError, match="E_LOCKED"):
        convert(model, heads, tmp_path / "out")


def test_leftovers_of_a_killed_process_are_removed(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    ours = ("p1.nii.gz", "p2.json", "manifest.tsv", "index.html")
    for name in (*ours, "case-7.nii.gz"):
        (out / f".tmp-00112233-{name}").write_bytes(b"half")
    (out / ".tmp-notes").mkdir()
    convert(model, heads, out)
    left = sorted(path.name for path in out.glob(".tmp-*"))
    assert left == [".tmp-00112233-case-7.nii.gz", ".tmp-notes"], "files of others stay"


def test_an_output_that_cannot_be_written_is_said_so(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_UNWRITABLE"):
        convert(model, heads, tmp_path / "file" / "out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_between_windows_and_a_second_call_goes_on(
    model: Model, heads: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "out"

    def interrupt(case: str, done: int, total: int) -> None:
        if case == "p2" and done == 1:
            os.kill(os.getpid(), number)

    handler = signal.getsignal(number)
    outcome = convert(model, heads, out, watch=Watch(windows=interrupt))
    assert signal.getsignal(number) == handler
    assert outcome.exit_code == Exit.INTERRUPTED
    assert statuses(outcome) == ["ok"]
    assert sorted(path.name for path in out.glob("p[0-9]*")) == ["p1.json", "p1.nii.gz"]
    assert statuses(convert(model, heads, out)) == ["kept", "ok", "ok"]


def test_one_input_may_go_to_a_named_file(model: Model, heads: Path, tmp_path: Path) -> None:
    output = tmp_path / "answers" / "case-7.mha"
    outcome = convert(model, heads / "p1.nii.gz", output)
    assert outcome.results[0].case == "case-7"
    assert output.exists()
    assert json.loads((tmp_path / "answers" / "case-7.json").read_text())["unit"] == "HU"


def test_an_unusable_name_is_one_failed_case(
    model: Model, heads: Path, tmp_path: Path, make_head: Any
) -> None:
    make_head(heads / "Jane Doe.nii.gz", 4)
    outcome = convert(model, heads, tmp_path / "out")
    assert statuses(outcome) == ["failed", "ok", "ok", "ok"]
    assert "Jane" not in (tmp_path / "out" / "manifest.tsv").read_text()


def test_a_dry_run_checks_everything_and_writes_nothing(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    damage(heads / "p2.nii.gz")
    cases = cases_of_input(heads, model)
    outcome = check_cohort(model, cases, tmp_path / "out")
    assert statuses(outcome) == ["ok", "failed", "ok"]
    assert outcome.exit_code == Exit.SOME_FAILED
    assert not (tmp_path / "out").exists()
    outcome = check_cohort(model, cases, tmp_path / "out", options=Options(fail_fast=True))
    assert len(outcome.results) == 2


def test_a_dry_run_refuses_an_answer_that_cannot_be_converted(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    roles = model.preprocessing.roles
    assert roles.target is not None
    two = roles.model_copy(
        update={"target": roles.target.model_copy(update={"columns": ("ct", "ct_2")})}
    )
    facing = replace(model, preprocessing=replace(model.preprocessing, roles=two))
    for verb in (check_cohort, partial(convert_cohort, device=CPU)):
        with pytest.raises(ConfigurationError, match="E_ANSWER"):
            verb(facing, cases_of_input(heads, model), tmp_path / "out")


def test_a_dry_run_knows_what_is_done(model: Model, heads: Path, tmp_path: Path) -> None:
    convert(model, heads / "p1.nii.gz", tmp_path / "out")
    outcome = check_cohort(model, cases_of_input(heads, model), tmp_path / "out")
    assert statuses(outcome) == ["kept", "ok", "ok"]


def test_windows_and_cases_are_reported(model: Model, heads: Path, tmp_path: Path) -> None:
    cases: list[str] = []
    windows: list[tuple[str, int, int]] = []
    watch = Watch(
        case=lambda result: cases.append(result.case),
        windows=lambda *progress: windows.append(progress),
    )
    convert(model, heads, tmp_path / "out", watch=watch)
    assert cases == ["p1", "p2", "p3"]
    assert windows[-1][0] == "p3"
    assert windows[-1][1] == windows[-1][2]


def test_training_cases_are_marked(make_run: Any, heads: Path, tmp_path: Path) -> None:
    from medgen.runs import load_model

    seen = frozenset({sha256_of_file(heads / "p2.nii.gz")})
    convert(load_model(make_run(tmp_path / "r", seen=seen), device=CPU), heads, tmp_path / "out")
    marks = [json.loads((tmp_path / "out" / f"p{n}.json").read_text()) for n in (1, 2, 3)]
    assert [mark["seen_in_training"] for mark in marks] == [False, True, False]
