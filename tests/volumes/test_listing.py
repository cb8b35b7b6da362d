from pathlib import Path

import pytest
from dicom_corpus import CANARIES, MR, make_series

from medgen.dicom import Choice
from medgen.files import TEMPORARY_PREFIX
from medgen.problems import NothingFound
from medgen.volumes import SUFFIXES, Found, is_dicom, list_volumes, volume_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.nii.gz", "a"),
        ("a.b.NII.GZ", "a.b"),
        ("case-1.nii", "case-1"),
        ("x.mha", "x"),
        ("x.nhdr", "x"),
        ("series", "series"),
        ("notes.txt", "notes.txt"),
    ],
)
def test_volume_name(name: str, expected: str) -> None:
    assert volume_name(Path("folder") / name) == expected


def test_a_folder_lists_its_volumes_sorted(tmp_path: Path) -> None:
    wanted = [f"{letter}{suffix}" for letter, suffix in zip("abcdef", SUFFIXES, strict=True)]
    for name in [*reversed(wanted), "g.json", "h.raw", ".hidden.nii", f"{TEMPORARY_PREFIX}1-i.mha"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.nii").mkdir()
    assert [found.path.name for found in list_volumes(tmp_path)] == wanted


def test_a_file_lists_itself_and_an_empty_folder_nothing(tmp_path: Path) -> None:
    file = tmp_path / "any.name"
    file.touch()
    assert list_volumes(file) == [Found(file, "any.name")]
    (tmp_path / "empty").mkdir()
    assert list_volumes(tmp_path / "empty") == []


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_MISSING_FILE"):
        list_volumes(tmp_path / "absent")


def test_dicom_series_are_found_at_any_depth_and_named_by_hash(tmp_path: Path) -> None:
    make_series(tmp_path / "DOE JANE" / "ct")
    make_series(tmp_path / "DOE JANE" / "mr", MR)
    (tmp_path / "a.nii").touch()
    found = list_volumes(tmp_path)
    assert [one.dicom for one in found] == [False, True, True]
    assert {one.path for one in found[1:]} == {
        tmp_path / "DOE JANE" / "ct",
        tmp_path / "DOE JANE" / "mr",
    }
    assert all(is_dicom(one.path) for one in found[1:])
    names = [one.name for one in found]
    assert len(set(names)) == 3
    assert not [name for name in names if any(canary in name for canary in CANARIES)]
    make_series(tmp_path / "elsewhere")
    assert (
        list_volumes(tmp_path / "elsewhere")[0].name in names
    )  # the series decides, not the place


def test_series_that_share_a_folder_are_told_apart_by_a_choice(tmp_path: Path) -> None:
    make_series(tmp_path / "one")
    make_series(tmp_path / "two", MR)
    both = tmp_path / "both"
    both.mkdir()
    for number, file in enumerate(
        sorted([*(tmp_path / "one").iterdir(), *(tmp_path / "two").iterdir()])
    ):
        file.rename(both / f"{number}.dcm")
    found = list_volumes(both)
    assert [one.path.parent for one in found] == [both, both]
    assert all(one.path.name.startswith("#series=2.25.") for one in found)
    by_number = list_volumes(both, Choice(series="3", echo=2))  # both are numbered 3
    assert [one.path.name.endswith(",echo=2") for one in by_number] == [True, True]
    assert list_volumes(found[0].path) == [found[0]]


def test_an_answer_in_two_forms_is_one_volume(tmp_path: Path) -> None:
    make_series(tmp_path / "p1")
    (tmp_path / "p1.nii.gz").touch()
    (tmp_path / "p1.json").write_text('{"weights_digest": "a", "output_digest": "b"}')
    assert list_volumes(tmp_path) == [Found(tmp_path / "p1.nii.gz", "p1")]
    (tmp_path / "p1.nii.gz").unlink()
    assert list_volumes(tmp_path) == [Found(tmp_path / "p1", "p1", dicom=True)]
    (tmp_path / "p1.json").unlink()
    assert list_volumes(tmp_path)[0].name.startswith("series_")


@pytest.mark.parametrize("sidecar", ["", "[]", "{", '{"Modality": "MR"}', "[" * 100_000])
def test_a_foreign_sidecar_does_not_name_a_folder(tmp_path: Path, sidecar: str) -> None:
    make_series(tmp_path / "DOE^JANE")
    (tmp_path / "DOE^JANE.json").write_text(sidecar)
    (found,) = list_volumes(tmp_path)
    assert found.name.startswith("series_")


def test_unreadable_dicom_is_listed_so_that_it_is_refused_aloud(tmp_path: Path) -> None:
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "1.dcm").touch()
    assert list_volumes(tmp_path) == [Found(tmp_path / "lost", "unreadable_1", dicom=True)]


def test_a_chosen_series_is_listed_alone(tmp_path: Path) -> None:
    make_series(tmp_path / "s")
    (tmp_path / "a.nii").touch()
    assert [one.dicom for one in list_volumes(tmp_path, Choice(series="3"))] == [True]
    with pytest.raises(NothingFound, match="E_NO_SERIES") as caught:
        list_volumes(tmp_path, Choice(series="9"))
    assert "number 3 (CT, 10 files)" in str(caught.value)
    assert not [word for word in CANARIES if word in str(caught.value)]
    # Where there is no DICOM at all, the choice is meant for something else.
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.nii").touch()
    assert [one.name for one in list_volumes(tmp_path / "b", Choice(series="9"))] == ["a"]
