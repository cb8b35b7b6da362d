"""Who is who: safe ids from the user's names, or keyed hashes of them."""

from __future__ import annotations

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from medgen.data.rows import CASE_ID
from medgen.discovery.columns import plain
from medgen.problems import ConfigurationError, Problem

SHORTEST_KEY = 16
"""Bytes; a shorter key could be found by trying all of them."""

_LARGEST_KEY = 1 << 20
_PATIENT_DIGITS = 12  # hexadecimal: 48 bits, so 10 000 patients collide once in 5 million cohorts
_CASE_DIGITS = 6
_HOW = "make one and keep it safe, for example: head -c 32 /dev/urandom > FILE"


@dataclass(frozen=True)
class Identity:
    """What names a case: the patient, and what tells its cases apart.

    `site` is part of the patient where two sites number theirs alike, and under a key wherever
    there is one; `session` and `qualifier` are empty where the patient has one case.
    """

    patient: str
    session: str = ""
    site: str = ""
    qualifier: str = ""


class Names:
    """Name patients and cases: the user's own names made safe."""

    keyed = False

    def patient(self, identity: Identity) -> str | None:
        """Return an id of A-Z a-z 0-9 . _ - for a patient, or None where no letter is left."""
        return safe(identity.site, identity.patient)

    def case(self, identity: Identity) -> str | None:
        """Return an id for a case that can become a file name, or None where no letter is left."""
        if safe(identity.patient) is None:
            return None
        return safe(identity.qualifier, identity.site, identity.patient, identity.session)


class KeyedNames(Names):
    """Name patients and cases by hashes that nobody without the key can follow back.

    HMAC-SHA256 (RFC 2104) of the names as NFC text in lower case, shortened. A patient keeps its id
    in every scan with the same key, whatever lies beside it, as long as the name is spelled alike
    and the folder scanned shows the same site: one above the sites' folders does, one of them does
    not. A case's id also depends on its session and, where one patient's files lie in several
    places, on the folders.
    """

    keyed = True

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._given: dict[str, str] = {}

    def patient(self, identity: Identity) -> str | None:
        """Return `k` and 12 hexadecimal digits; the letter keeps spreadsheets from rounding it."""
        return "k" + self._short(_PATIENT_DIGITS, "patient", identity.site, identity.patient)

    def case(self, identity: Identity) -> str | None:
        """Return the patient's id, with 6 digits more where the patient has several cases."""
        name = self.patient(identity)
        if not (identity.session or identity.qualifier):
            return name
        parts = (identity.site, identity.patient, identity.qualifier, identity.session)
        return f"{name}_{self._short(_CASE_DIGITS, 'case', *parts)}"

    def _short(self, digits: int, *words: str) -> str:
        """Return the first digits of a hash, and see to it that no two names share them."""
        text = "\0".join(unicodedata.normalize("NFC", word).casefold() for word in words)
        short = hmac.new(self._key, text.encode("utf-8"), hashlib.sha256).hexdigest()[:digits]
        if digits == _PATIENT_DIGITS and self._given.setdefault(short, text) != text:
            message = "two patients would get one id under this key"
            raise ConfigurationError(Problem("E_KEY_COLLISION", message, _HOW))
        return short


def read_key(path: Path) -> bytes:
    """Read the bytes of a key file.

    Raises:
        ConfigurationError: E_KEY_MISSING, E_KEY_UNREADABLE or E_KEY_LENGTH.
    """
    try:
        with path.open("rb") as stream:
            key = stream.read(_LARGEST_KEY + 1)
    except FileNotFoundError:
        raise ConfigurationError(
            Problem("E_KEY_MISSING", "the key file does not exist", _HOW)
        ) from None
    except OSError as error:
        message = f"the key file cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigurationError(Problem("E_KEY_UNREADABLE", message, _HOW)) from None
    if not SHORTEST_KEY <= len(key) <= _LARGEST_KEY:
        message = f"the key has {len(key)} bytes; it needs {SHORTEST_KEY} to {_LARGEST_KEY}"
        raise ConfigurationError(Problem("E_KEY_LENGTH", message, _HOW))
    return key


def safe(*parts: str) -> str | None:
    """Join names to one id that fits the table's rule, at most 100 long; None without a letter."""
    text = "_".join(part for part in parts if part)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", plain(text)).lstrip(".-")[:100]
    if not any(c.isalnum() for c in name) or not CASE_ID.fullmatch(name):
        return None
    return name
