from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from derived_sources import (
    DERIVATION,
    SHAPE,
    SIDES,
    answer_values,
    decoded,
    facts_of,
    read_files,
    source_series,
    valid_slices,
    write_answer,
)
from dicom_judges import assert_same_volume, iod_errors
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.frames import Frame, SeriesFacts
from medgen.dicom.reading import read_series
from medgen.dicom.writing import digest_of_folder
from medgen.problems import Refusal

TARGETS = (
    ("MR", "HU"),
    ("CT", "HU"),
    ("PT", "HU"),
    ("PT", "Bq/ml"),
    ("PT", "SUV"),
    ("MR", "arbitrary"),
    ("CT", "arbitrary"),
)


def test_an_answer_with_other_axes_lands_where_its_affine_says(tmp_path: Path) -> None:
    source = source_series("MR", directions=SIDES["sagittal"])
    data = answer_values(source.shape, "HU")
    flipped = np.eye(4)
    flipped[:3, :3] = np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]])  # x' = -z, y' = x, z' = -y
    flipped[:3, 3] = (source.shape[0] - 1, 0, source.shape[2] - 1)
    turned = np.flip(data.transpose(1, 2, 0), (1, 2))
    write_answer(tmp_path / "answer", source, "HU", turned, affine=source.affine @ flipped)
    for index, image in enumerate(read_files(tmp_path / "answer")):
        assert np.array_equal(decoded(image), data[:, :, index])


def test_files_are_numbered_along_the_axis_and_point_to_their_frame(tmp_path: Path) -> None:
    source = source_series("MR", directions=SIDES["coronal"])
    written = write_answer(tmp_path / "answer", source)
    assert written.files == tuple(f"{number:04d}.dcm" for number in range(1, SHAPE[2] + 1))
    images = read_files(tmp_path / "answer")
    for number, (image, frame) in enumerate(zip(images, source.frames, strict=True), 1):
        assert image.InstanceNumber == number
        assert image.ImagePositionPatient == frame.header.ImagePositionPatient
        assert image.ImageOrientationPatient == frame.header.ImageOrientationPatient
        assert image.PixelSpacing == frame.header.PixelSpacing
        assert image.SliceThickness == frame.header.SliceThickness
        (reference,) = image.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == frame.header.SOPInstanceUID
        assert reference.ReferencedSOPClassUID == frame.header.SOPClassUID
        assert reference.SpatialLocationsPreserved == "YES"
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert "ReferencedFrameNumber" not in reference
        (series,) = image.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == frame.header.SeriesInstanceUID
        named = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert named == [frame.header.SOPInstanceUID for frame in source.frames]


@pytest.mark.parametrize("unit", ["HU", "Bq/ml"])
def test_images_are_numbered_as_the_sources_are(tmp_path: Path, unit: str) -> None:
    source = source_series("MR" if unit == "HU" else "PT", directions=SIDES["sagittal"])
    for index, frame in enumerate(source.frames):
        frame.header.InstanceNumber = 128 - 3 * index
    data = answer_values(source.shape, unit)
    write_answer(tmp_path / "answer", source, unit, data)
    count = len(source.frames)
    tolerance = 0.0 if unit == "HU" else 1.0
    for number, image in enumerate(read_files(tmp_path / "answer"), 1):
        frame = source.frames[count - number]
        assert image.InstanceNumber == number
        assert image.get("ImageIndex", number) == number
        assert image.ImagePositionPatient == frame.header.ImagePositionPatient
        (reference,) = image.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == frame.header.SOPInstanceUID
        assert np.abs(decoded(image) - data[:, :, count - number]).max() <= tolerance
    again = read_series(tmp_path / "answer")
    assert_same_volume((again.data, again.facts.affine), data, source.affine, tolerance=tolerance)


def test_what_a_synthetic_ct_says_of_itself(tmp_path: Path) -> None:
    source = source_series("MR")
    write_answer(tmp_path / "answer", source)
    image = read_files(tmp_path / "answer")[0]
    header = source.frames[0].header
    assert image.SOPClassUID.name == "CT Image Storage"
    assert image.ImageType == ["DERIVED", "SECONDARY", "AXIAL"]
    assert (image.SyntheticData, image.BurnedInAnnotation) == ("YES", "NO")
    assert (image.RescaleSlope, image.RescaleIntercept, image.RescaleType) == (1, -1024, "HU")
    assert (image.BitsStored, image.PixelRepresentation) == (16, 0)
    assert (image.WindowCenter, image.WindowWidth) == (40, 400)
    assert image.SeriesDescription.endswith("RESEARCH USE ONLY")
    assert image.StudyInstanceUID == header.StudyInstanceUID
    assert image.FrameOfReferenceUID == header.FrameOfReferenceUID
    assert image.PatientName == header.PatientName
    assert image.SeriesNumber == header.SeriesNumber + 1000
    assert image.LossyImageCompression == "00"
    (equipment,) = image.ContributingEquipmentSequence
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert DERIVATION.weights_digest in equipment.ContributionDescription
    assert "Research use only" in equipment.ContributionDescription
    for keyword in ("KVP", "AcquisitionNumber"):
        assert keyword in image
        assert not image[keyword].value


