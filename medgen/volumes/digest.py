"""The content of a volume on disk as a hash: the `digest` that `open_volume` reports."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from medgen.files import sha256_of_file, sha256_of_json

_DETACHED = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.I | re.M)
_HEADER_BYTES = 1 << 20
_BLOCK = 1 << 20


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a volume's bytes, without judging whether they are a volume.

    For a file these are its own bytes, for a detached header (.mhd, .nhdr) the header's followed by
    its data file's; a folder is hashed with the names of its files. Raises OSError where a file
    cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return sha256_of_json([[str(f.relative_to(path)), sha256_of_file(f)] for f in files])
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
