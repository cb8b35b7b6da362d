from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from medgen.dicom.layout import Layout
from medgen.dicom.rle import decode_rle
from medgen.problems import Refusal

_PLANE = b"\x00\x07\xfb\x09"  # 07, then 09 six times


def layout(rows: int, columns: int, bits: int = 8) -> Layout:
    return Layout(rows, columns, bits, bits, bits - 1, signed=False)


def framed(*segments: bytes) -> bytes:
    """Return a frame of finished segments."""
    ends = np.cumsum([64, *map(len, segments)])[: len(segments)]
    header = np.zeros(16, dtype="<u4")
    header[0], header[1 : 1 + len(segments)] = len(segments), ends
    return header.tobytes() + b"".join(segments)


def packed(values: NDArray[Any]) -> bytes:
    """Return words as RLE: repeated bytes as runs, all others one by one (PS3.5 G.3.1)."""
    planes = values.reshape(-1, 1).view(np.uint8)[:, ::-1].T
    segments = []
    for plane in planes:
        segment = bytearray()
        starts = np.flatnonzero(np.diff(plane, prepend=int(plane[0]) + 1))
        for at, after in zip(starts, [*starts[1:], len(plane)], strict=True):
            for start in range(at, after, 128):
                length = min(128, after - start)
                segment += bytes([257 - length if length > 1 else 0, plane[at]])
        segments.append(bytes(segment) + b"\0" * (len(segment) % 2))
    return framed(*segments)


def code_of(stream: bytes, shape: Layout) -> str:
    with pytest.raises(Refusal) as refusal:
        decode_rle(stream, shape)
    (problem,) = refusal.value.problems
    return problem.code


@given(
    arrays(
        st.sampled_from(["u1", "u2", "u4"]),
        st.tuples(st.integers(1, 9), st.integers(1, 300)),
        elements=st.sampled_from([0, 1, 255]),
    )
)
def test_what_is_packed_is_unpacked(values: NDArray[Any]) -> None:
    bits = 8 * values.dtype.itemsize
    found = decode_rle(packed(values), layout(*values.shape, bits))
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_a_control_byte_of_128_means_nothing() -> None:
    found = decode_rle(framed(b"\x80\x01\x05\x06\x80\xff\x07"), layout(1, 4))
    assert found.tolist() == [[5, 6, 7, 7]]


@pytest.mark.parametrize("padding", [b"", b"\0", b"\x80", b"\0\0\0"])
def test_padding_after_a_segment(padding: bytes) -> None:
    assert decode_rle(framed(_PLANE + padding), layout(1, 7)).tolist() == [[7, *[9] * 6]]


@pytest.mark.parametrize(
    ("segment", "pixels", "code"),
    [
        (_PLANE, 8, "E_TRUNCATED"),
        (_PLANE[:3], 7, "E_TRUNCATED"),
        (b"", 7, "E_TRUNCATED"),
        (b"\x80" * 50, 7, "E_TRUNCATED"),
        (b"\x05\x01\x02", 6, "E_TRUNCATED"),
        (_PLANE, 6, "E_PIXEL_DATA"),
        (_PLANE + b"\xfb\x09", 7, "E_PIXEL_DATA"),
    ],
)
def test_a_segment_holds_what_the_header_says(segment: bytes, pixels: int, code: str) -> None:
    assert code_of(framed(segment), layout(1, pixels)) == code


def test_as_many_segments_as_bytes_of_a_word() -> None:
    assert code_of(framed(_PLANE), layout(1, 7, 16)) == "E_PIXEL_DATA"
    assert code_of(framed(_PLANE, _PLANE), layout(1, 7)) == "E_PIXEL_DATA"


def test_segments_are_in_order_and_within_the_frame() -> None:
    header = np.array([2, 64, 60, *[0] * 13], dtype="<u4").tobytes()
    assert code_of(header + _PLANE * 2, layout(1, 7, 16)) == "E_PIXEL_DATA"
    header = np.array([2, 64, 9999, *[0] * 13], dtype="<u4").tobytes()
    assert code_of(header + _PLANE * 2, layout(1, 7, 16)) == "E_PIXEL_DATA"
    assert code_of(header[:63], layout(1, 7)) == "E_TRUNCATED"


def test_no_more_is_unpacked_than_the_header_warrants() -> None:
    bomb = framed(b"\x81\x00" * 500_000)  # 64 MB
    assert code_of(bomb, layout(1, 7)) == "E_PIXEL_DATA"


@given(st.binary(max_size=200), st.integers(1, 40))
def test_any_bytes_are_refused_or_an_image(segment: bytes, pixels: int) -> None:
    try:
        found = decode_rle(framed(segment), layout(1, pixels))
    except Refusal:
        return
    assert found.shape == (1, pixels)
