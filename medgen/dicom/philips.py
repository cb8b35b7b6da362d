"""Philips's private factors, without which its PET in counts measures nothing."""

from __future__ import annotations

import math

from pydicom.dataset import Dataset

from medgen.dicom.values import quiet

_GROUP, _CREATOR = 0x7053, "Philips PET Private Group"
_TO_SUV, _TO_ACTIVITY = 0x00, 0x09


def activity_factor(header: Dataset) -> float | None:
    """Return what rescaled counts are multiplied by to become Bq/ml, or None.

    It is (7053,xx09), as Philips's DICOM conformance statements of the Gemini scanners and the
    vendor-neutral pseudo-code of QIBA's FDG-PET/CT profile describe it.
    """
    return _factor(header, _TO_ACTIVITY)


def suv_factor(header: Dataset) -> float | None:
    """Return what rescaled counts are multiplied by to become SUV by body weight, or None.

    It is (7053,xx00); the same documents describe it.
    """
    return _factor(header, _TO_SUV)


def _factor(header: Dataset, element: int) -> float | None:
    with quiet():
        try:
            value = header.private_block(_GROUP, _CREATOR)[element].value
            # Without a value representation (implicit, or UN) the text comes as bytes.
            text = value.decode("ascii") if isinstance(value, bytes) else value
            factor = float(text)
        except Exception:  # no such block or element, or a damaged one
            return None
    return factor if math.isfinite(factor) and factor > 0 else None
