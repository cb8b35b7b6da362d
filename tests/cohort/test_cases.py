from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.cohort import Case, cases_of_input, cases_of_table, looks_like_one_case
from medgen.cohort.cases import place
from medgen.problems import ConfigurationError, NothingFound
from medgen.runs import Model, load_model


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def write_table(folder: Path, lines: list[str]) -> Path:
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_is_a_case_named_after_it(model: Model, heads: Path) -> None:
    assert cases_of_input(heads / "p1.nii.gz", model) == [Case("p1", {"mr": heads / "p1.nii.gz"})]


def test_a_folder_is_a_case_per_volume(model: Model, heads: Path) -> None:
    (heads / "notes.txt").write_text("nothing")
    (heads / ".tmp-1-p9.nii.gz").write_bytes(b"")
    assert names(cases_of_input(heads, model)) == ["p1", "p2", "p3"]


def test_an_empty_folder_has_nothing_to_convert(model: Model, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(NothingFound):
            cases_of_input(path, model)


def test_a_name_that_cannot_be_a_case_is_refused_and_not_repeated(
    model: Model, heads: Path, make_head: Any
) -> None:
    make_head(heads / "Döe, Jane.nii.gz", 4)
    cases = cases_of_input(heads, model)
    refused = [case for case in cases if case.problem is not None]
    assert names(refused) == ["#1"]
    assert refused[0].problem is not None
    assert refused[0].problem.code == "E_CASE_NAME"
    assert "Jane" not in str(refused[0].problem)


def test_files_of_one_name_are_refused_both(model: Model, heads: Path, make_head: Any) -> None:
    make_head(heads / "P1.nii", 4)
    problems = [case.problem.code for case in cases_of_input(heads, model) if case.problem]
    assert problems == ["E_CASE_DUPLICATE"] * 2


def test_several_sources_need_a_table(model: Model, heads: Path) -> None:
    from dataclasses import replace

    roles = model.config.roles.model_copy(
        update={"source": model.config.roles.source.model_copy(update={"columns": ("t1", "t2")})}
    )
    two = replace(model, preprocessing=replace(model.preprocessing, roles=roles))
    with pytest.raises(ConfigurationError, match="--data"):
        cases_of_input(heads, two)


def test_the_runs_own_split_wins(model: Model, heads: Path) -> None:
    table = write_table(
        heads,
        ["case,patient,split,mr"]
        + [f"p{n},p{n},{'train' if n == 1 else 'test'},p{n}.nii.gz" for n in (1, 2, 3)],
    )
    assert names(cases_of_table(table, model)) == ["p1", "p2", "p3"]
    assert names(cases_of_table(table, model, split="test")) == ["p1", "p3"]


def test_the_tables_split_serves_where_the_run_knows_none_of_its_cases(
    model: Model, heads: Path
) -> None:
    table = write_table(
        heads,
        ["case,patient,split,mr"]
        + [f"q{n},q{n},{'train' if n == 1 else 'test'},p{n}.nii.gz" for n in (1, 2, 3)],
    )
    assert names(cases_of_table(table, model, split="test")) == ["q2", "q3"]
    with pytest.raises(ConfigurationError, match="known: test, train"):
        cases_of_table(table, model, split="calibrate")


def test_a_split_is_looked_up_once(
    model: Model, heads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medgen.cohort import cases as module

    calls: list[str] = []

    def members(rows: Any, model: Model, split: str) -> frozenset[str]:
        calls.append(split)
        return frozenset({"p2"})

    monkeypatch.setattr(module, "_members", members)
    lines = [f"p{n},p{n},p{n}.nii.gz" for n in (1, 2, 3)]
    table = write_table(heads, ["case,patient,mr", *lines])
    assert names(cases_of_table(table, model, split="test")) == ["p2"]
    assert calls == ["test"]


def test_a_folder_that_looks_like_one_case_is_recognised(
    model: Model, heads: Path, make_head: Any
) -> None:
    assert not looks_like_one_case(cases_of_input(heads, model), model)
    make_head(heads / "MR.nii.gz", 4)
    assert looks_like_one_case(cases_of_input(heads, model), model)
    assert not looks_like_one_case(cases_of_input(heads / "MR.nii.gz", model), model)


def test_an_unknown_split_is_refused(model: Model, heads: Path) -> None:
    table = write_table(heads, ["case,patient,mr", "q1,q1,p1.nii.gz"])
    with pytest.raises(ConfigurationError, match="E_SPLIT_UNKNOWN"):
        cases_of_table(table, model, split="test")


def test_rows_without_a_source_are_not_cases(model: Model, heads: Path) -> None:
    table = write_table(heads, ["case,patient,mr,ct", "p1,p1,p1.nii.gz,", "p2,p2,,p2.nii.gz"])
    assert names(cases_of_table(table, model)) == ["p1"]
    table = write_table(heads, ["case,patient,mr,ct", "p2,p2,,p2.nii.gz"])
    with pytest.raises(NothingFound):
        cases_of_table(table, model)


def test_answers_go_to_a_folder_or_to_one_file(model: Model, heads: Path, tmp_path: Path) -> None:
    cases = cases_of_input(heads, model)
    jobs = place(cases, tmp_path / "out")
    assert [job.output.name for job in jobs] == ["p1.nii.gz", "p2.nii.gz", "p3.nii.gz"]
    (job,) = place(cases[:1], tmp_path / "answer.mha")
    assert (job.case.name, job.output) == ("answer", tmp_path / "answer.mha")
    with pytest.raises(ConfigurationError, match="3 cases"):
        place(cases, tmp_path / "answer.mha")


def test_a_file_name_makes_up_for_an_unusable_one(
    model: Model, tmp_path: Path, make_head: Any
) -> None:
    cases = cases_of_input(make_head(tmp_path / "Jane Doe.nii.gz", 0), model)
    (job,) = place(cases, tmp_path / "p7.nii.gz")
    assert (job.case.name, job.case.problem) == ("p7", None)


@pytest.mark.parametrize("name", ["a b.nii.gz", "out.mhd"])
def test_unusable_output_names_are_refused(
    model: Model, heads: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigurationError):
        place(cases_of_input(heads / "p1.nii.gz", model), tmp_path / name)


def test_an_answer_never_replaces_its_input(model: Model, heads: Path) -> None:
    for output in (heads, heads / "p1.nii.gz", heads / ".." / "heads"):
        with pytest.raises(ConfigurationError, match="E_OUTPUT_IS_INPUT"):
            place(cases_of_input(heads, model)[:1], output)


def test_a_run_without_its_training_half_knows_no_split(make_run: Any, heads: Path) -> None:
    import shutil

    run = make_run(heads.parent / "shared")
    shutil.rmtree(run / "training")
    model = load_model(run, device=torch.device("cpu"))
    table = write_table(heads, ["case,patient,split,mr", "p1,p1,test,p1.nii.gz"])
    assert names(cases_of_table(table, model, split="test")) == ["p1"]
