"""A folder or a tree of folders to the series in it, by header alone: names mean nothing here."""

from __future__ import annotations

import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from medgen.dicom.frames import Instance, state_of
from medgen.dicom.values import modality_of, quiet, value_of, whole_of
from medgen.limits import Limits, file_size_problems
from medgen.problems import Problem

_MOST_REMEMBERED = 1_000_000  # files
_series_of: dict[str, tuple[tuple[int, ...], str]] = {}
_DEFAULT_LIMITS = Limits()
SUFFIXES = (".dcm", ".ima", ".dicom")
_AGAIN = "copy or export it again"
_START = 1024  # bytes within which the magic and the transfer syntax stand
_MAGIC_AT = 128
_FIRST_TAGS = frozenset(
    bytes((group, 0, element, 0))
    for group, elements in ((2, (0, 1, 2)), (8, (0, 1, 5, 8, 0x12, 0x16)))
    for element in elements
)
_FIRST_KINDS = frozenset((b"UL", b"OB", b"UI", b"CS", b"DA"))
_META_AT = 144  # where the meta information goes on after its length (PS3.10 7.1)
_DEFERRED = 1024  # bytes from which a value stays on the disk until it is asked for
_HEADER_BYTES = 16 << 20
_CHUNK = 1 << 16
_UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class IndexedSeries:
    """The image files of one SeriesInstanceUID; of one folder where the UID is blank."""

    uid: str
    instances: tuple[Instance, ...]

    @cached_property
    def first(self) -> Dataset:
        """Return the header of the first file."""
        return self.instances[0].header

    @property
    def modality(self) -> str:
        """Return CT, MR, PT, ...; where none is stated, the SOP class's, or "" if it has none."""
        return modality_of(self.first)

    @property
    def number(self) -> int | None:
        """Return the SeriesNumber, where there is one."""
        return whole_of(self.first, "SeriesNumber")


@dataclass(frozen=True, eq=False)
class Unread:
    """A file that looked like DICOM and could not be indexed."""

    path: Path
    problem: Problem


@dataclass(frozen=True, eq=False)
class Index:
    """What lies below a folder: its image series, what could not be read, and what is no image."""

    series: tuple[IndexedSeries, ...]
    unread: tuple[Unread, ...] = ()
    others: int = 0
    """DICOM files without pixels (structure sets, reports, presentation states, ...)."""


def index_tree(path: Path, *, limits: Limits = _DEFAULT_LIMITS, only: str = "") -> Index:
    """Index a DICOM file, or all DICOM files in a folder and below it, by their headers.

    Hidden files and DICOMDIR are skipped; links to folders are not followed. Files of which an
    earlier call in this process knows that they are not of the series `only`, a SeriesInstanceUID,
    are left out unread: a table may name hundreds of series in one folder of an archive. Raises
    OSError where the folder itself cannot be listed.
    """
    groups: dict[tuple[str, str], list[Instance]] = defaultdict(list)
    unread: list[Unread] = []
    others = 0
    for file in _files(path):
        if only and _is_of_another(file, only):
            continue
        try:
            instance = read_instance(file, limits=limits)
        except HeaderError as error:
            unread.append(Unread(file, error.problem))
            continue
        if instance is None:
            continue
        header = instance.header
        if "Rows" not in header and "Columns" not in header:
            others += 1
            continue
        uid = str(value_of(header, "SeriesInstanceUID") or "")
        _remember(instance, uid)
        groups[uid, "" if uid else str(file.parent)].append(instance)
    series = [IndexedSeries(uid, tuple(found)) for (uid, _), found in groups.items()]
    series.sort(key=lambda one: (one.number is None, one.number or 0, one.uid))
    return Index(tuple(series), tuple(unread), others)


def _remember(instance: Instance, uid: str) -> None:
    """Note which series an unchanged file belongs to."""
    if len(_series_of) >= _MOST_REMEMBERED:
        _series_of.clear()
    _series_of[str(instance.path)] = (instance.state, uid)


def _is_of_another(file: Path, uid: str) -> bool:
    known = _series_of.get(str(file))
    if known is None or known[1] in ("", uid):
        return False
    try:
        return known[0] == state_of(file.stat())
    except OSError:
        return False


class HeaderError(Exception):
    """A file that should be DICOM is none."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


def read_header(file: Path, *, limits: Limits) -> Dataset | None:
    """Return what `read_instance` does, the header alone."""
    instance = read_instance(file, limits=limits)
    return None if instance is None else instance.header


@quiet()
def read_instance(file: Path, *, limits: Limits) -> Instance | None:
    """Return a file by its header, without its pixels, or None where it is no DICOM at all.

    A file is DICOM by its magic (PS3.10 7.1), or by its name where the preamble is missing. Where
    the name ends, as instances are often named, in no letters, it is too if it begins as a data set
    does, with zeros alone, or is empty: its slice must not get lost unseen.
    Raises HeaderError: E_EMPTY_FILE, E_TOO_LARGE, E_UNREADABLE, E_TRUNCATED or E_BAD_HEADER.
    """
    named = file.name.lower().endswith(SUFFIXES)
    try:
        size = file.stat().st_size
        if size == 0 and not named and not _has_no_suffix(file):
            return None
        with file.open("rb") as stream:
            state = state_of(os.fstat(stream.fileno()))
            start = stream.read(_START)
            if size and not named and _has_no_suffix(file):
                _check_start(start)
                named = _begins_as_data_set(start)
            if size and start[_MAGIC_AT : _MAGIC_AT + 4] != b"DICM" and not named:
                return None
            problems = file_size_problems(size, limits)
            if problems:
                raise HeaderError(problems[0])
            stream.seek(0)
            header, at_end, beyond = _parsed(stream, start, force=named)
            pixels_at = stream.tell()
    except OSError as error:
        reason = error.strerror or "input/output error"
        message = f"a file cannot be read: {reason}"
        raise HeaderError(Problem("E_UNREADABLE", message, "check its permissions")) from None
    _check_end(header, at_end=at_end, beyond=beyond)
    return Instance(file, header, pixels_at, state)


def _check_start(start: bytes) -> None:
    """Refuse what is but the beginning of a DICOM file's 128 zeros and "DICM", or zeros alone."""
    whole = bytes(_MAGIC_AT) + b"DICM"
    if len(start) < len(whole) and whole.startswith(start):
        raise HeaderError(Problem("E_TRUNCATED", "a file ends within its preamble", _AGAIN))
    if not any(start):
        message = "a file holds zeros where its header should be"
        raise HeaderError(Problem("E_BAD_HEADER", message, _AGAIN))


