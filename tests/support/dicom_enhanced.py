"""Enhanced multi-frame CT, MR and PET (PS3.3 A.36, A.38, A.56), made from classic slices."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from dicom_corpus import CT, MR, PT, code, raw_pixels, set_pixels, uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

ENHANCED_CLASSES = {
    CT: "1.2.840.10008.5.1.4.1.1.2.1",
    MR: "1.2.840.10008.5.1.4.1.1.4.1",
    PT: "1.2.840.10008.5.1.4.1.1.130",
}

_IN_GROUPS = (
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "EchoTime", "EchoNumbers"),
    *("WindowCenter", "WindowWidth", "Units", "DecayFactor", "ImageIndex", "NumberOfSlices"),
    *("SeriesType", "FrameReferenceTime", "ActualFrameDuration", "TemporalPositionIdentifier"),
)


def enhance(
    slices: Sequence[Dataset], *, shuffled: bool = True, geometry_per_frame: bool = False
) -> Dataset:
    """Return one multi-frame dataset of all slices, by default with its frames in no order.

    What the slices share stands in the shared groups, and rescale, position and echo time in each
    frame's own; with `geometry_per_frame`, spacing and orientation too.
    """
    slices = list(slices)
    places = sorted({tuple(one.ImagePositionPatient) for one in slices}, key=_height(slices[0]))
    if shuffled:
        random.Random(7).shuffle(slices)
    dataset = _root(slices)
    shared = Dataset()
    _frame_type(shared, slices[0])
    if not geometry_per_frame:
        _spacing_and_orientation(shared, slices[0])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    groups = []
    for one in slices:
        group = _own_group(one, places.index(tuple(one.ImagePositionPatient)) + 1)
        if geometry_per_frame:
            _spacing_and_orientation(group, one)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(groups)
    return dataset


def _root(slices: Sequence[Dataset]) -> Dataset:
    """Return the part that holds for all frames, with the pixels of all."""
    first, dataset = slices[0], Dataset()
    for element in first:
        if element.keyword not in _IN_GROUPS and element.keyword != "PixelData":
            dataset.add(element)
    dataset.SOPClassUID = ENHANCED_CLASSES[first.Modality]
    dataset.SOPInstanceUID = uid("enhanced", first.SeriesInstanceUID, len(slices))
    dataset.ImageType = [*first.ImageType[:2], "VOLUME", "NONE"]
    dataset.InstanceNumber, dataset.NumberOfFrames = 1, len(slices)
    bits = first.BitsStored
    set_pixels(dataset, np.stack([raw_pixels(one) for one in slices]), bits=bits)
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.VolumetricProperties, dataset.PixelPresentation = "VOLUME", "MONOCHROME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.ContentDate, dataset.AcquisitionDateTime = "20010203", "20010203101700"
    if first.Modality == PT:
        dataset.DecayCorrected, dataset.DecayCorrectionDateTime = "YES", "20010203101700"
    organization = Dataset()
    organization.DimensionOrganizationUID = uid("dimensions")
    dataset.DimensionOrganizationSequence = DicomSequence([organization])
    pointers = [(0x00209057, 0x00209111)]  # InStackPositionNumber of FrameContentSequence
    if first.Modality == MR:
        pointers.append((0x00189082, 0x00189114))  # EffectiveEchoTime of MREchoSequence
    dataset.DimensionIndexSequence = DicomSequence([_dimension(*pair) for pair in pointers])
    return dataset


def _dimension(attribute: int, group: int) -> Dataset:
    pointer = Dataset()
    pointer.DimensionOrganizationUID = uid("dimensions")
    pointer.DimensionIndexPointer, pointer.FunctionalGroupPointer = attribute, group
    return pointer


def _height(one: Dataset) -> Callable[[tuple[Any, ...]], float]:
    """Return the key that sorts positions along the normal of a slice."""
    cosines = np.array(one.ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    return lambda place: float(np.dot(np.array(place, dtype=float), normal))


def _spacing_and_orientation(group: Dataset, one: Dataset) -> None:
    measures, plane = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = one.PixelSpacing, one.SliceThickness
    plane.ImageOrientationPatient = one.ImageOrientationPatient
    group.PixelMeasuresSequence = DicomSequence([measures])
    group.PlaneOrientationSequence = DicomSequence([plane])


def _frame_type(group: Dataset, one: Dataset) -> None:
    item = Dataset()
    item.FrameType = [*one.ImageType[:2], "VOLUME", "NONE"]
    item.PixelPresentation, item.VolumetricProperties = "MONOCHROME", "VOLUME"
    item.VolumeBasedCalculationTechnique = "NONE"
    name = {CT: "CTImageFrameType", MR: "MRImageFrameType", PT: "PETFrameType"}[one.Modality]
    setattr(group, f"{name}Sequence", DicomSequence([item]))


def _own_group(one: Dataset, place: int) -> Dataset:
    """Return one frame's functional groups; `place` counts positions along the normal from 1."""
    group, content, position, rescale = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID, content.InStackPositionNumber = "1", place
    content.DimensionIndexValues = [place]
    content.FrameAcquisitionDateTime = "20010203101700"
    content.FrameReferenceDateTime = "20010203101700"
    if "TemporalPositionIdentifier" in one:
        content.TemporalPositionIndex = one.TemporalPositionIdentifier
    position.ImagePositionPatient = one.ImagePositionPatient
    rescale.RescaleSlope, rescale.RescaleIntercept = one.RescaleSlope, one.RescaleIntercept
    rescale.RescaleType = "HU" if one.Modality == CT else "US"
    group.FrameContentSequence = DicomSequence([content])
    group.PlanePositionSequence = DicomSequence([position])
    group.PixelValueTransformationSequence = DicomSequence([rescale])
    if one.Modality == MR:
        echo = Dataset()
        echo.EffectiveEchoTime = float(one.EchoTime)
        group.MREchoSequence = DicomSequence([echo])
        content.DimensionIndexValues = [place, int(one.get("EchoNumbers", 1))]
    if one.Modality == PT:
        group.RealWorldValueMappingSequence = DicomSequence([_real_world(one)])
    return group


def _real_world(one: Dataset) -> Dataset:
    """Return the mapping that says what an enhanced PET's values measure, in UCUM."""
    item = Dataset()
    item.RealWorldValueSlope = float(one.RescaleSlope)
    item.RealWorldValueIntercept = float(one.RescaleIntercept)
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, 32767
    for keyword in ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped"):
        item[keyword].VR = "SS" if one.PixelRepresentation else "US"
    item.LUTLabel, item.LUTExplanation = "ACTIVITY", "activity concentration"
    item.MeasurementUnitsCodeSequence = DicomSequence(
        [code("Bq/ml", "UCUM", "Becquerels/milliliter")]
    )
    return item
