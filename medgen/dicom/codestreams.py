"""What a compressed frame says of itself, compared with the header before anything is decoded.

Decoders allocate what the stream asks for, and some hand out half an image of a stream that ends
too early. So each stream's own size must be the header's, its end must be there, and JPEG 2000 may
not ask for more bookkeeping than an image of its size warrants.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydicom.uid import UID

from medgen.dicom.damage import damaged, truncated
from medgen.dicom.layout import Layout
from medgen.dicom.syntaxes import JPEG, JPEG_2000, JPEG_LS

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_SOC_SIZ = b"\xff\x4f\xff\x51"
_JP2 = b"\x00\x00\x00\x0cjP  "
# ISO/IEC 10918-1 table B.1: every start of frame but the differential and reserved ones. DHT, JPG
# and DAC lie between them. 0xF7 is JPEG-LS's (ISO/IEC 14495-1).
_FRAMES_JPEG = frozenset((0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB))
_FRAME_JPEG_LS = frozenset((0xF7,))
_START_OF_SCAN, _SOT, _COD = 0xDA, 0x90, 0x52
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
_MOST_TILES = 4096
_MOST_PACKETS = 1 << 22


def check_stream(stream: bytes, syntax: UID, layout: Layout) -> None:
    """Refuse a compressed frame that is not the image its header describes.

    Raises Refusal: E_TRUNCATED where its end is missing; E_PIXEL_DATA where its size, its number of
    components or its bit depth disagrees with the header, or where it is damaged or monstrous.
    """
    if syntax in JPEG or syntax in JPEG_LS:
        _check_end(stream)
        _check_jpeg(stream, layout, _FRAMES_JPEG if syntax in JPEG else _FRAME_JPEG_LS)
    elif syntax in JPEG_2000:
        _check_jpeg_2000(_codestream(stream), layout)


def _check_end(stream: bytes) -> None:
    """Refuse a stream without its end marker, behind which only padding may follow."""
    if not stream[-64:].rstrip(b"\x00\xff").endswith(_EOI):
        raise truncated("a compressed frame ends before its end marker")


def _check_jpeg(stream: bytes, layout: Layout, kinds: frozenset[int]) -> None:
    """Compare the frame header of a JPEG or JPEG-LS stream (ISO/IEC 10918-1 B.2.2)."""
    if not stream.startswith(_SOI):
        raise damaged("a frame does not begin as its transfer syntax says")
    frames = [body for marker, body in _segments(stream, 2, _START_OF_SCAN) if marker in kinds]
    if len(frames) != 1 or len(frames[0]) < 6:
        raise damaged(f"a frame has {len(frames)} frame headers of its transfer syntax")
    precision, parts = frames[0][0], frames[0][5]
    rows, columns = int.from_bytes(frames[0][1:3]), int.from_bytes(frames[0][3:5])
    _check_size(layout, rows=rows, columns=columns, precision=precision, components=parts)


def _segments(stream: bytes, at: int, last: int) -> Iterator[tuple[int, bytes]]:
    """Yield the marker segments of a stream from a place on, up to a marker that ends them."""
    while at + 4 <= len(stream):
        if stream[at] != 0xFF:
            raise damaged("a marker is missing")
        marker = stream[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker == last:
            return
        if marker in _BARE:
            at += 2
            continue
        length = int.from_bytes(stream[at + 2 : at + 4])
        if length < 2:
            raise damaged("a marker segment has no length")
        yield marker, stream[at + 4 : at + 2 + length]
        at += 2 + length
    raise damaged("its headers do not end")


def _codestream(stream: bytes) -> bytes:
    """Return a JPEG 2000 codestream, out of its JP2 boxes (ISO/IEC 15444-1 annex I) if it is in."""
    if not stream.startswith(_JP2):
        return stream
    at = 0
    while at + 8 <= len(stream):
        length, kind = int.from_bytes(stream[at : at + 4]), stream[at + 4 : at + 8]
        if kind == b"jp2c":
            return stream[at + (16 if length == 1 else 8) :]
        if length < 8:
            break
        at += length
    raise damaged("its boxes hold no codestream")


def _check_jpeg_2000(stream: bytes, layout: Layout) -> None:
    """Compare SIZ and COD of a codestream (ISO/IEC 15444-1 A.5.1 and A.6.1) with the header."""
    if not stream.startswith(_SOC_SIZ):
        raise damaged("a frame does not begin as its transfer syntax says")
    _check_end(stream)
    segments = dict(reversed(list(_segments(stream, 2, _SOT))))
    size, coding = segments[0x51], segments.get(_COD, b"")
    if len(size) < 39 or len(coding) < 10:
        raise damaged("its headers are too short")
    x1, y1, x0, y0, width, height, tx0, ty0 = (
        int.from_bytes(size[at : at + 4]) for at in range(2, 34, 4)
    )
    parts = int.from_bytes(size[34:36])
    _check_size(
        layout, rows=y1 - y0, columns=x1 - x0, precision=(size[36] & 0x7F) + 1, components=parts
    )
    if size[37:39] != b"\x01\x01":
        raise damaged("it is subsampled")
    if not (width and height and tx0 <= x0 < tx0 + width and ty0 <= y0 < ty0 + height):
        raise damaged("its tiles do not cover the image")
    tiles = math.ceil((x1 - tx0) / width) * math.ceil((y1 - ty0) / height)
    box = min(width, x1 - x0), min(height, y1 - y0)
    if tiles > _MOST_TILES or tiles * _packets(coding, box) > _MOST_PACKETS:
        raise damaged(f"it is cut into {tiles} tiles, or its tiles into too many packets")


def _packets(coding: bytes, box: tuple[int, int]) -> int:
    """Return an upper bound of the packets of a tile: layers x resolutions x precincts."""
    layers, levels = int.from_bytes(coding[2:4]), coding[5]
    sizes = coding[10 : 11 + levels] if coding[0] & 1 else b"\xff"
    if layers < 1 or levels > 32 or not sizes:
        raise damaged("its coding style is impossible")
    finest = min(size & 0x0F for size in sizes[-2:]), min(size >> 4 for size in sizes[-2:])
    precincts = math.prod(
        math.ceil(side / (1 << power)) for side, power in zip(box, finest, strict=True)
    )
    return layers * (levels + 1) * precincts


def _check_size(
    layout: Layout, *, rows: int, columns: int, precision: int, components: int
) -> None:
    if (rows, columns) != (layout.rows, layout.columns):
        reason = f"{rows} x {columns} pixels where the header says {layout.rows} x {layout.columns}"
        raise damaged(reason)
    if components != 1:
        raise damaged(f"{components} components where the header says 1")
    if not 1 <= precision <= layout.bits_allocated:
        raise damaged(f"{precision} bits where the header says {layout.bits_stored}")
