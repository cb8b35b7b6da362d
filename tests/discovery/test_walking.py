import os
from pathlib import Path

import pytest

from medgen.discovery.walking import walk


def names(root: Path) -> list[str]:
    return [entry.path.as_posix() for entry in walk(root).entries]


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * 200)


def test_volumes_at_any_depth_and_others_counted(tmp_path: Path) -> None:
    touch(tmp_path, "b.nii.gz", "a/deep/er/c.MHA", "a/x.json", "LICENSE", "p/m.mgz", "y.nii.bz2")
    tree = walk(tmp_path)
    assert [(entry.path.as_posix(), entry.stem) for entry in tree.entries] == [
        ("a/deep/er/c.MHA", "c"),
        ("b.nii.gz", "b"),
        ("p/m.mgz", "m"),
        ("y.nii.bz2", "y"),
    ]
    assert tree.others == 2
    assert tree.findings == []


def test_hidden_and_temporary_files_are_not_seen(tmp_path: Path) -> None:
    touch(tmp_path, ".git/a.nii", "._b.nii", ".tmp-0011aabb-c.nii.gz", "d.nii~", "~e.nii")
    touch(tmp_path, "f.nii.gz.part", "__MACOSX/g.nii", ".DS_Store", "p/.hidden/h.nii")
    tree = walk(tmp_path)
    assert (tree.entries, tree.others, tree.findings) == ([], 0, [])


def test_a_loop_of_links_ends_and_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "p1/t1.nii")
    (tmp_path / "a_loop").symlink_to(tmp_path)
    (tmp_path / "p1" / "up").symlink_to("..")
    (tmp_path / "self").symlink_to("self")
    tree = walk(tmp_path)
    assert [entry.path.as_posix() for entry in tree.entries] == ["p1/t1.nii"]
    assert {f.problem.code for f in tree.findings} == {"E_LINK"}
    assert not any(finding.refused for finding in tree.findings)


def test_links_are_followed_once_and_never_instead_of_the_folder(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    touch(root, "z/t1.nii")
    touch(elsewhere, "deep/t2.nii")
    (root / "a").symlink_to(root / "z")
    (root / "far").symlink_to(elsewhere)
    (root / "dangling.nii").symlink_to(tmp_path / "gone")
    assert names(root) == ["dangling.nii", "far/deep/t2.nii", "z/t1.nii"]


def test_dicom_is_known_by_name_or_by_content(tmp_path: Path) -> None:
    touch(tmp_path, "p1/ct/1.dcm", "p1/ct/2.DCM", "p1/mr/IM0001", "Dicomdir", "p1/t1.nii", "p1/x")
    for name in ("p1/mr/IM0001", "Dicomdir"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    tree = walk(tmp_path)
    assert [path.as_posix() for path in tree.dicom] == [
        "p1/ct/1.dcm",
        "p1/ct/2.DCM",
        "p1/mr/IM0001",
    ]
    assert [entry.path.as_posix() for entry in tree.entries] == ["p1/t1.nii"]
    assert tree.others == 2


def test_dicom_in_a_folder_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a\nb/1.dcm", "c/d\ne.dcm")
    tree = walk(tmp_path)
    assert [path.as_posix() for path in tree.dicom] == ["c/d\ne.dcm"]
    assert [(f.problem.code, f.refused) for f in tree.findings] == [("E_FILE_NAME", True)]


def test_a_pair_is_told_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.hdr", "a.img", "b.hdr", "c.img.gz", "c.hdr.gz")
    assert names(tmp_path) == ["a.img", "b.hdr", "c.img.gz"]


@pytest.mark.parametrize("name", [b"a\nb.nii", b"a\tb.nii.gz", b"\xff.nii"])
def test_a_name_that_no_table_can_hold_is_refused(tmp_path: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    tree = walk(tmp_path)
    assert tree.entries == []
    assert [(f.problem.code, f.refused) for f in tree.findings] == [("E_FILE_NAME", True)]


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "closed/t1.nii", "open/t1.nii")
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("medgen.discovery.walking.os.scandir", guarded)
    tree = walk(tmp_path)
    assert [entry.path.as_posix() for entry in tree.entries] == ["open/t1.nii"]
    assert [(f.problem.code, f.refused) for f in tree.findings] == [("E_UNREADABLE", True)]
