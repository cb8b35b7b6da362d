import pytest
from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    EnhancedMRImageStorage,
    KeyObjectSelectionDocumentStorage,
    LegacyConvertedEnhancedPETImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    RTDoseStorage,
    RTPlanStorage,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    UltrasoundImageStorage,
)

from medgen.discovery.objects import may_be_volume, object_name


@pytest.mark.parametrize(
    ("sop_class", "modality", "expected"),
    [
        (CTImageStorage, "CT", True),
        (CTImageStorage, "MR", True),
        (EnhancedMRImageStorage, "MR", True),
        (LegacyConvertedEnhancedPETImageStorage, "PT", True),
        (CTImageStorage, "OT", False),
        (SecondaryCaptureImageStorage, "CT", False),
        (UltrasoundImageStorage, "US", False),
        (RTDoseStorage, "RTDOSE", False),
        ("", "CT", True),
        ("", "SR", False),
        ("1.2.3", "CT", False),
    ],
)
def test_what_may_be_a_volume(sop_class: str, modality: str, expected: bool) -> None:
    assert may_be_volume(str(sop_class), modality) is expected


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        (RTStructureSetStorage, "structure set"),
        (RTDoseStorage, "dose"),
        (RTPlanStorage, "treatment plan"),
        (BasicTextSRStorage, "report"),
        (KeyObjectSelectionDocumentStorage, "key object selection"),
        (SecondaryCaptureImageStorage, "secondary capture"),
        (MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "secondary capture"),
        (SegmentationStorage, "segmentation"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "encapsulated document"),
        ("1.2.840.10008.5.1.4.1.1.481.99", "radiotherapy object"),
        ("9.9.DOE", "other object"),
        ("", "other object"),
    ],
)
def test_what_other_objects_are_called(sop_class: str, name: str) -> None:
    assert object_name(str(sop_class)) == name
