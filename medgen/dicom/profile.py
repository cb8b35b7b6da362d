"""The attributes of PS3.15 Table E.1-1, the Basic Application Level Confidentiality Profile.

Edition 2026c. Names, dates and times stand there almost without exception, so that all of them
count by their value representation and are not listed one by one.
"""

from __future__ import annotations

NAMES_AND_MOMENTS = frozenset(("PN", "DA", "DT", "TM"))
"""Value representations of which every attribute counts."""

_WORDS = """
AccessionNumber AcquisitionComments AcquisitionContextDescription AcquisitionContextSequence
AcquisitionDeviceProcessingDescription AcquisitionFieldOfViewLabel AcquisitionProtocolDescription
ActualHumanPerformersSequence AdditionalPatientHistory AddressTrial AdmissionID
AdmittingDiagnosesCodeSequence AdmittingDiagnosesDescription Allergies AnnotationGroupDescription
AnnotationGroupLabel Arbitrary AuthorObserverSequence BarcodeValue BeamDescription
BolusDescription BranchOfService CameraOwnerName CassetteID CertificateOfSigner CertifiedTimestamp
ChannelDerivationDescription ChannelLabel ClinicalTrialCoordinatingCenterName
ClinicalTrialProtocolEthicsCommitteeApprovalNumber ClinicalTrialProtocolEthicsCommitteeName
ClinicalTrialProtocolID ClinicalTrialProtocolName ClinicalTrialSeriesDescription
ClinicalTrialSeriesID ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSponsorName
ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialTimePointDescription
ClinicalTrialTimePointID CommentsOnRadiationDose CommentsOnThePerformedProcedureStep
CompensatorDescription ConceptualVolumeCombinationDescription ConceptualVolumeDescription
ConfidentialityConstraintOnPatientDataDescription ConsultingPhysicianIdentificationSequence
ContainerComponentID ContainerDescription ContainerIdentifier
ContentCreatorIdentificationCodeSequence ContentSequence ContrastBolusAgent
ContributionDescription CountryOfResidence CurrentPatientLocation CustodialOrganizationSequence
DataSetTrailingPadding DecompositionDescription DerivationDescription DestinationAE DetectorID
DeviceAlternateIdentifier DeviceDescription DeviceLabel DeviceSerialNumber
DeviceSettingDescription DigitalSignaturesSequence DischargeDiagnosisDescription
DisplacementReferenceLabel DistributionAddress DoseReferenceDescription EncapsulatedDocument
EntityDescription EntityLabel EntityLongLabel EntityName EquipmentFrameOfReferenceDescription
EthnicGroup EthnicGroupCodeSequence FillerOrderNumberImagingServiceRequest
FilterLookupTableDescription FixationDeviceDescription FlowIdentifier FlowIdentifierSequence
FractionGroupDescription FractionationNotes FrameComments FrameOriginTimestamp GPSAltitude
GPSAltitudeRef GPSAreaInformation GPSDOP GPSDestBearing GPSDestBearingRef GPSDestDistance
GPSDestDistanceRef GPSDestLatitude GPSDestLatitudeRef GPSDestLongitude GPSDestLongitudeRef
GPSDifferential GPSImgDirection GPSImgDirectionRef GPSLatitude GPSLatitudeRef GPSLongitude
GPSLongitudeRef GPSMapDatum GPSMeasureMode GPSProcessingMethod GPSSatellites GPSSpeed GPSSpeedRef
GPSStatus GPSTrack GPSTrackRef GPSVersionID GantryID GeneratorID GraphicAnnotationSequence
HardcopyCreationDeviceID HumanPerformerOrganization IconImageSequence IdentifyingComments
ImageComments ImagePresentationComments ImagingServiceRequestComments Impressions
InstanceOriginStatus InstitutionAddress InstitutionCodeSequence InstitutionName
InstitutionalDepartmentName InstitutionalDepartmentTypeCodeSequence InsurancePlanIdentification
IntendedRecipientsOfResultsIdentificationSequence InterlockDescription InterlockOriginDescription
InterpretationApproverSequence InterpretationDiagnosisDescription InterpretationID
InterpretationIDIssuer InterpretationText IssuerOfAdmissionID IssuerOfAdmissionIDSequence
IssuerOfClinicalTrialProtocolID IssuerOfClinicalTrialSeriesID IssuerOfClinicalTrialSiteID
IssuerOfClinicalTrialSubjectID IssuerOfClinicalTrialSubjectReadingID
IssuerOfClinicalTrialTimePointID IssuerOfPatientID IssuerOfServiceEpisodeID
IssuerOfServiceEpisodeIDSequence IssuerOfTheContainerIdentifierSequence
IssuerOfTheSpecimenIdentifierSequence LabelText LensMake LensModel LensSerialNumber
LensSpecification LongDeviceDescription MAC MakerNote ManufacturerDeviceIdentifier MedicalAlerts
MedicalRecordLocator MilitaryRank ModifiedAttributesSequence ModifiedImageDescription
ModifyingDeviceID ModifyingSystem MultienergyAcquisitionDescription MultiplexGroupLabel NetworkID
NonconformingDataElementValue NonconformingModifiedAttributesSequence Occupation
OperatorIdentificationSequence OrderCallbackPhoneNumber OrderCallbackTelecomInformation
OrderEntererLocation OriginalAttributesSequence Originator OtherClinicalTrialProtocolIDsSequence
OtherPatientIDs OtherPatientIDsSequence ParticipantSequence PatientAddress PatientAge
PatientComments PatientID PatientInstitutionResidence PatientInsurancePlanCodeSequence
PatientPrimaryLanguageCodeSequence PatientPrimaryLanguageModifierCodeSequence
PatientReligiousPreference PatientSetupPhotoDescription PatientSex PatientSexNeutered PatientSize
PatientState PatientTelecomInformation PatientTelephoneNumbers PatientTransportArrangements
PatientTreatmentPreparationMethodDescription
PatientTreatmentPreparationProcedureParameterDescription PatientWeight PerformedLocation
PerformedProcedureStepDescription PerformedProcedureStepID PerformedStationAETitle
PerformedStationGeographicLocationCodeSequence PerformedStationName
PerformedStationNameCodeSequence PerformingPhysicianIdentificationSequence PersonAddress
PersonIdentificationCodeSequence PersonTelecomInformation PersonTelephoneNumbers
PhysiciansOfRecordIdentificationSequence PhysiciansReadingStudyIdentificationSequence
PlacerOrderNumberImagingServiceRequest PlateID PositionAcquisitionTemplateDescription
PositionAcquisitionTemplateName PreMedication PregnancyStatus PrescriptionDescription
PrescriptionNotes PrescriptionNotesSequence PriorTreatmentDoseDescription ProtocolName
PyramidDescription PyramidLabel ROICreatorSequence ROIDescription ROIGenerationDescription
ROIInterpreterSequence ROIName ROIObservationDescription ROIObservationLabel
RTAccessoryDeviceSlotID RTAccessoryHolderSlotID RTPhysicianIntentNarrative RTPlanDescription
RTPlanLabel RTPlanName RTPrescriptionLabel RTToleranceSetLabel RTTreatmentApproachLabel
RadiationDoseIdentificationLabel RadiationDoseInVivoMeasurementLabel
RadiationGenerationModeDescription RadiationGenerationModeLabel ReasonForOmissionDescription
ReasonForRequestedProcedureCodeSequence ReasonForStudy ReasonForSuperseding
ReasonForTheAttributeModification ReasonForTheImagingServiceRequest ReasonForTheRequestedProcedure
ReasonForVisit ReasonForVisitCodeSequence ReceivingAE ReferencedDigitalSignatureSequence
ReferencedImageSequence ReferencedPatientAliasSequence ReferencedPatientPhotoSequence
ReferencedPatientSequence ReferencedPerformedProcedureStepSequence
ReferencedSOPInstanceMACSequence ReferencedStudySequence ReferringPhysicianAddress
ReferringPhysicianIdentificationSequence ReferringPhysicianTelephoneNumbers RegionOfResidence
RequestAttributesSequence RequestedContrastAgent RequestedProcedureComments
RequestedProcedureDescription RequestedProcedureID RequestedProcedureLocation
RequestedSeriesDescription RequestingAE RequestingService
RespiratoryMotionCompensationTechniqueDescription ResponsibleOrganization ResultsComments
ResultsDistributionListSequence ResultsID ResultsIDIssuer RetrieveAETitle
ScheduledHumanPerformersSequence ScheduledPatientInstitutionResidence
ScheduledPerformingPhysicianIdentificationSequence ScheduledProcedureStepDescription
ScheduledProcedureStepID ScheduledProcedureStepLocation ScheduledStationAETitle
ScheduledStationGeographicLocationCodeSequence ScheduledStationName
ScheduledStationNameCodeSequence ScheduledStudyLocation ScheduledStudyLocationAETitle
SecondaryCaptureDeviceID SelectorAEValue SelectorASValue SelectorLOValue SelectorLTValue
SelectorOBValue SelectorSHValue SelectorSTValue SelectorUNValue SelectorURValue SelectorUTValue
SeriesDescription ServiceEpisodeDescription ServiceEpisodeID SetupTechniqueDescription
ShieldingDeviceDescription SlideIdentifier SmokingStatus SourceIdentifier SourceImageSequence
SourceManufacturer SourceOfPreviousValues SourceSerialNumber SpecialNeeds SpecimenAccessionNumber
SpecimenDetailedDescription SpecimenIdentifier SpecimenPreparationSequence
SpecimenShortDescription StationAETitle StationName StructureSetDescription StructureSetLabel
StructureSetName StudyComments StudyDescription StudyID StudyIDIssuer TelephoneNumberTrial
TextComments TextString TimezoneOffsetFromUTC TopicAuthor TopicKeywords TopicSubject TopicTitle
TransducerIdentificationSequence TreatmentMachineName TreatmentPositionGroupLabel TreatmentSite
TreatmentSites TreatmentTechniqueNotes TreatmentToleranceViolationDescription UDISequence
UnformattedTextValue UniqueDeviceIdentifier UserContentLabel UserContentLongLabel
VerbalSourceIdentifierCodeSequenceTrial VerifyingObserverIdentificationCodeSequence
VerifyingObserverSequence VerifyingOrganization VisitComments WaveformAnnotationSequence
WaveformFilterDescription XRayDetectorID XRayDetectorLabel XRaySourceID
"""
WORDS = frozenset(_WORDS.split())
"""Texts, codes and sequences by keyword."""

