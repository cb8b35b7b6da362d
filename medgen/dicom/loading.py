"""A file's bytes, read once: hashed, bounded, and its pixel data found without a copy."""

from __future__ import annotations

import hashlib
import io
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from medgen.dicom.frames import Instance, state_of
from medgen.dicom.syntaxes import syntax_of
from medgen.dicom.values import quiet
from medgen.limits import Limits, file_size_problems
from medgen.problems import Problem, Refusal

_PIXELS = Tag("PixelData")
_OTHER_PIXELS = (Tag("FloatPixelData"), Tag("DoubleFloatPixelData"))
_WANTED = [
    _PIXELS,
    *_OTHER_PIXELS,
    Tag("Rows"),
    Tag("Columns"),
    Tag("SamplesPerPixel"),
    Tag("PhotometricInterpretation"),
    Tag("BitsAllocated"),
    Tag("BitsStored"),
    Tag("HighBit"),
    Tag("PixelRepresentation"),
    Tag("NumberOfFrames"),
    Tag("ExtendedOffsetTable"),
    Tag("ExtendedOffsetTableLengths"),
]
_PIXEL_TAG = b"\xe0\x7f\x10\x00"
_UNDEFINED = 0xFFFFFFFF
_DEFERRED = 1 << 12
_HEADER_BYTES = 64 << 20  # more than any header has; a deflated one may not inflate beyond
_BESIDE_BYTES = 256 << 20  # what a file may hold beside its pixels: private data, overlays, icons
_META_AT = 132
_AGAIN = "copy or export it again"


@dataclass(frozen=True, eq=False)
class Loaded:
    """The bytes of one file, and where its pixel data lies in them."""

    digest: str
    """SHA-256 of the file."""
    content: bytes = field(repr=False)
    """The file, inflated where it was deflated."""
    header: Dataset = field(repr=False)
    """The attributes that describe the pixels, if no others."""
    syntax: UID
    offset: int
    length: int | None
    """In bytes; None for encapsulated data, whose length is undefined (PS3.5 A.4)."""
    swapped: bool
    """Whether the words are big endian."""
    words: bool
    """Whether the value representation is OW, so that bytes too are swapped in pairs."""


@dataclass(frozen=True)
class Fetched:
    """A file's bytes and their SHA-256."""

    content: bytes = field(repr=False)
    digest: str
    state: tuple[int, ...] = ()
    """What `state_of` said of the file before it was read."""


def fetch(path: Path, *, pixel_bytes: int, limits: Limits) -> Fetched:
    """Read a file at once, and hash it; nothing of it is looked at, so that threads may do it.

    `pixel_bytes` is what the header seen before promised; a file that is much larger is refused
    before memory is spent. Raises Refusal: E_UNREADABLE, E_EMPTY_FILE or E_TOO_LARGE.
    """
    try:
        status = path.stat()
        size = status.st_size
        problems = file_size_problems(size, limits)
        if not problems and size > 2 * pixel_bytes + _BESIDE_BYTES:
            message = f"the file has {size} bytes for {pixel_bytes} bytes of pixels"
            problems = [Problem("E_TOO_LARGE", message, _AGAIN)]
        if problems:
            raise Refusal(problems)
        content = path.read_bytes()
    except OSError as error:
        message = f"a file cannot be read: {error.strerror or 'input/output error'}"
        raise Refusal(Problem("E_UNREADABLE", message, "check its permissions")) from None
    return Fetched(content, hashlib.sha256(content).hexdigest(), state_of(status))


def load(fetched: Fetched, *, pixel_bytes: int, known: Instance | None = None) -> Loaded:
    """Find the pixel data of a file that was read.

    Of a file that is as it was when its header was read, `known`, the header is not parsed again.

    `pixel_bytes` is what the header seen before promised; a file that inflates to much more is
    refused before memory is spent. Raises Refusal: E_BAD_HEADER, E_PIXEL_DATA, E_PIXEL_TYPE or
    E_TRUNCATED.
    """
    found = None if known is None else _as_known(fetched, known)
    if found is not None:
        return found
    with quiet():
        try:
            content, header = _parse(fetched.content, pixel_bytes)
            syntax = syntax_of(header)
            element = _pixel_element(header)
        except Refusal:
            raise
        except Exception as error:  # pydicom raises whatever damaged bytes lead it to
            message = f"a file is not readable as DICOM ({type(error).__name__})"
            raise Refusal(Problem("E_BAD_HEADER", message, _AGAIN)) from None
    undefined = element.length == _UNDEFINED
    return Loaded(
        digest=fetched.digest,
        content=content,
        header=header,
        syntax=syntax,
        offset=element.value_tell,
        length=None if undefined else int(element.length),
        swapped=not element.is_little_endian,
        words=element.VR == "OW" or (element.VR is None and bool(element.is_implicit_VR)),
    )


