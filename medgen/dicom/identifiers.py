"""New UIDs, hashed from what they name: the same series, written again, is the same series."""

from __future__ import annotations

import hashlib
import json
import uuid


def hashed_uid(*words: str | int) -> str:
    """Return the UID that belongs to some words: 2.25 and a name-based UUID (PS3.5 B.2).

    The UUID is of SHA-256, which RFC 9562 allows for; 44 characters at most, of the 64 allowed.
    """
    digest = hashlib.sha256(json.dumps(words).encode()).digest()
    return f"2.25.{uuid.UUID(bytes=digest[:16], version=5).int}"
