"""Sources of derived series: small valid ones, with their facts built by hand, in any direction."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from dicom_corpus import (
    AXIAL,
    CORONAL,
    LPS_TO_RAS,
    OBLIQUE,
    SAGITTAL,
    make_slices,
    save_series,
)
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.derived import Derivation, WrittenSeries
from medgen.dicom.frames import Frame, Instance, SeriesFacts
from medgen.dicom.images import write_image_series

SHAPE = (11, 9, 5)
SPACING = (1.1, 0.7, 2.3)
SIDES = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL, "oblique": OBLIQUE}
FLIPS = tuple(itertools.product((1, -1), repeat=3))
DERIVATION = Derivation(
    model="conditional_gan t1_to_ct",
    version="1.2.3",
    weights_digest="ab" * 32,
    settings_digest="cd" * 32,
    description="CT computed from MR by medgen",
    moment=datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=UTC),
)


def valid_slices(modality: str, **how: Any) -> list[Dataset]:
    """Return slices that dciodvfy accepts."""
    datasets, _ = make_slices(modality, **{"shape": SHAPE, "spacing": SPACING, **how})
    for dataset in datasets:
        dataset.SeriesDescription = "source"
        for keyword in ("ImageComments", "IssuerOfPatientID"):
            if keyword in dataset:
                del dataset[keyword]
        if modality == "MR":
            del dataset.RescaleSlope, dataset.RescaleIntercept
        if modality == "PT":
            dataset.NumberOfSlices = len(datasets)
            orientation = dataset.PatientOrientationCodeSequence[0]
            lying = copy.deepcopy(orientation)
            lying.CodeValue, lying.CodeMeaning = "F-10340", "supine"
            orientation.PatientOrientationModifierCodeSequence = [lying]
    return datasets


def facts_of(
    datasets: Sequence[Dataset], *, paths: Sequence[Path] | None = None, **how: Any
) -> SeriesFacts:
    """Return the facts of classic slices in this order, without any reader."""
    first, last = (np.array([float(v) for v in datasets[i].ImagePositionPatient]) for i in (0, -1))
    along_row, along_column = np.array(
        [float(v) for v in datasets[0].ImageOrientationPatient]
    ).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in datasets[0].PixelSpacing)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = along_row * between_columns, along_column * between_rows
    lps[:3, 2], lps[:3, 3] = (last - first) / (len(datasets) - 1), first
    frames = []
    for index, dataset in enumerate(datasets):
        header = copy.deepcopy(dataset)
        del header.PixelData
        path = paths[index] if paths else Path(f"{index}.dcm")
        frames.append(Frame(Instance(path, header), 0, header))
    return SeriesFacts(
        frames=tuple(frames),
        affine=LPS_TO_RAS @ lps,
        shape=(int(datasets[0].Columns), int(datasets[0].Rows), len(datasets)),
        modality=str(datasets[0].Modality),
        frame_of_reference=str(datasets[0].get("FrameOfReferenceUID", "")),
        **how,
    )


def source_series(
    modality: str = "MR",
    *,
    folder: Path | None = None,
    change: Callable[[Dataset], None] | None = None,
    **how: Any,
) -> SeriesFacts:
    """Return the facts of a new source, whose files are written where a folder is given."""
    datasets = valid_slices(modality, **how)
    for dataset in datasets:
        if change is not None:
            change(dataset)
    paths = save_series(folder, datasets) if folder is not None else None
    return facts_of(datasets, paths=paths)


def answer_values(shape: Sequence[int], unit: str, *, seed: int = 7) -> NDArray[np.float32]:
    """Return an answer of which no two voxels are alike, in the range of its unit."""
    low, high = {"HU": (-1024, 3071), "Bq/ml": (0, 50000), "SUV": (0, 15), "arbitrary": (-3, 7)}[
        unit
    ]
    values = np.random.default_rng(seed).uniform(low, high, tuple(shape))
    return np.rint(values).astype(np.float32) if unit == "HU" else values.astype(np.float32)


def write_answer(
    folder: Path,
    source: SeriesFacts,
    unit: str = "HU",
    data: NDArray[Any] | None = None,
    **how: Any,
) -> WrittenSeries:
    """Write values, or some of the unit's range, on the grid of their source."""
    data = answer_values(source.shape, unit) if data is None else data
    how = {"affine": source.affine, "derivation": DERIVATION, **how}
    return write_image_series(folder, data, unit=unit, source=source, **how)


def read_files(folder: Path) -> list[Dataset]:
    """Return the files of a folder in the order of their names."""
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def decoded(image: Dataset) -> NDArray[np.float64]:
    """Return the rescaled values (columns, rows) of a native single-frame image."""
    kind = "<i2" if image.PixelRepresentation else "<u2"
    raw = np.frombuffer(image.PixelData, kind).reshape(image.Rows, image.Columns)
    slope, intercept = image.get("RescaleSlope", 1), image.get("RescaleIntercept", 0)
    return np.asarray(raw.T * float(slope) + float(intercept))
