"""What the headers of a simulated acquisition say: a person who is nobody, and a scan like others.

They are marked as simulated (SyntheticData, PS3.3 C.12.1) and say so in words. No attribute is
random: dates, times and UIDs belong to the case.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from medgen import __version__
from medgen.dicom.decimals import decimal
from medgen.dicom.identifiers import hashed_uid
from medgen.dicom.references import code

CT, MR, PET = "CT", "MR", "PT"
_CLASSES = {
    CT: CTImageStorage,
    MR: MRImageStorage,
    PET: PositronEmissionTomographyImageStorage,
}
_STARTS = {MR: "090000", CT: "100000", PET: "124946.2"}
_DATE = "20240101"

HALF_LIFE_S = 6586.2
"""Of fluorine-18; the PET is begun one half-life after the injection, at 11:00."""
_INJECTED = "110000"
BECQUEREL_PER_GRAM = 4000.0
"""The injected activity, of a person's weight: 4 MBq/kg."""
ACTIVITY_PER_SUV = BECQUEREL_PER_GRAM / 2.0
"""Bq/ml at the series' time in tissue of SUV 1."""
_FULL_FRAME_MS = 600_000.0

_SEQUENCES = {
    "SpinEcho": ("SE", "NONE", "2D"),
    "InversionRecovery": ("IR", "NONE", "2D"),
    "PreparedGradientEcho": (["GR", "IR"], ["SP", "MP"], "3D"),
    "SpoiledGradientEcho": ("GR", "SP", "3D"),
}
"""ScanningSequence, SequenceVariant and MRAcquisitionType (PS3.3 C.8.3.1)."""


@dataclass(frozen=True)
class Visit:
    """Whose images these are, and what else their UIDs and headers depend on."""

    case: str
    patient: str
    index: int
    recipe: str
    """A digest of the seed and the settings: the same voxels, the same UIDs."""
    aligned: bool
    """Whether all scanners share one frame of reference."""
    dose_fraction: float
    truth: Mapping[str, Any]

    @property
    def weight_kg(self) -> int:
        """Return the person's weight."""
        return 50 + self.index * 7 % 45

    def uid(self, *words: str | int) -> str:
        """Return the UID of something of this case."""
        return hashed_uid("medgen phantom", __version__, self.recipe, self.case, *words)


