from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.data import read_table
from medgen.data.table import CASE_ID
from medgen.problems import ConfigurationError, MedgenError, NothingFound


@pytest.fixture
def write(tmp_path: Path):
    for name in ("a.nii.gz", "b.nii.gz", "x.nii.gz"):
        (tmp_path / name).write_bytes(b"-")
    (tmp_path / "series").mkdir()

    def _write(text: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "cases.csv"
        path.write_text(text, encoding=encoding)
        return path

    return _write


def codes(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    return [problem.code for problem in error.value.problems]


def test_reads_cells_relative_to_the_table(write, tmp_path):
    path = write("case,patient,mr,age,site\nc1,p1,a.nii.gz,60,A\nc2,p2,,70,\n")
    table = read_table(path, columns=["mr"])
    first, second = table.rows
    assert first.cells == {"mr": tmp_path / "a.nii.gz"}
    assert (first.case, first.patient, first.site, first.split) == ("c1", "p1", "A", None)
    assert first.other == {"age": "60"}
    assert second.cells == {}
    assert second.site is None
    assert table.columns == ("case", "patient", "mr", "age", "site")


def test_absolute_cells_and_folders_pass(write, tmp_path):
    path = write(f"case,patient,mr\nc1,p1,{tmp_path / 'a.nii.gz'}\nc2,p2,series\n")
    table = read_table(path, columns=["mr"])
    assert table.row("c1").cells["mr"] == tmp_path / "a.nii.gz"
    assert table.row("c2").cells["mr"].is_dir()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_mark_and_blank_lines(write, separator):
    text = "case,patient,mr\r\n\r\nc1, p1 ,a.nii.gz\r\n,,\r\n".replace(",", separator)
    table = read_table(write(text, "utf-8-sig"), columns=["mr"])
    assert [row.patient for row in table.rows] == ["p1"]


def test_quoted_cells_may_hold_the_separator(write):
    table = read_table(write('case,patient,note\nc1,p1,"a, b"\n'), columns=[])
    assert table.rows[0].other == {"note": "a, b"}


def test_lists_every_problem_at_once(write):
    path = write(
        "case,patient,split,mr\n"
        "c1,p1,train,a.nii.gz\n"
        "C1,p2,train,b.nii.gz\n"  # a duplicate on some file systems
        "bad id,p3,train,a.nii.gz\n"
        "c4,,train,a.nii.gz\n"
        "c5,p5,training,a.nii.gz\n"
        "c6,p1,test,a.nii.gz\n"  # p1 leaks
        "c7,p7,,a.nii.gz\n"
        "c8,p8,train,DOE_JOHN.nii.gz\n"
        "c9,p9,train,series#echo=2\n"
        "c10,p10,train\n"
    )
    with pytest.raises(ConfigurationError) as error:
        read_table(path, columns=["mr"])
    assert sorted(codes(error)) == sorted(
        [
            "E_TABLE_DUPLICATE",
            "E_TABLE_CASE",
            "E_TABLE_PATIENT",
            "E_TABLE_SPLIT",
            "E_TABLE_LEAK",
            "E_TABLE_SPLIT",
            "E_CELL_MISSING",
            "E_CELL_SELECTOR",
            "E_TABLE_CELLS",
        ]
    )
    text = str(error.value)
    assert "DOE_JOHN" not in text  # neither paths
    assert "bad id" not in text  # nor what may be a name
    assert "[case c8, column mr]" in text


def test_a_column_that_the_table_lacks_is_named_with_those_it_has(write):
    with pytest.raises(ConfigurationError) as error:
        read_table(write("case,mr\nc1,a.nii.gz\n"), columns=["mr", "ct", "body"])
    assert codes(error) == ["E_TABLE_COLUMN"] * 3  # patient, ct, body
    assert "'patient'" in str(error.value)
    assert "it has: case, mr" in str(error.value)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("case,patient,mr,mr\nc1,p1,a.nii.gz,b.nii.gz\n", "E_TABLE_HEADER"),
        ("case,patient,,mr\nc1,p1,,b.nii.gz\n", "E_TABLE_HEADER"),
        ('case,patient,mr\nc1,p1,"a.nii.gz\n', "E_TABLE_UNREADABLE"),
        ("", "E_TABLE_COLUMN"),
    ],
)
def test_refuses_broken_tables(write, text, code):
    with pytest.raises(ConfigurationError) as error:
        read_table(write(text), columns=["mr"])
    assert code in codes(error)