_UIDS = """
AcquisitionUID AffectedSOPInstanceUID AnnotationGroupUID ConcatenationUID ConceptualVolumeUID
ConstituentConceptualVolumeUID DeviceUID DigitalSignatureUID DimensionOrganizationUID
DoseReferenceUID DosimetricObjectiveUID FailedSOPInstanceUIDList FiducialUID FrameOfReferenceUID
InstanceCreatorUID IrradiationEventUID LargePaletteColorLookupTableUID ManufacturerDeviceClassUID
MediaStorageSOPInstanceUID MultiplexGroupUID ObservationSubjectUIDTrial ObservationUID
PaletteColorLookupTableUID PatientSetupUID PresentationDisplayCollectionUID
PresentationSequenceCollectionUID PyramidUID RTTreatmentPhaseUID ReferencedConceptualVolumeUID
ReferencedDoseReferenceUID ReferencedDosimetricObjectiveUID ReferencedFiducialsUID
ReferencedFrameOfReferenceUID ReferencedObservationUIDTrial ReferencedSOPInstanceUID
ReferencedSOPInstanceUIDInFile ReferencedTreatmentPositionGroupUID RelatedFrameOfReferenceUID
RequestedSOPInstanceUID SOPInstanceUID SeriesInstanceUID SourceConceptualVolumeUID
SourceFrameOfReferenceUID SpecimenUID StorageMediaFileSetUID StudyInstanceUID
SynchronizationFrameOfReferenceUID TableTopPositionAlignmentUID TargetUID
TemplateExtensionCreatorUID TemplateExtensionOrganizationUID TrackingUID TransactionUID
TreatmentPositionGroupUID TreatmentSessionUID UID
"""
UIDS = frozenset(_UIDS.split())
"""Unique identifiers, which name one object to whoever has the archive."""

