"""What identifies a person, a place or a moment in a header: the attributes of PS3.15 Table E.1-1.

The table names whole sequences too, to be removed with all they hold. Of that, only texts,
identifiers and pictures count here, which may be someone's own; flags, numbers, classes and codes
for purposes or procedures are the same for everybody.

It is shown on request only. medgen does not claim to remove it, and what it finds is not all that
identifies: names are burned into pictures, and a head scan shows a face.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from medgen.dicom.profile import (
    CODE_VALUES,
    CODES,
    COMMON_VALUES,
    NAMES_AND_MOMENTS,
    NEWER,
    OVERLAYS_AND_CURVES,
    UIDS,
    WORDS,
)
from medgen.dicom.values import quiet

_LONGEST = 80
_DEEPEST = 16
_BULK = ("OB", "OW", "OD", "OF", "OL", "OV", "UN")
_CODE_SEQUENCE = "CodeSequence"


@dataclass(frozen=True)
class Identifying:
    """One identifying attribute of a series: in how many files, and the values it has there."""

    name: str
    """Its keyword, after those of the sequences it lies in; its tag where it has none."""
    files: int
    values: tuple[str, ...] = field(repr=False)
    """The different values in the order of the files, each at most 80 characters long."""


@dataclass(frozen=True)
class Identification:
    """All that identifies in a series; private attributes are counted, since nobody knows them."""

    attributes: tuple[Identifying, ...]
    private: int
    """How many different private attributes hold a value."""


def identification(headers: Iterable[Dataset]) -> Identification:
    """Return the identifying attributes that hold a value in any of the headers."""
    files: dict[str, int] = {}
    values: dict[str, dict[str, None]] = {}
    private: set[BaseTag] = set()
    for header in headers:
        found: set[str] = set()
        parts = [header, *([header.file_meta] if hasattr(header, "file_meta") else [])]
        with quiet():
            for part in parts:
                for name, value in _walk(part, (), False, private):
                    found.add(name)
                    values.setdefault(name, {})[value] = None
        for name in found:
            files[name] = files.get(name, 0) + 1
    attributes = [Identifying(name, files[name], tuple(values[name])) for name in sorted(values)]
    return Identification(tuple(attributes), len(private))


def _walk(
    header: Dataset, above: tuple[str, ...], listed: bool, private: set[BaseTag]
) -> Iterator[tuple[str, str]]:
    """Yield name and value of every identifying attribute, also of those within sequences.

    `above` are the sequences that hold the header, and `listed` says that one of them stands in
    the table, so that more in it counts.
    """
    for tag in list(header.keys()):
        if tag.is_private:
            if not tag.is_private_creator and _filled(header, tag):
                private.add(tag)
            continue
        keyword = keyword_for_tag(tag)
        names = (*above, keyword or str(tag))
        representation = _vr(header, tag)
        value = _value(header, tag)
        if value is None or value == "":
            continue
        own = identifies(tag, keyword, representation)
        if representation == "SQ":
            for item in value if len(names) <= _DEEPEST else ():
                yield from _walk(item, names, listed or own, private)
        elif own or (listed and _counts_within(above[-1], keyword, representation)):
            yield ".".join(names), _shown(value, representation)


def _counts_within(sequence: str, keyword: str, representation: str) -> bool:
    """Tell whether an attribute counts because it lies in, or below, a sequence of the table.

    A code does where the table names its own sequence: it then stands for a person, a place or what
    is known of a patient. Others say what a reference is for, or which procedure was done.
    """
    if keyword in CODES:
        return keyword in CODE_VALUES and sequence in WORDS and _CODE_SEQUENCE in sequence
    return representation not in COMMON_VALUES


def identifies(tag: BaseTag, keyword: str, representation: str) -> bool:
    """Tell whether an attribute stands in the table."""
    if representation in NAMES_AND_MOMENTS or keyword in WORDS or keyword in UIDS:
        return True
    return int(tag) in NEWER or tag.group >> 8 in OVERLAYS_AND_CURVES


def _vr(header: Dataset, tag: BaseTag) -> str:
    """Return the value representation, "" where a damaged value keeps it from being told."""
    try:
        return str(header[tag].VR)
    except Exception:  # pydicom raises whatever a damaged value leads it to
        return ""


def _value(header: Dataset, tag: BaseTag) -> Any:
    try:
        return header[tag].value
    except Exception:  # as above
        return None


def _filled(header: Dataset, tag: BaseTag) -> bool:
    value = _value(header, tag)
    return value is not None and value != "" and value != b"" and value != []


def _shown(value: object, representation: str) -> str:
    if representation in _BULK or isinstance(value, bytes):
        return f"({len(value)} bytes)" if isinstance(value, bytes) else "(data)"
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
