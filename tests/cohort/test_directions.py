"""Tables with cases of two domains: which are converted, which left out, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.cohort import cases_of_table
from medgen.config import parse_config
from medgen.problems import ConfigurationError, NothingFound
from medgen.runs import (
    Model,
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)

HEADER = "case,patient,site,flair,t2,pd"
SITES = {"source": {"site": "one"}, "target": {"site": "two"}}


def write_run(path: Path, where: Mapping[str, Mapping[str, str]]) -> Path:
    columns = {"source": ["flair", "t2"], "target": ["flair", "pd"]}
    config = parse_config(
        {
            "roles": {
                **{r: {"columns": columns[r], "where": where.get(r, {})} for r in columns},
                "label": ["lesion"],
            },
            "labels": {"lesion": [1]},
            "intensity": {c: {"scale": "percentile"} for c in ("flair", "t2", "pd")},
            "method": "adapted_segmenter",
            "methods": {
                "adapted_segmenter": {
                    "network": {"name": "unet", "channels": [2, 4], "residual_units": 0},
                    "discriminator": {"channels": 2, "layers": 1},
                }
            },
            "train": {"patch": [16, 16, 16]},
        }
    )
    folder = RunFolder(path)
    torch.manual_seed(0)
    write_config(folder, config)
    write_statistics(folder, Statistics())
    write_weights(folder, assemble(config)[0], {"step": 1})
    return path


@pytest.fixture(scope="module")
def with_sites(tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = write_run(tmp_path_factory.mktemp("adapted") / "run", SITES)
    return load_model(run, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def by_columns(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a model whose domains differ in their columns alone."""
    run = write_run(tmp_path_factory.mktemp("adapted") / "run", {})
    return load_model(run, device=torch.device("cpu"))


@pytest.fixture
def make_table(tmp_path: Path) -> Any:
    for name in ("f", "t", "p"):
        (tmp_path / f"{name}.nii.gz").write_bytes(b"")

    def write(*rows: str, header: str = HEADER) -> Path:
        lines = [row.replace("+", ".nii.gz") for row in rows]
        (tmp_path / "cases.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return tmp_path / "cases.csv"

    return write


def converted(
    table: Path, model: Model, direction: str | None = None, **options: Any
) -> tuple[list[str], dict[str, int]]:
    left_out: dict[str, int] = {}
    faced = model.facing(direction)
    cases = cases_of_table(table, faced, on_left_out=left_out.__setitem__, **options)
    assert all(case.problem or set(case.inputs) == _columns(faced) for case in cases)
    return [case.name for case in cases], left_out


def _columns(model: Model) -> set[str]:
    return {"flair", "pd"} if model.answer == "target" else {"flair", "t2"}


def test_each_direction_converts_the_rows_of_its_domain(with_sites: Model, make_table: Any) -> None:
    table = make_table("a,a,one,f+,t+,", "b,b,two,f+,,p+", "c,c,two,f+,,p+", "d,d,three,f+,,p+")
    assert converted(table, with_sites) == (["a"], {"target": 2})
    assert converted(table, with_sites, "target") == (["b", "c"], {"forward": 1})


def test_nothing_is_left_out_where_all_rows_are_converted(
    with_sites: Model, make_table: Any
) -> None:
    table = make_table("a,a,one,f+,t+,p+", "b,b,one,f+,t+,")
    assert converted(table, with_sites) == (["a", "b"], {})


def test_a_case_of_the_other_domain_is_no_case_that_lacks_an_image(
    by_columns: Model, make_table: Any
) -> None:
    table = make_table("a,a,,f+,t+,", "b,b,,f+,,p+", "c,c,,f+,t+,p+", "d,d,,f+,,")
    assert converted(table, by_columns) == (["a", "c", "d"], {"target": 1})
    by_name = {case.name: case for case in cases_of_table(table, by_columns)}
    assert by_name["d"].problem is not None
    assert by_name["d"].problem.code == "E_COLUMN_EMPTY"
    assert converted(table, by_columns, "target") == (["b", "c", "d"], {"forward": 1})


def test_a_row_that_the_domain_must_have_in_full_is_still_refused(
    with_sites: Model, make_table: Any
) -> None:
    table = make_table("a,a,one,f+,,p+")
    (case,) = cases_of_table(table, with_sites)
    assert case.problem is not None
    assert case.problem.column == "t2"


def test_a_table_of_the_other_domain_names_the_direction(
    with_sites: Model, make_table: Any
) -> None:
    table = make_table("a,a,two,f+,,p+", "b,b,two,f+,,p+")
    with pytest.raises(NothingFound, match="--direction target converts 2 cases of this table"):
        cases_of_table(table, with_sites)
    table = make_table("a,a,one,f+,t+,")
    with pytest.raises(NothingFound, match="--direction forward converts 1 case of this table"):
        cases_of_table(table, with_sites.facing("target"))
    table = make_table("a,a,three,f+,t+,p+")
    said = "no case has an image in flair, t2 where site is 'one' -> check --data and --split"
    with pytest.raises(NothingFound, match=said):
        cases_of_table(table, with_sites)


def test_so_does_one_that_lacks_the_columns_of_this_domain(
    with_sites: Model, by_columns: Model, make_table: Any
) -> None:
    table = make_table("a,a,two,f+,p+", header="case,patient,site,flair,pd")
    for model in (with_sites, by_columns):
        with pytest.raises(ConfigurationError, match=r"no column 't2'.* --direction target conv"):
            cases_of_table(table, model)
    table = make_table("a,a,f+,p+", header="case,patient,flair,pd")
    with pytest.raises(ConfigurationError, match="E_TABLE_COLUMN") as refused:
        cases_of_table(table, with_sites)
    assert "--direction" not in str(refused.value)


def test_files_that_this_direction_does_not_read_may_be_missing(
    with_sites: Model, make_table: Any
) -> None:
    table = make_table("a,a,one,f+,t+,", "b,b,two,f+,,elsewhere/p+")
    assert converted(table, with_sites) == (["a"], {"target": 1})


def test_only_the_splits_own_cases_are_counted(with_sites: Model, make_table: Any) -> None:
    rows = [f"{name},{name},{site},f+,t+,p+" for name, site in zip("abcd", "1122", strict=True)]
    table = make_table(*(row.replace(",1,", ",one,").replace(",2,", ",two,") for row in rows))
    known = replace(with_sites, split={"train": ("a", "c"), "test": ("b", "d")})
    assert converted(table, known, split="test") == (["b"], {"target": 1})
    known = replace(with_sites, split={"train": ("a", "b", "c"), "test": ("d",)})
    with pytest.raises(NothingFound, match=r"of the split 'test'.* --direction target"):
        cases_of_table(table, known, split="test")


def test_a_model_with_one_source_leaves_nothing_out(
    model: Model, heads: Path, tmp_path: Path
) -> None:
    table = heads / "cases.csv"
    table.write_text("case,patient,mr,ct\np1,p1,p1.nii.gz,\np2,p2,,p2.nii.gz\n", encoding="utf-8")
    left_out: dict[str, int] = {}
    cases = cases_of_table(table, model, on_left_out=left_out.__setitem__)
    assert [case.name for case in cases] == ["p1"]
    assert left_out == {}
