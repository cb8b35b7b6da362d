import copy
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import dicom_ambiguous as ambiguous
import pytest
from dicom_corpus import CORONAL, CT, MR, SAGITTAL, make_series, make_slices, save_series, uid
from dicom_truth import assert_discreet
from pydicom.dataset import Dataset

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Frame, Instance
from medgen.dicom.index import index_tree
from medgen.dicom.selection import Selection, select, without_localizers
from medgen.problems import Problem

SMALL = (8, 6, 3)


def selected(folder: Path, **choice: object) -> Selection:
    return select(index_tree(folder), Choice(**choice))  # type: ignore[arg-type]


def codes(problems: tuple[Problem, ...] | list[Problem]) -> list[str]:
    return [problem.code for problem in problems]


def frames(headers: list[Dataset]) -> list[Frame]:
    return [Frame(Instance(Path("x"), one), 0, one) for one in headers]


def test_the_only_series_is_meant(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    found = selected(tmp_path)
    assert (len(found.instances), found.problems, found.notes) == (3, (), ())


def test_an_only_series_that_was_not_asked_for_is_refused(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    found = selected(tmp_path, series="99")
    assert (found.instances, codes(found.problems)) == ((), ["E_NO_SERIES"])
    assert "number 3 (CT, 3 files)" in found.problems[0].message


def test_several_series_are_listed_without_their_texts(tmp_path: Path) -> None:
    make_series(tmp_path / "ct", CT, shape=SMALL)
    slices, _ = make_slices(MR, shape=SMALL, seed=5)
    for one in slices:
        one.Modality = "DOE"
        del one.SeriesNumber
    save_series(tmp_path / "mr", slices)
    (problem,) = selected(tmp_path).problems
    assert problem.code == "E_SEVERAL_SERIES"
    assert "number 3 (CT, 3 files), without number (other modality, 3 files)" in problem.message
    assert "--series UID" in problem.advice
    assert "FOLDER/#series=UID" in problem.advice
    assert "`medgen inspect FOLDER`" in problem.advice
    assert_discreet([problem])


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    for number in range(15):
        make_series(tmp_path / f"{number}", CT, shape=(2, 2, 1), seed=number)
    (problem,) = selected(tmp_path).problems
    assert "15 series" in problem.message
    assert "number 14 (CT, 1 file) and 3 more" in problem.message


def test_a_number_that_two_series_have_does_not_choose(tmp_path: Path) -> None:
    for name, modality in (("a", CT), ("b", MR)):
        slices, _ = make_slices(modality, shape=SMALL)
        save_series(tmp_path / name, slices)
    assert codes(selected(tmp_path, series="3").problems) == ["E_SEVERAL_SERIES"]
    found = selected(tmp_path, series=uid(MR, 0, "series"))
    assert {one.header.Modality for one in found.instances} == {MR}


def test_series_of_localizers_alone_do_not_make_it_several(tmp_path: Path) -> None:
    make_series(tmp_path / "ct", CT, shape=SMALL)
    slices, _ = make_slices(CT, shape=(8, 6, 2), seed=6)
    for one in slices:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save_series(tmp_path / "scout", slices)
    found = selected(tmp_path)
    assert len(found.instances) == 3
    assert [str(note) for note in found.notes] == ["W_LOCALIZER: 2 localizer images left out"]
    assert len(selected(tmp_path, series="9").instances) == 2


def test_unread_files_stand_against_the_series(tmp_path: Path) -> None:
    make_series(tmp_path / "a", CT, shape=SMALL)
    for name in ("b1.dcm", "b2.dcm"):
        (tmp_path / name).touch()
    found = selected(tmp_path)
    assert codes(found.problems) == ["E_EMPTY_FILE"]
    assert found.problems[0].message.startswith("2 files: ")


def test_unread_files_elsewhere_do_not_once_a_series_is_named(tmp_path: Path) -> None:
    make_series(tmp_path / "a", CT, shape=SMALL)
    (tmp_path / "b.dcm").touch()
    assert not selected(tmp_path, series="3").problems
    (tmp_path / "a" / "c.dcm").touch()
    assert codes(selected(tmp_path, series="3").problems) == ["E_EMPTY_FILE"]


def test_what_cannot_be_read_is_counted(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    assert selected(tmp_path).unread == 0
    (tmp_path / "c.dcm").touch()
    assert selected(tmp_path).unread == 1


def test_a_series_that_is_not_there_names_the_way_to_the_others(tmp_path: Path) -> None:
    for seed, modality in enumerate((CT, MR)):
        make_series(tmp_path / modality, modality, shape=SMALL, seed=seed)
    (problem,) = selected(tmp_path, series="99").problems
    assert "`medgen inspect FOLDER` lists them with their UIDs" in problem.advice


def test_nothing_to_select(tmp_path: Path) -> None:
    (problem,) = selected(tmp_path).problems
    assert (problem.code, problem.message) == ("E_NO_SERIES", "there is no DICOM file")


def test_byte_equal_copies_count_once(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    shutil.copytree(tmp_path, tmp_path / "again")
    found = selected(tmp_path)
    assert len(found.instances) == 3
    assert [str(note) for note in found.notes] == [
        "W_COPIES: 3 byte-equal copies of files left out"
    ]


def test_copies_without_uids_count_once_and_others_stay(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    for one in slices:
        one.SOPInstanceUID = ""
    paths = save_series(tmp_path, slices)
    shutil.copy(paths[0], tmp_path / "copy.dcm")
    other = copy.deepcopy(slices[1])
    other.InstanceNumber = 9
    save_series(tmp_path, [other], first=50)
    found = selected(tmp_path)
    assert (len(found.instances), codes(found.notes), found.problems) == (4, ["W_COPIES"], ())


def test_one_uid_with_two_contents_is_refused_once(tmp_path: Path) -> None:
    ambiguous.duplicated(same_uid=True, same_pixels=False)(tmp_path)
    found = selected(tmp_path)
    assert codes(found.problems) == ["E_DUPLICATE_SLICE"]
    assert len(found.instances) == 10


def test_localizers_by_their_type() -> None:
    headers, _ = make_slices(CT, shape=SMALL)
    headers[0].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    kept, notes = without_localizers(frames(headers))
    assert (len(kept), codes(notes)) == (2, ["W_LOCALIZER"])


def test_localizers_alone_stay() -> None:
    headers, _ = make_slices(CT, shape=SMALL)
    for one in headers:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    kept, notes = without_localizers(frames(headers))
    assert (len(kept), notes) == (3, [])


@pytest.mark.parametrize(
    ("usual", "others", "dropped"),
    [
        (5, [CORONAL], 1),
        (5, [CORONAL, SAGITTAL], 2),
        (3, [CORONAL], 1),
        (2, [CORONAL], 0),  # nobody knows which is the odd one
        (5, [CORONAL, CORONAL], 0),  # another stack: refused by the geometry
        (3, [CORONAL, SAGITTAL, CORONAL], 0),
    ],
)
def test_lone_images_of_another_orientation(usual: int, others: list[Any], dropped: int) -> None:
    headers, _ = make_slices(CT, shape=(8, 6, usual))
    for directions in others:
        headers += make_slices(CT, shape=(8, 6, 1), directions=directions)[0]
    kept, notes = without_localizers(frames(headers))
    assert len(headers) - len(kept) == dropped
    assert codes(notes) == ["W_LOCALIZER"] * bool(dropped)


def test_an_image_turned_a_little_is_no_localizer() -> None:
    headers, _ = make_slices(CT, shape=(8, 6, 5))
    headers[2].ImageOrientationPatient = [1, 0, 0, 0, 0.99939, 0.0349]  # 2 degrees
    assert len(without_localizers(frames(headers))[0]) == 5


@pytest.mark.slow
def test_tens_of_thousands_of_images_are_compared_by_their_orientations() -> None:
    header = make_slices(MR, shape=(4, 4, 2))[0][0]
    lone = copy.deepcopy(header)
    lone.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    many = [*frames([header]) * 20_000, *frames([lone])]
    tracemalloc.start()
    try:
        kept, notes = without_localizers(many)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(kept), codes(notes)) == (20_000, ["W_LOCALIZER"])
    assert peak < 64 << 20


def test_a_number_that_no_series_can_have_chooses_none(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=(4, 4, 3))
    assert codes(selected(tmp_path, series="9" * 5000).problems) == ["E_NO_SERIES"]
