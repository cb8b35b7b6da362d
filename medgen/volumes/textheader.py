"""The text headers of MetaImage and NRRD: lines of fields, numbers, and a data file's name."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal
from medgen.volumes.streams import ByteStream

LPS_TO_RAS = np.array([[-1.0], [-1.0], [1.0], [1.0]])  # a factor for each row of an affine

_LONGEST_HEADER = 1 << 20
_EXPORT = "export it again, or convert it to .nii.gz"


def damaged(message: str) -> Refusal:
    """Return the refusal of a header that cannot be what it claims."""
    return Refusal(Problem("E_BAD_HEADER", message, _EXPORT))


class HeaderLines:
    """Read a text header line by line, remembering its bytes, up to one mebibyte."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.raw = b""

    def next(self) -> str | None:
        """Return the next line without its end, or None at the end of the file."""
        line = self._stream.line(_LONGEST_HEADER - len(self.raw))
        if not line:
            if self._stream.left:
                raise damaged("the header does not end within a mebibyte")
            return None
        self.raw += line
        return line.decode("latin-1").rstrip("\r\n")


def whole_numbers(text: str) -> tuple[int, ...]:
    """Parse integers separated by spaces; raise Refusal E_BAD_HEADER."""
    try:
        return tuple(int(word) for word in text.split())
    except ValueError:
        raise damaged("a field that must hold whole numbers does not") from None


def numbers(words: Iterable[str]) -> NDArray[np.float64]:
    """Parse numbers; raise Refusal E_BAD_HEADER."""
    try:
        return np.array([float(word) for word in words], dtype=np.float64)
    except ValueError:
        raise damaged("a field that must hold numbers does not") from None


def beside(header: Path, name: str) -> Path:
    """Return the data file that a header names; it must lie in the header's own folder.

    A header is untrusted: it may not make the gate read `/etc/passwd` or another patient's file.
    Raises Refusal E_DATA_FILE.
    """
    words = PurePosixPath(name)
    advice = "put header and data side by side, or convert to one file (.mha, .nrrd, .nii.gz)"
    inside = bool(name) and not words.is_absolute() and ".." not in words.parts
    if not inside or not name.isprintable() or any(mark in name for mark in "\\:%"):
        message = "the header names a data file outside its own folder, or several"
        raise Refusal(Problem("E_DATA_FILE", message, advice))
    data = header.parent / name
    if not data.is_file():
        message = "the data file that the header names is missing"
        raise Refusal(Problem("E_DATA_FILE", message, advice))
    folders = (header.parent.resolve(), header.resolve().parent)
    if not any(data.resolve().is_relative_to(folder) for folder in folders):
        message = "the header's data file is a link that leads out of its folder"
        raise Refusal(Problem("E_DATA_FILE", message, advice))
    return data


def skip_to_voxels(declared: int, left: int, shape: tuple[int, ...], itemsize: int) -> int:
    """Return how many bytes precede the voxels; -1 means that the voxels end the file."""
    return max(0, left - math.prod(shape) * itemsize) if declared == -1 else declared