def test_a_missing_table_an_empty_one_and_a_foreign_encoding(write, tmp_path):
    with pytest.raises(ConfigurationError, match="E_TABLE_MISSING"):
        read_table(tmp_path / "none.csv", columns=[])
    with pytest.raises(NothingFound, match="E_TABLE_EMPTY"):
        read_table(write("case,patient,mr\n"), columns=["mr"])
    with pytest.raises(ConfigurationError, match="E_TABLE_UNREADABLE"):
        read_table(write("case,patient\nc1,Müller\n", "latin-1"), columns=[])


def test_a_reserved_column_is_no_image(write):
    with pytest.raises(ConfigurationError, match="E_TABLE_COLUMN"):
        read_table(write("case,patient,site\nc1,p1,A\n"), columns=["site"])


def test_a_file_whose_name_holds_a_hash_is_a_file(write, tmp_path):
    (tmp_path / "a#1.nii.gz").write_bytes(b"-")
    table = read_table(write("case,patient,mr\nc1,p1,a#1.nii.gz\n"), columns=["mr"])
    assert table.rows[0].cells["mr"].name == "a#1.nii.gz"


def test_select_by_words_and_filled_cells(write):
    path = write("case,patient,site,mr,ct\nc1,p1,A,a.nii.gz,\nc2,p2,B,a.nii.gz,b.nii.gz\n")
    table = read_table(path, columns=["mr", "ct"])
    assert [row.case for row in table.select({"site": "B"})] == ["c2"]
    assert [row.case for row in table.select({}, filled=["mr"])] == ["c1", "c2"]
    assert [row.case for row in table.select({}, filled=["ct"])] == ["c2"]
    with pytest.raises(ConfigurationError, match="E_TABLE_COLUMN"):
        table.select({"scanner": "B"})
    with pytest.raises(ConfigurationError, match="E_TABLE_CASE"):
        table.row("c3")


@given(st.text(max_size=110))
def test_a_case_id_is_a_plain_file_name(text):
    if CASE_ID.fullmatch(text):
        assert Path(text).name == text
        assert text.isascii()
        assert not text.startswith((".", "-"))
        assert 1 <= len(text) <= 100


CELLS = st.lists(st.sampled_from(["c1", "C1", "p", "a.nii.gz", "", '"', "#x", "\0", "train", "é"]))


@given(
    header=st.lists(st.sampled_from(["case", "patient", "split", "mr", ""]), max_size=6),
    rows=st.lists(CELLS, max_size=4),
    separator=st.sampled_from(",;\t"),
)
def test_whatever_the_text_the_answer_is_a_table_or_a_coded_error(
    tmp_path_factory, header, rows, separator
):
    path = tmp_path_factory.getbasetemp() / "fuzzed.csv"
    text = "\n".join(separator.join(cells) for cells in [header, *rows])
    path.write_text(text, encoding="utf-8")
    try:
        rows_read = read_table(path, columns=["mr"]).rows
    except MedgenError as refused:
        rows_read, codes_seen = (), [problem.code for problem in refused.problems]
    else:
        codes_seen = ["E_NONE"]
    assert codes_seen
    assert all(code.startswith("E_") for code in codes_seen)
    assert len({row.case.casefold() for row in rows_read}) == len(rows_read)
    assert all(row.patient and CASE_ID.fullmatch(row.case) for row in rows_read)
