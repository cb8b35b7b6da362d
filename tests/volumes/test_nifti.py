import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.files import sha256_of_file
from medgen.volumes import Grid, Limits, open_volume

Writer = Callable[..., Path]
Codes = Callable[[Callable[[], object]], list[str]]
TYPES = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz", "SCAN.NII.GZ"])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("kind", TYPES)
def test_reads_every_type_as_stored(
    nifti: Writer, name: str, version: type[nibabel.Nifti1Image], kind: str
) -> None:
    data = np.arange(120).reshape(5, 6, 4).astype(kind)
    affine = np.diag([2.0, 3, 4, 1])
    path = nifti(data, name=name, affine=affine, version=version)
    volume = open_volume(path)
    assert volume.data.dtype == np.dtype(kind)
    assert np.array_equal(volume.data, data)
    assert volume.grid.same_as(Grid((5, 6, 4), affine), 1e-6)
    assert volume.unit == "arbitrary"
    assert volume.digest == sha256_of_file(path)


@pytest.mark.parametrize("kind", ["i2", "u1", "f4", "f8", "i4"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("slope", "intercept"), [(0.37, -12.5), (-2.0, 0.0), (1.0, 0.0), (0.0, 7.0), (np.nan, 1.0)]
)
def test_scaling_is_nibabels(
    tmp_path: Path, kind: str, order: Any, slope: float, intercept: float
) -> None:
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(kind).newbyteorder(order))
    header.set_data_shape((5, 6, 4))
    header.set_sform(np.diag([1.0, 2, 3, 1]), code=2)
    header.set_zooms((1, 2, 3))
    header["magic"], header["vox_offset"] = b"n+1", 352
    header["scl_slope"], header["scl_inter"] = slope, intercept
    data = np.random.default_rng(0).integers(0, 120, 120).astype(np.dtype(kind).newbyteorder(order))
    path = tmp_path / "scan.nii"
    path.write_bytes(header.binaryblock + bytes(4) + data.tobytes())
    volume = open_volume(path)
    assert volume.data.dtype.isnative
    theirs = nibabel.load(path).get_fdata()
    assert np.array_equal(volume.data, theirs.astype(volume.data.dtype))
    if slope in (0.37, -2.0):
        assert volume.data.dtype == np.float32


def test_huge_slopes_are_not_finite(nifti: Writer, codes: Codes) -> None:
    path = nifti(scl_slope=1e38, scl_inter=0)
    assert codes(lambda: open_volume(path)) == ["E_NONFINITE"]


@given(data=st.data())
def test_geometry_is_nibabels(grids: Any, tmp_path_factory: Any, data: st.DataObject) -> None:
    grid = data.draw(grids())
    path = tmp_path_factory.mktemp("nifti") / "scan.nii"
    image = nibabel.Nifti1Image(np.zeros(grid.shape, np.uint8), None)
    image.header.set_sform(grid.affine, code=2)
    path.write_bytes(image.to_bytes())
    read = open_volume(path)
    assert np.array_equal(read.grid.affine, nibabel.load(path).affine)
    assert read.grid.same_as(grid, 1e-3)


def test_qform_alone_is_enough(nifti: Writer) -> None:
    path = nifti(codes=(0, 1))
    assert np.allclose(open_volume(path).grid.affine, nibabel.load(path).affine)


def test_trailing_axes_of_one_are_dropped(nifti: Writer) -> None:
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1, 1)
    assert np.array_equal(open_volume(nifti(data)).data, data[..., 0, 0])


def test_extensions_are_skipped(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"DOE^JANE " * 20))
    path = tmp_path / "scan.nii.gz"
    nibabel.save(image, path)
    assert np.array_equal(open_volume(path).data, image.get_fdata())


