"""Our own DICOM series, easy and hard: headers and voxels whose truth in the world is known.

`make_series` writes a whole one; `make_slices` and `save_series` are its halves, between which a
test may spoil the headers. `dicom_hard_*` and `dicom_ambiguous` do so by name;
`dicom_enhanced` makes one multi-frame file of many slices.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dicom_encoding import EXPLICIT, save
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from scipy.spatial.transform import Rotation

Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]
Region = Callable[[NDArray[np.float64]], NDArray[np.bool_]]

SHAPE = (40, 32, 10)
SPACING = (0.8, 1.2, 2.5)
ORIGIN = (-9.3, 14.2, 33.7)
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

# Columns: where columns, rows and slices run, in LPS.
AXIAL = np.eye(3)
SAGITTAL = np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
OBLIQUE = Rotation.from_euler("xyz", [23, -17, 38], degrees=True).as_matrix() @ CORONAL

CANARY_NAME, CANARY_ID = "DOE^JANE", "MRN123"
CANARIES = (
    *("DOE", "JANE", "MRN123", "ACC4711", "Springfield", "Gropius", "Feldpost", "19610307"),
    *("20010203", "script", "2.25.", "\x1b"),
)
"""What no message may hold: from the planted names, ids, dates, descriptions and UIDs."""

CT, MR, PT = "CT", "MR", "PT"
SOP_CLASSES = {
    CT: "1.2.840.10008.5.1.4.1.1.2",
    MR: "1.2.840.10008.5.1.4.1.1.4",
    PT: "1.2.840.10008.5.1.4.1.1.128",
}

Builder = Callable[[Path], "Truth"]


@dataclass(frozen=True, eq=False)
class Truth:
    """What a series must be read as: values (X, Y, Z) and where they are, RAS millimetres.

    `valid` is False where the scanner padded. Of a smooth image, `field` gives the value at any
    world points (..., 3), and `inside` tells which of them lie well among the slices.
    """

    values: NDArray[Any]
    affine: NDArray[np.float64]
    valid: NDArray[np.bool_] | None = None
    field: Field | None = None
    inside: Region | None = None


def uid(*words: object) -> str:
    """Return the UID (2.25, from a hash) that belongs to some words."""
    digest = hashlib.sha256(repr(words).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:15], 'big')}"


def affine_of(
    directions: NDArray[Any], spacing: Sequence[float], origin: Sequence[float] = ORIGIN
) -> NDArray[np.float64]:
    """Return the RAS affine of (column, row, slice) from LPS directions, spacing and origin."""
    lps = np.eye(4)
    lps[:3, :3] = directions * np.asarray(spacing)
    lps[:3, 3] = origin
    return LPS_TO_RAS @ lps


def world_of(affine: NDArray[np.float64], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the RAS positions (X, Y, Z, 3) of all voxels."""
    indices = np.moveaxis(np.indices(tuple(shape)).astype(np.float64), 0, -1)
    return np.asarray(indices @ affine[:3, :3].T + affine[:3, 3])


def smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an image known everywhere: a ramp and two wide Gaussian blobs, by RAS position."""
    x, y, z = np.moveaxis(points, -1, 0)
    first = np.exp(-((x + 2) ** 2 + (y + 28) ** 2 + (z - 45) ** 2) / (2 * 9.0**2))
    second = np.exp(-((x + 10) ** 2 + (y + 36) ** 2 + (z - 42) ** 2) / (2 * 12.0**2))
    return np.asarray(3.0 * x - 2.0 * y + 4.0 * z + 300 * first - 200 * second)


def random_values(shape: Sequence[int], *, modality: str = CT, seed: int = 0) -> NDArray[Any]:
    """Return values (X, Y, Z) of which no two neighbours are alike: HU from air to metal."""
    low, high = (-1000, 3000) if modality == CT else (0, 4000)
    return np.random.default_rng(seed).integers(low, high, tuple(shape))


def make_slices(
    modality: str = CT,
    *,
    shape: Sequence[int] = SHAPE,
    spacing: Sequence[float] = SPACING,
    directions: NDArray[Any] = AXIAL,
    origin: Sequence[float] = ORIGIN,
    positions: NDArray[Any] | None = None,
    values: NDArray[Any] | None = None,
    slope: float | Sequence[float] = 1.0,
    intercept: float | Sequence[float] | None = None,
    stored: str = "int16",
    seed: int = 0,
) -> tuple[list[Dataset], Truth]:
    """Return one dataset per slice, in the order of the third axis, and the truth.

    `directions` need not be orthogonal, so that slices may be offset; `positions` (Z, 3) in LPS
    moves them at will, and then the truth's affine is that of the first two. Values become
    `(value - intercept) / slope`, rounded; the truth is what that means again.
    """
    columns, rows, count = shape
    affine = affine_of(directions, spacing, origin)
    if positions is None:
        steps = np.arange(count)[:, None] * (directions[:, 2] * spacing[2])
        positions = np.asarray(origin) + steps
    if values is None:
        values = random_values(shape, modality=modality, seed=seed)
    slopes = np.broadcast_to(slope, count)
    default = -1024.0 if modality == CT else 0.0
    intercepts = np.broadcast_to(default if intercept is None else intercept, count)
    kind = np.dtype(stored)
    raw = np.rint((values - intercepts) / slopes)
    if raw.min() < np.iinfo(kind).min or raw.max() > np.iinfo(kind).max:
        raise ValueError("the values do not fit into the stored type")
    whole = bool((slopes == 1).all() and (intercepts % 1 == 0).all())
    truth = raw * slopes + intercepts
    datasets = []
    for index in range(count):
        dataset = _header(modality, index, seed=seed)
        dataset.Rows, dataset.Columns = rows, columns
        dataset.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
        dataset.ImageOrientationPatient = [_decimal(value) for value in directions[:, :2].T.ravel()]
        dataset.ImagePositionPatient = [_decimal(value) for value in positions[index]]
        dataset.SliceThickness = _decimal(spacing[2])
        dataset.RescaleSlope = _decimal(slopes[index])
        dataset.RescaleIntercept = _decimal(intercepts[index])
        set_pixels(dataset, raw[:, :, index].T.astype(kind))
        datasets.append(dataset)
    return datasets, Truth(truth.astype(np.int32) if whole else truth, affine)


def set_pixels(dataset: Dataset, raw: NDArray[Any], *, bits: int | None = None) -> None:
    """Store raw values (rows, columns), or (frames, rows, columns), and what describes them."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * raw.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(raw.dtype.kind == "i")
    data = np.ascontiguousarray(raw.astype(raw.dtype.newbyteorder("<"))).tobytes()
    dataset.add_new(
        "PixelData", "OB" if raw.dtype.itemsize == 1 else "OW", data + b"\0" * (len(data) % 2)
    )


def raw_pixels(dataset: Dataset) -> NDArray[Any]:
    """Return the stored values (rows, columns) of a dataset that is not compressed."""
    kind = f"<{'iu'[dataset.PixelRepresentation == 0]}{dataset.BitsAllocated // 8}"
    count = dataset.Rows * dataset.Columns
    values = np.frombuffer(dataset.PixelData, kind, count).reshape(dataset.Rows, dataset.Columns)
    return values.copy()


def save_series(
    folder: Path, datasets: Sequence[Dataset], *, syntax: str = EXPLICIT, first: int = 1
) -> list[Path]:
    """Write datasets under names whose order means nothing; return the paths in given order."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = list(range(first, first + len(datasets)))
    random.Random(len(datasets)).shuffle(numbers)
    paths = [folder / f"IM{number:05d}.dcm" for number in numbers]
    for path, dataset in zip(paths, datasets, strict=True):
        save(dataset, path, syntax=syntax)
    return paths


def make_series(folder: Path, modality: str = CT, *, syntax: str = EXPLICIT, **how: Any) -> Truth:
    """Write a whole series as `make_slices` describes it and return the truth."""
    datasets, truth = make_slices(modality, **how)
    save_series(folder, datasets, syntax=syntax)
    return truth


def each(folder: Path, modality: str, change: Callable[[Dataset], None], **how: Any) -> Truth:
    """Write a series whose every header was changed; return its truth."""
    slices, truth = make_slices(modality, **how)
    for one in slices:
        change(one)
    save_series(folder, slices)
    return truth


def _decimal(value: Any) -> str:
    """Return a number as a DS value: at most 16 characters (DICOM PS3.5 6.2)."""
    for digits in range(16, 5, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    raise ValueError(f"{value} does not fit into 16 characters")


def _header(modality: str, index: int, *, seed: int) -> Dataset:
    """Return all that a classic slice says but its geometry and pixels, canaries included."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SOP_CLASSES[modality]
    dataset.SOPInstanceUID = uid(modality, seed, "slice", index)
    dataset.SeriesInstanceUID = uid(modality, seed, "series")
    dataset.StudyInstanceUID = uid("study")
    dataset.FrameOfReferenceUID = uid("frame of reference")
    dataset.Modality = modality
    dataset.ImageType = ["ORIGINAL", "PRIMARY", *_THIRD[modality]]
    dataset.InstanceNumber = index + 1
    dataset.SeriesNumber, dataset.AcquisitionNumber = 3 + seed, 1
    for name in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, name, "20010203")
    dataset.StudyTime, dataset.SeriesTime = "101500", "101700"
    dataset.AcquisitionTime, dataset.ContentTime = "101700", f"1018{index % 60:02d}"
    _plant(dataset)
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.BodyPartExamined = "HEAD"
    _MODULES[modality](dataset, index)
    return dataset


