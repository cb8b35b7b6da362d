import gzip
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.files import sha256_of_file
from medgen.problems import Refusal
from medgen.volumes import Grid, Limits, Volume, open_volume, write_volume

Codes = Callable[[Callable[[], object]], list[str]]
StoredType = Literal["int16", "uint8", "float32"]
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
def test_values_return_as_written(
    tmp_path: Path, volume: Volume, suffix: str, dtype: StoredType
) -> None:
    path = tmp_path / f"ct{suffix}"
    data = volume.data + 100.4
    written = write_volume(path, volume.with_data(data), dtype=dtype)
    read = open_volume(path)
    expected = data.astype(np.float32) if dtype == "float32" else np.rint(data)
    assert np.array_equal(read.data, expected)
    assert read.data.dtype == np.dtype(dtype)
    assert read.grid.same_as(volume.grid, 1e-4)
    assert written.clipped_voxels == 0
    assert written.digest == sha256_of_file(path) == read.digest
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(max_examples=25)
def test_corners_stay_in_the_world(
    grids: Any, tmp_path_factory: Any, suffix: str, data: st.DataObject
) -> None:
    grid = data.draw(grids(sheared=suffix != ".mha"))
    path = tmp_path_factory.mktemp("corners") / f"x{suffix}"
    write_volume(path, Volume(np.zeros(grid.shape), grid), dtype="uint8")
    np.testing.assert_allclose(open_volume(path).grid.corners(), grid.corners(), atol=1e-3)
    if suffix in (".mha", ".nrrd"):
        image = sitk.ReadImage(str(path))
        last = [count - 1 for count in grid.shape]
        theirs = np.array(image.TransformIndexToPhysicalPoint(last)) * (-1, -1, 1)
        np.testing.assert_allclose(theirs, grid.to_world(np.array(last)), atol=1e-3)
    else:
        np.testing.assert_allclose(nibabel.load(path).affine, grid.affine, atol=1e-4)


@given(data=st.data())
@settings(max_examples=25)
def test_unsheared_nifti_has_both_forms(
    grids: Any, tmp_path_factory: Any, data: st.DataObject
) -> None:
    grid = data.draw(grids(sheared=False))
    path = tmp_path_factory.mktemp("forms") / "x.nii"
    write_volume(path, Volume(np.zeros(grid.shape), grid), dtype="uint8")
    header = nibabel.load(path).header
    assert int(header["sform_code"]) == 1
    assert int(header["qform_code"]) == 1
    np.testing.assert_allclose(header.get_qform(), header.get_sform(), atol=0.02)
    np.testing.assert_allclose(header.get_zooms(), grid.spacing_mm, rtol=1e-5)
    assert header.get_xyzt_units()[0] == "mm"


def test_sheared_nifti_has_the_sform_only(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    volume = Volume(np.zeros((20, 20, 20)), Grid((20, 20, 20), affine))
    write_volume(tmp_path / "x.nii", volume, dtype="int16")
    header = nibabel.load(tmp_path / "x.nii").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 0)


