"""What made an answer: digests and versions that go with everything that is written."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch

import medgen

NOTICE = "research use only: not a medical device, not for diagnosis or treatment"


@dataclass(frozen=True)
class Provenance:
    """What made an answer; digests only, since a path may hold a patient's name."""

    weights_digest: str
    config_digest: str
    settings_digest: str
    """Of everything else that decides the voxels: the answer asked for, how NaN is treated, ..."""
    method: str = ""
    """The method's name, which a derived DICOM series carries."""
    seen: frozenset[str] = frozenset()
    """SHA-256 of every source file that training or validation read."""
    dose_fractions: tuple[float, ...] = ()
    """Shares of the full dose that the model was trained on, where that is known."""


def versions() -> dict[str, Any]:
    """Return the versions that decide a result."""
    return {
        "medgen": medgen.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }
