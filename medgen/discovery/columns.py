"""What a file's name says that it holds: column names, and whether they are images or masks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from medgen.data.modality import MR_COLUMNS
from medgen.data.rows import RESERVED

Kind = Literal["image", "label", "mask"]

ORDER = (
    *("mr", "t1", "t1ce", "t2", "pd", "flair", "cbct", "ct"),
    *("pet", "pet_low", "pet_full", "pet_nac", "pet_ac"),
)
"""How image columns are ordered in a table; others follow by name, then labels, then masks."""

_LONGEST = 40
_CANONICAL = {
    "mri": "mr",
    **dict.fromkeys(("t1w", "t1weighted", "mprage"), "t1"),
    **dict.fromkeys(("t1c", "t1gd", "t1post"), "t1ce"),
    **dict.fromkeys(("t2w", "t2weighted"), "t2"),
    **dict.fromkeys(("t2s", "t2starw"), "t2star"),
    "pdw": "pd",
    "t2flair": "flair",
    "conebeam": "cbct",
    **dict.fromkeys(("labels", "seg", "segmentation", "segmentations", "dseg"), "label"),
    **dict.fromkeys(("gt", "groundtruth"), "label"),
    "lesions": "lesion",
    "tumour": "tumor",
    "tissues": "tissue",
    **dict.fromkeys(("masks", "msk"), "mask"),
    "brainmask": "brain",
    "bodymask": "body",
    "images": "image",
}
_IMAGES = MR_COLUMNS | {"ct", "cbct", "pet", "spect", "image"}
_LABELS = {"label", "lesion", "tumor", "tissue", "regions", "roi", "wml", "wmh", "aseg"}
_MASKS = {"mask", "body", "brain", "outline"}
_QUALIFIERS = (
    "on in to low full dose high ce star flair reg registered aligned n4 bias corrected norm atlas "
    "raw mni native ac nac stripped skull pre post contrast synthetic pseudo"
)
_KNOWN = _IMAGES | _LABELS | _MASKS | set(_QUALIFIERS.split())
_PHRASES = {
    "brain_mask": "brain",
    "body_mask": "body",
    "lesion_mask": "lesion",
    "t1_ce": "t1ce",
    "t2_flair": "flair",
    "t2_star": "t2star",
    "low_dose_pet": "pet_low",
    "pet_low_dose": "pet_low",
    "full_dose_pet": "pet_full",
    "pet_full_dose": "pet_full",
}
_WORD = re.compile(r"[^\W_]+")


def slug(text: str) -> str:
    """Return a text as a column name of a-z, 0-9 and _, at most 40 long; never empty or reserved.

    Letters lose their accents; whatever has no such form becomes an underscore.
    """
    name = re.sub(r"[^a-z0-9]+", "_", plain(text).lower()).strip("_")[:_LONGEST].strip("_")
    if not name:
        return "image"
    return f"{name}_image" if name in RESERVED else name


def plain(text: str) -> str:
    """Return a text in ASCII: letters without their accents, `?` for what has no ASCII form."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(c if c.isascii() else "?" for c in letters if not unicodedata.combining(c))


def known_column(text: str) -> str | None:
    """Return the column that a text names in words all known (`T1w` -> t1, `ct_mask`), or None."""
    words = [match.group() for match in _WORD.finditer(text)]
    return _phrase(words)


def split_stem(stem: str) -> tuple[str, str] | None:
    """Split a file's name into a case and a known column (`p01_brain_mask` -> p01, brain).

    The column stands at the end (the longest that is known), else at the start; None where neither
    is so, or where nothing is left for the case.
    """
    matches = list(_WORD.finditer(stem))
    words = [match.group() for match in matches]
    for first in range(1, len(words)):
        column = _phrase(words[first:])
        if column and not _qualifies_only(words[first]):
            return stem[: matches[first].start()].rstrip("_-. "), column
    for last in range(len(words) - 1, 0, -1):
        column = _phrase(words[:last])
        if column and not _qualifies_only(words[0]):
            return stem[matches[last].start() :], column
    return None


def kind_of(column: str) -> Kind:
    """Tell what a column's name says that it holds.

    A mask is one region; a label may hold several, or none in a healthy person. `t1_brain` is an
    image of the brain, `brain_on_t1` a mask.
    """
    words = [_CANONICAL.get(word, word) for word in column.split("_")]
    if _LABELS & set(words):
        return "label"
    if "mask" in words or words[0] in _MASKS:
        return "mask"
    return "image"


def ordered(columns: Sequence[str]) -> list[str]:
    """Return columns as a table shows them: images in a fixed order, then labels, then masks."""

    def place(column: str) -> tuple[int, int, str]:
        kind = ("image", "label", "mask").index(kind_of(column))
        return kind, ORDER.index(column) if column in ORDER else len(ORDER), column

    return sorted(set(columns), key=place)


def _phrase(words: Sequence[str]) -> str | None:
    """Return the column that known words make, if at least one of them names an image or mask."""
    canonical = [_CANONICAL.get(word.lower(), word.lower()) for word in words]
    if not canonical or not all(word in _KNOWN for word in canonical):
        return None
    if not any(word in _IMAGES | _LABELS | _MASKS for word in canonical):
        return None
    name = "_".join(canonical)
    return slug(_PHRASES.get(name, name))


def _qualifies_only(word: str) -> bool:
    name = _CANONICAL.get(word.lower(), word.lower())
    return name not in _IMAGES | _LABELS | _MASKS and word.lower() not in ("low", "full")
