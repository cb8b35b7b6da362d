from __future__ import annotations

import hashlib

import numpy as np
import pytest
import SimpleITK as sitk

from medgen.volumes import Grid, Volume, digest_of, open_volume, write_volume


def test_a_plain_file_is_its_sha256(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"one")
    assert digest_of(path) == hashlib.sha256(b"one").hexdigest()


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
    before = digest_of(path)
    data.write_bytes(b"two")
    assert digest_of(path) != before
    data.unlink()
    digest_of(path)  # whether the data is there is the gate's question


def test_a_folder_covers_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    first = tmp_path / "b" / "1.dcm"
    first.write_bytes(b"one")
    seen = {digest_of(tmp_path)}
    first.write_bytes(b"two")
    seen.add(digest_of(tmp_path))
    first.rename(tmp_path / "b" / "2.dcm")
    seen.add(digest_of(tmp_path))
    assert len(seen) == 3


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest_of(tmp_path / "none.nii")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_it_is_the_digest_that_the_gate_reports(tmp_path, name):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 99, (5, 4, 3)).astype(np.int16)
    path = tmp_path / name
    if name in ("a.mhd", "a.nhdr"):
        image = sitk.GetImageFromArray(data)
        sitk.WriteImage(image, str(path))
    else:
        write_volume(path, Volume(data, Grid(data.shape, np.eye(4))), dtype="int16")
    assert digest_of(path) == open_volume(path).digest
