"""RLE Lossless (PS3.5 annex G), decoded to no more bytes than the header warrants.

Here and not by a plugin: pylibjpeg-rle 2.2 panics on damaged segments, which no `except Exception`
stops, and pydicom's own decoder goes on where a segment holds more rows than the header.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.damage import damaged, truncated
from medgen.dicom.layout import Layout

_HEADER_BYTES = 64
_LONGEST_PADDING = 1


def decode_rle(stream: bytes, layout: Layout) -> NDArray[Any]:
    """Return one frame as unsigned words (rows, columns) of `layout.bits_allocated` bits.

    A segment holds one byte of each word, the most significant one first. Raises Refusal:
    E_PIXEL_DATA or E_TRUNCATED.
    """
    size = layout.bits_allocated // 8
    segments = _segments(stream, size)
    planes = [_unpacked(segment, layout.rows * layout.columns) for segment in segments]
    words = np.empty((layout.rows * layout.columns, size), dtype=np.uint8)
    for place, plane in enumerate(planes):
        words[:, size - 1 - place] = np.frombuffer(plane, dtype=np.uint8)
    kind = np.dtype(f"<u{size}")
    little = words.reshape(-1).view(kind).reshape(layout.rows, layout.columns)
    return little.astype(kind.newbyteorder("="), copy=False)


def _segments(stream: bytes, size: int) -> list[bytes]:
    """Return the segments that the header of a frame points to (PS3.5 G.5)."""
    if len(stream) < _HEADER_BYTES:
        raise truncated("an RLE frame ends within its header")
    count, *offsets = np.frombuffer(stream, dtype="<u4", count=_HEADER_BYTES // 4).tolist()
    if count != size:
        raise damaged(f"a frame has {count} RLE segments where the header asks for {size}")
    ends = [*offsets[:count], len(stream)]
    if ends[0] != _HEADER_BYTES or any(after < at for at, after in itertools.pairwise(ends)):
        raise damaged("its RLE segments are not where they should be")
    return [stream[at:after] for at, after in itertools.pairwise(ends)]


def _unpacked(segment: bytes, size: int) -> bytearray:
    """Return exactly `size` bytes of a segment (PS3.5 G.3.2)."""
    plane = bytearray()
    at = 0
    while len(plane) < size:
        if at + 1 >= len(segment):
            raise truncated(f"an RLE segment holds {len(plane)} of {size} bytes")
        control = segment[at]
        if control < 128:  # literally the next bytes
            plane += segment[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > 128:  # the next byte several times; 128 itself means nothing
            plane += segment[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    rest = segment[at:]
    if len(plane) > size or (len(rest) > _LONGEST_PADDING and any(rest)):
        raise damaged("an RLE segment holds more than its header says")
    return plane
