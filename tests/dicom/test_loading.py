import hashlib
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, make_slices, save_series
from dicom_encoding import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, JPEG_LS, RLE, save
from pydicom.data import get_testdata_file

from medgen.dicom import loading
from medgen.dicom.index import read_instance
from medgen.dicom.loading import Loaded, fetch, load
from medgen.limits import Limits
from medgen.problems import Problem, Refusal

_SHAPE = (14, 10, 1)
_BYTES = 2 * 14 * 10


def made(folder: Path, syntax: str = EXPLICIT) -> tuple[Path, bytes]:
    """Return a file and its native pixels, little endian."""
    slices, _ = make_slices(CT, shape=_SHAPE)
    (path,) = save_series(folder, slices, syntax=syntax)
    return path, bytes(slices[0].PixelData)


def loaded(path: Path) -> Loaded:
    fetched = fetch(path, pixel_bytes=_BYTES, limits=Limits())
    return load(fetched, pixel_bytes=_BYTES)


def refused(path: Path, limits: Limits = Limits()) -> Problem:  # noqa: B008
    with pytest.raises(Refusal) as refusal:
        load(fetch(path, pixel_bytes=_BYTES, limits=limits), pixel_bytes=_BYTES)
    (problem,) = refusal.value.problems
    assert str(path.parent) not in str(problem)
    return problem


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
def test_native_pixels_are_found_in_the_bytes(tmp_path: Path, syntax: str) -> None:
    path, pixels = made(tmp_path, syntax)
    found = loaded(path)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.syntax == syntax
    assert found.swapped == (syntax == BIG_ENDIAN)
    assert found.words
    assert found.length == _BYTES
    there = found.content[found.offset : found.offset + found.length]
    assert (
        np.frombuffer(there, ">u2" if found.swapped else "<u2").astype("<u2")
    ).tobytes() == pixels


def test_encapsulated_pixels_have_no_length(tmp_path: Path) -> None:
    assert loaded(made(tmp_path, JPEG_LS)[0]).length is None


def test_a_file_without_meta_information(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=_SHAPE)
    save(slices[0], tmp_path / "one.dcm", preamble=False)
    found = loaded(tmp_path / "one.dcm")
    assert found.syntax == IMPLICIT
    assert found.length == _BYTES


def test_no_header_value_is_shown_by_repr(tmp_path: Path) -> None:
    assert "DOE" not in repr(loaded(made(tmp_path)[0]))


def test_the_header_holds_what_describes_pixels_and_nothing_else(tmp_path: Path) -> None:
    header = loaded(made(tmp_path)[0]).header
    assert header.Rows == 10
    assert "PatientName" not in header


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E_EMPTY_FILE"),
        (b"DOE^JANE" * 99, "E_TRUNCATED"),
        (b"\0" * 128 + b"DICM", "E_TRUNCATED"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "one.dcm"
    path.write_bytes(content)
    problem = refused(path)
    assert problem.code == code
    assert "JANE" not in str(problem)


def test_a_file_without_pixels_is_refused() -> None:
    problem = refused(Path(get_testdata_file("rtplan.dcm", download=False)))
    assert problem.code == "E_TRUNCATED"


def test_a_missing_file_and_one_too_large_are_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.dcm").code == "E_UNREADABLE"
    assert refused(made(tmp_path)[0], Limits(file_bytes=100)).code == "E_TOO_LARGE"


def test_a_file_far_larger_than_its_pixels_is_refused(tmp_path: Path) -> None:
    path, _ = made(tmp_path)
    os.truncate(path, 1 << 30)  # it takes no room on the disk
    problem = refused(path)
    assert problem.code == "E_TOO_LARGE"
    assert f"{1 << 30} bytes for {_BYTES} bytes" in problem.message


def repacked(path: Path, more: int) -> bytes:
    """Return a deflated file with zeros behind its data set."""
    content = path.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    inflated = zlib.decompress(content[start:], -zlib.MAX_WBITS)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return content[:start] + packer.compress(inflated + b"\0" * more) + packer.flush()


def test_a_deflated_bomb_is_refused_before_it_bursts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_HEADER_BYTES", 1 << 20)
    path, _ = made(tmp_path, DEFLATED)
    path.write_bytes(repacked(path, 1 << 24))
    assert path.stat().st_size < 1 << 16
    problem = refused(path)
    assert problem.code == "E_PIXEL_DATA"
    assert "inflates" in problem.message
    path.write_bytes(repacked(path, 0)[:-9])
    assert refused(path).code in ("E_TRUNCATED", "E_PIXEL_DATA")


def test_a_damaged_deflated_file_is_refused(tmp_path: Path) -> None:
    path, _ = made(tmp_path, DEFLATED)
    content = bytearray(path.read_bytes())
    start = 144 + int.from_bytes(content[140:144], "little")
    content[start : start + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(content))
    assert refused(path).code == "E_PIXEL_DATA"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, RLE, BIG_ENDIAN, DEFLATED])
def test_a_known_header_is_not_parsed_again_and_says_the_same(tmp_path: Path, syntax: str) -> None:
    save(make_slices(CT, shape=(6, 5, 2))[0][0], tmp_path / "a.dcm", syntax=syntax)
    known = read_instance(tmp_path / "a.dcm", limits=Limits())
    assert known is not None
    fetched = fetch(tmp_path / "a.dcm", pixel_bytes=_BYTES, limits=Limits())
    quick, plain = (load(fetched, pixel_bytes=_BYTES, known=one) for one in (known, None))
    assert (quick.header is known.header) is (syntax in (EXPLICIT, IMPLICIT, RLE))
    for name in ("digest", "content", "syntax", "offset", "length", "swapped", "words"):
        assert getattr(quick, name) == getattr(plain, name)


def test_a_file_that_changed_since_is_parsed_again(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    save(make_slices(CT, shape=(6, 5, 2))[0][0], path)
    known = read_instance(path, limits=Limits())
    path.write_bytes(path.read_bytes())
    fetched = fetch(path, pixel_bytes=_BYTES, limits=Limits())
    assert known is not None
    assert load(fetched, pixel_bytes=_BYTES, known=known).header is not known.header
