import contextlib
import struct
from typing import Any

import dicom_jpeg
import numpy as np
import pytest
from dicom_htj2k import CODESTREAMS
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import get_encoder
from pydicom.uid import (
    HTJ2K,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
)

from medgen.dicom.codestreams import check_stream
from medgen.dicom.layout import Layout
from medgen.problems import Refusal

_RNG = np.random.default_rng(3)
_VALUES = _RNG.integers(0, 4096, (40, 48)).astype(np.uint16)


def layout(rows: int = 40, columns: int = 48, allocated: int = 16, stored: int = 12) -> Layout:
    return Layout(rows, columns, allocated, stored, stored - 1, signed=False)


def encoded(syntax: UID, values: Any = _VALUES, bits: int = 12) -> bytes:
    return bytes(
        get_encoder(syntax).encode(
            values,
            rows=values.shape[0],
            columns=values.shape[1],
            number_of_frames=1,
            samples_per_pixel=1,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=16,
            bits_stored=bits,
            pixel_representation=0,
        )
    )


STREAMS = {
    JPEGLSLossless: encoded(JPEGLSLossless),
    JPEG2000Lossless: encoded(JPEG2000Lossless),
    JPEGLosslessSV1: dicom_jpeg.lossless(_VALUES, 12),
    JPEGBaseline8Bit: dicom_jpeg.blocks(np.kron(_VALUES[:5, :6] & 255, np.ones((8, 8), int)), 8),
}
SYNTAXES = pytest.mark.parametrize("syntax", STREAMS, ids=[one.name for one in STREAMS])


def refused(stream: bytes, syntax: UID, shape: Layout) -> tuple[str, str]:
    with pytest.raises(Refusal) as refusal:
        check_stream(stream, syntax, shape)
    (problem,) = refusal.value.problems
    return problem.code, problem.message


@SYNTAXES
@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", b"\0" * 9])
def test_sound_streams_pass(syntax: UID, padding: bytes) -> None:
    check_stream(STREAMS[syntax] + padding, syntax, layout())


def test_htj2k_and_boxed_streams_pass() -> None:
    check_stream(CODESTREAMS[0], HTJ2K, layout(32, 32, stored=16))
    boxed = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + struct.pack(">I4s", 12, b"ftyp") + b"jp2 "
    stream = STREAMS[JPEG2000Lossless]
    check_stream(boxed + struct.pack(">I4s", 0, b"jp2c") + stream, JPEG2000Lossless, layout())
    large = struct.pack(">I4sQ", 1, b"jp2c", len(stream) + 16) + stream
    check_stream(boxed + large, JPEG2000Lossless, layout())
    code, message = refused(boxed, JPEG2000Lossless, layout())
    assert code == "E_PIXEL_DATA"
    assert "boxes" in message


@SYNTAXES
@pytest.mark.parametrize(("rows", "columns"), [(41, 48), (40, 47), (48, 40), (4, 4)])
def test_another_size_than_the_headers_is_refused(syntax: UID, rows: int, columns: int) -> None:
    code, message = refused(STREAMS[syntax], syntax, layout(rows, columns))
    assert code == "E_PIXEL_DATA"
    assert "40 x 48" in message
    assert f"{rows} x {columns}" in message


def test_more_bits_than_allocated_are_refused() -> None:
    _, message = refused(STREAMS[JPEGLSLossless], JPEGLSLossless, layout(allocated=8, stored=8))
    assert "12 bits" in message


@SYNTAXES
@pytest.mark.parametrize("cut", [1, 2, 40])
def test_a_stream_without_its_end_is_refused(syntax: UID, cut: int) -> None:
    assert refused(STREAMS[syntax][:-cut], syntax, layout())[0] == "E_TRUNCATED"


@SYNTAXES
def test_a_stream_of_another_kind_is_refused(syntax: UID) -> None:
    for other, stream in STREAMS.items():
        if {syntax, other} != {JPEGLosslessSV1, JPEGBaseline8Bit} and syntax != other:
            assert refused(stream, syntax, layout())[0] == "E_PIXEL_DATA"


def test_colour_is_refused() -> None:
    stream = STREAMS[JPEGLosslessSV1]
    at = stream.index(b"\xff\xc3") + 9
    changed = stream[:at] + b"\x03" + stream[at + 1 :]
    assert "3 components" in refused(changed, JPEGLosslessSV1, layout())[1]


def test_two_frame_headers_are_refused() -> None:
    stream = STREAMS[JPEGLSLossless]
    start = stream.index(b"\xff\xf7")
    header = stream[start : start + 13]
    doubled = stream[:start] + header + stream[start:]
    assert "2 frame headers" in refused(doubled, JPEGLSLossless, layout())[1]


def siz(at: int, value: int, size: int = 4) -> bytes:
    """Return the JPEG 2000 stream with another number at an offset of its SIZ segment."""
    stream = bytearray(STREAMS[JPEG2000Lossless])
    start = stream.index(b"\xff\x51") + 4
    stream[start + at : start + at + size] = value.to_bytes(size)
    return bytes(stream)


@pytest.mark.parametrize(
    ("at", "value", "size", "named"),
    [
        (2, 1 << 31, 4, "pixels where the header says"),
        (34, 3, 2, "3 components"),
        (34, 16384, 2, "16384 components"),
        (37, 2, 1, "subsampled"),
        (38, 0, 1, "subsampled"),
        (18, 0, 4, "tiles do not cover"),
        (26, 7, 4, "tiles do not cover"),
        (18, 1, 4, None),
        (36, 37, 1, "38 bits"),
    ],
)
def test_sizes_of_jpeg_2000(at: int, value: int, size: int, named: str | None) -> None:
    stream = siz(at, value, size)
    if named is None:  # tiles of one column: many, but not too many for this small image
        check_stream(stream, JPEG2000Lossless, layout())
        return
    assert named in refused(stream, JPEG2000Lossless, layout())[1]


def test_too_many_tiles_or_packets_are_refused() -> None:
    values = np.zeros((512, 512), dtype=np.uint16)
    stream = bytearray(encoded(JPEG2000Lossless, values))
    shape = layout(512, 512)
    check_stream(bytes(stream), JPEG2000Lossless, shape)
    start = stream.index(b"\xff\x51") + 4
    tiled = bytes(stream[: start + 18]) + struct.pack(">II", 4, 4) + bytes(stream[start + 26 :])
    assert "16384 tiles" in refused(tiled, JPEG2000Lossless, shape)[1]
    coding = stream.index(b"\xff\x52") + 4
    precincts = bytes([stream[coding] | 1]) + stream[coding + 1 : coding + 10] + b"\x00" * 6
    length = struct.pack(">H", 12 + 6)
    small = bytes(stream[: coding - 2]) + length + precincts + bytes(stream[coding + 10 :])
    layered = small.replace(precincts, precincts[:2] + b"\xff\xff" + precincts[4:])
    assert "packets" in refused(layered, JPEG2000Lossless, shape)[1]


@SYNTAXES
@settings(max_examples=150)
@given(data=st.data())
def test_damaged_streams_pass_or_are_refused(syntax: UID, data: st.DataObject) -> None:
    stream = bytearray(STREAMS[syntax])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(120, len(stream) - 1)))
        stream[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(stream)))
    with contextlib.suppress(Refusal):
        check_stream(bytes(stream[:end]) + b"\xff\xd9", syntax, layout())
