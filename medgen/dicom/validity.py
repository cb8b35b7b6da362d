"""Whether an attribute of a source may stand in a new file as it is (PS3.5 section 6.2).

Readers take much that no writer may write: ids of 70 characters, dates with dots, a sex that is
spelled out. What we write is held to the standard, whatever it was copied from.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from typing import Any

from pydicom.datadict import dictionary_has_tag, dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag

from medgen.dicom.values import quiet

_LONGEST = {"AE": 16, "CS": 16, "SH": 16, "LO": 64, "ST": 1024, "LT": 10240}  # characters
_PARAGRAPHS = ("ST", "LT", "UT")
_BREAKS = "\t\n\f\r"
_NAME_GROUPS, _NAME_DELIMITERS, _NAME_GROUP_LENGTH = 3, 4, 64
_HOUR = r"([01][0-9]|2[0-3])"
_SECONDS = r"([0-5][0-9](([0-5][0-9]|60)(\.[0-9]{1,6})?)?)?"
_FORMS = {
    "AS": re.compile(r"[0-9]{3}[DWMY]"),
    "CS": re.compile(r"[A-Z0-9 _]*"),
    "DT": re.compile(r"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?([+-][0-9]{4})?"),
    "IS": re.compile(r"[+-]?[0-9]{1,11}"),
    "TM": re.compile(_HOUR + _SECONDS),
    # A component may begin with 0, against PS3.5 9.1: that is common, and no other UID would do.
    "UI": re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*"),
}
_YES_NO = ("YES", "NO")
_ENUMERATED: dict[str, tuple[Any, ...]] = {  # PS3.3 C.7.1.1, C.7.2.2, C.7.3.1, C.12.1
    "PatientSex": ("M", "F", "O"),
    "PatientIdentityRemoved": _YES_NO,
    "QualityControlSubject": _YES_NO,
    "PatientSexNeutered": ("ALTERED", "UNALTERED"),
    "PregnancyStatus": (1, 2, 3, 4),
    "SmokingStatus": (*_YES_NO, "UNKNOWN"),
    "Laterality": ("R", "L"),
    "LongitudinalTemporalInformationModified": ("UNMODIFIED", "MODIFIED", "REMOVED"),
}


def is_sound(header: Dataset, keyword: str) -> bool:
    """Tell whether a header's attribute is absent, empty, or valid for a new file."""
    if keyword not in header:
        return True
    with quiet():
        try:
            return is_valid(header[keyword])
        except Exception:  # pydicom raises whatever damaged bytes lead it to
            return False


def is_valid(element: DataElement) -> bool:
    """Tell whether an attribute has the representation, number and form of values it must have.

    Nothing is said of a sequence's items. A decimal of any length passes: it can be spelled shorter
    without being another number. UIDs may have components that begin with 0.
    """
    tag = Tag(element.tag)
    if dictionary_has_tag(tag):
        if element.VR not in dictionary_VR(tag).split(" or "):
            return False
        if dictionary_VM(tag) == "1" and isinstance(element.value, MultiValue):
            return False
    if element.VR == "SQ" or element.is_empty:
        return True
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    allowed = _ENUMERATED.get(element.keyword)
    return all(
        (allowed is None or one in allowed) and _is_in_form(element.VR, one) for one in values
    )


def _is_in_form(kind: str, value: Any) -> bool:
    if kind == "DS":
        return value in ("", None) or math.isfinite(float(value))
    if isinstance(value, bytes | int | float) and kind != "IS":
        return True
    words = str(value)
    if not words:
        return True
    if len(words) > _LONGEST.get(kind, len(words)) or _has_controls(kind, words):
        return False
    if kind == "PN":
        return _is_name(words)
    if kind == "DA":
        return _is_date(words)
    return kind not in _FORMS or _FORMS[kind].fullmatch(words) is not None


def _has_controls(kind: str, words: str) -> bool:
    breaks = _BREAKS if kind in _PARAGRAPHS else ""
    return any(unicodedata.category(one) == "Cc" and one not in breaks for one in words)


def _is_name(words: str) -> bool:
    """Tell whether a name is of up to three groups of up to five parts (PS3.5 6.2.1)."""
    groups = words.split("=")
    return len(groups) <= _NAME_GROUPS and all(
        len(group) <= _NAME_GROUP_LENGTH and group.count("^") <= _NAME_DELIMITERS
        for group in groups
    )


def _is_date(words: str) -> bool:
    try:
        return len(words) == 8 and bool(datetime.datetime.strptime(words, "%Y%m%d"))
    except ValueError:
        return False
