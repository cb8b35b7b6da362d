"""The lesion table as a file beside an answer, which the answer's sidecar vouches for."""

from __future__ import annotations

import json
from pathlib import Path

from medgen.files import sha256_of_file
from medgen.volumes import volume_name

DIGEST = "lesion_table_digest"
"""The sidecar's key for the SHA-256 of the table beside it."""


def lesion_table_beside(output: Path) -> Path:
    """Return where the lesion table of an output lies."""
    return output.with_name(f"{volume_name(output)}_lesions.tsv")


def noted_digest(sidecar: Path) -> str:
    """Return the digest of the table that a sidecar describes; nothing where it knows of none."""
    try:
        content = json.loads(sidecar.read_bytes())
    except (OSError, ValueError, RecursionError):
        return ""
    noted = content.get(DIGEST) if isinstance(content, dict) else None
    return noted if isinstance(noted, str) else ""


def own_table(output: Path, sidecar: Path) -> Path | None:
    """Return the table beside an output if its sidecar describes it as it is, else None.

    A file of that name that convert did not write, or that was changed since, is not its own.
    """
    table = lesion_table_beside(output)
    noted = noted_digest(sidecar)
    try:
        return table if noted and sha256_of_file(table) == noted else None
    except OSError:
        return None
