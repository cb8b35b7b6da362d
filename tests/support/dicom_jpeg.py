"""Small exact JPEG encoders (ITU-T T.81), since pydicom has none for JPEG.

`lossless` writes process 14 with any predictor; `blocks` writes baseline (8 bits) or extended
(12 bits) images that are constant over each 8 x 8 block, which a DCT with unit quantisation keeps.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DC_LENGTH = 5  # bits of each code word: 31 of them suffice for 17 categories


def lossless(values: NDArray[Any], bits: int, predictor: int = 1) -> bytes:
    """Return unsigned `values` (rows, columns) of `bits` precision as lossless JPEG (SOF3)."""
    predicted = _predict(values.astype(np.int64), bits, predictor)
    differences = (values.astype(np.int64) - predicted).ravel()
    differences = (differences + 32768) % 65536 - 32768
    coded = "".join(_difference(int(value)) for value in differences)
    scan = _segment(0xDA, bytes([1, 1, 0, predictor, 0, 0]))
    return _file(0xC3, values.shape, bits, [_table(0, range(17), _DC_LENGTH)], scan, coded)


def blocks(values: NDArray[Any], bits: int) -> bytes:
    """Return block-wise constant unsigned `values` (rows, columns) as DCT JPEG (SOF0 or SOF1)."""
    rows, columns = values.shape
    means = values[::8, ::8].astype(np.int64)
    if rows % 8 or columns % 8 or not np.array_equal(np.kron(means, np.ones((8, 8))), values):
        raise ValueError("each 8 x 8 block must hold one value")
    levels = 8 * (means.ravel() - (1 << (bits - 1)))
    coded = "".join(_difference(int(step)) + "0" for step in np.diff(levels, prepend=0))
    categories = range(12 if bits == 8 else 16)
    tables = [
        _segment(0xDB, bytes([0]) + bytes([1] * 64)),
        _table(0, categories, _DC_LENGTH),
        _table(16, [0], 1),
    ]
    scan = _segment(0xDA, bytes([1, 1, 0, 0, 63, 0]))
    return _file(0xC0 if bits == 8 else 0xC1, values.shape, bits, tables, scan, coded)


def _predict(values: NDArray[np.int64], bits: int, predictor: int) -> NDArray[np.int64]:
    """Return T.81 table H.1's prediction; its first row and column have rules of their own."""
    left, above = np.roll(values, 1, axis=1), np.roll(values, 1, axis=0)
    corner = np.roll(above, 1, axis=1)
    predicted = {
        1: left,
        2: above,
        3: corner,
        4: left + above - corner,
        5: left + ((above - corner) >> 1),
        6: above + ((left - corner) >> 1),
        7: (left + above) >> 1,
    }[predictor].copy()
    predicted[0] = left[0]
    predicted[:, 0] = above[:, 0]
    predicted[0, 0] = 1 << (bits - 1)
    return predicted


def _difference(value: int) -> str:
    """Return a code word of the category, then the value's own bits (T.81 F.1.2.1)."""
    category = abs(value).bit_length()
    word = format(category, f"0{_DC_LENGTH}b")
    if category in (0, 16):
        return word
    return word + format(value if value > 0 else value + (1 << category) - 1, f"0{category}b")


def _table(identity: int, symbols: Any, length: int) -> bytes:
    """Return a Huffman table whose words are all `length` bits long."""
    counts = bytearray(16)
    counts[length - 1] = len(symbols)
    return _segment(0xC4, bytes([identity]) + bytes(counts) + bytes(symbols))


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def _file(
    start: int, shape: tuple[int, ...], bits: int, tables: list[bytes], scan: bytes, coded: str
) -> bytes:
    coded += "1" * (-len(coded) % 8)
    data = int(coded, 2).to_bytes(len(coded) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = _segment(start, struct.pack(">BHHB", bits, *shape, 1) + bytes([1, 0x11, 0]))
    return b"".join([b"\xff\xd8", *tables[:-2], frame, *tables[-2:], scan, data, b"\xff\xd9"])