def _begins_as_data_set(start: bytes) -> bool:
    """Tell whether bytes begin as those of a file without a preamble: with an early short element.

    It is of group 2 or 8, little endian, with a value representation or a length behind its tag.
    """
    if start[:4] not in _FIRST_TAGS or len(start) < _MAGIC_AT:
        return False
    return start[4:6] in _FIRST_KINDS or int.from_bytes(start[4:8], "little") <= _MAGIC_AT


def _has_no_suffix(file: Path) -> bool:
    return not file.suffix or file.suffix[1:].isdigit()


def _parsed(stream: BinaryIO, start: bytes, *, force: bool) -> tuple[Dataset, bool, bool]:
    """Return what `_parse` does, or refuse what it cannot read."""
    try:
        return _parse(stream, start, force=force)
    except Exception as error:  # pydicom raises whatever damaged bytes lead it to
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; pydicom raises some of its own, without a number
        message = f"a file is not readable as DICOM ({type(error).__name__})"
        raise HeaderError(Problem("E_BAD_HEADER", message, _AGAIN)) from None


def _parse(stream: BinaryIO, start: bytes, *, force: bool) -> tuple[Dataset, bool, bool]:
    """Return a header, whether the file ended with it, and whether it states to reach further.

    Of a deflated file (PS3.5 A.5) only as much is inflated as headers have, since a few bytes may
    inflate to many.
    """
    options: dict[str, Any] = {"stop_before_pixels": True, "force": force}
    deflated = DeflatedExplicitVRLittleEndian.encode()
    if deflated not in start:
        header = pydicom.dcmread(stream, defer_size=_DEFERRED, **options)
        size = os.fstat(stream.fileno()).st_size
        return header, stream.tell() >= size, stream.tell() > size
    end = _META_AT + int.from_bytes(start[_META_AT - 4 : _META_AT], "little")
    # The inflated bytes are read as what they are: little endian with explicit types.
    plain = stream.read(end).replace(
        deflated, ExplicitVRLittleEndian.encode().ljust(len(deflated), b"\0")
    )
    inflated = _inflated(stream)
    buffer = BytesIO(plain + inflated)
    header = pydicom.dcmread(buffer, **options)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return header, buffer.tell() >= len(plain) + len(inflated), False


def _inflated(stream: BinaryIO) -> bytes:
    """Return the start of a deflated data set."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = b""
    while len(inflated) < _HEADER_BYTES and (packed := stream.read(_CHUNK)):
        inflated += inflater.decompress(packed, _HEADER_BYTES - len(inflated))
    return inflated


def _check_end(header: Dataset, *, at_end: bool, beyond: bool) -> None:
    """Refuse a header that ends too early, which pydicom takes for the end of the data set.

    Without Rows and Columns a file is judged by its SOP class, so that an image whose header
    broke off is not taken for a report.
    """
    cut = at_end and (beyond or _is_cut(header))  # before a value is asked for, which converts it
    uid = UID(str(value_of(header, "SOPClassUID") or ""))
    meta = getattr(header, "file_meta", Dataset())
    if not uid and value_of(meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        uid = MediaStorageDirectoryStorage  # which a DICOMDIR, whatever its name, has there alone
    image = "Rows" in header or "Columns" in header
    if not image and not uid.is_valid:
        message = "a file is named as DICOM or begins like it, and holds neither image nor class"
        raise HeaderError(Problem("E_BAD_HEADER", message, _AGAIN))
    if cut:
        raise HeaderError(Problem("E_TRUNCATED", "a file ends within its header", _AGAIN))
    if not image and "Image Storage" in uid.name:
        message = "a file's header breaks off before its image"
        raise HeaderError(Problem("E_BAD_HEADER", message, _AGAIN))


def _is_cut(header: Dataset) -> bool:
    """Tell whether a value is shorter than its length says."""
    for tag in header.keys():  # noqa: SIM118 - iterating a Dataset would convert each element
        element: Any = header.get_item(tag, keep_deferred=True)
        if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
            short = len(element.value) < element.length
            if short and element.length != _UNDEFINED_LENGTH:
                return True
    return False


def _files(path: Path) -> Iterator[Path]:
    """Yield the files at and below a path in a fixed order."""
    if path.is_file():
        yield path
        return
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry))
        elif entry.is_file():
            yield Path(entry)
