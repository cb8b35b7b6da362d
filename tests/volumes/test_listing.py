from pathlib import Path

import pytest

from medgen.files import TEMPORARY_PREFIX
from medgen.problems import NothingFound
from medgen.volumes import SUFFIXES, list_volumes, volume_name


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
    assert [path.name for path in list_volumes(tmp_path)] == wanted


def test_a_file_lists_itself_and_an_empty_folder_nothing(tmp_path: Path) -> None:
    file = tmp_path / "any.name"
    file.touch()
    assert list_volumes(file) == [file]
    (tmp_path / "empty").mkdir()
    assert list_volumes(tmp_path / "empty") == []


def test_a_missing_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_MISSING_FILE"):
        list_volumes(tmp_path / "absent")