BROKEN: list[tuple[dict[str, Any], list[str]]] = [
    ({"codes": (0, 0)}, ["E_NO_FORM"]),
    ({"srow_x": [np.nan, 0, 0, 0]}, ["E_BAD_AFFINE"]),
    ({"srow_x": [0, 1.5, 0, 0]}, ["E_BAD_SPACING"]),
    ({"srow_x": [2, 0, 0, 0], "srow_y": [1, 0, 0, 0]}, ["E_BAD_SPACING"]),
    ({"srow_x": [2, 2, 0, 0], "srow_y": [1, 1, 0, 0]}, ["E_BAD_AFFINE"]),
    ({"srow_x": [-2, 0, 0, 10]}, ["E_FORMS_DISAGREE"]),
    ({"qoffset_x": -10.2}, ["E_FORMS_DISAGREE"]),
    ({"qoffset_x": np.inf}, ["E_BAD_AFFINE"]),
    ({"quatern_b": 2}, ["E_BAD_AFFINE"]),
    ({"quatern_c": np.nan}, ["E_BAD_AFFINE"]),
    ({"pixdim": [1, 2, 0, 3, 0, 0, 0, 0]}, ["E_BAD_SPACING"]),
    ({"pixdim": [1, 2, -1.5, 3, 0, 0, 0, 0]}, ["E_BAD_SPACING"]),
    ({"pixdim": [1, 2, np.nan, 3, 0, 0, 0, 0]}, ["E_BAD_SPACING"]),
    ({"pixdim": [7, 2, 1.5, 3, 0, 0, 0, 0]}, ["E_BAD_AFFINE"]),
    ({"xyzt_units": 1}, ["E_UNITS"]),
    ({"xyzt_units": 3}, ["E_UNITS"]),
    ({"xyzt_units": 5}, ["E_UNITS"]),
    ({"datatype": 32}, ["E_VOXEL_TYPE"]),
    ({"datatype": 128}, ["E_VOXEL_TYPE"]),
    ({"datatype": 1}, ["E_VOXEL_TYPE"]),
    ({"datatype": 1536}, ["E_VOXEL_TYPE"]),
    ({"dim": [3, 5, 6, -4, 1, 1, 1, 1]}, ["E_BAD_HEADER"]),
    ({"dim": [3, 5, 0, 4, 1, 1, 1, 1]}, ["E_BAD_HEADER"]),
    ({"dim": [0, 5, 6, 4, 1, 1, 1, 1]}, ["E_BAD_HEADER"]),
    ({"dim": [8, 5, 6, 4, 1, 1, 1, 1]}, ["E_BAD_HEADER"]),
    ({"dim": [3, 30000, 6, 4, 1, 1, 1, 1]}, ["E_TOO_LARGE"]),
    ({"dim": [2, 20, 6, 1, 1, 1, 1, 1]}, ["E_TOO_FEW_SLICES"]),
    ({"dim": [4, 5, 6, 2, 2, 1, 1, 1]}, ["E_FOUR_DIMENSIONS"]),
    ({"dim": [5, 2, 5, 4, 1, 3, 1, 1]}, ["E_FOUR_DIMENSIONS"]),
    ({"vox_offset": 348}, ["E_BAD_HEADER"]),
    ({"vox_offset": 352.5}, ["E_BAD_HEADER"]),
    ({"vox_offset": np.nan}, ["E_BAD_HEADER"]),
    ({"vox_offset": 1e9}, ["E_BAD_HEADER"]),
    ({"vox_offset": 368}, ["E_TRUNCATED"]),
    ({"scl_slope": 2, "scl_inter": np.inf}, ["E_BAD_HEADER"]),
    ({"dim": [3, 5, 6, 5, 1, 1, 1, 1]}, ["E_TRUNCATED"]),
    ({"dim": [3, 5, 6, 3, 1, 1, 1, 1]}, ["E_TRAILING_DATA"]),
    ({"magic": b"ni1"}, ["E_PAIR_FORMAT"]),
    ({"magic": b""}, ["E_PAIR_FORMAT"]),
    ({"magic": b"abc"}, ["E_BAD_MAGIC"]),
    ({"sizeof_hdr": 347}, ["E_BAD_MAGIC"]),
    ({"xyzt_units": 1, "datatype": 32, "codes": (0, 0)}, ["E_VOXEL_TYPE", "E_NO_FORM", "E_UNITS"]),
    ({"xyzt_units": 1, "dim": [3, 5, 6, 9, 1, 1, 1, 1]}, ["E_UNITS", "E_TRUNCATED"]),
]


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
@pytest.mark.parametrize(("fields", "expected"), BROKEN)
def test_refuses_broken_headers(
    nifti: Writer, codes: Codes, name: str, fields: dict[str, Any], expected: list[str]
) -> None:
    path = nifti(name=name, **fields)
    assert codes(lambda: open_volume(path)) == expected