@pytest.mark.parametrize(("modality", "unit"), TARGETS)
def test_nothing_of_the_acquisition_is_inherited(tmp_path: Path, modality: str, unit: str) -> None:
    def spoil(header: Dataset) -> None:
        header.PixelPaddingValue, header.ExposureTime, header.FlipAngle = -2000, 3, "7"
        header.private_block(0x0009, "A MAKER", create=True).add_new(0x01, "LO", "secret")
        header.SoftwareVersions, header.GantryDetectorTilt = "VB17", "0"
        header.SmallestImagePixelValue = 0

    slices = valid_slices(modality)
    for one in slices:
        spoil(one)
    write_answer(tmp_path / "answer", facts_of(slices), unit)
    for image in read_files(tmp_path / "answer"):
        for keyword in (
            *("PixelPaddingValue", "ExposureTime", "FlipAngle", "GantryDetectorTilt"),
            *("MagneticFieldStrength", "RotationDirection", "SmallestImagePixelValue"),
            *("InstitutionName", "OperatorsName", "ProtocolName"),
        ):
            assert keyword not in image
        assert not any(element.tag.is_private for element in image.iterall())
        assert image.SoftwareVersions == DERIVATION.version
        assert not image.get("EchoTime")
        assert image.Manufacturer[:2].upper() not in {"ME", "MR", "GE", "SI", "PH", "CA", "TO"}


def test_uids_are_new_and_hashed_from_all_that_made_them(tmp_path: Path) -> None:
    source = source_series("MR")
    other = source_series("MR", seed=1)
    data = answer_values(source.shape, "HU")
    changed = data.copy()
    changed[0, 0, 0] += 1
    variants: list[dict[str, Any]] = [
        {"source": source},
        {"source": other},
        {"source": source, "data": changed},
        {"source": source, "derivation": replace(DERIVATION, weights_digest="ef" * 32)},
        {"source": source, "derivation": replace(DERIVATION, settings_digest="ef" * 32)},
        {
            "source": source,
            "derivation": replace(DERIVATION, moment=DERIVATION.moment + timedelta(seconds=1)),
        },
    ]
    found: set[str] = set()
    for number, variant in enumerate(variants):
        write_answer(tmp_path / str(number), **{"data": data, **variant})
        images = read_files(tmp_path / str(number))
        found |= {str(image.SOPInstanceUID) for image in images}
        found |= {str(image.SeriesInstanceUID) for image in images}
    assert len(found) == len(variants) * (SHAPE[2] + 1)
    assert all(pydicom.uid.UID(uid).is_valid for uid in found)
    headers = [frame.header for facts in (source, other) for frame in facts.frames]
    old = {str(header.SOPInstanceUID) for header in headers}
    assert not found & (old | {str(header.SeriesInstanceUID) for header in headers})


def test_the_same_answer_gives_the_same_bytes(tmp_path: Path) -> None:
    source = source_series("PT")
    first, again = (write_answer(tmp_path / name, source, "SUV") for name in ("a", "b"))
    assert first.digest == again.digest == digest_of_folder(tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_files_begin_with_zeros_and_are_explicit_little_endian(tmp_path: Path) -> None:
    write_answer(tmp_path / "answer", source_series("MR"))
    for path in (tmp_path / "answer").iterdir():
        assert path.read_bytes()[:132] == bytes(128) + b"DICM"
        meta = pydicom.filereader.read_file_meta_info(path)
        assert meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian


def test_clipped_voxels_are_counted(tmp_path: Path) -> None:
    source = source_series("MR")
    data = np.zeros(source.shape, np.float32)
    data[0, 0, :4] = (-1024.4, -1025.0, 64511.4, 1e9)
    written = write_answer(tmp_path / "answer", source, "HU", data)
    assert written.clipped_voxels == 2
    values = [decoded(image)[0, 0] for image in read_files(tmp_path / "answer")[:4]]
    assert values == [-1024, -1024, 64511, 64511]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("unit", ["HU", "arbitrary"])
def test_voxels_that_are_not_finite_are_refused(tmp_path: Path, unit: str, bad: float) -> None:
    source = source_series("MR")
    data = np.zeros(source.shape, np.float32)
    data[1, 2, 3] = bad
    with pytest.raises(Refusal, match=r"E_NONFINITE: 1 of 495 voxels"):
        write_answer(tmp_path / "answer", source, unit, data)
    assert list(tmp_path.iterdir()) == []


def test_a_multi_frame_source_gives_one_file_per_frame(tmp_path: Path) -> None:
    facts = source_series("MR")
    instance = facts.frames[0].instance
    instance.header.NumberOfFrames = len(facts.frames)
    instance.header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    frames = []
    for number, frame in enumerate(facts.frames):
        frame.header.SOPInstanceUID = instance.header.SOPInstanceUID
        frame.header.SOPClassUID = instance.header.SOPClassUID
        frames.append(Frame(instance, number, frame.header))
    write_answer(
        tmp_path / "answer", replace(facts, frames=tuple(reversed(frames)), affine=_turned(facts))
    )
    images = read_files(tmp_path / "answer")
    assert len(images) == len(frames)
    numbers = [image.SourceImageSequence[0].ReferencedFrameNumber for image in images]
    assert numbers == [1, 2, 3, 4, 5], "frames are numbered against the third axis"
    for image in images:
        assert "NumberOfFrames" not in image
        (item,) = image.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        assert item.ReferencedSOPInstanceUID == instance.header.SOPInstanceUID
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def _turned(facts: SeriesFacts) -> NDArray[np.float64]:
    """Return the affine with the slices in the opposite order."""
    affine = facts.affine.copy()
    affine[:3, 3] += affine[:3, 2] * (facts.shape[2] - 1)
    affine[:3, 2] *= -1
    return affine


def test_an_unknown_unit_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'counts' is none of HU"):
        write_answer(tmp_path / "answer", source_series("MR"), "counts", np.zeros(SHAPE))
