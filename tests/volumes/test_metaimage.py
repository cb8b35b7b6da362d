import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.volumes import open_volume

Codes = Callable[[Callable[[], object]], list[str]]

FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
    "Offset": "10 20 30",
    "ElementSpacing": "1 2 3",
    "DimSize": "2 3 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
VALUES = np.arange(24, dtype="<i2")


def text(changes: dict[str, str | None]) -> bytes:
    fields = FIELDS | changes
    last = fields.pop("ElementDataFile", None)
    lines = [f"{key} = {value}\n" for key, value in fields.items() if value is not None]
    lines += [f"ElementDataFile = {last}\n"] if last is not None else []
    return "".join(lines).encode()


def write(path: Path, body: bytes = VALUES.tobytes(), **changes: str | None) -> Path:
    path.write_bytes(text(changes) + body)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.mha"


def test_places_voxels_in_ras(path: Path) -> None:
    volume = open_volume(write(path))
    assert np.array_equal(volume.data, VALUES.reshape(2, 3, 4, order="F"))
    expected = [[0, 2, 0, -10], [-1, 0, 0, -20], [0, 0, 3, 30], [0, 0, 0, 1]]
    assert volume.grid.affine.tolist() == expected


@pytest.mark.parametrize(
    ("element", "kind"),
    [
        ("MET_CHAR", "i1"),
        ("MET_UCHAR", "u1"),
        ("MET_USHORT", "u2"),
        ("MET_INT", "i4"),
        ("MET_UINT", "u4"),
        ("MET_LONG", "i4"),
        ("MET_ULONG", "u4"),
        ("MET_LONG_LONG", "i8"),
        ("MET_ULONG_LONG", "u8"),
        ("MET_FLOAT", "f4"),
        ("MET_DOUBLE", "f8"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_types_and_byte_orders(path: Path, element: str, kind: str, order: str) -> None:
    big = {"BinaryDataByteOrderMSB": str(order == ">")}
    body = VALUES.astype(order + kind).tobytes()
    volume = open_volume(write(path, body, ElementType=element, **big))
    assert volume.data.dtype == np.dtype(kind)
    assert np.array_equal(volume.data.ravel(order="F"), VALUES)


def test_compressed_four_dimensional_and_detached(tmp_path: Path) -> None:
    packed = zlib.compress(VALUES.tobytes())
    plain = write(tmp_path / "plain.mha")
    four = {
        "NDims": "4",
        "DimSize": "2 3 4 1",
        "ElementSpacing": "1 2 3 1",
        "Offset": "10 20 30 0",
        "TransformMatrix": "0 1 0 0 -1 0 0 0 0 0 1 0 0 0 0 1",
    }
    (tmp_path / "a.raw").write_bytes(VALUES.tobytes())
    (tmp_path / "b.raw").write_bytes(b"a vendor's header" + VALUES.tobytes())
    (tmp_path / "c.zraw").write_bytes(packed)
    others = [
        write(tmp_path / "1.mha", packed, CompressedData="True"),
        write(tmp_path / "2.mha", **four),
        write(tmp_path / "3.mhd", b"", ElementDataFile="a.raw"),
        write(tmp_path / "4.mhd", b"", ElementDataFile="b.raw", HeaderSize="17"),
        write(tmp_path / "5.mhd", b"", ElementDataFile="b.raw", HeaderSize="-1"),
        write(tmp_path / "6.mhd", b"", ElementDataFile="c.zraw", CompressedData="True"),
        write(tmp_path / "7.mha", Comment="= any text", ElementNumberOfChannels="1"),
        write(tmp_path / "8.mha", Offset=None, Position="10 20 30"),
    ]
    expected = open_volume(plain)
    digests = set()
    for other in others:
        volume = open_volume(other)
        assert np.array_equal(volume.data, expected.data)
        assert np.array_equal(volume.grid.affine, expected.grid.affine)
        digests.add(volume.digest)
    assert len(digests) == len(others)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"TransformMatrix": None}, ["E_NO_FORM"]),
        ({"Offset": None}, ["E_NO_FORM"]),
        ({"ElementSpacing": None}, ["E_BAD_SPACING"]),
        ({"ElementSpacing": "1 0 1"}, ["E_BAD_SPACING"]),
        ({"ElementSpacing": "1 -1 1"}, ["E_BAD_SPACING"]),
        ({"ElementSpacing": "1 nan 1"}, ["E_BAD_SPACING"]),
        ({"ElementSpacing": "1 x 1"}, ["E_BAD_HEADER"]),
        ({"TransformMatrix": "1 0 0 1 0 0 0 0 1"}, ["E_BAD_AFFINE"]),
        ({"TransformMatrix": "2 0 0 0 1 0 0 0 1"}, ["E_BAD_AFFINE"]),
        ({"TransformMatrix": "1 0 0 0.2 1 0 0 0 1"}, ["E_BAD_AFFINE"]),
        ({"TransformMatrix": "nan 0 0 0 1 0 0 0 1"}, ["E_BAD_AFFINE"]),
        ({"TransformMatrix": "1 0 0 1"}, ["E_BAD_HEADER"]),
        ({"Offset": "inf 0 0"}, ["E_BAD_AFFINE"]),
        ({"ElementType": "MET_SHORT_ARRAY"}, ["E_VOXEL_TYPE"]),
        ({"ElementType": None}, ["E_VOXEL_TYPE"]),
        ({"ObjectType": "Tube"}, ["E_VOXEL_TYPE"]),
        ({"ElementNumberOfChannels": "3"}, ["E_FOUR_DIMENSIONS"]),
        ({"ElementNumberOfChannels": "0"}, ["E_BAD_HEADER"]),
        ({"DimSize": "2 3"}, ["E_BAD_HEADER"]),
        ({"DimSize": "2 3 -4"}, ["E_BAD_HEADER"]),
        ({"DimSize": "2 3 4.5"}, ["E_BAD_HEADER"]),
        ({"DimSize": "3000 3000 3000"}, ["E_TOO_LARGE"]),
        ({"DimSize": "24 1 1"}, ["E_TOO_FEW_SLICES"]),
        ({"DimSize": "2 3 5"}, ["E_TRUNCATED"]),
        ({"DimSize": "2 3 3"}, ["E_TRAILING_DATA"]),
        ({"NDims": "999"}, ["E_BAD_HEADER"]),
        ({"NDims": None}, ["E_BAD_HEADER"]),
        ({"BinaryData": "False"}, ["E_BAD_HEADER"]),
        ({"BinaryDataByteOrderMSB": "maybe"}, ["E_BAD_HEADER"]),
        ({"CompressedData": "maybe"}, ["E_BAD_HEADER"]),
        ({"CompressedData": "True"}, ["E_CHECKSUM"]),
        ({"CompressedData": "True", "HeaderSize": "3"}, ["E_BAD_HEADER"]),
        ({"HeaderSize": "-2"}, ["E_BAD_HEADER"]),
        ({"HeaderSize": "1"}, ["E_TRUNCATED"]),
        ({"ElementToIntensityFunctionSlope": "2"}, ["E_BAD_HEADER"]),
        ({"ElementDataFile": None}, ["E_BAD_HEADER"]),
        ({"ElementDataFile": "LIST"}, ["E_DATA_FILE"]),
        ({"ElementDataFile": "absent.raw"}, ["E_DATA_FILE"]),
        ({"ElementDataFile": "/etc/passwd"}, ["E_DATA_FILE"]),
        ({"ElementDataFile": "../scan.raw"}, ["E_DATA_FILE"]),
        ({"ElementDataFile": "slice%03d.raw 1 4 1"}, ["E_DATA_FILE"]),
        (
            {"TransformMatrix": None, "ElementType": "x", "ElementNumberOfChannels": "2"},
            ["E_VOXEL_TYPE", "E_FOUR_DIMENSIONS", "E_NO_FORM"],
        ),
    ],
)
def test_refuses(
    path: Path, codes: Codes, changes: dict[str, str | None], expected: list[str]
) -> None:
    write(path, **changes)
    assert codes(lambda: open_volume(path)) == expected


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\0" * 400,
        b"NDims = 3\nNDims = 3\n",
        b"no equals sign\n",
        b"x = " + b"y" * (2 << 20),
        b"x = y\n" * 10,
    ],
)
def test_what_is_no_header_is_refused(path: Path, codes: Codes, header: bytes) -> None:
    path.write_bytes(header or b"\n")
    assert codes(lambda: open_volume(path)) == ["E_BAD_HEADER"]


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, codes: Codes) -> None:
    secret = tmp_path / "secret.raw"
    secret.write_bytes(VALUES.tobytes())
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "scan.raw").symlink_to(secret)
    header = write(folder / "scan.mhd", b"", ElementDataFile="scan.raw")
    assert codes(lambda: open_volume(header)) == ["E_DATA_FILE"]


def test_a_folder_of_links_is_read(tmp_path: Path) -> None:
    store, farm = tmp_path / "store", tmp_path / "farm"
    store.mkdir()
    farm.mkdir()
    (store / "scan.raw").write_bytes(VALUES.tobytes())
    write(store / "scan.mhd", b"", ElementDataFile="scan.raw")
    for name in ("scan.mhd", "scan.raw"):
        (farm / name).symlink_to(store / name)
    assert open_volume(farm / "scan.mhd").data.shape == (2, 3, 4)
