"""Decimal strings: numbers as DICOM writes them, at most 16 characters (PS3.5 6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydicom.valuerep import format_number_as_ds

_LONGEST = 16


def decimal(value: float) -> str:
    """Return a finite number as a decimal string, with all the digits that fit."""
    return str(format_number_as_ds(float(value)))


def decimals(values: Iterable[Any]) -> list[str]:
    """Return numbers as decimal strings; those read from a header keep their own spelling."""
    return [_spelled(value) for value in values]


def _spelled(value: Any) -> str:
    text = str(getattr(value, "original_string", "") or "").strip(" \0")
    return text if 0 < len(text) <= _LONGEST else decimal(value)
