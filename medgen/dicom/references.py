"""What a derived image points back to: the frames it was made of, and their series."""

from __future__ import annotations

from collections.abc import Iterable

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


def referenced_series(source: SeriesFacts) -> Sequence:
    """Return the Referenced Series Sequence, with every file of the source (PS3.3 C.12.2)."""
    item = Dataset()
    item.SeriesInstanceUID = str(value_of(source.frames[0].header, "SeriesInstanceUID"))
    first_of_each = {id(frame.instance): frame for frame in reversed(source.frames)}
    item.ReferencedInstanceSequence = Sequence(
        _reference(frame) for frame in reversed(first_of_each.values())
    )
    return Sequence([item])


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