CODES = frozenset(
    [
        "CodeValue",
        "LongCodeValue",
        "URNCodeValue",
        "CodeMeaning",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "CodingSchemeName",
        "CodingSchemeRegistry",
        "CodingSchemeUID",
        "ContextIdentifier",
        "ContextGroupVersion",
        "ContextGroupLocalVersion",
        "ContextGroupExtensionFlag",
        "MappingResource",
        "MappingResourceName",
        "MappingResourceUID",
    ]
)
"""What the items of code sequences are made of (PS3.3 Table 8.8-1)."""

CODE_VALUES = frozenset(("CodeValue", "LongCodeValue", "URNCodeValue", "CodeMeaning"))
"""What of them says which code it is; the others say which dictionary it is from."""

COMMON_VALUES = frozenset(
    ("AT", "CS", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UI", "UL", "US", "UV")
)
"""Value representations of flags, numbers, classes and references to attributes, which are the
same for many persons; those that are one person's stand in the table themselves, as `UIDS` do."""

NEWER = frozenset(
    (
        0x00081301,
        0x00081302,
        0x00081303,
        0x00081304,
        0x00100011,
        0x00100012,
        0x00100013,
        0x00100014,
        0x00100015,
        0x00100016,
        0x00100041,
        0x00100042,
        0x00100043,
        0x00100044,
        0x00100045,
        0x00100046,
        0x00100047,
        0x00102162,
        0x0040A034,
        0x0040A035,
        0x0040B034,
        0x0040B036,
        0x0040B03B,
        0x0040B03F,
        0x0040E012,
    )
)
"""Attributes that are younger than pydicom's dictionary, by tag."""

OVERLAYS_AND_CURVES = frozenset((0x50, 0x60))
"""The first bytes of repeating groups: what is drawn over a picture may be a name."""
