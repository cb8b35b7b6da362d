"""Which files of a folder can be stored elsewhere, by what stands before their datasets."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.filereader import read_file_meta_info

from medgen.problems import Problem

SUFFIXES = (".dcm", ".ima", ".dicom")
_MAGIC_AT = 128
_IDENTITY = ("MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID")


@dataclass(frozen=True, order=True)
class Kind:
    """What a receiver must be able to take: a class of objects in an encoding, both as UIDs."""

    sop_class: str
    transfer_syntax: str

    def __str__(self) -> str:
        """Return both by the standard's names; a private one is not spelled out."""
        return f"{_name(self.sop_class)} in {_name(self.transfer_syntax)}"


@dataclass(frozen=True)
class OutgoingFile:
    """A DICOM file as the network needs to know it."""

    path: Path = field(repr=False)
    kind: Kind
    size: int
    """Bytes."""


@dataclass(frozen=True)
class Outgoing:
    """What a folder holds: files to send, files that claim to be DICOM and are not, and others."""

    files: tuple[OutgoingFile, ...]
    refused: tuple[tuple[Path, Problem], ...] = field(repr=False)
    others: int
    """Files that neither are DICOM nor are named like it, such as tables and notes."""
    paths: tuple[Path, ...] = field(default=(), repr=False)
    """Those to send and those refused, by name: of a folder first its files, then its folders."""


def outgoing_files(place: Path) -> Outgoing:
    """List a DICOM file, or the DICOM files in a folder and below it, in the order of their names.

    A DICOM file has the 128-byte preamble, DICM, and the file meta information of PS3.10 section 7;
    what is named .dcm and has none is refused with E_NOT_DICOM, and one whose meta information
    lacks class, instance or transfer syntax with E_NO_IDENTITY. Hidden files and DICOMDIR are left
    out; links to folders are not followed.
    """
    files: list[OutgoingFile] = []
    refused: list[tuple[Path, Problem]] = []
    paths: list[Path] = []
    others = 0
    for path in _paths(place):
        found = _examined(path)
        paths += [] if found is None else [path]
        if isinstance(found, Problem):
            refused.append((path, found))
        elif found is None:
            others += 1
        else:
            files.append(found)
    return Outgoing(tuple(files), tuple(refused), others, tuple(paths))


def _examined(path: Path) -> OutgoingFile | Problem | None:
    """Return a file that can be sent, what keeps it from it, or None where it is something else."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            stream.seek(_MAGIC_AT)
            if stream.read(4) != b"DICM":
                return _not_dicom("has no DICOM preamble") if _is_named_so(path) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote header values
            meta = read_file_meta_info(path)
            said = [_uid(meta, keyword) for keyword in _IDENTITY]
    except OSError as error:
        message = f"a file cannot be read: {error.strerror or 'input/output error'}"
        return Problem("E_UNREADABLE", message, "check its permissions")
    except Exception as error:  # pydicom raises whatever damaged bytes lead it to
        return _not_dicom(f"has an unreadable beginning ({type(error).__name__})")
    missing = [keyword for keyword, value in zip(_IDENTITY, said, strict=True) if not value]
    if missing:
        message = f"a file's meta information has no {', '.join(missing)}"
        return Problem("E_NO_IDENTITY", message, "export it again: no receiver could store it")
    return OutgoingFile(path, Kind(said[0], said[2]), size)


def _uid(meta: Any, keyword: str) -> str:
    return str(meta.get(keyword, "") or "").rstrip("\0 ")


def _not_dicom(why: str) -> Problem:
    return Problem("E_NOT_DICOM", f"a file {why}", "copy or export it again, or move it away")


def _is_named_so(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def _paths(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    for folder, below, names in os.walk(place):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and name.upper() != "DICOMDIR" and path.is_file():
                yield path


def _name(uid: str) -> str:
    """Return the standard's name of a UID."""
    from pydicom.uid import UID

    name = str(UID(uid).name)
    return "a private class or encoding" if name == uid else name
