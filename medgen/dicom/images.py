"""An answer to a series of single-frame images: synthetic CT, PET or MR (PS3.3 A.3, A.21, A.4).

A source of enhanced multi-frame images gets classic ones too, one per frame: every viewer and
planning system takes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from medgen.dicom import pet
from medgen.dicom.decimals import decimal
from medgen.dicom.derived import Derivation, WrittenSeries, check_derivable
from medgen.dicom.frames import ARBITRARY, BECQUEREL, HU, SUV, SeriesFacts
from medgen.dicom.identifiers import hashed_uid
from medgen.dicom.inherited import copy_attributes, inherit, inherit_quality
from medgen.dicom.placement import Placement, place
from medgen.dicom.provenance import IMAGE_SERIES, declare, derivation_codes
from medgen.dicom.quantising import (
    Stored,
    check_finite,
    store_activity,
    store_arbitrary,
    store_hu,
)
from medgen.dicom.references import (
    common_references,
    encoded,
    keep_encoded,
    series_uids,
    source_images,
)
from medgen.dicom.values import quiet, value_of
from medgen.dicom.writing import is_in_place, stored_plane, write_folder
from medgen.problems import Refusal

UNITS = (HU, BECQUEREL, SUV, ARBITRARY)


@quiet()
def write_image_series(
    folder: Path,
    data: NDArray[Any],
    affine: NDArray[np.float64],
    *,
    unit: str,
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts] = (),
) -> WrittenSeries:
    """Write an answer as a new series in its source's study and frame of reference.

    `data` (X, Y, Z) with its RAS `affine` may have the source's axes in any order and direction.
    `unit` decides the object: HU a CT Image, Bq/ml or SUV a PET Image, arbitrary an MR Image.
    Images are numbered, and files named, in the order in which the source's are numbered. `others`
    are further series that the answer was computed from, to be referred to. The folder is whole
    and verified or absent. Raises Refusal E_NO_IDENTITY, E_DICOM_TARGET,
    E_DICOM_GRID, E_NONFINITE, E_UNWRITABLE, E_READ_BACK; ValueError for another unit.
    """
    if unit not in UNITS:
        raise ValueError(f"{unit!r} is none of {', '.join(UNITS)}")
    problems = check_derivable(source, unit_or_kind=unit, others=others)
    if problems:
        raise Refusal(problems)
    placement = place(data.shape, affine, source)
    check_finite(data)
    store = {HU: store_hu, ARBITRARY: store_arbitrary}.get(unit, store_activity)
    stored = store(placement.arrange(data))

    def is_right(index: int, dataset: Dataset) -> bool:
        at = placement.order[index]
        pixels = stored_plane(dataset, stored.values.dtype)
        return (
            np.array_equal(pixels, stored.values[:, :, at])
            and is_in_place(dataset, placement.planes[at])
            and _has_scale(dataset, stored, at)
        )

    series = _series(source, derivation, others, unit=unit, stored=stored)
    datasets = _instances(series, placement, source, stored, unit)
    digest, names = write_folder(folder, datasets, is_right)
    return WrittenSeries(digest, stored.clipped, names)


def _series(
    source: SeriesFacts,
    derivation: Derivation,
    others: Sequence[SeriesFacts],
    *,
    unit: str,
    stored: Stored,
) -> Dataset:
    """Return what all images of the new series share."""
    series = Dataset()
    inherit(series, source)
    inherit_quality(series, source)
    title, describe = {
        HU: ("Synthetic CT", _describe_ct),
        ARBITRARY: ("Synthetic MR", _describe_mr),
    }.get(unit, ("Synthetic PET", _describe_pet))
    declare(series, source, derivation, title=title, offset=IMAGE_SERIES)
    codes = derivation_codes(source)
    if codes:
        series.DerivationCodeSequence = codes
    describe(series, source, unit)
    _describe_pixels(series, stored)
    for keyword, items in common_references(source, others).items():
        series[keyword] = encoded(keyword, items)
    series.SeriesInstanceUID = hashed_uid(
        "series",
        str(value_of(source.frames[0].header, "SeriesInstanceUID")),
        *(derivation.weights_digest, derivation.settings_digest, unit),
        *(derivation.model, derivation.version, derivation.moment.isoformat()),
        hashlib.sha256(stored.values.tobytes(order="F")).hexdigest(),
        *stored.slopes,
        *series_uids(others),
    )
    return series


def _instances(
    series: Dataset, placement: Placement, source: SeriesFacts, stored: Stored, unit: str
) -> Iterator[Dataset]:
    """Yield the images of the new series in the order in which the source's are numbered."""
    whole = None
    if not placement.preserved:
        whole = encoded("SourceImageSequence", source_images(source.frames, preserved=False))
    for number, index in enumerate(placement.order, 1):
        plane = placement.planes[index]
        image = Dataset()
        image.update(series)
        image.SOPInstanceUID = hashed_uid("instance", series.SeriesInstanceUID, index)
        image.InstanceNumber = number
        plane.describe(image)
        if whole is None:
            image.SourceImageSequence = source_images([plane.frame], preserved=True)
        else:
            image[whole.tag] = whole
        if stored.slopes:
            image.RescaleSlope = stored.slopes[index]
        if unit in (BECQUEREL, SUV):
            pet.describe_frame(image, plane.frame, index=number - 1)
        pixels = stored.values[:, :, index].T
        little = pixels.astype(pixels.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
        image.add_new("PixelData", "OW", little)
        keep_encoded(image)
        yield image


def _describe_ct(series: Dataset, source: SeriesFacts, unit: str) -> None:
    """Write the CT Image Module (PS3.3 C.8.2.1); what an X-ray tube did is unknown, so empty."""
    series.SOPClassUID = CTImageStorage
    series.Modality = "CT"
    series.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    series.KVP = None
    series.AcquisitionNumber = None
    series.RescaleType = unit
    _copy_position(series, source)


def _describe_mr(series: Dataset, source: SeriesFacts, unit: str) -> None:
    """Write the MR Image Module (PS3.3 C.8.3.1): no scanner's sequence, so research mode, empty."""
    series.SOPClassUID = MRImageStorage
    series.Modality = "MR"
    series.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    series.ScanningSequence = "RM"
    series.SequenceVariant = "NONE"
    empty = ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength")
    for keyword in empty:
        setattr(series, keyword, None)
    _copy_position(series, source)


def _describe_pet(series: Dataset, source: SeriesFacts, unit: str) -> None:
    series.SOPClassUID = PositronEmissionTomographyImageStorage
    series.Modality = "PT"
    series.ImageType = ["DERIVED", "PRIMARY"]  # dciodvfy takes no SECONDARY
    pet.describe_series(series, source, unit=unit)


def _copy_position(series: Dataset, source: SeriesFacts) -> None:
    series.PatientPosition = None
    copy_attributes(series, source.frames[0].header, ("PatientPosition",))


def _describe_pixels(series: Dataset, stored: Stored) -> None:
    """Write the Image Pixel, Rescale and VOI LUT attributes (PS3.3 C.7.6.3, C.11.1, C.11.2)."""
    series.SamplesPerPixel = 1
    series.PhotometricInterpretation = "MONOCHROME2"
    series.Columns, series.Rows = stored.values.shape[:2]
    series.BitsAllocated = series.BitsStored = 16
    series.HighBit = 15
    series.PixelRepresentation = int(stored.values.dtype.kind == "i")
    if stored.slopes:
        series.RescaleIntercept = decimal(stored.intercept)
        if series.Modality == "MR":
            series.RescaleType = "US"  # unspecified
    _describe_window(series, stored)


def _describe_window(series: Dataset, stored: Stored) -> None:
    low, high = stored.window
    if high <= low:
        high = low + 1
    series.WindowCenter, series.WindowWidth = decimal((low + high) / 2), decimal(high - low)
    if high - low < 1:
        series.VOILUTFunction = "LINEAR_EXACT"  # LINEAR needs a width of 1: C.11.2.1.2


def _has_scale(dataset: Dataset, stored: Stored, index: int) -> bool:
    if not stored.slopes:
        return "RescaleSlope" not in dataset
    scale = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
    return scale == (float(stored.slopes[index]), float(stored.intercept))
