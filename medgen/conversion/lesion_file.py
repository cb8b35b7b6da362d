"""Where the lesion table lies as a file beside an answer."""

from __future__ import annotations

from pathlib import Path

from medgen.volumes import volume_name

LESIONS = "lesions"
"""What is added to an answer's name for its table."""
DIGEST = "lesion_table_digest"
"""The sidecar's key for the SHA-256 of the table beside it."""


def lesion_table_beside(output: Path) -> Path:
    """Return where the lesion table of an output lies."""
    return output.with_name(f"{volume_name(output)}_{LESIONS}.tsv")
