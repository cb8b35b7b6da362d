from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, make_slices, uid
from dicom_encoding import save
from dicom_enhanced import enhance
from dicom_frames import frame_of, frames_in
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.tag import BaseTag, Tag

from medgen.dicom.frames import Instance
from medgen.dicom.multiframe import ENHANCED, concatenation_problems, frames_of
from medgen.problems import Problem

_SHAPE = (12, 8, 5)
_LEGACY_PET = "1.2.840.10008.5.1.4.1.1.128.1"


def multi_frame(modality: str, **how: Any) -> Dataset:
    return enhance(make_slices(modality, shape=_SHAPE)[0], **how)


def problems_of(header: Dataset) -> list[Problem]:
    frames, problems = frames_of(Instance(Path("none.dcm"), header))
    assert not frames
    return problems


def test_a_classic_file_is_one_frame_with_its_own_header() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    (frame,), problems = frames_of(Instance(Path("none.dcm"), header))
    assert not problems
    assert frame.number == 0
    assert frame.header is header


def test_a_classic_file_may_say_that_it_has_one_frame() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    header.NumberOfFrames = 1
    assert len(frames_of(Instance(Path("none.dcm"), header))[0]) == 1


@pytest.mark.parametrize("per_frame", [False, True])
@pytest.mark.parametrize("modality", [CT, MR, PT])
def test_frames_have_classic_headers(tmp_path: Path, modality: str, *, per_frame: bool) -> None:
    slices, _ = make_slices(modality, shape=_SHAPE, slope=[0.5, 0.25, 0.125, 2, 4])
    save(enhance(slices, geometry_per_frame=per_frame), tmp_path / "one.dcm")
    frames = frames_in(tmp_path)
    assert [frame.number for frame in frames] == list(range(_SHAPE[2]))
    by_place = {tuple(one.ImagePositionPatient): one for one in slices}
    for frame in frames:
        source = by_place.pop(tuple(frame.header.ImagePositionPatient))
        for keyword in ("PixelSpacing", "ImageOrientationPatient", "SliceThickness"):
            assert frame.header[keyword].value == source[keyword].value
        assert frame.header.RescaleSlope == source.RescaleSlope
        assert frame.header.ImageType[2] == "VOLUME"
        assert frame.header.PatientName == source.PatientName
        assert frame.header.SeriesInstanceUID == source.SeriesInstanceUID
        assert "PerFrameFunctionalGroupsSequence" not in frame.header
        assert "PerFrameFunctionalGroupsSequence" in frame.instance.header
        assert frame.header.file_meta.TransferSyntaxUID
    assert not by_place


def test_echo_and_phase_have_their_classic_names() -> None:
    slices, _ = make_slices(MR, shape=_SHAPE)
    for index, one in enumerate(slices):
        one.EchoTime, one.TemporalPositionIdentifier = str(10 + index), index + 1
    frames, _ = frames_of(Instance(Path("none.dcm"), with_meta(enhance(slices, shuffled=False))))
    assert [frame.header.EchoTime for frame in frames] == [10, 11, 12, 13, 14]
    assert [frame.header.TemporalPositionIdentifier for frame in frames] == [1, 2, 3, 4, 5]
    assert frames[0].header.AcquisitionDateTime == "20010203101700"


def test_what_a_frame_says_wins_over_what_all_share() -> None:
    header = with_meta(multi_frame(CT))
    plane = Dataset()
    plane.ImagePositionPatient = [1, 2, 3]
    header.SharedFunctionalGroupsSequence[0].PlanePositionSequence = DicomSequence([plane])
    own = header.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    assert frames[0].header.ImagePositionPatient == own.ImagePositionPatient
    del header.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    assert frames[0].header.ImagePositionPatient == [1, 2, 3]


def test_texts_keep_their_character_set(tmp_path: Path) -> None:
    header = multi_frame(MR)
    header.PatientName = "Müller^Änne"
    save(header, tmp_path / "one.dcm")
    assert str(frames_in(tmp_path)[1].header.PatientName) == "Müller^Änne"


