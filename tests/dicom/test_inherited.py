from pathlib import Path
from typing import Any

import pydicom
import pytest
from derived_sources import facts_of, valid_slices, write_answer
from dicom_judges import iod_errors
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from medgen.dicom.inherited import (
    CLINICAL_TRIAL,
    PATIENT,
    PATIENT_STUDY,
    STUDY,
    inherit,
    inherit_quality,
)
from medgen.dicom.values import quiet

TYPE_2 = ("PatientSex", "PatientBirthDate", "StudyDate", "StudyTime", "AccessionNumber")


def inherited(**values: Any) -> Dataset:
    slices = valid_slices("MR")
    for one in slices:
        for keyword, value in values.items():
            if value is None:
                del one[keyword]
            else:
                setattr(one, keyword, value)
    target, source = Dataset(), facts_of(slices)
    inherit(target, source)
    inherit_quality(target, source)
    return target


def test_every_name_is_one_of_the_standard_and_stands_once() -> None:
    keywords = (*PATIENT, *STUDY, *PATIENT_STUDY, *CLINICAL_TRIAL)
    assert len(set(keywords)) == len(keywords)
    assert [keyword for keyword in keywords if tag_for_keyword(keyword) is None] == []


def test_highdicom_knows_no_patient_or_study_attribute_that_is_left_out() -> None:
    from dicom_judges import standard_table

    table = standard_table("module_attribute_map")
    for module, keywords in (
        ("patient", PATIENT),
        ("general-study", STUDY),
        ("patient-study", PATIENT_STUDY),
    ):
        known = {item["keyword"] for item in table[module] if not item["path"]}
        assert known - set(keywords) == set()


def test_attributes_of_type_2_are_there_even_if_empty() -> None:
    target = inherited(PatientSex=None, ReferringPhysicianName=None, AccessionNumber=None)
    for keyword in ("PatientSex", "ReferringPhysicianName", "AccessionNumber"):
        assert target[keyword].is_empty


def test_patient_and_study_are_the_sources() -> None:
    target = inherited(PatientWeight="70", AdmissionID="A1", ProcedureCodeSequence=[])
    assert (target.PatientID, target.PatientWeight, target.AdmissionID) == ("MRN123", 70, "A1")
    assert target.StudyDescription == "Feldpost DOE"
    assert target.PositionReferenceIndicator == ""


def test_private_attributes_stay_behind_even_inside_sequences() -> None:
    item = Dataset()
    item.CodeMeaning = "head"
    item.private_block(0x0009, "A MAKER", create=True).add_new(0x01, "LO", "secret")
    target = inherited(ProcedureCodeSequence=[item])
    assert target.ProcedureCodeSequence[0].CodeMeaning == "head"
    assert not any(element.tag.is_private for element in target.iterall())
    assert any(element.tag.is_private for element in item), "the source is not to be changed"


INVALID = {
    "PatientSex": "male",
    "PatientBirthDate": "1961.03.07",
    "StudyDate": "2020.01.02",
    "StudyTime": "10:11:12",
    "AccessionNumber": "1" * 17,
    "StudyDescription": "x" * 65,
    "PatientAge": "45",
    "PatientWeight": ["70", "71"],
    "PregnancyStatus": 9,
    "PatientIdentityRemoved": "MAYBE",
    "BodyPartExamined": "brain",
}


def test_invalid_values_are_left_behind(tmp_path: Path) -> None:
    with quiet():
        target = inherited(**INVALID)
    for keyword in INVALID:
        if keyword in TYPE_2:
            assert target[keyword].is_empty
        else:
            assert keyword not in target
    assert target.PatientID == "MRN123"
    slices = valid_slices("MR")
    with quiet():
        for one in slices:
            for keyword, value in INVALID.items():
                setattr(one, keyword, value)
        write_answer(tmp_path / "answer", facts_of(slices))
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def test_long_decimals_are_spelled_shorter() -> None:
    with quiet():
        target = inherited(PatientWeight="70.12345678901234567", PatientSize="1.70")
    assert len(target["PatientWeight"].value.original_string) <= 16
    assert float(target.PatientWeight) == pytest.approx(70.123456789, abs=1e-9)
    assert target["PatientSize"].value.original_string == "1.70"


def test_invalid_values_within_sequences_are_left_behind() -> None:
    item = Dataset()
    item.PatientID, item.TypeOfPatientID = "A1", "TEXT"
    with quiet():
        item.IssuerOfPatientID = "x" * 65
        target = inherited(OtherPatientIDsSequence=[item])
    (kept,) = target.OtherPatientIDsSequence
    assert (kept.PatientID, "IssuerOfPatientID" in kept) == ("A1", False)
    assert "IssuerOfPatientID" in item, "the source is not to be changed"


@pytest.mark.parametrize(
    ("body_part", "laterality", "expected"),
    [("HEAD", None, None), ("", "L", "L"), (None, None, ""), (None, "R", "R")],
)
def test_a_body_part_or_a_side_is_named(
    body_part: str | None, laterality: str | None, expected: str | None
) -> None:
    values = {"BodyPartExamined": body_part}
    if laterality:
        values["Laterality"] = laterality
    target = inherited(**values)
    if expected is None:
        assert "Laterality" not in target
        assert target.BodyPartExamined == "HEAD"
    else:
        assert (target.Laterality or "") == expected
        assert "BodyPartExamined" not in target


def test_a_clinical_trial_comes_along_where_it_is_described_in_full() -> None:
    whole = {"ClinicalTrialSponsorName": "sponsor", "ClinicalTrialProtocolID": "P1"}
    assert "ClinicalTrialSponsorName" not in inherited(**whole)
    target = inherited(**whole, ClinicalTrialSubjectID="S1", ClinicalTrialTimePointID="T1")
    assert (target.ClinicalTrialSubjectID, target.ClinicalTrialTimePointID) == ("S1", "T1")


def test_losses_and_burned_in_text_are_inherited() -> None:
    clean = inherited()
    assert (clean.LossyImageCompression, clean.BurnedInAnnotation) == ("00", "NO")
    target = inherited(
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_10918_1",
        BurnedInAnnotation="YES",
    )
    assert (target.LossyImageCompression, target.BurnedInAnnotation) == ("01", "YES")
    assert target.LossyImageCompressionRatio == 12.5
    assert target.LossyImageCompressionMethod == "ISO_10918_1"


def test_a_lossy_transfer_syntax_is_a_loss_even_if_the_header_does_not_say_so() -> None:
    source = facts_of(valid_slices("MR"))
    source.frames[2].instance.header.file_meta = pydicom.dataset.FileMetaDataset()
    source.frames[2].instance.header.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    target = Dataset()
    inherit_quality(target, source)
    assert target.LossyImageCompression == "01"


def test_no_character_set_is_claimed_that_the_source_does_not_name() -> None:
    slices = valid_slices("MR")
    for one in slices:
        del one.SpecificCharacterSet
    target = Dataset()
    target.SpecificCharacterSet = "ISO_IR 192"  # as highdicom sets it
    inherit(target, facts_of(slices))
    assert "SpecificCharacterSet" not in target
