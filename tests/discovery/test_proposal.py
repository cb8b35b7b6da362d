import csv
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from medgen.data import read_table
from medgen.discovery.grouping import Case
from medgen.discovery.placement import Placement
from medgen.discovery.proposal import settle_splits, write_table
from medgen.discovery.walking import Entry
from medgen.problems import ConfigurationError

Make = Callable[..., Path]


def case(name: str, patient: str = "", *, split: str = "", site: str = "", path: str = "") -> Case:
    entry = Entry(PurePosixPath(path or f"{name}/t1.nii"), "t1")
    placement = Placement(entry, "", (), name, "t1")
    return Case(name, patient or name, site, split, cells={"t1": placement})


def splits(*cases: Case) -> tuple[list[str], list[str]]:
    findings = settle_splits(cases)
    return [f.problem.code for f in findings], [c.split for c in cases]


def test_splits_of_folders_are_kept() -> None:
    assert splits(case("a", split="train"), case("b", split="test")) == ([], ["train", "test"])
    assert splits(case("a"), case("b")) == ([], ["", ""])


def test_a_patient_in_two_splits_and_cases_without_one_are_told() -> None:
    leak = splits(case("a", "p", split="train"), case("b", "P", split="test"))
    assert leak == (["E_SPLIT_LEAK", "E_SPLIT_LEAK"], ["", ""])
    partial = splits(case("a", split="train"), case("b"))
    assert partial == (["E_SPLIT_PARTIAL"], ["", ""])


@pytest.mark.parametrize(
    "name",
    ["=cmd|x", "+1", "-1", "@a", " spaced ", "a,b;c", 'quo"te', "a#b", "Ü 患者", "t;t"],
)
def test_any_folder_name_stands_in_the_table(make: Make, tmp_path: Path, name: str) -> None:
    make(f"{name}/t1.nii")
    table = tmp_path / "cases.csv"
    write_table([case("a", path=f"{name}/t1.nii")], tmp_path, table)
    (row,) = read_table(table, columns=["t1"]).rows
    assert row.cells["t1"].samefile(tmp_path / name / "t1.nii")
    cell = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))[1][2]
    assert cell[0] not in "=+-@ "


def test_paths_are_relative_to_the_table_wherever_it_is(make: Make, tmp_path: Path) -> None:
    make("data/a/t1.nii")
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/deep")
    table = tmp_path / "link" / "cases.csv"
    write_table([case("a")], tmp_path / "data", table)
    assert read_table(table, columns=["t1"]).rows[0].cells["t1"].is_file()
    assert "../../data/a/t1.nii" in table.read_text()


def test_words_are_columns_only_where_they_differ(make: Make, tmp_path: Path) -> None:
    for name in "ab":
        make(f"{name}/t1.nii")
    table = tmp_path / "cases.csv"
    write_table(
        [case("a", site="x", split="test"), case("b", site="x", split="train")], tmp_path, table
    )
    assert table.read_text().startswith("case,patient,split,t1\n")


def test_a_table_that_cannot_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="E_CELL_MISSING"):
        write_table([case("a")], tmp_path, tmp_path / "cases.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make("a/t1.nii")

    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigurationError, match=r"E_OUTPUT: .* No space left on device"):
        write_table([case("a")], tmp_path, tmp_path / "cases.csv")
    assert not list(tmp_path.glob("*cases.csv"))