def test_legacy_converted_files_keep_unassigned_attributes() -> None:
    header = with_meta(multi_frame(PT))
    header.SOPClassUID = _LEGACY_PET
    shared, own = Dataset(), Dataset()
    shared.Units, own.FrameReferenceTime = "BQML", "4200"
    header.SharedFunctionalGroupsSequence[
        0
    ].UnassignedSharedConvertedAttributesSequence = DicomSequence([shared])
    for group in header.PerFrameFunctionalGroupsSequence:
        group.UnassignedPerFrameConvertedAttributesSequence = DicomSequence([own])
    frames, problems = frames_of(Instance(Path("none.dcm"), header))
    assert not problems
    assert [frame.header.Units for frame in frames] == ["BQML"] * _SHAPE[2]
    assert frames[3].header.FrameReferenceTime == 4200


@pytest.mark.parametrize(
    ("code", "last", "units"),
    [
        ("Bq/ml", 32767, "BQML"),
        ("{SUVbw}g/ml", 32767, "GML"),
        ("{counts}/s", 32767, None),
        ("Bq/ml", 4095, None),
    ],
)
def test_the_units_of_enhanced_pet_are_those_of_its_real_world_values(
    code: str, last: int, units: str | None
) -> None:
    header = with_meta(multi_frame(PT))
    for number, group in enumerate(header.PerFrameFunctionalGroupsSequence):
        mapping = group.RealWorldValueMappingSequence[0]
        mapping.MeasurementUnitsCodeSequence[0].CodeValue = code
        mapping.RealWorldValueLastValueMapped = last
        mapping.RealWorldValueSlope = 0.5 + number
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    assert {frame.header.get("Units") for frame in frames} == {units}
    slopes = [float(frame.header.RescaleSlope) for frame in frames]
    assert slopes == ([0.5, 1.5, 2.5, 3.5, 4.5] if units else [1.0] * 5)


def test_two_mappings_to_activity_choose_none() -> None:
    header = with_meta(multi_frame(PT))
    for group in header.PerFrameFunctionalGroupsSequence:
        group.RealWorldValueMappingSequence.append(group.RealWorldValueMappingSequence[0])
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    assert "Units" not in frames[0].header


@pytest.mark.parametrize("stated", [4, 6, None])
def test_as_many_frames_as_stated(stated: int | None) -> None:
    header = with_meta(multi_frame(CT))
    if stated is None:
        del header.NumberOfFrames
    else:
        header.NumberOfFrames = stated
    (problem,) = problems_of(header)
    assert problem.code == "E_BAD_HEADER"
    assert ("no number" if stated is None else f"{stated} frames") in problem.message
    assert "5" in problem.message


def test_an_enhanced_file_needs_functional_groups() -> None:
    header = with_meta(multi_frame(CT))
    del header.PerFrameFunctionalGroupsSequence
    assert [problem.code for problem in problems_of(header)] == ["E_BAD_HEADER"]


@pytest.mark.parametrize(
    ("class_uid", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.3.1", "Ultrasound Multi-frame Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.12.1", "X-Ray Angiographic Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.20", "Nuclear Medicine Image Storage"),
        ("1.2.840.10008.5.1.4.1.1.7.3", "Multi-frame Grayscale Word Secondary Capture"),
        ("1.2.3.4", "an unnamed SOP class"),
    ],
)
@pytest.mark.parametrize("grouped", [False, True])
def test_frames_of_other_classes_are_refused_by_name(
    class_uid: str, name: str, *, grouped: bool
) -> None:
    header = with_meta(multi_frame(CT))
    header.SOPClassUID = class_uid
    if not grouped:
        del header.PerFrameFunctionalGroupsSequence
    (problem,) = problems_of(header)
    assert problem.code == "E_SOP_CLASS"
    assert name in problem.message
    assert "1.2." not in problem.message


