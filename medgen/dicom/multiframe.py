"""A file to its image planes: one of a classic file, many of an enhanced multi-frame one.

An enhanced file states what all frames share once, and the rest frame by frame, in functional
groups (PS3.3 C.7.6.16). Here each frame gets a header like that of a classic file, so that nothing
that follows need know the difference.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    LegacyConvertedEnhancedPETImageStorage,
)

from medgen.dicom.frames import Frame, Instance
from medgen.dicom.values import class_name, items_of, number_of, quiet, text_of, value_of, whole_of
from medgen.problems import Problem

ENHANCED = frozenset(
    (
        EnhancedCTImageStorage,
        EnhancedMRImageStorage,
        EnhancedPETImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
        LegacyConvertedEnhancedMRImageStorage,
        LegacyConvertedEnhancedPETImageStorage,
    )
)

SHARED = "SharedFunctionalGroupsSequence"
PER_FRAME = "PerFrameFunctionalGroupsSequence"

MACROS = (
    # Attributes that fit nowhere else in a legacy converted file: PS3.3 C.7.6.16.2.25 and .26.
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    # Common to all modalities: PS3.3 C.7.6.16.2.
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameContentSequence",
    "CardiacSynchronizationSequence",
    "RespiratorySynchronizationSequence",
    "TemporalPositionSequence",
    # MR: PS3.3 C.8.13.5. CT: C.8.15.3. PET: C.8.22.5.
    "MRImageFrameTypeSequence",
    "MREchoSequence",
    "MRTimingAndRelatedParametersSequence",
    "MRModifierSequence",
    "MRDiffusionSequence",
    "CTImageFrameTypeSequence",
    "CTReconstructionSequence",
    "CTXRayDetailsSequence",
    "PETFrameTypeSequence",
)

CLASSIC_NAMES = {
    "EffectiveEchoTime": "EchoTime",
    "FrameType": "ImageType",
    "TemporalPositionIndex": "TemporalPositionIdentifier",
    "FrameAcquisitionDateTime": "AcquisitionDateTime",
    "NominalCardiacTriggerDelayTime": "TriggerTime",
}

_WHOLE = "give the folder that holds all files of the series"
_DAMAGED = "copy or export it again"


@quiet()
def frames_of(instance: Instance) -> tuple[list[Frame], list[Problem]]:
    """Return the image planes of a file, and what keeps a file from having any.

    A classic file is one plane with its own header. Enhanced and Legacy Converted Enhanced CT, MR
    and PET files have as many as their functional groups (PS3.3 C.7.6.16) describe: attributes of
    the groups lie at the root of each frame's header, those of the frame over those of all.
    EffectiveEchoTime, FrameType, TemporalPositionIndex, FrameAcquisitionDateTime and
    NominalCardiacTriggerDelayTime are there under their classic names too. Stored values are
    rescaled by PixelValueTransformation alone, enhanced PET excepted (`_real_world`).

    Problems: E_SOP_CLASS for frames of other classes, which state no planes (ultrasound,
    angiography, ...); E_BAD_HEADER where NumberOfFrames and the groups disagree.
    """
    header = instance.header
    count = whole_of(header, "NumberOfFrames")
    enhanced = text_of(header, "SOPClassUID") in ENHANCED
    grouped = PER_FRAME in header
    if not enhanced and not grouped and count in (None, 1):
        if count is None and value_of(header, "NumberOfFrames") is not None:
            return [], [_bad("its number of frames is no whole number")]
        return [Frame(instance, 0, header)], []
    if not enhanced and text_of(header, "SOPClassUID"):
        return [], [_unsupported(header, count)]
    if not grouped:
        return [], [_bad("it is a multi-frame file without functional groups per frame")]
    groups = items_of(header, PER_FRAME)
    if count is None or count != len(groups) or not groups:
        stated = "no number of frames" if count is None else f"{count} frames"
        return [], [_bad(f"it states {stated} and describes {len(groups)}")]
    root = _root(header)
    shared = items_of(header, SHARED)
    headers = [_overlaid(header, root, (*shared[:1], group)) for group in groups]
    return [Frame(instance, number, one) for number, one in enumerate(headers)], []


def concatenation_problems(instances: Iterable[Instance]) -> list[Problem]:
    """Return E_TOO_FEW_FILES where parts of a concatenation (PS3.3 C.7.6.16.2.2.4) are missing.

    The frames of one image may be spread over several files. Nothing in those that are left tells
    that the first or the last of them is gone, but that they say how many there are.
    """
    parts: dict[str, set[int | None]] = defaultdict(set)
    totals: dict[str, set[int]] = defaultdict(set)
    for instance in instances:
        uid = str(value_of(instance.header, "ConcatenationUID") or "")
        if not uid:
            continue
        parts[uid].add(whole_of(instance.header, "InConcatenationNumber"))
        total = whole_of(instance.header, "InConcatenationTotalNumber")
        totals[uid] |= set() if total is None else {total}
    problems = []
    for uid, found in parts.items():
        greatest = max(totals[uid] | {number for number in found if number is not None}, default=0)
        count = sum(number is not None and number > 0 for number in found)
        if count < greatest:
            message = f"{count} of {greatest} files of a concatenated image are there"
            problems.append(Problem("E_TOO_FEW_FILES", message, _WHOLE))
    return problems


def _root(header: Dataset) -> dict[BaseTag, DataElement | RawDataElement]:
    """Return the elements that hold for the whole file, unread where they have not been asked."""
    apart = {Tag(SHARED), Tag(PER_FRAME), Tag("NumberOfFrames")}
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    for tag in header.keys():  # noqa: SIM118 - iterating a Dataset would convert each element
        if tag in apart:
            continue
        with quiet():
            try:
                elements[tag] = header.get_item(tag)
            except Exception:  # a damaged element is none
                continue
    return elements


def _overlaid(
    header: Dataset,
    root: dict[BaseTag, DataElement | RawDataElement],
    groups: tuple[Dataset, ...],
) -> Dataset:
    """Return a classic header for one frame; later groups win."""
    elements = {tag: _own(element) for tag, element in root.items()}
    given: set[int] = set()
    for macro in (item for group in groups for item in _macros(group)):
        for tag in macro.keys():  # noqa: SIM118 - as above
            if not tag.is_private:
                elements[tag] = _own(macro.get_item(tag))
                given.add(tag)
    frame = Dataset(elements)
    frame.file_meta = header.file_meta
    # Texts that are still bytes are decoded as the file's character set says.
    implicit, little = header.original_encoding
    frame.set_original_encoding(implicit, little, header.original_character_set)
    for keyword, classic in CLASSIC_NAMES.items():
        if Tag(keyword) in given and (Tag(classic) not in given):
            _put(frame, classic, value_of(frame, keyword))
    if text_of(header, "SOPClassUID") == EnhancedPETImageStorage:
        _real_world(frame, groups)
    return frame


def _own(element: DataElement | RawDataElement) -> DataElement | RawDataElement:
    """Return an element that may be assigned to: pydicom changes the one that is there."""
    return element if isinstance(element, RawDataElement) else copy.copy(element)


def _put(frame: Dataset, keyword: str, value: Any) -> None:
    """Replace an element without looking at the one that is there, which may be damaged."""
    if value is None:
        return
    with quiet(), contextlib.suppress(Exception):  # a value that the other attribute cannot have
        frame.add_new(keyword, dictionary_VR(keyword), value)


def _macros(group: Dataset) -> Iterator[Dataset]:
    for keyword in MACROS:
        yield from items_of(group, keyword)[:1]


def _real_world(frame: Dataset, groups: tuple[Dataset, ...]) -> None:
    """Give an enhanced PET frame the Units and the rescale that a classic one has.

    Enhanced PET has no Units (0054,1001): what values measure stands in the Real World Value
    Mapping, which carries stored values to quantities in UCUM units of CID 84 (PS3.3 A.56.4 and
    C.7.6.16.2.11). The one mapping to Bq/ml is taken, or else the one to SUV by body weight, if it
    is linear and holds for all values from 0 on. Anything else leaves the frame without Units,
    which is refused later.
    """
    found = [items_of(group, "RealWorldValueMappingSequence") for group in groups]
    mappings = next((mapping for mapping in reversed(found) if mapping), ())
    if value_of(frame, "Units") is not None:
        return
    for code, units in (("Bq/ml", "BQML"), ("{SUVbw}g/ml", "GML")):
        chosen = [mapping for mapping in mappings if _measures(mapping, code, frame)]
        if len(chosen) == 1:
            _put(frame, "Units", units)
            _put(frame, "RescaleSlope", number_of(chosen[0], "RealWorldValueSlope"))
            _put(frame, "RescaleIntercept", number_of(chosen[0], "RealWorldValueIntercept"))
            return


def _measures(mapping: Dataset, code: str, frame: Dataset) -> bool:
    """Tell whether a mapping is linear, to a unit, and holds for all values that are stored."""
    units = items_of(mapping, "MeasurementUnitsCodeSequence")
    if len(units) != 1 or value_of(units[0], "CodeValue") != code:
        return False
    ends = [whole_of(mapping, f"RealWorldValue{end}ValueMapped") for end in ("First", "Last")]
    signed = whole_of(frame, "PixelRepresentation") == 1
    greatest = (1 << max((whole_of(frame, "BitsStored") or 1) - int(signed), 0)) - 1
    linear = (number_of(mapping, f"RealWorldValue{name}") for name in ("Slope", "Intercept"))
    return (
        all(number is not None and math.isfinite(number) for number in linear)
        and ends[0] is not None
        and ends[1] is not None
        and ends[0] <= 0
        and ends[1] >= greatest
    )


def _unsupported(header: Dataset, count: int | None) -> Problem:
    frames = "frames" if count is None else f"{count} frames"
    message = f"{frames} of {class_name(header)}: medgen reads those of CT, MR and PET only"
    return Problem("E_SOP_CLASS", message, "export the images as a CT, MR or PET series")


def _bad(reason: str) -> Problem:
    return Problem("E_BAD_HEADER", f"a file contradicts itself: {reason}", _DAMAGED)