def _plant(dataset: Dataset) -> None:
    """Write a patient, whom no message may name."""
    dataset.PatientName, dataset.PatientID = CANARY_NAME, CANARY_ID
    dataset.PatientBirthDate, dataset.PatientSex, dataset.PatientAge = "19610307", "F", "039Y"
    dataset.AccessionNumber, dataset.StudyID = "ACC4711", "ACC4711"
    dataset.InstitutionName, dataset.StationName = "Springfield General", "Springfield1"
    dataset.ReferringPhysicianName, dataset.OperatorsName = "Gropius^W", "Gropius^I"
    dataset.StudyDescription = "Feldpost DOE"
    dataset.SeriesDescription = "<script>alert('JANE')</script> \x1b[31mFeldpost"
    dataset.ProtocolName, dataset.ImageComments = "Feldpost MRN123", "Feldpost JANE"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Workshop", "Feldpost"


def _ct(dataset: Dataset, _index: int) -> None:
    dataset.KVP, dataset.RescaleType, dataset.RotationDirection = "120", "HU", "CW"
    dataset.WindowCenter, dataset.WindowWidth = "40", "400"


def _mr(dataset: Dataset, _index: int) -> None:
    dataset.ScanningSequence, dataset.SequenceVariant = "SE", "NONE"
    dataset.ScanOptions, dataset.MRAcquisitionType = "", "2D"
    dataset.RepetitionTime, dataset.EchoTime, dataset.EchoNumbers = "500", "12.5", 1
    dataset.EchoTrainLength, dataset.MagneticFieldStrength = 1, "1.5"


def _pet(dataset: Dataset, index: int) -> None:
    dataset.Units, dataset.CountsSource = "BQML", "EMISSION"
    dataset.SeriesType, dataset.NumberOfSlices = ["WHOLE BODY", "IMAGE"], SHAPE[2]
    dataset.DecayCorrection, dataset.CorrectedImage = "START", ["ATTN", "SCAT", "DECY"]
    dataset.ImageIndex, dataset.FrameReferenceTime = index + 1, "0"
    dataset.ActualFrameDuration, dataset.DecayFactor = "120000", "1"
    dataset.CollimatorType, dataset.PatientWeight = "NONE", "70"
    drug = Dataset()
    drug.Radiopharmaceutical, drug.RadiopharmaceuticalStartTime = "FDG", "091700"
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "370000000", "6586.2"
    drug.RadionuclidePositronFraction = "0.967"
    drug.RadionuclideCodeSequence = DicomSequence([code("C-111A1", "SRT", "^18^Fluorine")])
    dataset.RadiopharmaceuticalInformationSequence = DicomSequence([drug])
    dataset.PatientOrientationCodeSequence = DicomSequence([code("F-10450", "SRT", "recumbent")])
    dataset.PatientGantryRelationshipCodeSequence = DicomSequence(
        [code("F-10470", "SRT", "headfirst")]
    )
    del dataset.PatientPosition


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


_THIRD = {CT: ["AXIAL"], MR: ["M"], PT: []}
_MODULES = {CT: _ct, MR: _mr, PT: _pet}
