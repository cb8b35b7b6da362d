"""When two spellings of a patient's name are taken for one patient."""

from __future__ import annotations

import re
import unicodedata

_LETTERS_OR_DIGITS = re.compile(r"[^\W\d_]+|\d+")


def same_spelling(name: str) -> str:
    """Return what two spellings of one name share.

    That is its letters without case and accents and its numbers without leading zeros: `P-01`,
    `p_1` and `p01` share it, as `Müller` and `muller` do; `p1-1` and `p11` do not. A name without
    a letter or digit is only like itself.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    letters = "".join(c for c in plain if not unicodedata.combining(c))
    words = _LETTERS_OR_DIGITS.findall(letters)
    return ".".join((word.lstrip("0") or "0") if word.isdecimal() else word for word in words) or (
        name
    )