def test_a_classic_class_with_several_frames_is_refused() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    header.NumberOfFrames = 3
    (problem,) = problems_of(header)
    assert problem.message.startswith("3 frames of CT Image Storage")


def test_a_number_of_frames_that_is_none_is_refused() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    header.NumberOfFrames = ["2", "3"]
    assert [problem.code for problem in problems_of(header)] == ["E_BAD_HEADER"]


def test_enhanced_frames_without_a_class_are_read() -> None:
    header = with_meta(multi_frame(CT))
    header.SOPClassUID = ""
    assert len(frames_of(Instance(Path("none.dcm"), header))[0]) == _SHAPE[2]


def test_the_classes_are_those_of_the_standard() -> None:
    assert {one.name for one in ENHANCED} == {
        f"{kind} {modality} Image Storage"
        for kind in ("Enhanced", "Legacy Converted Enhanced")
        for modality in ("CT", "MR", "PET")
    }


def test_nothing_of_a_header_is_shown_by_repr() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    assert "DOE" not in repr(frame_of(header))
    assert uid("study") not in repr(frame_of(header))


def with_meta(header: Dataset) -> Dataset:
    header.file_meta = FileMetaDataset()
    return header


def test_overlaying_leaves_the_files_header_alone() -> None:
    header = with_meta(multi_frame(PT))
    before = header.to_json()
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    frames[0].header.RescaleSlope = "9"
    assert header.to_json() == before
    assert float(frames[1].header.RescaleSlope) == 1.0
    assert np.isfinite(float(frames[1].header.RescaleIntercept))


def test_damaged_values_are_no_surprise() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    header.SOPClassUID = ["1.2.840.10008.5.1.4.1.1.2", "1.2.3"]
    assert len(frames_of(Instance(Path("none.dcm"), header))[0]) == 1
    pet = with_meta(multi_frame(PT))
    tag = Tag("RealWorldValueSlope")
    damaged = raw(tag, "FD", b"\1\2\3")
    for group in pet.PerFrameFunctionalGroupsSequence:
        group.RealWorldValueMappingSequence[0][tag] = damaged
        group.PixelValueTransformationSequence[0][Tag("RescaleSlope")] = raw(
            Tag("RescaleSlope"), "FD", b"\1\2\3"
        )
    frames, problems = frames_of(Instance(Path("none.dcm"), pet))
    assert len(frames) == _SHAPE[2]
    assert not problems
    assert "Units" not in frames[0].header


def test_a_damaged_value_gives_way_to_a_sound_one() -> None:
    header = with_meta(multi_frame(MR))
    header[Tag("EchoTime")] = raw(Tag("EchoTime"), "FD", b"\1\2\3")
    frames, _ = frames_of(Instance(Path("none.dcm"), header))
    assert {frame.header.EchoTime for frame in frames} == {12.5}


def raw(tag: BaseTag, kind: str, value: bytes) -> RawDataElement:
    """Return an element as it is read, its bytes not converted yet."""
    return RawDataElement(tag, kind, len(value), value, 0, False, True, True)


@pytest.mark.parametrize(
    ("present", "total", "complete"),
    [
        ((1, 2, 3), 3, True),
        ((1, 2), 3, False),
        ((2, 3), 3, False),
        ((1, 3), None, False),
        ((1, 2), None, True),
        ((None,), 2, False),
    ],
)
def test_a_concatenation_must_be_whole(
    present: tuple[int | None, ...], total: int | None, complete: bool
) -> None:
    instances = []
    for number in present:
        header = Dataset()
        header.ConcatenationUID = "1.2.3"
        header.InConcatenationNumber, header.InConcatenationTotalNumber = number, total
        instances.append(Instance(Path("none.dcm"), header))
    problems = concatenation_problems([*instances, Instance(Path("none.dcm"), Dataset())])
    assert [one.code for one in problems] == ([] if complete else ["E_TOO_FEW_FILES"])
