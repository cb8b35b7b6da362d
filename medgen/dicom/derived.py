"""A derived series as a whole: what made it, what came of it, and whether it can be made at all."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from medgen.dicom.frames import ARBITRARY, BECQUEREL, HU, SUV, SeriesFacts
from medgen.dicom.pet import pet_problems
from medgen.dicom.values import quiet, text_of, texts_of, value_of
from medgen.problems import Problem

LABELS = "labels"
MAP = "map"
KINDS = (HU, BECQUEREL, SUV, ARBITRARY, LABELS, MAP)

_TO_NIFTI = "write NIfTI instead"
_IDENTIFIERS = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_OF_ONE = {
    "patients": ("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    "studies": ("StudyInstanceUID",),
    "series": ("SeriesInstanceUID",),
    "frames of reference": ("FrameOfReferenceUID",),
}
_UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1; leading zeros are wrong, common and harmless
_UNDECODABLE = "\N{REPLACEMENT CHARACTER}"
_LARGEST_FILE = 0xFFFFFFFE  # bytes of one value, PS3.5 7.1.1


@dataclass(frozen=True)
class Derivation:
    """What made an answer, and when.

    `model` and `version` name the model and the medgen that ran it; both digests are SHA-256 in
    hexadecimal; `description` says in a sentence what was done to the source. New UIDs are hashed
    from all of it, so that writing the same twice gives the same files.
    """

    model: str
    version: str
    weights_digest: str
    settings_digest: str
    description: str
    moment: datetime


@dataclass(frozen=True)
class WrittenSeries:
    """What was written: a digest of all files, how many voxels were clipped, the files' names."""

    digest: str
    clipped_voxels: int
    files: tuple[str, ...] = field(repr=False)


@quiet()
def check_derivable(source: SeriesFacts, *, unit_or_kind: str) -> list[Problem]:
    """Return all that keeps an answer from being written as a series derived from this source.

    To be asked before anything is computed. `unit_or_kind` is the answer's unit (HU, Bq/ml, SUV or
    arbitrary) for images, "labels" or "map". Codes: E_NO_IDENTITY where the source does not say
    which patient, study, series, file or frame of reference it is, E_DICOM_TARGET where the answer
    has no place in DICOM or the source lacks what the answer's object needs. Raises ValueError for
    an unknown unit or kind.
    """
    if unit_or_kind not in KINDS:
        raise ValueError(f"{unit_or_kind!r} is none of {', '.join(KINDS)}")
    problems = list(source.identity) or _identity_problems(source)
    if unit_or_kind in (BECQUEREL, SUV):
        problems += pet_problems(source)
    elif unit_or_kind == ARBITRARY and source.modality == "PT":
        message = "an answer without a unit, made of PET, is no PET; it would be written as MR"
        advice = f"give the answer's column its unit (Bq/ml or SUV), or {_TO_NIFTI}"
        problems.append(Problem("E_DICOM_TARGET", message, advice))
    elif unit_or_kind == MAP and (size := 4 * math.prod(source.shape)) > _LARGEST_FILE:
        message = f"a parametric map of {size} bytes is over the {_LARGEST_FILE} of one DICOM file"
        problems.append(Problem("E_DICOM_TARGET", message, _TO_NIFTI))
    return problems


@quiet()
def differ(first: SeriesFacts, second: SeriesFacts, keywords: Iterable[str]) -> bool:
    """Tell whether two series disagree on an attribute; a blank one disagrees with none."""
    headers = (first.frames[0].header, second.frames[0].header)
    pairs = [tuple(text_of(header, keyword) for header in headers) for keyword in keywords]
    return any(all(pair) and pair[0] != pair[1] for pair in pairs)


def _identity_problems(source: SeriesFacts) -> list[Problem]:
    """Return what the derived series could not inherit, or not point to."""
    headers = {id(frame.instance): frame.instance.header for frame in source.frames}.values()
    problems = []
    for keyword in _IDENTIFIERS:
        sound = sum(_is_uid(text_of(header, keyword)) for header in headers)
        if sound < len(headers):
            message = f"{len(headers) - sound} of {len(headers)} source files have no {keyword}"
            problems.append(_no_identity(message))
    if not _is_uid(source.frame_of_reference):
        problems.append(_no_identity("the source has no FrameOfReferenceUID"))
    for what, keywords in _OF_ONE.items():
        for keyword in keywords:
            count = len({texts_of(header, keyword) for header in headers})
            if count > 1:
                message = f"the source is of {count} {what}: {keyword} differs between its files"
                problems.append(_no_identity(message))
    for keyword in ("PatientID", "PatientName"):
        if any(_UNDECODABLE in str(value_of(header, keyword)) for header in headers):
            message = f"{keyword} is not written in the character set that the header names"
            problems.append(_no_identity(message))
    return problems


def _is_uid(text: str) -> bool:
    return _UID.fullmatch(text) is not None


def _no_identity(message: str) -> Problem:
    advice = f"{_TO_NIFTI}, or export the source again with its identifiers"
    return Problem("E_NO_IDENTITY", message, advice)