def test_all_problems_are_told_at_once(nifti: Writer, codes: Codes) -> None:
    data = np.full((5, 6, 4), np.nan, dtype=np.float32)
    path = nifti(data, xyzt_units=1, srow_x=[-2, 0, 0, 10])
    assert codes(lambda: open_volume(path)) == ["E_FORMS_DISAGREE", "E_UNITS", "E_NONFINITE"]


def test_complex_and_colour_voxels_are_refused(nifti: Writer, codes: Codes) -> None:
    colours = np.zeros((3, 3, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in (np.ones((3, 3, 3), np.complex64), colours):
            path = nifti(data)
            assert codes(lambda path=path: open_volume(path)) == ["E_VOXEL_TYPE"]  # type: ignore[misc]


def test_nan_to_replaces_what_is_not_finite(nifti: Writer, codes: Codes) -> None:
    data = np.ones((4, 4, 4), dtype=np.float32)
    data[0, 0, 0], data[1, 1, 1], data[2, 2, 2] = np.nan, np.inf, -np.inf
    path = nifti(data)
    assert codes(lambda: open_volume(path)) == ["E_NONFINITE"]
    cleaned = open_volume(path, nan_to=-1000.0).data
    assert (cleaned == -1000).sum() == 3
    assert (cleaned == 1).sum() == 61
    with pytest.raises(ValueError, match="finite"):
        open_volume(path, nan_to=float("nan"))


def test_a_huge_header_over_a_small_file_costs_no_memory(nifti: Writer, codes: Codes) -> None:
    path = nifti(np.zeros((5, 6, 4), np.float64), dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
    assert "E_TRUNCATED" in codes(lambda: open_volume(path))


def test_limits_are_the_callers(nifti: Writer, codes: Codes) -> None:
    path = nifti()
    assert codes(lambda: open_volume(path, limits=Limits(voxels=100))) == ["E_TOO_LARGE"]
    assert codes(lambda: open_volume(path, limits=Limits(voxels_per_axis=5))) == ["E_TOO_LARGE"]
    assert codes(lambda: open_volume(path, limits=Limits(file_bytes=50))) == ["E_TOO_LARGE"]
    assert codes(lambda: open_volume(path, limits=Limits(least_per_axis=5))) == ["E_TOO_FEW_SLICES"]


def test_damage_after_the_header(nifti: Writer, codes: Codes) -> None:
    path = nifti(np.random.default_rng(0).normal(size=(5, 6, 4)))
    whole = path.read_bytes()
    for packed, code in (
        (whole[:-3], "E_TRUNCATED"),
        (whole[:-8] + bytes(4) + whole[-4:], "E_CHECKSUM"),
        (whole + b"tail", "E_TRAILING_DATA"),
        (gzip.compress(gzip.decompress(whole) + b"x"), "E_TRAILING_DATA"),
        (gzip.compress(gzip.decompress(whole)[:-2]), "E_TRUNCATED"),
        (gzip.compress(gzip.decompress(whole)[:100]), "E_TRUNCATED"),
        (gzip.decompress(whole), "E_BAD_MAGIC"),
    ):
        path.write_bytes(packed)
        assert codes(lambda: open_volume(path)) == [code]
    plain = path.with_name("compressed.nii")
    plain.write_bytes(whole)
    assert codes(lambda: open_volume(plain)) == ["E_BAD_MAGIC"]