def _as_known(fetched: Fetched, known: Instance) -> Loaded | None:
    """Return the pixel data where the header's reader found it; None where it is not plainly there.

    Little endian only (PS3.5 7.1.2 and 7.1.3): the rest is rare, and left to pydicom.
    """
    at, content = known.pixels_at, fetched.content
    syntax = syntax_of(known.header)
    implicit, little = known.header.original_encoding  # as it was found to be, whatever is stated
    if at is None or fetched.state != known.state or not little:
        return None
    if syntax == DeflatedExplicitVRLittleEndian:
        return None
    start = content[at : at + 12]
    kind = start[4:6]
    if len(start) < 12 or start[:4] != _PIXEL_TAG:
        return None
    if implicit:
        offset, length, words = at + 8, int.from_bytes(start[4:8], "little"), True
    elif kind in (b"OW", b"OB"):
        offset, length, words = at + 12, int.from_bytes(start[8:12], "little"), kind == b"OW"
    else:
        return None
    return Loaded(
        digest=fetched.digest,
        content=content,
        header=known.header,
        syntax=syntax,
        offset=offset,
        length=None if length == _UNDEFINED else length,
        swapped=False,
        words=words,
    )


def _parse(content: bytes, pixel_bytes: int) -> tuple[bytes, Dataset]:
    """Return a file's bytes, inflated, and the attributes that describe its pixels."""
    options: dict[str, Any] = {"specific_tags": list(_WANTED), "defer_size": _DEFERRED}
    start = _end_of_meta(content)
    if start is not None and DeflatedExplicitVRLittleEndian.encode() in content[:start]:
        meta = pydicom.dcmread(io.BytesIO(content[:start]))
        if syntax_of(meta) == DeflatedExplicitVRLittleEndian:
            content = _inflated(content[start:], pixel_bytes + _HEADER_BYTES)
            header = read_dataset(io.BytesIO(content), False, True, **options)
            header.file_meta = meta.file_meta
            return content, header
    return content, pydicom.dcmread(io.BytesIO(content), force=True, **options)


def _end_of_meta(content: bytes) -> int | None:
    """Return where the File Meta Information ends (PS3.10 section 7.1); None without one."""
    start = content[128 : _META_AT + 12]
    if start[:12] != b"DICM\x02\x00\x00\x00UL\x04\x00":
        return None
    return _META_AT + 12 + int.from_bytes(start[12:16], "little")


def _inflated(packed: bytes, most: int) -> bytes:
    """Return inflated bytes (PS3.5 A.5), or refuse those that grow beyond what the header says."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = inflater.decompress(packed, most)
    except zlib.error:
        message = "a deflated file is damaged"
        raise Refusal(Problem("E_PIXEL_DATA", message, _AGAIN)) from None
    if inflater.unconsumed_tail:
        message = f"a deflated file inflates to over {most} bytes, more than its image can have"
        raise Refusal(Problem("E_PIXEL_DATA", message, _AGAIN))
    if not inflater.eof:
        raise Refusal(Problem("E_TRUNCATED", "a deflated file ends too early", _AGAIN))
    return content


def _pixel_element(header: Dataset) -> RawDataElement:
    """Return the pixel data's element, its value unread where it is long."""
    if any(tag in header for tag in _OTHER_PIXELS):
        message = "its pixels are floating-point, which no CT, MR or PET image has"
        raise Refusal(Problem("E_PIXEL_TYPE", message, "export it as a CT, MR or PET series"))
    if _PIXELS not in header:
        message = "a file ends before its pixel data, or within it"
        raise Refusal(Problem("E_TRUNCATED", message, _AGAIN))
    element: object = header.get_item(_PIXELS, keep_deferred=True)
    if not isinstance(element, RawDataElement):
        raise ValueError("pixel data is a sequence")
    return element
