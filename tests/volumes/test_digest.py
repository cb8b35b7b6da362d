from __future__ import annotations

import hashlib

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_corpus import make_series

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


def test_a_series_is_its_content_whatever_its_files_are_called(tmp_path):
    make_series(tmp_path / "a", shape=(4, 4, 3))
    before = digest_of(tmp_path / "a")
    assert open_volume(tmp_path / "a").digest == before
    first = min((tmp_path / "a").iterdir())
    first.rename(tmp_path / "a" / "renamed.dcm")
    assert digest_of(tmp_path / "a") == before
    assert digest_of(tmp_path / "a" / "#straighten") != before
    data = bytearray((tmp_path / "a" / "renamed.dcm").read_bytes())
    data[-1] ^= 1
    (tmp_path / "a" / "renamed.dcm").write_bytes(data)
    assert digest_of(tmp_path / "a") != before


def test_dicom_that_would_be_refused_has_a_digest_all_the_same(tmp_path):
    (tmp_path / "1.dcm").write_bytes(b"one")
    before = digest_of(tmp_path)
    (tmp_path / "1.dcm").write_bytes(b"two")
    assert digest_of(tmp_path) != before


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
