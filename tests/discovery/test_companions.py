"""NIfTI beside DICOM: whose files they are."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, MR, uid

from medgen.dicom import read_series
from medgen.discovery import Finding, KeyedNames, Names, Scan, scan
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, write_volume

Series = Callable[..., Path]
Make = Callable[..., Path]


def scanned(root: Path, *, names: Names | None = None) -> Scan:
    return scan(root, names=names or Names(), output=root / "cases.csv", overwrite=True)


def told(found: Scan, code: str) -> list[Finding]:
    return [finding for finding in found.findings if finding.problem.code == code]


def cells(root: Path) -> dict[str, dict[str, str]]:
    """Return the filled cells of each case."""
    with (root / "cases.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    words = ("case", "patient", "split")
    return {
        row["case"]: {name: cell for name, cell in row.items() if cell and name not in words}
        for row in rows
    }


def draw(folder: Path, name: str) -> None:
    """Write a mask on the grid of a series beside the series' folder."""
    one = read_series(folder)
    mask = np.zeros(one.data.shape, np.float32)
    mask[2:5, 2:5, 1:4] = 1
    grid = Grid(one.data.shape, one.facts.affine)
    write_volume(folder.parent / name, Volume(mask, grid), dtype="uint8")


def test_masks_beside_a_patients_series_are_in_its_row(series: Series, tmp_path: Path) -> None:
    for number, patient in enumerate(("A", "B")):
        folder = series(f"h{number}/ct", CT, seed=number, PatientID=patient)
        draw(folder, "body.nii.gz")
    found = scanned(tmp_path)
    assert found.exit_code == Exit.OK
    assert {name: set(row) for name, row in cells(tmp_path).items()} == {
        "p001": {"ct", "body"},
        "p002": {"ct", "body"},
    }
    for row in cells(tmp_path).values():
        assert row["ct"].split("/")[0] == row["body"].split("/")[0]
    (finding,) = told(found, "W_FILES_JOINED")
    assert len(finding.files) == 2
    assert finding.problem.message.startswith("2 files lie beside")
    assert not finding.refused
    assert found.drawn_on == {"body": "ct"}
    assert not told(found, "W_TWO_NAMINGS")
    assert not told(found, "E_OTHER_FRAME")


def test_a_mask_elsewhere_in_space_is_told(series: Series, make: Make, tmp_path: Path) -> None:
    series("h0/ct", CT)
    make("h0/body.nii.gz", kind="mask", offset=900.0)
    found = scanned(tmp_path)
    assert [one.problem.column for one in told(found, "E_OTHER_FRAME")] == ["body"]


def test_a_mask_drawn_on_an_image_in_another_frame_is_no_finding(
    series: Series, tmp_path: Path
) -> None:
    series("h0/mr", MR, seed=1)
    elsewhere = {"FrameOfReferenceUID": uid("far")}
    folder = series("h0/ct", CT, seed=2, shape=(9, 9, 7), **elsewhere)
    draw(folder, "body.nii.gz")
    found = scanned(tmp_path)
    assert [one.problem.column for one in told(found, "W_FRAMES_DIFFER")] == ["ct"]
    assert found.drawn_on == {"body": "ct"}
    assert not told(found, "E_OTHER_FRAME")


@pytest.mark.parametrize("place", ["h0/masks/h0", "h0/h0/anat", "h0"])
def test_the_patients_folder_may_be_further_up(series: Series, tmp_path: Path, place: str) -> None:
    folder = series("h0/dicom/1/2/ct", CT)
    draw(folder, "body.nii.gz")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    (folder.parent / "body.nii.gz").rename(tmp_path / place / "body.nii.gz")
    scanned(tmp_path)
    expected = {"h0/masks/h0": 2, "h0/h0/anat": 2, "h0": 1}
    assert len(cells(tmp_path)) == expected[place]


def test_of_two_patients_or_rows_nothing_is_guessed(
    series: Series, make: Make, tmp_path: Path
) -> None:
    series("two/ct", CT, seed=1, PatientID="A")
    series("two/scout", CT, seed=2, PatientID="B", SeriesDescription="scout")
    make("two/body.nii.gz", kind="mask")
    series("twice/first", CT, seed=3, PatientID="C")
    series("twice/second", CT, seed=4, PatientID="C", StudyInstanceUID=uid("later"))
    make("twice/brain.nii.gz", kind="mask")
    found = scanned(tmp_path)
    assert not told(found, "W_FILES_JOINED")
    assert set(cells(tmp_path)) >= {"two", "twice"}
    assert told(found, "W_TWO_NAMINGS")


def test_files_of_several_patients_beside_one_stay_theirs(
    series: Series, make: Make, tmp_path: Path
) -> None:
    series("all/dicom", CT)
    for patient in ("x01", "x02"):
        make(f"all/{patient}_t1.nii.gz")
    found = scanned(tmp_path)
    assert not told(found, "W_FILES_JOINED")
    assert set(cells(tmp_path)) == {"p001", "x01", "x02"}


def test_a_converted_copy_stands_behind_the_series(
    series: Series, make: Make, tmp_path: Path
) -> None:
    folder = series("h0/raw", MR, SeriesDescription="T1")
    make("h0/t1.nii.gz")
    found = scanned(tmp_path)
    assert cells(tmp_path) == {"p001": {"t1": "h0/raw"}}
    (other,) = told(found, "W_OTHER_SERIES")
    assert other.cells == ("h0/t1.nii.gz",)
    next(folder.iterdir()).write_bytes(b"")
    scanned(tmp_path)
    assert cells(tmp_path) == {"p001": {"t1": "h0/t1.nii.gz"}}


def test_the_split_of_a_folder_is_the_rows(series: Series, tmp_path: Path) -> None:
    for number, name in enumerate(("train/h0", "test/h1")):
        folder = series(f"{name}/ct", CT, seed=number, PatientID=f"P{number + 5}")
        draw(folder, "body.nii.gz")
    found = scanned(tmp_path)
    assert sorted(case.split for case in found.cases) == ["test", "train"]


def test_a_folders_name_reaches_no_keyed_id_or_finding(series: Series, tmp_path: Path) -> None:
    folder = series("DOE_JANE/ct", CT)
    draw(folder, "body.nii.gz")
    found = scanned(tmp_path, names=KeyedNames(bytes(32)))
    (case,) = found.cases
    assert case.case.startswith("k")
    assert set(case.cells) == {"ct", "body"}
    assert "DOE" not in "".join(str(finding.problem) for finding in found.findings)
