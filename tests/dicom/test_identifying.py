from dicom_corpus import CT, PT, SOP_CLASSES, make_slices, uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgen.dicom.identifying import identification
from medgen.dicom.profile import UIDS, WORDS
from medgen.dicom.values import quiet


def test_every_keyword_of_the_table_is_one() -> None:
    assert [word for word in WORDS | UIDS if tag_for_keyword(word) is None] == []
    assert {"PatientID", "AccessionNumber", "SeriesDescription", "StationName"} <= WORDS
    assert {"SOPInstanceUID", "FrameOfReferenceUID"} <= UIDS
    assert not {"SOPClassUID", "Modality", "PixelSpacing", "TransferSyntaxUID"} & (WORDS | UIDS)


def test_values_are_gathered_over_the_files_of_a_series() -> None:
    slices, _ = make_slices(CT, shape=(8, 7, 3))
    slices[1].PatientComments = "x" * 200
    slices[2].OperatorsName = ""
    found = {one.name: one for one in identification(slices).attributes}
    assert found["PatientName"].values == ("DOE^JANE",)
    assert (found["PatientName"].files, found["OperatorsName"].files) == (3, 2)
    assert len(found["SOPInstanceUID"].values) == 3
    assert found["PatientComments"].values == ("x" * 77 + "...",)
    assert {"StudyDate", "PatientAge", "InstitutionName"} <= set(found)
    assert not {"Rows", "KVP", "ImagePositionPatient", "Modality", "PixelData"} & set(found)
    assert "DOE" not in repr(found["PatientName"])


def test_sequences_are_opened_and_private_attributes_counted() -> None:
    slices, _ = make_slices(PT, shape=(8, 7, 2))
    item = Dataset()
    item.ScheduledProcedureStepDescription = "head"
    item.CodeValue = "1"
    item.RequestedProcedureCodeSequence = Sequence([coded("head")])
    slices[0].InstitutionCodeSequence = Sequence([coded("Springfield")])
    slices[0].RequestAttributesSequence = Sequence([item])
    block = slices[0].private_block(0x0019, "WORKSHOP", create=True)
    block.add_new(0x01, "LO", "DOE")
    block.add_new(0x02, "LO", "")
    found = identification(slices)
    names = {one.name for one in found.attributes}
    assert "RadiopharmaceuticalInformationSequence.RadiopharmaceuticalStartTime" in names
    assert {"InstitutionCodeSequence.CodeValue", "InstitutionCodeSequence.CodeMeaning"} <= names
    assert "InstitutionCodeSequence.CodingSchemeDesignator" not in names
    # The table names the sequence itself; a code of what was done is nobody's own.
    assert "RequestAttributesSequence.CodeValue" not in names
    assert not [name for name in names if "RequestedProcedureCodeSequence" in name]
    assert "RequestAttributesSequence.ScheduledProcedureStepDescription" in names
    assert "PatientOrientationCodeSequence.CodeValue" not in names
    assert found.private == 1


def test_references_count_by_the_instance_alone() -> None:
    reference = Dataset()
    reference.ReferencedSOPClassUID = SOP_CLASSES[CT]
    reference.ReferencedSOPInstanceUID = uid("source")
    reference.ReferencedFrameNumber = 3
    reference.SpatialLocationsPreserved = "YES"
    reference.PurposeOfReferenceCodeSequence = Sequence([coded("Source image")])
    reference.ManufacturerModelName = "a text may be someone's"
    header = Dataset()
    header.SourceImageSequence = Sequence([reference])
    names = [one.name for one in identification([header]).attributes]
    assert sorted(names) == [
        "SourceImageSequence.ManufacturerModelName",
        "SourceImageSequence.ReferencedSOPInstanceUID",
    ]


def coded(meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "DCM", meaning
    return item


def test_overlays_and_attributes_without_a_keyword_count() -> None:
    header = Dataset()
    header.add_new(0x60000010, "US", 5)
    header.add_new(0x60003000, "OW", b"\1\2")
    header.add_new(0x00100011, "SQ", [])
    header.add_new(0x00081301, "LO", "x")
    header.add_new(0x00990010, "LO", "CREATOR")
    found = {one.name: one.values for one in identification([header]).attributes}
    assert "(0008,1301)" in found
    assert any("2 bytes" in values[0] for values in found.values())


def test_damage_is_no_reason_to_stop() -> None:
    header = Dataset()
    header.PatientName = "DOE^JANE"
    with quiet():
        header.add_new("PatientBirthDate", "DA", "not a date")
    header.add_new("ImageComments", "LT", None)
    names = [one.name for one in identification([header, Dataset()]).attributes]
    assert names == ["PatientBirthDate", "PatientName"]
    assert identification([]).attributes == ()
