"""A derived series as a whole: what made it, what came of it, and whether it can be made at all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from medgen.dicom.frames import ARBITRARY, BECQUEREL, HU, SUV, SeriesFacts
from medgen.dicom.pet import pet_problems
from medgen.dicom.validity import is_sound
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
_PET_KEEPS = ("SeriesDate", "SeriesTime", "CountsSource", "DecayCorrection")
"""What a PET image must have and only its source knows (PS3.3 C.8.9.1)."""
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
def check_derivable(
    source: SeriesFacts, *, unit_or_kind: str, others: Sequence[SeriesFacts] = ()
) -> list[Problem]:
    """Return all that keeps an answer from being written as a series derived from this source.

    To be asked before anything is computed. `unit_or_kind` is the answer's unit (HU, Bq/ml, SUV or
    arbitrary) for images, "labels" or "map". Codes: E_NO_IDENTITY where the source does not say
    which patient, study, series, file or frame of reference it is, or says it in a form that no
    valid file can hold; where one of the `others`, which the answer was computed from besides,
    cannot be referred to; E_DICOM_TARGET where the answer has no place in DICOM or the source lacks
    what the answer's object needs. Raises ValueError for an unknown unit or kind.
    """
    if unit_or_kind not in KINDS:
        raise ValueError(f"{unit_or_kind!r} is none of {', '.join(KINDS)}")
    problems = list(source.identity) or _identity_problems(source)
    problems += _form_problems(source)
    problems += _reference_problems(others)
    if unit_or_kind in (BECQUEREL, SUV):
        problems += pet_problems(source) or _pet_form_problems(source)
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
    problems = _blank_identifiers(source)
    if not source.frame_of_reference.strip():
        problems.append(_no_identity("the source has no FrameOfReferenceUID"))
    elif any(not is_sound(header, "FrameOfReferenceUID") for header in headers):
        problems.append(_no_identity(_invalid("FrameOfReferenceUID")))
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


def _blank_identifiers(source: SeriesFacts) -> list[Problem]:
    headers = {id(frame.instance): frame.instance.header for frame in source.frames}.values()
    problems = []
    for keyword in _IDENTIFIERS:
        sound = sum(
            bool(text_of(header, keyword)) and is_sound(header, keyword) for header in headers
        )
        if sound < len(headers):
            message = f"{len(headers) - sound} of {len(headers)} source files have no {keyword}"
            problems.append(_no_identity(message))
    return problems


def _form_problems(source: SeriesFacts) -> list[Problem]:
    """Return which of patient and study could only be written in another form, or not at all.

    An identity is never cut to fit: the answer would be somebody else's, or nobody's.
    """
    headers = {id(frame.instance): frame.instance.header for frame in source.frames}.values()
    bad = [
        keyword
        for keyword in ("PatientID", "PatientName")
        if any(not is_sound(header, keyword) for header in headers)
    ]
    return [_no_identity(_invalid(keyword)) for keyword in bad]


def _reference_problems(others: Iterable[SeriesFacts]) -> list[Problem]:
    """Return why a file could not say which further series it was made of."""
    found = []
    for one in others:
        for problem in _blank_identifiers(one):
            message = f"a further source cannot be referred to: {problem.message}"
            found.append(_no_identity(message))
    return list(dict.fromkeys(found))


def _pet_form_problems(source: SeriesFacts) -> list[Problem]:
    header = source.frames[0].header
    bad = [keyword for keyword in _PET_KEEPS if not is_sound(header, keyword)]
    if not bad:
        return []
    message = f"the PET source's {', '.join(bad)} cannot be written in valid form"
    advice = f"{_TO_NIFTI}, or export the source again"
    return [Problem("E_DICOM_TARGET", message, advice)]


def _invalid(keyword: str) -> str:
    return f"the source's {keyword} is of a form or length that no valid DICOM file can hold"


def _no_identity(message: str) -> Problem:
    advice = f"{_TO_NIFTI}, or export the source again with its identifiers"
    return Problem("E_NO_IDENTITY", message, advice)
