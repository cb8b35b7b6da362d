"""The content of a volume on disk as a hash: the `digest` that `open_volume` reports."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from medgen.dicom import digest_of_series, split_choice
from medgen.files import sha256_of_file
from medgen.volumes.series import is_dicom

_DETACHED = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.I | re.M)
_HEADER_BYTES = 1 << 20
_BLOCK = 1 << 20


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a volume's bytes, without judging whether they are a volume.

    For a file these are its own bytes, for a detached header (.mhd, .nhdr) the header's followed by
    its data file's; for a DICOM series those of its files, whatever they are called, and the choice
    in the path. Raises OSError where a file cannot be read.
    """
    place, choice = split_choice(path)
    if is_dicom(place):
        return digest_of_series(place, choice)
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return sha256_of_file(path)
    header = path.read_bytes()
    total = hashlib.sha256(header)
    for match in _DETACHED.findall(header[:_HEADER_BYTES]):
        data = path.parent / match.decode("utf-8", "replace")
        if data.is_file():
            with data.open("rb") as stream:
                while block := stream.read(_BLOCK):
                    total.update(block)
    return total.hexdigest()
