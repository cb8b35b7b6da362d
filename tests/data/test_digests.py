from __future__ import annotations

import hashlib

import pytest

from medgen.data.digests import digest_of_cell


def test_a_plain_file_is_its_sha256(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"one")
    assert digest_of_cell(path) == hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.mhd", "ObjectType = Image\nElementDataFile = a.raw\n"),
        ("a.nhdr", "NRRD0004\nencoding: raw\ndata file: a.raw\n\n"),
    ],
)
def test_a_detached_header_covers_its_data(tmp_path, name, header):
    path, data = tmp_path / name, tmp_path / "a.raw"
    path.write_text(header)
    data.write_bytes(b"one")
    before = digest_of_cell(path)
    data.write_bytes(b"two")
    assert digest_of_cell(path) != before
    data.unlink()
    digest_of_cell(path)  # whether the data is there is the gate's question


def test_a_folder_covers_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    first = tmp_path / "b" / "1.dcm"
    first.write_bytes(b"one")
    seen = {digest_of_cell(tmp_path)}
    first.write_bytes(b"two")
    seen.add(digest_of_cell(tmp_path))
    first.rename(tmp_path / "b" / "2.dcm")
    seen.add(digest_of_cell(tmp_path))
    assert len(seen) == 3


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest_of_cell(tmp_path / "none.nii")
