"""Where a layout puts a file: the patient, the session and the column that it would fill."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from medgen.discovery.findings import Finding
from medgen.discovery.walking import Entry

_SPLITS = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing", "ts"), "test"),
}
_SPLIT_AND_DOMAIN = re.compile(r"(train|test|val)(A|B)")
_SITE = re.compile(r"(?:site|cent(?:er|re)|hospital|scanner)[-_ ]?\w+", re.IGNORECASE)
_SESSION = (
    r"(?:ses(?:sion)?|visit|study|exam|scan|timepoint|tp|day|week|month|year)[-_ ]?\d\w*"
    r"|ses-\w+|v\d{1,2}|baseline|follow[-_ ]?up\w*|pre|post"
)
_DATE = r"(?:19|20)\d\d(?P<sign>-?)(?:0[1-9]|1[0-2])(?P=sign)(?:0[1-9]|[12]\d|3[01])"
_DATE_FOLDER = re.compile(_DATE)
_SESSION_FOLDER = re.compile(rf"{_SESSION}|{_DATE}", re.IGNORECASE)
_SESSION_BEHIND = re.compile(rf"(.*[^_\-. ])[_\-. ]({_SESSION}|{_DATE})", re.IGNORECASE)


@dataclass(frozen=True)
class SeriesPlace:
    """What a scan compares of DICOM series that may stand in one row."""

    frame_of_reference: str = field(repr=False)
    """The UID; empty where the header has none."""
    rank: tuple[float, ...] = ()
    """Of several series for one cell the least is proposed."""


@dataclass(frozen=True)
class Placement:
    """One file in its cell. Names are the user's own, not yet made safe."""

    entry: Entry
    layout: str
    scope: tuple[str, ...]
    """The folders of the cohort it belongs to, less those that only name a split."""
    patient: str
    column: str
    session: str = ""
    split: str = ""
    site: str = ""
    values: frozenset[int] | None = None
    """The label values that the data set declares."""
    series: SeriesPlace | None = None
    """What is known of a DICOM series; None for a file."""


@dataclass
class Placed:
    """What a layout recognised, and what is wrong with the rest."""

    placements: list[Placement] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def without_split(folders: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """Return folder names less those that name a split, and the split: `trainA` -> A, train."""
    kept, split = [], ""
    for name in folders:
        both = _SPLIT_AND_DOMAIN.fullmatch(name)
        if both:
            split = _SPLITS[both[1]]
            kept.append(both[2])
        elif name.lower() in _SPLITS:
            split = _SPLITS[name.lower()]
        else:
            kept.append(name)
    return tuple(kept), split


def site_of(folders: Iterable[str]) -> str:
    """Return the folder that names a site (`siteA`, `center_2`), or nothing."""
    return next((name for name in folders if _SITE.fullmatch(name)), "")


def names_session(folder: str) -> bool:
    """Tell whether a folder's name is that of a session or visit (`ses-1`, `visit2`, a date)."""
    return _SESSION_FOLDER.fullmatch(folder) is not None


def names_date(name: str) -> bool:
    """Tell whether a name is a day: `2020-01-31` or `20200131`."""
    return _DATE_FOLDER.fullmatch(name) is not None


def split_session(name: str) -> tuple[str, str]:
    """Split what may be a session off the end of a name: `p01_visit2` -> p01, visit2.

    Whether it is one, the other names tell: see `sessions`.
    """
    match = _SESSION_BEHIND.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")
