import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.volumes import open_volume

Codes = Callable[[Callable[[], object]], list[str]]

FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "2 3 4",
    "space directions": "(0,1,0) (-2,0,0) (0.1,0,3)",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10, 20, 30)",
}
VALUES = np.arange(24, dtype="<i2")


def write(path: Path, body: bytes = VALUES.tobytes(), **changes: str | None) -> Path:
    fields = FIELDS | {key.replace("_", " "): value for key, value in changes.items()}
    lines = [f"{key}: {value}\n" for key, value in fields.items() if value is not None]
    path.write_bytes(f"NRRD0004\n# comment\nkey:=value\n{''.join(lines)}\n".encode() + body)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.nrrd"


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
    ],
)
def test_places_voxels_in_ras(path: Path, space: str, signs: tuple[int, int, int]) -> None:
    volume = open_volume(write(path, space=space))
    assert np.array_equal(volume.data, VALUES.reshape(2, 3, 4, order="F"))
    expected = np.array([[0, -2, 0.1, 10], [1, 0, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]])
    assert np.array_equal(volume.grid.affine, np.diag([*signs, 1]) @ expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int8", "i1"),
        ("unsigned char", "u1"),
        ("ushort", "u2"),
        ("int", "i4"),
        ("uint32_t", "u4"),
        ("long long", "i8"),
        ("uint64", "u8"),
        ("float", "f4"),
        ("double", "f8"),
    ],
)
@pytest.mark.parametrize(("endian", "order"), [("little", "<"), ("big", ">")])
def test_types_and_byte_orders(path: Path, name: str, kind: str, endian: str, order: str) -> None:
    body = VALUES.astype(order + kind).tobytes()
    volume = open_volume(write(path, body, type=name, endian=endian))
    assert volume.data.dtype == np.dtype(kind)
    assert np.array_equal(volume.data.ravel(order="F"), VALUES)


def test_compressed_detached_and_listed_axes(tmp_path: Path) -> None:
    packed = gzip.compress(VALUES.tobytes())
    (tmp_path / "a.raw").write_bytes(VALUES.tobytes())
    (tmp_path / "b.raw.gz").write_bytes(packed)
    (tmp_path / "c.raw").write_bytes(b"header" + VALUES.tobytes())
    directions = FIELDS["space directions"]
    paths = [
        write(tmp_path / "0.nrrd"),
        write(tmp_path / "1.nrrd", packed, encoding="gzip"),
        write(tmp_path / "2.nhdr", b"", data_file="a.raw"),
        write(tmp_path / "3.nhdr", b"", datafile="b.raw.gz", encoding="gz"),
        write(tmp_path / "4.nhdr", b"", data_file="c.raw", byte_skip="6"),
        write(tmp_path / "5.nhdr", b"", data_file="c.raw", byte_skip="-1"),
        write(
            tmp_path / "6.nrrd",
            dimension="4",
            sizes="1 2 3 4",
            space_directions=f"none {directions}",
        ),
        write(tmp_path / "7.nrrd", space_units='"mm" "mm" "mm"', kinds="domain domain domain"),
    ]
    first, *others = map(open_volume, paths)
    for volume in others:
        assert np.array_equal(volume.data, first.data)
        assert np.array_equal(volume.grid.affine, first.grid.affine)
    assert len({volume.digest for volume in (first, *others)}) == len(paths)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"space": None}, ["E_NO_FORM"]),
        ({"space": "scanner-xyz"}, ["E_NO_FORM"]),
        ({"space_origin": None}, ["E_NO_FORM"]),
        ({"space_directions": None}, ["E_NO_FORM"]),
        ({"space_directions": "(1,0,0) (0,1,0)"}, ["E_NO_FORM"]),
        ({"space_directions": "(1,0,0) (2,0,0) (0,0,1)"}, ["E_BAD_AFFINE"]),
        ({"space_directions": "(1,0,0) (0,0,0) (0,0,1)"}, ["E_BAD_SPACING"]),
        ({"space_directions": "(1,0,0) (0,nan,0) (0,0,1)"}, ["E_BAD_AFFINE"]),
        ({"space_directions": "(1,0) (0,1,0) (0,0,1)"}, ["E_BAD_HEADER"]),
        ({"space_directions": "(1,0,x) (0,1,0) (0,0,1)"}, ["E_BAD_HEADER"]),
        ({"space_units": '"m" "m" "m"'}, ["E_UNITS"]),
        ({"type": "block"}, ["E_VOXEL_TYPE"]),
        ({"type": None}, ["E_VOXEL_TYPE"]),
        ({"endian": None}, ["E_BAD_HEADER"]),
        ({"encoding": "ascii"}, ["E_BAD_HEADER"]),
        ({"encoding": None}, ["E_BAD_HEADER"]),
        ({"encoding": "gzip"}, ["E_BAD_MAGIC"]),
        ({"encoding": "gzip", "byte_skip": "2"}, ["E_BAD_HEADER"]),
        ({"byte_skip": "-3"}, ["E_BAD_HEADER"]),
        ({"line_skip": "1"}, ["E_BAD_HEADER"]),
        ({"dimension": "4"}, ["E_BAD_HEADER"]),
        ({"sizes": "2 3 0"}, ["E_BAD_HEADER"]),
        ({"sizes": "2 3 5"}, ["E_TRUNCATED"]),
        ({"sizes": "2 3 2"}, ["E_TRAILING_DATA"]),
        ({"sizes": "9999 9999 9999"}, ["E_TOO_LARGE"]),
        ({"sizes": "24 1 1"}, ["E_TOO_FEW_SLICES"]),
        (
            {
                "dimension": "4",
                "sizes": "3 2 2 2",
                "space_directions": "none (1,0,0) (0,1,0) (0,0,1)",
            },
            ["E_FOUR_DIMENSIONS"],
        ),
        ({"data_file": "/etc/passwd"}, ["E_DATA_FILE"]),
        ({"data_file": "../x.raw"}, ["E_DATA_FILE"]),
        ({"data_file": "LIST"}, ["E_DATA_FILE"]),
        ({"data_file": ""}, ["E_DATA_FILE"]),
        ({"type": "block", "space": None, "sizes": "24 1 1"}, None),
    ],
)
def test_refuses(
    path: Path, codes: Codes, changes: dict[str, str | None], expected: list[str] | None
) -> None:
    write(path, **changes)
    expected = expected or ["E_VOXEL_TYPE", "E_TOO_FEW_SLICES", "E_NO_FORM"]
    assert codes(lambda: open_volume(path)) == expected


@pytest.mark.parametrize("text", [b"NRRD0009\n\n", b"P5\n", b"NRRD0004\nno colon\n\n", b"\0" * 99])
def test_what_is_no_header_is_refused(path: Path, codes: Codes, text: bytes) -> None:
    path.write_bytes(text)
    assert codes(lambda: open_volume(path)) == ["E_BAD_HEADER"]


def test_damaged_voxels_are_refused(path: Path, codes: Codes) -> None:
    packed = gzip.compress(VALUES.tobytes())
    for body, code in (
        (packed[:-2], "E_TRUNCATED"),
        (packed[:-8] + bytes(8), "E_CHECKSUM"),
        (packed + b"x", "E_TRAILING_DATA"),
    ):
        write(path, body, encoding="gzip")
        assert codes(lambda: open_volume(path)) == [code]
