"""The nouns of DICOM as medgen uses them: a file, an image plane, and a series made of planes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.problems import Problem

HU = "HU"
BECQUEREL = "Bq/ml"
SUV = "SUV"
COUNTS = "counts"
"""PET that was not calibrated; comparable within its own volume only."""
ARBITRARY = "arbitrary"


@dataclass(frozen=True, eq=False)
class Instance:
    """One DICOM file by its header; the pixels stay on the disk.

    Headers hold patients' names: nothing of this may be printed or logged.
    """

    path: Path = field(repr=False)
    header: Dataset = field(repr=False)
    """All attributes but the pixel data; `file_meta` is set."""
    pixels_at: int | None = None
    """Where the element of the pixel data begins in the file, if that is known."""
    state: tuple[int, ...] = ()
    """What `state_of` said of the file when its header was read."""


def state_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes with a file, also where a copy keeps times, and slices one size."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


@dataclass(frozen=True, eq=False)
class Frame:
    """One image plane: a classic file, or a frame of a multi-frame one."""

    instance: Instance
    number: int
    """From 0 within its file."""
    header: Dataset = field(repr=False)
    """What holds for this plane, with classic keywords at the root (ImagePositionPatient,
    PixelSpacing, RescaleSlope, EchoTime, ...). Of a classic file its own header; of a multi-frame
    one the file's, overlaid with the shared and the frame's own functional groups."""


@dataclass(frozen=True, eq=False)
class SeriesFacts:
    """What a series is, without its voxels: all that a derived series needs to know."""

    frames: tuple[Frame, ...] = field(repr=False)
    """In the order of the array's third axis."""
    affine: NDArray[np.float64]
    """(4, 4): indices (column, row, slice) to RAS millimetres."""
    shape: tuple[int, int, int]
    modality: str
    """CT, MR, PT, ..."""
    frame_of_reference: str = field(default="", repr=False)
    """The FrameOfReferenceUID; empty where the source has none."""
    straightened: bool = False
    """Whether the voxels were resampled, so that slices are no longer the source's frames."""
    identity: tuple[Problem, ...] = ()
    """Why no series can be derived from this one (blank UIDs); empty where one can."""


@dataclass(frozen=True, eq=False)
class Series:
    """A series as a volume: values (X, Y, Z) along columns, rows and slices."""

    data: NDArray[Any] = field(repr=False)
    """int16/int32 where all rescaling is whole-numbered and equal, else float32."""
    facts: SeriesFacts
    unit: str
    """HU, Bq/ml, SUV, counts or arbitrary."""
    digest: str
    """SHA-256 of the content of the files it was made of and of the choice; names do not count."""
    valid: NDArray[np.bool_] | None = field(default=None, repr=False)
    """False where the scanner padded, so that nothing was measured; None where all counts."""
    notes: tuple[Problem, ...] = ()
    """What was left out or put right, each with a W_ code: localizers, copies, padding."""
