"""Header values, read without trust: absent, damaged and impossible ones are told apart.

pydicom converts a value when it is asked for, and quotes it in the warnings and exceptions that a
damaged one causes. Values are patients' data, so neither may travel on.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import threading
import warnings
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

_OUTSPOKEN = tuple(
    logging.getLogger(name) for name in ("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "rle")
)
_MODALITIES: dict[str, str] = {
    CTImageStorage: "CT",
    EnhancedCTImageStorage: "CT",
    LegacyConvertedEnhancedCTImageStorage: "CT",
    PositronEmissionTomographyImageStorage: "PT",
    EnhancedPETImageStorage: "PT",
    LegacyConvertedEnhancedPETImageStorage: "PT",
    MRImageStorage: "MR",
    EnhancedMRImageStorage: "MR",
    LegacyConvertedEnhancedMRImageStorage: "MR",
}
_inside = threading.local()


class _Silence:
    """What is silenced belongs to the process, so the last of several threads lifts it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads = 0
        self.undo = contextlib.ExitStack()

    def enter(self) -> None:
        with self.lock:
            self.threads += 1
            if self.threads > 1:
                return
            self.undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for logger in _OUTSPOKEN:
                self.undo.callback(setattr, logger, "disabled", logger.disabled)
                logger.disabled = True

    def leave(self) -> None:
        with self.lock:
            self.threads -= 1
            if not self.threads:
                self.undo.close()


_silence = _Silence()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom and its decoders within: what they say quotes header values.

    It may be entered again inside, where it costs nothing, and by several threads at once: silence
    lasts until the last of them leaves.
    """
    if getattr(_inside, "quiet", False):
        yield
        return
    _silence.enter()
    try:
        _inside.quiet = True
        yield
    finally:
        _inside.quiet = False
        _silence.leave()


_tag = functools.cache(Tag)


def value_of(header: Dataset, keyword: str) -> Any:
    """Return a value as pydicom has it; None where it is absent, empty or unreadable."""
    tag = _tag(keyword)
    if tag not in header:
        return None
    with quiet():
        try:
            value = header[tag].value
        except Exception:  # pydicom raises whatever damaged bytes lead it to
            return None
    if value is None or (isinstance(value, str | bytes | MultiValue) and not len(value)):
        return None
    return value


def texts_of(header: Dataset, keyword: str) -> tuple[str, ...]:
    """Return all values of an attribute as stripped upper-case texts; () where it has none."""
    value = value_of(header, keyword)
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return tuple(str(one).strip().upper() for one in values if one is not None)


def text_of(header: Dataset, keyword: str) -> str:
    """Return an attribute's first value as a stripped upper-case text; "" where it has none."""
    texts = texts_of(header, keyword)
    return texts[0] if texts else ""


def numbers_of(header: Dataset, keyword: str) -> tuple[float, ...]:
    """Return all values of an attribute as numbers, NaN for each that is none; () if absent."""
    tag = _tag(keyword)
    if tag not in header:
        return ()
    with quiet():
        try:
            value = header[tag].value
        except Exception:  # a decimal string that is no number, or worse
            return (math.nan,)
        values = value if isinstance(value, MultiValue | list | tuple) else [value]
        return tuple(_number(one) for one in values if one is not None and one != "")


def number_of(header: Dataset, keyword: str) -> float | None:
    """Return an attribute's only value as a number: None if absent or empty, NaN if impossible."""
    numbers = numbers_of(header, keyword)
    if not numbers:
        return None
    return numbers[0] if len(numbers) == 1 else math.nan


def whole_of(header: Dataset, keyword: str) -> int | None:
    """Return an attribute's only value as a whole number; None where it is absent or is none."""
    number = number_of(header, keyword)
    return int(number) if number is not None and number.is_integer() else None


def items_of(header: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence; () where it is absent, empty or unreadable."""
    value = value_of(header, keyword)
    if value is None or isinstance(value, str | bytes):
        return ()
    try:
        return tuple(item for item in value if isinstance(item, Dataset))
    except TypeError:
        return ()


def modality_of(header: Dataset) -> str:
    """Return the Modality in upper case; where it is blank, the one that the SOP class has."""
    stated = text_of(header, "Modality")
    return stated or _MODALITIES.get(text_of(header, "SOPClassUID"), "")


def contradicts_class(header: Dataset) -> bool:
    """Tell whether the Modality claims CT or PET, in whose units others measure nothing."""
    stated = text_of(header, "Modality")
    kind = _MODALITIES.get(text_of(header, "SOPClassUID"), stated)
    return stated in ("CT", "PT") and stated != kind


def class_name(header: Dataset) -> str:
    """Return the name of the SOP class, or "an unnamed SOP class": a UID is never quoted."""
    with quiet():  # pydicom warns of a UID that is none, and quotes it
        uid = UID(str(value_of(header, "SOPClassUID") or ""))
        return uid.name if uid.type == "SOP Class" else "an unnamed SOP class"


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
