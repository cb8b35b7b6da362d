"""What is in the way before anything is written."""

from pathlib import Path

import pytest

from medgen.data import Row, Table
from medgen.preparation.cases import _in_the_way


@pytest.mark.parametrize("place", ["c0/t1.nii.gz", "c1/deep/t1.nii.gz"])
def test_an_input_in_any_cases_folder_is_in_the_way(tmp_path: Path, place: str) -> None:
    """Another case's folder is written first, and the input would be read from what came of it."""
    output = tmp_path / "out"
    rows = (
        Row("c0", "p0", {"t1": tmp_path / "c0.nii.gz"}),
        Row("c1", "p1", {"t1": output / place}),
    )
    problems = _in_the_way(Table(rows, ("t1",)), tmp_path / "cases.csv", output)
    assert [(p.code, p.case, p.column) for p in problems] == [("E_OUTPUT_IS_INPUT", "c1", "t1")]


def test_an_input_beside_the_folders_is_not(tmp_path: Path) -> None:
    rows = (Row("c0", "p0", {"t1": tmp_path / "out" / "kept" / "t1.nii.gz"}),)
    assert not _in_the_way(Table(rows, ("t1",)), tmp_path / "cases.csv", tmp_path / "out")