def series_header(visit: Visit, column: str, modality: str, *, slices: int) -> Dataset:
    """Return what all images of a column have in common, but for their geometry and pixels."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID = _CLASSES[modality]
    header.Modality = modality
    _describe_patient(header, visit)
    _describe_study(header, visit, column, modality)
    if modality == CT:
        _describe_ct(header)
    elif modality == MR:
        _describe_mr(header, visit.truth["mr"], column)
    else:
        share = visit.dose_fraction if column == "pet_low" else 1.0
        _describe_pet(header, visit, slices=slices, duration_ms=_FULL_FRAME_MS * share)
    return header


def _describe_patient(header: Dataset, visit: Visit) -> None:
    header.PatientName = f"Phantom^Person {visit.index:03d}"
    header.PatientID = visit.patient
    header.PatientBirthDate = ""
    header.PatientSex = "O"
    header.PatientWeight = decimal(visit.weight_kg)
    header.PatientComments = "A simulated head; not a person."


def _describe_study(header: Dataset, visit: Visit, column: str, modality: str) -> None:
    """Write the study, series, equipment and frame of reference (PS3.3 C.7.2 to C.7.5)."""
    header.StudyInstanceUID = visit.uid("study", modality)
    header.SeriesInstanceUID = visit.uid("series", column)
    scanner = "" if visit.aligned or modality != CT else "ct"
    header.FrameOfReferenceUID = visit.uid("frame of reference", scanner)
    header.PositionReferenceIndicator = ""
    for kind in ("Study", "Series", "Acquisition", "Content"):
        setattr(header, f"{kind}Date", _DATE)
        setattr(header, f"{kind}Time", _STARTS[modality])
    header.StudyID = modality
    header.AccessionNumber = header.ReferringPhysicianName = ""
    header.StudyDescription = f"medgen phantom {visit.case}"
    header.SeriesDescription = f"{column}, simulated, research only"
    header.SeriesNumber = _series_number(column)
    header.AcquisitionNumber = 1
    header.BodyPartExamined = "HEAD"
    # dcm2niix takes the maker from its first two letters: PH would be Philips.
    header.Manufacturer = "Numerical phantom"
    header.ManufacturerModelName = "medgen phantom"
    header.SoftwareVersions = __version__
    header.SyntheticData = "YES"
    header.BurnedInAnnotation = "NO"


def _series_number(column: str) -> int:
    """Return a number that no other column of a case has."""
    return 1 + ("t1", "t2", "pd", "flair", "ct", "pet_full", "pet_low").index(column)


def _describe_ct(header: Dataset) -> None:
    """Write the CT Image Module (PS3.3 C.8.2.1)."""
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.PatientPosition = "HFS"
    header.KVP = "120"
    header.RescaleType = "HU"
    header.WindowCenter, header.WindowWidth = "40", "400"


def _describe_mr(header: Dataset, truth: Mapping[str, Any], column: str) -> None:
    """Write the MR Image Module (PS3.3 C.8.3.1) from the sequence that was simulated."""
    played = truth[column]
    scanning, variant, acquisition = _SEQUENCES[played["sequence"]]
    header.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    header.PatientPosition = "HFS"
    header.ScanningSequence, header.SequenceVariant = scanning, variant
    header.ScanOptions = ""
    header.MRAcquisitionType = acquisition
    header.RepetitionTime = decimal(played["repetition_ms"])
    header.EchoTime = decimal(played["echo_ms"])
    header.EchoTrainLength = played.get("echoes", 1)
    if "inversion_ms" in played:
        header.InversionTime = decimal(played["inversion_ms"])
    header.FlipAngle = decimal(played.get("flip_degrees", 90.0))
    header.MagneticFieldStrength = "1.5" if truth["scanner"] == "two" else "3"


def _describe_pet(header: Dataset, visit: Visit, *, slices: int, duration_ms: float) -> None:
    """Write the PET series, isotope and image modules (PS3.3 C.8.9) of one static frame.

    A low dose is a shorter frame of the same injection. Activities are those at the series' time
    (DecayCorrection START): the frame's mean activity times its decay factor.
    """
    header.ImageType = ["ORIGINAL", "PRIMARY"]
    header.Units, header.CountsSource = "BQML", "EMISSION"
    header.SeriesType = ["STATIC", "IMAGE"]
    header.NumberOfSlices = slices
    header.DecayCorrection = "START"
    header.CorrectedImage = ["DECY", "ATTN", "SCAT", "RAN"]
    header.AttenuationCorrectionMethod = "the simulation's own attenuation"
    header.ReconstructionMethod = "filtered back-projection"
    header.CollimatorType = "NONE"
    decayed = math.log(2.0) * duration_ms / 1000.0 / HALF_LIFE_S
    factor = decayed / -math.expm1(-decayed)
    header.ActualFrameDuration = str(max(1, round(duration_ms)))
    header.FrameReferenceTime = decimal(1000.0 * HALF_LIFE_S * math.log2(factor))
    header.DecayFactor = decimal(factor)
    drug = Dataset()
    drug.Radiopharmaceutical = "Fluorodeoxyglucose"
    drug.RadiopharmaceuticalStartTime = _INJECTED
    drug.RadiopharmaceuticalStartDateTime = _DATE + _INJECTED
    drug.RadionuclideTotalDose = decimal(BECQUEREL_PER_GRAM * 1000.0 * visit.weight_kg)
    drug.RadionuclideHalfLife = decimal(HALF_LIFE_S)
    drug.RadionuclidePositronFraction = "0.967"
    drug.RadionuclideCodeSequence = Sequence([code("77004003", "SCT", "^18^Fluorine")])
    header.RadiopharmaceuticalInformationSequence = Sequence([drug])
    lying = code("102538003", "SCT", "recumbent")
    lying.PatientOrientationModifierCodeSequence = Sequence([code("40199007", "SCT", "supine")])
    header.PatientOrientationCodeSequence = Sequence([lying])
    header.PatientGantryRelationshipCodeSequence = Sequence([code("102540008", "SCT", "headfirst")])
