"""Baselines on files: pairs from a table, answers beside those of any method."""

from pathlib import Path

import numpy as np
import pytest

from medgen.baselines import open_pair, write_answers
from medgen.data import read_table
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, open_volume, write_volume

SHAPE = (26, 30, 24)
AFFINE = np.array([[-6.0, 0, 0, 75], [0, 6.0, 0, -87], [0, 0, 6.0, -69], [0, 0, 0, 1]])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write three lopsided balls of one size with MR, CT and a mask of their lower half."""
    index = np.indices(SHAPE) - (np.array(SHAPE) / 2 - 0.5)[:, None, None, None]
    radius = np.sqrt(((index / np.reshape((10, 12, 9), (3, 1, 1, 1))) ** 2).sum(axis=0))
    radius = radius + 0.1 * np.sin(index[0]) * (index[1] > 0)
    source = np.select([radius > 1, radius > 0.8], [0.0, 20.0], 100.0)
    target = np.select([radius > 1, radius > 0.8], [-1000.0, 800.0], 35.0)
    half = (radius <= 1) & (index[2] < 0)
    rows = ["case,patient,mr,ct,half"]
    for case in ("c1", "c2", "c3"):
        grid = Grid(SHAPE, AFFINE)
        write_volume(tmp_path / f"{case}-mr.nii.gz", Volume(source, grid), dtype="int16")
        write_volume(tmp_path / f"{case}-ct.nii.gz", Volume(target, grid), dtype="int16")
        mask = Volume(half.astype(np.uint8), grid)
        write_volume(tmp_path / f"{case}-half.nii.gz", mask, dtype="uint8")
        rows.append(f"{case},p-{case},{case}-mr.nii.gz,{case}-ct.nii.gz,{case}-half.nii.gz")
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "cases.csv"


def test_a_pair_is_looked_at_in_its_mask_or_in_the_targets_outline(table: Path) -> None:
    row = read_table(table, columns=["mr", "ct", "half"]).row("c1")
    drawn = open_pair(row, source="mr", target="ct", mask="half")
    np.testing.assert_array_equal(drawn.mask, open_volume(row.cells["half"]).data > 0)
    outlined = open_pair(row, source="mr", target="ct")
    body = open_volume(row.cells["ct"]).data > -500
    assert (outlined.mask == body).mean() > 0.97
    assert outlined.case == "c1"


def test_both_baselines_answer_the_test_cases_on_their_own_grid(
    table: Path, tmp_path: Path
) -> None:
    heard: list[tuple[str, str]] = []
    folders = write_answers(
        table,
        {"train": ["c1", "c2"], "test": ["c3"]},
        tmp_path / "answers",
        source="mr",
        target="ct",
        on_answer=lambda baseline, case: heard.append((baseline, case)),
    )
    assert [folder.name for folder in folders] == ["intensity_median", "aligned_median"]
    assert heard == [("intensity_median", "c3"), ("aligned_median", "c3")]
    reference = open_volume(tmp_path / "c3-ct.nii.gz")
    for folder in folders:
        assert [path.name for path in folder.iterdir()] == ["c3.nii.gz"]
        answer = open_volume(folder / "c3.nii.gz")
        assert answer.grid.same_as(reference.grid)
        assert answer.data.dtype == np.int16
        assert np.abs(answer.data.astype(float) - reference.data).mean() < 60


def test_a_target_without_a_unit_is_answered_by_its_intensity_alone_and_not_rounded(
    table: Path, tmp_path: Path
) -> None:
    """The same balls with target values between 0 and 1, as MR of some archives has them."""
    for case in ("c1", "c2", "c3"):
        stored = open_volume(tmp_path / f"{case}-ct.nii.gz")
        scaled = stored.with_data(((stored.data + 1000) / 1800).astype(np.float32))
        write_volume(tmp_path / f"{case}-ct.nii.gz", scaled, dtype="float32")
    [folder] = write_answers(
        table,
        {"train": ["c1", "c2"], "test": ["c3"]},
        tmp_path / "answers",
        source="mr",
        target="ct",
        unit="arbitrary",
    )
    assert folder.name == "intensity_median"
    answer, reference = open_volume(folder / "c3.nii.gz"), open_volume(tmp_path / "c3-ct.nii.gz")
    assert answer.data.dtype == np.float32
    assert np.abs(answer.data - reference.data).mean() < 60 / 1800


def test_a_file_without_a_unit_is_in_the_one_asked_for(table: Path) -> None:
    row = read_table(table, columns=["mr", "ct"]).row("c1")
    assert open_pair(row, source="mr", target="ct", unit="SUV").target.unit == "SUV"
    assert open_pair(row, source="mr", target="ct", unit="arbitrary").target.unit == "arbitrary"


def test_an_empty_cell_is_refused_with_its_place(table: Path) -> None:
    text = table.read_text(encoding="utf-8").replace("c1-ct.nii.gz", "")
    table.write_text(text, encoding="utf-8")
    row = read_table(table, columns=["mr", "ct"]).row("c1")
    with pytest.raises(Refusal) as caught:
        open_pair(row, source="mr", target="ct")
    [problem] = caught.value.problems
    assert (problem.code, problem.case, problem.column) == ("E_COLUMN_EMPTY", "c1", "ct")


def test_a_refused_file_names_its_case_and_column(table: Path, tmp_path: Path) -> None:
    (tmp_path / "c2-mr.nii.gz").write_bytes(b"no volume")
    row = read_table(table, columns=["mr", "ct"]).row("c2")
    with pytest.raises(Refusal) as caught:
        open_pair(row, source="mr", target="ct")
    assert {(p.case, p.column) for p in caught.value.problems} == {("c2", "mr")}
