"""What makes a PET image of a derived one: units, isotope, times and corrections of its source.

SUVs are computed from dose, weight and decay; all of these stay the source's, so that an answer's
SUVs differ from its source's by the voxel values alone. What counted photons is left out.
"""

from __future__ import annotations

import math

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medgen.dicom.frames import SUV, Frame, SeriesFacts
from medgen.dicom.inherited import copy_attributes
from medgen.dicom.references import code
from medgen.dicom.values import items_of, number_of, text_of, texts_of, value_of
from medgen.problems import Problem

_SERIES_NEEDS = (  # type 1 of the PET Series Module, PS3.3 C.8.9.1
    *("SeriesDate", "SeriesTime", "SeriesType", "CountsSource", "DecayCorrection"),
)
_SERIES = (
    *("SeriesDate", "SeriesTime", "CorrectedImage", "CountsSource", "DecayCorrection"),
    *("CollimatorType", "RandomsCorrectionMethod", "AttenuationCorrectionMethod"),
    *("ScatterCorrectionMethod", "ReconstructionMethod", "TypeOfDetectorMotion"),
    *("RadiopharmaceuticalInformationSequence", "InterventionDrugInformationSequence"),
)
_SERIES_TYPE_2 = ("CorrectedImage", "CollimatorType")
_FRAME = (
    *("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration", "FrameReferenceTime"),
    "DecayFactor",
)
_FRAME_TYPE_2 = ("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration")
_ORIENTATION = ("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence")
_RECUMBENT = ("102538003", "SCT", "recumbent")  # CID 19
_LYING = {  # CID 20, by the end of PatientPosition (PS3.3 C.7.3.1.1.2)
    "S": ("40199007", "SCT", "supine"),
    "P": ("1240000", "SCT", "prone"),
    "DR": ("102535000", "SCT", "right lateral decubitus"),
    "DL": ("102536004", "SCT", "left lateral decubitus"),
}
_ENTERING = {  # CID 21
    "HF": ("102540008", "SCT", "headfirst"),
    "FF": ("102541007", "SCT", "feet-first"),
}


def pet_problems(source: SeriesFacts) -> list[Problem]:
    """Return why no PET can be derived from a source: another modality, or attributes it lacks.

    All E_DICOM_TARGET, with the names of the attributes. A missing one is never made up.
    """
    advice = "write NIfTI instead, or name a PET series to derive from"
    if source.modality != "PT":
        message = f"a PET answer needs a PET source for its isotope and times, not {_named(source)}"
        return [Problem("E_DICOM_TARGET", message, advice)]
    header = source.frames[0].header
    problems = []
    missing = [keyword for keyword in _SERIES_NEEDS if not texts_of(header, keyword)]
    needs = ["FrameReferenceTime"]
    needs += [] if text_of(header, "DecayCorrection") == "NONE" else ["DecayFactor"]
    for keyword in needs:
        numbers = [number_of(frame.header, keyword) for frame in source.frames]
        if any(number is None or not math.isfinite(number) for number in numbers):
            missing.append(keyword)
    if missing:
        message = f"the PET source lacks {', '.join(missing)}, which a PET image must have"
        problems.append(Problem("E_DICOM_TARGET", message, advice))
    if texts_of(header, "SeriesType")[1:] not in ((), ("IMAGE",)):
        message = "the PET source holds projections, of which no image can be derived"
        problems.append(Problem("E_DICOM_TARGET", message, advice))
    return problems


def describe_series(target: Dataset, source: SeriesFacts, *, unit: str) -> None:
    """Write the PET Series, Isotope and Patient Orientation modules (PS3.3 C.8.9.1, .2, C.8.4.6).

    A time frame or a gate that was converted is a series of its own, and so a static one. The
    series' date and time are the source's, to which its activities are decay-corrected.
    """
    header = source.frames[0].header
    for keyword in _SERIES_TYPE_2:
        setattr(target, keyword, None)
    target.RadiopharmaceuticalInformationSequence = Sequence([])
    copy_attributes(target, header, _SERIES)
    extent = "WHOLE BODY" if text_of(header, "SeriesType") == "WHOLE BODY" else "STATIC"
    target.SeriesType = [extent, "IMAGE"]
    target.NumberOfSlices = source.shape[2]
    target.Units = "GML" if unit == SUV else "BQML"
    if unit == SUV:
        target.SUVType = "BW"
    if items_of(header, _ORIENTATION[0]):
        target.PatientGantryRelationshipCodeSequence = Sequence([])
        copy_attributes(target, header, _ORIENTATION)
    else:
        _orient(target, text_of(header, "PatientPosition"))


def describe_frame(target: Dataset, frame: Frame, *, index: int) -> None:
    """Write the PET Image Module of one slice, from 0 (PS3.3 C.8.9.4)."""
    for keyword in _FRAME_TYPE_2:
        setattr(target, keyword, None)
    copy_attributes(target, frame.header, _FRAME)
    if text_of(frame.header, "DecayCorrection") == "NONE" and "DecayFactor" in target:
        del target.DecayFactor
    target.ImageIndex = index + 1


def _orient(target: Dataset, position: str) -> None:
    """Say in codes how the patient lies; PatientPosition may not stand beside them."""
    entering, lying = _ENTERING.get(position[:2]), _LYING.get(position[2:])
    target.PatientOrientationCodeSequence = Sequence([])
    target.PatientGantryRelationshipCodeSequence = Sequence([])
    if entering is None or lying is None:
        return
    orientation = code(*_RECUMBENT)
    orientation.PatientOrientationModifierCodeSequence = Sequence([code(*lying)])
    target.PatientOrientationCodeSequence = Sequence([orientation])
    target.PatientGantryRelationshipCodeSequence = Sequence([code(*entering)])


def _named(source: SeriesFacts) -> str:
    return source.modality if value_of(source.frames[0].header, "Modality") else "one without"
