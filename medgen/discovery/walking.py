"""A folder's tree as what could be volumes: files, DICOM files, and what is only counted."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medgen.dicom.index import SUFFIXES as DICOM_SUFFIXES
from medgen.discovery.findings import Finding
from medgen.problems import Problem
from medgen.volumes.listing import suffix_of

_DICOM_MAGIC_AT = 128
_FOREIGN = (".mgz", ".mgh", ".mnc", ".gipl", ".nii.bz2", ".hdr", ".img", ".hdr.gz", ".img.gz")
"""Volumes that the gate knows to refuse, with the reason."""
_LEFTOVER = ("~", ".tmp", ".part", ".crdownload")
_SYSTEM = ("__MACOSX", "lost+found", "System Volume Information")


@dataclass(frozen=True)
class Entry:
    """A file or a DICOM series that could fill a cell; `path` is relative to the tree's root.

    The path of a series may end in a choice, as the table's cells do.
    """

    path: PurePosixPath
    stem: str
    """The name less its extension; empty for a series, whose folder's name means nothing."""
    dicom: int = 0
    """Of how many files a DICOM series is made; 0 for a volume that is a file."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the names of the folders above it, from the root down."""
        return self.path.parts[:-1]


@dataclass
class Tree:
    """What lies below a folder; `others` counts files that are neither volumes nor DICOM."""

    entries: list[Entry] = field(default_factory=list)
    dicom: list[PurePosixPath] = field(default_factory=list)
    """The DICOM files, whose headers tell what they are."""
    findings: list[Finding] = field(default_factory=list)
    others: int = 0


def walk(root: Path) -> Tree:
    """Find everything below a folder that could be a volume, sorted by path.

    Hidden and temporary files are skipped. Links are followed, but no folder is entered twice.
    """
    tree = Tree()
    entered: set[tuple[int, int]] = set()
    waiting = [(root, PurePosixPath())]
    links: list[tuple[Path, PurePosixPath]] = []
    while waiting or links:
        # Real folders before links, so that a link never takes a folder's place.
        folder, relative = waiting.pop() if waiting else links.pop(0)
        try:
            status = folder.stat()
            children = sorted(os.scandir(folder), key=lambda child: child.name)
        except OSError:
            tree.findings.append(Finding(_UNREADABLE, files=(relative,)))
            continue
        if (status.st_dev, status.st_ino) in entered:
            tree.findings.append(Finding(_LINK, files=(relative,), refused=False))
            continue
        entered.add((status.st_dev, status.st_ino))
        files = []
        for child in children:
            if _is_skipped(child.name):
                continue
            if not _is_folder(child):
                files.append(child)
            else:
                place = links if child.is_symlink() else waiting
                place.append((Path(child), relative / child.name))
        _take(tree, relative, files)
    tree.entries.sort(key=lambda entry: entry.path.parts)
    tree.dicom.sort(key=lambda path: path.parts)
    return tree


def _take(tree: Tree, relative: PurePosixPath, files: list[os.DirEntry[str]]) -> None:
    """Sort one folder's files into entries, DICOM, and others."""
    names = {file.name.lower() for file in files}
    for file in files:
        name = file.name.lower()
        suffix = suffix_of(Path(file.name)) or next((s for s in _FOREIGN if name.endswith(s)), "")
        path = relative / file.name
        if suffix.startswith(".hdr") and name.replace(".hdr", ".img", 1) in names:
            continue  # of a pair only the voxels' file is told
        if not suffix and not _is_dicom(file):
            tree.others += 1
        elif not suffix and _is_text(str(relative)):
            tree.dicom.append(path)  # its own name stands in no table
        elif suffix and _is_text(str(path)):
            tree.entries.append(Entry(path, file.name[: -len(suffix)]))
        else:
            tree.findings.append(Finding(_NAME, files=(path,)))


def _is_skipped(name: str) -> bool:
    return name.startswith((".", "~", "#")) or name.endswith(_LEFTOVER) or name in _SYSTEM


def _is_folder(child: os.DirEntry[str]) -> bool:
    try:
        return child.is_dir()
    except OSError:  # a link to itself
        return False


def _is_text(path: str) -> bool:
    """Tell whether a path can stand in a table: no control characters, no broken encoding."""
    return not any(unicodedata.category(c) in ("Cc", "Cs") for c in path)


def _is_dicom(file: os.DirEntry[str]) -> bool:
    """Tell DICOM by its extension, or by the magic word behind its preamble."""
    if file.name.upper() == "DICOMDIR":
        return False  # an index of files, not one of them
    if file.name.lower().endswith(DICOM_SUFFIXES):
        return True
    try:
        if not file.is_file():
            return False
        with open(file, "rb") as stream:
            stream.seek(_DICOM_MAGIC_AT)
            return stream.read(4) == b"DICM"
    except OSError:
        return False


_UNREADABLE = Problem(
    "E_UNREADABLE", "a folder cannot be read", "check its permissions; its volumes are missing here"
)
_LINK = Problem(
    "E_LINK", "a link leads to a folder that was seen already", "it was not entered again"
)
_NAME = Problem(
    "E_FILE_NAME",
    "a file's name holds control characters or is not UTF-8 text",
    "rename it; it cannot stand in a table",
)
