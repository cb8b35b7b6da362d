"""What a derived image points back to: the frames it was made of, and their series."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydicom.charset import convert_encodings
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_sequence
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from medgen.dicom.frames import Frame, SeriesFacts
from medgen.dicom.values import value_of


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def source_image(frame: Frame, *, preserved: bool) -> Dataset:
    """Return an item of Source Image Sequence (PS3.3 C.7.6.1.1.4 and table 10-3).

    A frame of a multi-frame file is named by its number, from 1. `preserved` says that each pixel
    of the derived image is where the same pixel of the source is.
    """
    item = _reference(frame)
    if "NumberOfFrames" in frame.instance.header:
        item.ReferencedFrameNumber = frame.number + 1
    purpose = code("121322", "DCM", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = Sequence([purpose])
    item.SpatialLocationsPreserved = "YES" if preserved else "NO"
    return item


def source_images(frames: Iterable[Frame], *, preserved: bool) -> Sequence:
    """Return the Source Image Sequence of an image that was derived from these frames."""
    return Sequence(source_image(frame, preserved=preserved) for frame in frames)


def common_references(
    source: SeriesFacts, others: Iterable[SeriesFacts] = ()
) -> dict[str, Sequence]:
    """Return the Common Instance Reference Module with every file of all sources (PS3.3 C.12.2).

    The first source and those of its study are in ReferencedSeriesSequence; those of other studies
    in StudiesContainingOtherReferencedInstancesSequence, which is there only if needed. A series
    of which two choices were read, such as two echoes, is named once, with the files of both.
    """
    studies: dict[str, dict[str, dict[str, Frame]]] = {}
    for one in (source, *others):
        header = one.frames[0].header
        study, series = (
            str(value_of(header, keyword)) for keyword in ("StudyInstanceUID", "SeriesInstanceUID")
        )
        files = studies.setdefault(study, {}).setdefault(series, {})
        for frame in one.frames:
            files.setdefault(str(value_of(frame.instance.header, "SOPInstanceUID")), frame)
    (_, siblings), *elsewhere = studies.items()
    found = {"ReferencedSeriesSequence": _series_items(siblings)}
    if elsewhere:
        items = []
        for study, series_of_study in elsewhere:
            item = Dataset()
            item.StudyInstanceUID = study
            item.ReferencedSeriesSequence = _series_items(series_of_study)
            items.append(item)
        found["StudiesContainingOtherReferencedInstancesSequence"] = Sequence(items)
    return found


def series_uids(sources: Iterable[SeriesFacts]) -> list[str]:
    """Return the SeriesInstanceUID of each series."""
    return [str(value_of(one.frames[0].header, "SeriesInstanceUID")) for one in sources]


def _series_items(series: Mapping[str, Mapping[str, Frame]]) -> Sequence:
    items = []
    for uid, files in series.items():
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedInstanceSequence = Sequence(_reference(frame) for frame in files.values())
        items.append(item)
    return Sequence(items)


def encoded(keyword: str, items: Sequence) -> RawDataElement:
    """Return a sequence of plain ASCII as its bytes, explicit little endian (PS3.5 7.5).

    To be put into many files: of 512 slices, each naming all 512 of its source, 18 seconds would
    go into encoding the same list again and again. See `keep_encoded`.
    """
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_sequence(stream, DataElement(keyword, "SQ", items), ["iso8859"])
    value = stream.getvalue()
    return RawDataElement(Tag(keyword), "SQ", len(value), value, 0, False, True)


def keep_encoded(target: Dataset) -> None:
    """Let pydicom write encoded elements of a dataset as they are; else it parses them first."""
    characters = convert_encodings(target.get("SpecificCharacterSet", "iso8859"))
    target.set_original_encoding(False, True, characters)


def _reference(frame: Frame) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = str(value_of(frame.instance.header, "SOPClassUID"))
    item.ReferencedSOPInstanceUID = str(value_of(frame.instance.header, "SOPInstanceUID"))
    return item