def test_the_header_names_the_unit(tmp_path: Path, volume: Volume) -> None:
    write_volume(tmp_path / "x.nii", volume, dtype="int16")
    header = nibabel.load(tmp_path / "x.nii").header
    assert bytes(header["descrip"]).rstrip(b"\0") == b"medgen; unit HU"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_volume_gives_the_same_bytes(
    tmp_path: Path, volume: Volume, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"another-name{suffix}"
    write_volume(first, volume, dtype="int16")
    later = time.time() + 5000
    monkeypatch.setattr(time, "time", lambda: later)
    turned = volume.with_data(np.asfortranarray(volume.data.astype(np.float64)))
    write_volume(second, turned, dtype="int16")
    assert first.read_bytes() == second.read_bytes()


def test_the_gzip_header_holds_no_time_and_no_name(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / "DOE.nii.gz"
    write_volume(path, volume, dtype="int16")
    assert path.read_bytes()[3:8] == bytes(5)
    assert gzip.decompress(path.read_bytes())[:4] == (348).to_bytes(4, "little")


def test_integers_round_to_nearest_and_count_what_they_clip(tmp_path: Path) -> None:
    data = np.zeros((2, 2, 2))
    data.flat[:6] = [-0.5, 1.49, 1.5, -40000, 32767.4, 32767.6]
    path = tmp_path / "x.nii"
    written = write_volume(path, Volume(data, Grid((2, 2, 2), np.eye(4))), dtype="int16")
    assert written.clipped_voxels == 2
    read = open_volume(path).data
    assert read.ravel().tolist() == [0, 1, 2, -32768, 32767, 32767, 0, 0]
    written = write_volume(path, Volume(data, Grid((2, 2, 2), np.eye(4))), dtype="uint8")
    assert written.clipped_voxels == 3


@pytest.mark.parametrize("kind", [np.bool_, np.int64, np.float16])
def test_any_type_can_be_written(tmp_path: Path, kind: Any) -> None:
    data = (np.arange(27).reshape(3, 3, 3) % 2).astype(kind)
    for dtype in ("int16", "uint8", "float32"):
        write_volume(tmp_path / "x.nii", Volume(data, Grid((3, 3, 3), np.eye(4))), dtype=dtype)
        assert np.array_equal(open_volume(tmp_path / "x.nii").data, data)


def refuse(tmp_path: Path, codes: Codes, volume: Volume, name: str, dtype: StoredType) -> list[str]:
    found = codes(lambda: write_volume(tmp_path / name, volume, dtype=dtype))
    assert list(tmp_path.iterdir()) == []
    return found


@pytest.mark.parametrize("dtype", ["int16", "uint8", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_that_is_not_finite_is_written(
    tmp_path: Path, codes: Codes, volume: Volume, dtype: StoredType, value: float
) -> None:
    data = volume.data.astype(np.float32)
    data[0, 0, 0] = value
    assert refuse(tmp_path, codes, volume.with_data(data), "x.nii", dtype) == ["E_NONFINITE"]


def test_values_beyond_single_precision_are_refused(
    tmp_path: Path, codes: Codes, volume: Volume
) -> None:
    huge = volume.with_data(volume.data.astype(np.float64) * 1e40)
    assert refuse(tmp_path, codes, huge, "x.nii", "float32") == ["E_NONFINITE"]


def test_what_no_reader_could_open_is_not_written(
    tmp_path: Path, codes: Codes, volume: Volume
) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.2
    sheared = Volume(np.zeros((3, 3, 3)), Grid((3, 3, 3), affine))
    flat = Volume(np.full((3, 3, 1), np.nan), Grid((3, 3, 1), np.eye(4)))
    assert refuse(tmp_path, codes, sheared, "x.mha", "int16") == ["E_SHEARED"]
    assert refuse(tmp_path, codes, volume, "x.mhd", "int16") == ["E_FORMAT"]
    assert refuse(tmp_path, codes, flat, "x.png", "int16") == [
        "E_FORMAT",
        "E_TOO_FEW_SLICES",
        "E_NONFINITE",
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, volume: Volume, suffix: str, monkeypatch: pytest.MonkeyPatch, codes: Codes
) -> None:
    path = tmp_path / f"x{suffix}"
    write_volume(path, volume, dtype="int16")
    before = path.read_bytes()
    changed = volume.with_data(volume.data + 1)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "/data/DOE")

    with monkeypatch.context() as patch:
        patch.setattr("medgen.volumes.writing._pieces", fail)
        patch.setattr("medgen.volumes.writing.sitk.WriteImage", fail)
        patch.setattr("medgen.volumes.writing._write_itk", fail)
        with pytest.raises(Refusal, match=r"E_UNWRITABLE.*No space left") as caught:
            write_volume(path, changed, dtype="int16")
        assert "DOE" not in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr("medgen.volumes.writing.open_volume", lambda _, **__: volume)
        assert codes(lambda: write_volume(path, changed, dtype="int16")) == ["E_READ_BACK"]
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_looser_limits_let_a_single_slice_be_written(tmp_path: Path, codes: Codes) -> None:
    slice_ = Volume(np.ones((4, 5, 1), np.int16), Grid((4, 5, 1), np.eye(4)))
    path = tmp_path / "x.nii.gz"
    assert codes(lambda: write_volume(path, slice_, dtype="int16")) == ["E_TOO_FEW_SLICES"]
    write_volume(path, slice_, dtype="int16", limits=Limits(least_per_axis=1))
    assert nibabel.load(path).shape == (4, 5, 1)
    assert codes(lambda: open_volume(path)) == ["E_TOO_FEW_SLICES"]
