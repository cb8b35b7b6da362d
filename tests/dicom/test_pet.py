from pathlib import Path
from typing import Any

import pydicom
import pytest
from derived_sources import DERIVATION, answer_values, facts_of, source_series, valid_slices
from dicom_judges import iod_errors
from pydicom.dataset import Dataset

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.images import write_image_series


def written(folder: Path, source: SeriesFacts, unit: str = "Bq/ml") -> list[Dataset]:
    data = answer_values(source.shape, unit)
    write_image_series(folder, data, source.affine, unit=unit, source=source, derivation=DERIVATION)
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def pet_source(**values: Any) -> SeriesFacts:
    slices = valid_slices("PT")
    for index, one in enumerate(slices):
        one.FrameReferenceTime, one.DecayFactor = str(1000 * index), f"1.0{index}"
        for keyword, value in values.items():
            if value is None:
                del one[keyword]
            else:
                setattr(one, keyword, value)
    return facts_of(slices)


@pytest.mark.parametrize(("unit", "units"), [("Bq/ml", "BQML"), ("SUV", "GML")])
def test_suvs_can_be_computed_as_of_the_source(tmp_path: Path, unit: str, units: str) -> None:
    source = pet_source()
    for number, (image, frame) in enumerate(
        zip(written(tmp_path / "answer", source, unit), source.frames, strict=True), 1
    ):
        assert image.Units == units
        assert image.get("SUVType") == ("BW" if unit == "SUV" else None)
        for keyword in (
            *("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "CountsSource"),
            *("DecayCorrection", "DecayFactor", "FrameReferenceTime", "ActualFrameDuration"),
            *("RadiopharmaceuticalInformationSequence", "PatientWeight", "CorrectedImage"),
            *("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence"),
        ):
            assert image[keyword].value == frame.header[keyword].value
        assert image.ImageType == ["DERIVED", "PRIMARY"]
        assert (image.NumberOfSlices, image.ImageIndex) == (len(source.frames), number)
        assert image.RescaleIntercept == 0
        assert "PatientPosition" not in image


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    images = written(tmp_path / "answer", pet_source())
    assert len({str(image.RescaleSlope) for image in images}) == len(images)
    assert all(len(str(image.RescaleSlope)) <= 16 for image in images)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("DYNAMIC", "STATIC"), ("GATED", "STATIC"), ("STATIC", "STATIC"), ("WHOLE BODY",) * 2],
)
def test_one_frame_in_time_is_no_longer_dynamic(tmp_path: Path, said: str, meant: str) -> None:
    source = pet_source(SeriesType=[said, "IMAGE"], NumberOfTimeSlices=3)
    images = written(tmp_path / "answer", source)
    assert images[0].SeriesType == [meant, "IMAGE"]
    assert "NumberOfTimeSlices" not in images[0]
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


@pytest.mark.parametrize(
    ("position", "gantry", "lying"),
    [
        ("HFS", "headfirst", "supine"),
        ("FFP", "feet-first", "prone"),
        ("HFDR", "headfirst", "right lateral decubitus"),
        ("FFDL", "feet-first", "left lateral decubitus"),
        ("", None, None),
    ],
)
def test_a_position_is_said_in_codes(
    tmp_path: Path, position: str, gantry: str | None, lying: str | None
) -> None:
    source = pet_source(
        PatientOrientationCodeSequence=[],
        PatientGantryRelationshipCodeSequence=[],
        PatientPosition=position,
    )
    image = written(tmp_path / "answer", source)[0]
    assert "PatientPosition" not in image
    entering = [item.CodeMeaning for item in image.PatientGantryRelationshipCodeSequence]
    modifiers = [
        item.PatientOrientationModifierCodeSequence[0].CodeMeaning
        for item in image.PatientOrientationCodeSequence
    ]
    assert (entering, modifiers) == (([gantry], [lying]) if gantry else ([], []))
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def test_what_may_be_empty_is_there_all_the_same(tmp_path: Path) -> None:
    missing = ("CorrectedImage", "CollimatorType", "AcquisitionTime", "ActualFrameDuration")
    source = pet_source(RadiopharmaceuticalInformationSequence=None, **dict.fromkeys(missing))
    image = written(tmp_path / "answer", source)[0]
    for keyword in (*missing, "RadiopharmaceuticalInformationSequence"):
        assert image[keyword].is_empty
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def test_a_ct_of_pet_says_how_the_patient_lies_as_ct_does(tmp_path: Path) -> None:
    image = written(tmp_path / "answer", source_series("PT"), "HU")[0]
    assert image.PatientPosition in ("", None)
    assert "PatientOrientationCodeSequence" not in image
    assert "RadiopharmaceuticalInformationSequence" not in image
