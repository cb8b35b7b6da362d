"""The content of a cell as a hash, be it a file, a header and its data, or a folder."""

from __future__ import annotations

import re
from pathlib import Path

from medgen.files import sha256_of_file, sha256_of_json

_DETACHED = re.compile(rb"^\s*(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+?)\s*$", re.I | re.M)


def digest_of_cell(path: Path) -> str:
    """Return the SHA-256 of a cell's content.

    A folder is hashed with the names of its files, a detached header (.mhd, .nhdr) with the file
    that it points to. Raises OSError where a file cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return sha256_of_json([[str(f.relative_to(path)), sha256_of_file(f)] for f in files])
    digest = sha256_of_file(path)
    if path.suffix.lower() not in (".mhd", ".nhdr"):
        return digest
    named = [path.parent / match.decode("utf-8", "replace") for match in _data_names(path)]
    return sha256_of_json([digest, *[sha256_of_file(file) for file in named if file.is_file()]])


def _data_names(path: Path) -> list[bytes]:
    return _DETACHED.findall(path.read_bytes()[: 1 << 20])
