"""Stored words of the frames of a file that has been read, native or compressed."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import get_decoder

from medgen.dicom.codestreams import check_stream
from medgen.dicom.damage import damaged, mismatched, truncated
from medgen.dicom.layout import Layout
from medgen.dicom.loading import Loaded
from medgen.dicom.rle import decode_rle
from medgen.dicom.syntaxes import COMPRESSED, JPEG_LS, NATIVE, RLE, syntax_name, syntax_problems
from medgen.dicom.values import quiet, value_of
from medgen.problems import Refusal


def words_of(
    loaded: Loaded, layout: Layout, *, frames: int, wanted: Collection[int]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the wanted frames of a file, each as unsigned words (rows, columns).

    Words have `layout.bits_allocated` bits in the machine's byte order, bits above HighBit
    included. `frames` is how many there are in the file. Raises Refusal: E_TRUNCATED, E_PIXEL_DATA
    or E_TRANSFER_SYNTAX.
    """
    if loaded.syntax in NATIVE:
        _check_length(loaded, layout, frames)
        for number in sorted(wanted):
            yield number, _native(loaded, layout, number)
    elif loaded.syntax in COMPRESSED:
        for number, stream in enumerate(_streams(loaded, frames)):
            if number in wanted:
                yield number, _decoded(stream, loaded, layout)
    else:
        raise Refusal(syntax_problems(loaded.header))


def _check_length(loaded: Loaded, layout: Layout, frames: int) -> None:
    """Refuse native pixel data that is shorter or longer than its image.

    A byte that makes the length even (PS3.5 section 8.1.1) may follow, and so may zeros that make
    up less than a row; more would be rows that the header does not know.
    """
    if loaded.length is None:
        raise damaged(f"it is encapsulated, but {syntax_name(loaded.syntax)} is not")
    expected = layout.bytes_per_frame * frames
    present = min(loaded.length, len(loaded.content) - loaded.offset)
    if present < expected:
        raise truncated(f"a file holds {present} bytes of pixels, its header says {expected}")
    excess = loaded.content[loaded.offset + expected : loaded.offset + loaded.length]
    row = layout.bytes_per_frame // layout.rows
    if len(excess) > 1 and (len(excess) >= row or any(excess)):
        raise mismatched(
            f"a file holds {loaded.length} bytes of pixels, its header says {expected}"
        )


def _native(loaded: Loaded, layout: Layout, number: int) -> NDArray[Any]:
    """Return one frame of native pixel data; a view into the file's bytes where it can be one."""
    size = layout.bits_allocated // 8
    start = loaded.offset + number * layout.bytes_per_frame
    shape = layout.rows, layout.columns
    if size == 1 and loaded.swapped and loaded.words:
        return _unpaired(loaded, layout, number)
    kind = np.dtype(f"{'>' if loaded.swapped else '<'}u{size}")
    count = layout.rows * layout.columns
    words = np.frombuffer(loaded.content, dtype=kind, count=count, offset=start)
    return words.reshape(shape).astype(kind.newbyteorder("="), copy=False)


def _unpaired(loaded: Loaded, layout: Layout, number: int) -> NDArray[Any]:
    """Return bytes that were written as big endian 16-bit words, so that each pair is swapped."""
    first = number * layout.bytes_per_frame
    after = first + layout.bytes_per_frame
    low, high = first - first % 2, after + after % 2
    pairs = loaded.content[loaded.offset + low : loaded.offset + high]
    swapped = np.frombuffer(pairs[: len(pairs) // 2 * 2], dtype=">u2").astype("<u2")
    values = swapped.view(np.uint8)[first - low : after - low]
    if values.size != layout.bytes_per_frame:
        raise truncated("a file ends within the last pair of its pixels")
    return values.reshape(layout.rows, layout.columns)


def _streams(loaded: Loaded, frames: int) -> Iterator[bytes]:
    """Yield the compressed frames, refusing where there are fewer or more than the header says."""
    if loaded.length is not None:
        raise damaged(f"it is not encapsulated, but {syntax_name(loaded.syntax)} must be")
    source = io.BytesIO(loaded.content)
    source.seek(loaded.offset)
    tables = [
        value_of(loaded.header, name)
        for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
    ]
    offsets = (tables[0], tables[1]) if all(tables) else None
    count = 0
    with quiet():
        found = generate_frames(source, number_of_frames=frames, extended_offsets=offsets)
    while True:
        with quiet():
            try:
                stream = next(found, None)
            except Exception as error:  # struct and value errors of damaged item headers
                raise damaged(f"its frames cannot be told apart ({type(error).__name__})") from None
        if stream is None:
            break
        count += 1
        if count > frames:
            raise damaged(f"it holds more frames than the {frames} of the header")
        yield bytes(stream)
    if count < frames:
        raise truncated(f"a file holds {count} compressed frames, its header says {frames}")


def _decoded(stream: bytes, loaded: Loaded, layout: Layout) -> NDArray[Any]:
    """Return one decoded frame as words, sign-extended where the stream is signed."""
    if loaded.syntax in RLE:
        return decode_rle(stream, layout)
    check_stream(stream, loaded.syntax, layout)
    described: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.signed),
        "pixel_keyword": "PixelData",
    }
    plugin = "pyjpegls" if loaded.syntax in JPEG_LS else ""  # four times as fast
    with quiet():
        try:
            values, _ = get_decoder(loaded.syntax).as_array(
                encapsulate([stream]), index=0, raw=True, decoding_plugin=plugin, **described
            )
        except Exception as error:  # whatever the decoders of others raise
            reason = f"{syntax_name(loaded.syntax)} cannot be decoded ({type(error).__name__})"
            raise damaged(reason) from None
    if values.shape != (layout.rows, layout.columns) or values.dtype.kind not in "iu":
        raise damaged("it decodes to another size than its header says")
    size = layout.bits_allocated // 8
    kind = values.dtype.kind
    return np.ascontiguousarray(values.astype(f"{kind}{size}", copy=False)).view(f"u{size}")
