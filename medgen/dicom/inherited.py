"""What a derived series has from its source: patient, study, frame of reference, body part.

Nothing else is copied. What describes how the source was acquired, how it is displayed or how it
was stored would be untrue of the answer, and private attributes may hold anything.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from medgen.dicom.decimals import decimals
from medgen.dicom.frames import SeriesFacts
from medgen.dicom.validity import is_valid
from medgen.dicom.values import quiet, text_of, value_of

PATIENT = (  # PS3.3 C.7.1.1, with two that former editions had
    *("PatientName", "PatientID", "IssuerOfPatientID", "TypeOfPatientID", "PatientBirthDate"),
    *("IssuerOfPatientIDQualifiersSequence", "SourcePatientGroupIdentificationSequence"),
    *("GroupOfPatientsIdentificationSequence", "PatientBirthDateInAlternativeCalendar"),
    *("PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar", "PatientBirthTime"),
    *("PatientSex", "ReferencedPatientPhotoSequence", "QualityControlSubject", "EthnicGroup"),
    *("OtherPatientIDs", "OtherPatientIDsSequence", "OtherPatientNames", "PatientComments"),
    *("ReferencedPatientSequence", "EthnicGroupCodeSequence", "PatientSpeciesDescription"),
    *("PatientSpeciesCodeSequence", "PatientBreedDescription", "PatientBreedCodeSequence"),
    *("BreedRegistrationSequence", "StrainDescription", "StrainNomenclature"),
    *("StrainCodeSequence", "StrainAdditionalInformation", "StrainStockSequence"),
    *("GeneticModificationsSequence", "ResponsiblePerson", "ResponsiblePersonRole"),
    *("ResponsibleOrganization", "PatientIdentityRemoved", "DeidentificationMethod"),
    "DeidentificationMethodCodeSequence",
)
STUDY = (  # PS3.3 C.7.2.1
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("IssuerOfAccessionNumberSequence", "ReferringPhysicianName", "StudyDescription"),
    *("ReferringPhysicianIdentificationSequence", "ConsultingPhysicianName"),
    *("ConsultingPhysicianIdentificationSequence", "PhysiciansOfRecord"),
    *("PhysiciansOfRecordIdentificationSequence", "NameOfPhysiciansReadingStudy"),
    *("PhysiciansReadingStudyIdentificationSequence", "ProcedureCodeSequence"),
    *("ReferencedStudySequence", "RequestingService", "RequestingServiceCodeSequence"),
    "ReasonForPerformedProcedureCodeSequence",
)
PATIENT_STUDY = (  # PS3.3 C.7.2.2
    *("AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientAge"),
    *("PatientSize", "PatientSizeCodeSequence", "PatientWeight", "PatientBodyMassIndex"),
    *("MeasuredAPDimension", "MeasuredLateralDimension", "MedicalAlerts", "Allergies"),
    *("SmokingStatus", "PregnancyStatus", "LastMenstrualDate", "PatientState", "Occupation"),
    *("AdditionalPatientHistory", "AdmissionID", "IssuerOfAdmissionIDSequence"),
    *("ServiceEpisodeID", "ServiceEpisodeDescription", "IssuerOfServiceEpisodeIDSequence"),
    *("PatientSexNeutered", "ReasonForVisit", "ReasonForVisitCodeSequence"),
)
_TRIAL_NEEDS = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
_TRIAL_SUBJECT = ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID")
CLINICAL_TRIAL = (  # PS3.3 C.7.1.3 and C.7.2.3
    *(*_TRIAL_NEEDS, *_TRIAL_SUBJECT, "ClinicalTrialProtocolName", "ClinicalTrialSiteID"),
    *("ClinicalTrialSiteName", "ClinicalTrialProtocolEthicsCommitteeName"),
    *("ClinicalTrialProtocolEthicsCommitteeApprovalNumber", "ClinicalTrialTimePointID"),
    *("ClinicalTrialTimePointDescription", "ConsentForClinicalTrialUseSequence"),
)
_COMMON = (  # How the texts and dates above are to be read: PS3.3 C.12.1, C.7.6.1
    *("SpecificCharacterSet", "TimezoneOffsetFromUTC"),
    *("LongitudinalTemporalInformationModified",),
)
_READ_BY = ("SpecificCharacterSet",)
"""Kept however it is spelled: by no other one could the texts be written as they were."""
_TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"),
    *("StudyID", "AccessionNumber", "ReferringPhysicianName"),
)
_LOSSY = frozenset((JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless))


def inherit(target: Dataset, source: SeriesFacts) -> None:
    """Give a new dataset the patient, study, frame of reference and body part of its source.

    All files of a source agree in them (`check_derivable`), so the first one speaks. Attributes of
    type 2 (PS3.5 7.4.3) are there even where the source has none. A clinical trial comes along
    where the source describes it as the standard asks; half a description would be no valid one.
    A value that no valid file can hold is left behind too, and the attribute with it, or it is
    empty where it must be there: a date with dots, a sex spelled out, a weight in words.
    """
    header = source.frames[0].header
    if "SpecificCharacterSet" in target:  # highdicom's; the source's bytes are not in it
        del target.SpecificCharacterSet
    copy_attributes(target, header, (*_COMMON, *PATIENT, *STUDY, *PATIENT_STUDY))
    if all(text_of(header, keyword) for keyword in _TRIAL_NEEDS) and any(
        text_of(header, keyword) for keyword in _TRIAL_SUBJECT
    ):
        copy_attributes(target, header, CLINICAL_TRIAL)
    for keyword in _TYPE_2:
        if keyword not in target:
            setattr(target, keyword, None)
    target.FrameOfReferenceUID = source.frame_of_reference
    target.PositionReferenceIndicator = None
    copy_attributes(target, header, ("PositionReferenceIndicator",))
    copy_attributes(target, header, ("BodyPartExamined",))
    if not text_of(target, "BodyPartExamined"):
        target.pop("BodyPartExamined", None)
        target.Laterality = None  # type 2C: "if the body part is paired", which is not known
        copy_attributes(target, header, ("Laterality",))


def inherit_quality(target: Dataset, source: SeriesFacts) -> None:
    """Say of the answer what its source says: burned-in text, and pixels once stored lossily.

    An answer computed from such pixels cannot be better than they are (PS3.3 C.7.6.1.1.5).
    """
    headers = [frame.header for frame in source.frames]
    burned_in = any(text_of(header, "BurnedInAnnotation") == "YES" for header in headers)
    target.BurnedInAnnotation = "YES" if burned_in else "NO"
    lossy = [frame.header for frame in source.frames if _is_lossy(frame.header)]
    lossy += [frame.header for frame in source.frames if _syntax(frame.instance.header) in _LOSSY]
    target.LossyImageCompression = "01" if lossy else "00"
    if lossy:
        keywords = ("LossyImageCompressionRatio", "LossyImageCompressionMethod")
        copy_attributes(target, lossy[0], keywords)


def copy_attributes(target: Dataset, source: Dataset, keywords: Iterable[str]) -> None:
    """Copy the attributes that the source has and that are valid, without private ones.

    Of a sequence, invalid attributes within its items are left out; decimals of more than 16
    characters are spelled shorter.
    """
    for keyword in keywords:
        element = _readable(source, keyword)
        if element is not None:
            target[keyword] = element


def _readable(source: Dataset, keyword: str) -> DataElement | None:
    if keyword not in source:
        return None
    with quiet():
        try:
            element = copy.deepcopy(source[keyword])
            return element if keyword in _READ_BY or _made_valid(element) else None
        except Exception:  # pydicom raises whatever damaged bytes lead it to
            return None


def _made_valid(element: DataElement) -> bool:
    """Spell a decimal so that it fits, clean a sequence's items, and tell whether all is valid."""
    if element.VR == "SQ":
        for item in element.value:
            item.remove_private_tags()
            for inner in list(item):  # raw values are converted while we listen
                if not _made_valid(inner):
                    del item[inner.tag]
    if not is_valid(element):
        return False
    if element.VR == "DS" and not element.is_empty:
        values = element.value if isinstance(element.value, MultiValue) else [element.value]
        spelled = decimals(value for value in values if value not in ("", None))
        if len(spelled) == len(values):
            element.value = spelled if len(spelled) > 1 else spelled[0]
    return True


def _is_lossy(header: Dataset) -> bool:
    return text_of(header, "LossyImageCompression") == "01"


def _syntax(header: Dataset) -> UID | None:
    meta = getattr(header, "file_meta", None)
    return None if meta is None else value_of(meta, "TransferSyntaxUID")
