"""A simulated column as the DICOM series that a scanner would have sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.decimals import decimal
from medgen.dicom.writing import stored_plane, write_folder
from medgen.phantom.headers import ACTIVITY_PER_SUV, CT, MR, PET, Visit, series_header
from medgen.phantom.pet import SUV_STEP
from medgen.volumes import Volume

MODALITIES = {"HU": CT, "SUV": PET, "arbitrary": MR}
"""By a volume's unit; a column of another unit, such as a mask, is no acquisition."""
_AIR_HU = -1024
_SKEW = 1e-6
_TO_LPS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Stack:
    """A volume as a scanner numbers it: columns to the left or back, rows to the back or foot."""

    data: NDArray[Any]
    """(columns, rows, slices)."""
    origin: NDArray[np.float64]
    """LPS millimetres of the first voxel."""
    directions: NDArray[np.float64]
    """(3, 3): where columns, rows and slices run, unit LPS vectors as columns."""
    spacing_mm: NDArray[np.float64]

    def describe(self, header: Dataset, index: int) -> None:
        """Write the Image Plane Module of a slice (PS3.3 C.7.6.2)."""
        position = self.origin + index * self.spacing_mm[2] * self.directions[:, 2]
        header.ImagePositionPatient = [decimal(value) for value in position]
        header.ImageOrientationPatient = [
            decimal(value) for value in self.directions[:, :2].T.ravel()
        ]
        header.PixelSpacing = [decimal(self.spacing_mm[1]), decimal(self.spacing_mm[0])]
        header.SliceThickness = decimal(self.spacing_mm[2])


def stack_of(volume: Volume) -> Stack:
    """Return a volume as slices along its third axis, in the usual order for their orientation.

    Nothing is resampled: axes are swapped and reversed. Columns are numbered towards the left, or
    in sagittal slices towards the back; rows towards the back, or else towards the feet; slices
    along the normal of both. Raises ValueError where the grid is sheared.
    """
    turned = _TO_LPS @ volume.grid.directions
    if np.abs(turned.T @ turned - np.eye(3)).max() > _SKEW:
        raise ValueError("the axes of the grid are not at right angles")
    nearest = np.abs(turned).argmax(axis=0)
    first, second = sorted((0, 1), key=lambda axis: int(nearest[axis]))
    order = (first, second, 2)
    directions = turned[:, order]
    signs = np.array([_sign(directions[:, 0]), _sign(directions[:, 1]), 1.0])
    normal = np.cross(directions[:, 0] * signs[0], directions[:, 1] * signs[1])
    signs[2] = 1.0 if normal @ directions[:, 2] > 0.0 else -1.0
    data = volume.data.transpose(order)
    ends = np.where(signs > 0.0, 0, np.array(data.shape) - 1)
    corner = volume.grid.to_world(ends[np.argsort(order)])
    flips = tuple(axis for axis in range(3) if signs[axis] < 0.0)
    spacing = volume.grid.spacing_mm[list(order)]
    return Stack(np.flip(data, flips), _TO_LPS @ corner, directions * signs, spacing)


def write_series(folder: Path, volume: Volume, visit: Visit, column: str) -> None:
    """Write a column as one folder of CT, MR or PET images, whole and verified or not at all.

    CT is rounded to whole HU and MR to whole numbers, slope 1, as in the other formats; PET to
    steps of 1/256 SUV, or twice that as often as 16 bits need it, and stored in Bq/ml at the
    series' time. Raises Refusal E_UNWRITABLE, E_READ_BACK.
    """
    modality = MODALITIES[volume.unit]
    stack = stack_of(volume)
    stored, slope, intercept = _stored(stack.data, modality)
    header = series_header(visit, column, modality, slices=stored.shape[2])
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Columns, header.Rows = stored.shape[:2]
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit = 15
    header.PixelRepresentation = int(stored.dtype.kind == "i")
    if modality != MR:  # which has no rescaling (PS3.3 A.4.3)
        header.RescaleSlope, header.RescaleIntercept = decimal(slope), decimal(intercept)

    def datasets() -> Iterator[Dataset]:
        for index in range(stored.shape[2]):
            header.SOPInstanceUID = visit.uid("image", column, index)
            header.InstanceNumber = index + 1
            if modality == PET:
                header.ImageIndex = index + 1
            stack.describe(header, index)
            plane = np.ascontiguousarray(
                stored[:, :, index].T, dtype=stored.dtype.newbyteorder("<")
            )
            header.PixelData = plane.tobytes()
            yield header

    def verify(index: int, dataset: Dataset) -> bool:
        return np.array_equal(stored_plane(dataset, stored.dtype), stored[:, :, index])

    write_folder(folder, datasets(), verify)


def _sign(direction: NDArray[np.float64]) -> float:
    """Return how to number along a direction in a slice: to the left, the back, or the feet."""
    axis = int(np.abs(direction).argmax())
    usual = -1.0 if axis == 2 else 1.0
    return usual if direction[axis] > 0.0 else -usual


def _stored(data: NDArray[Any], modality: str) -> tuple[NDArray[Any], float, float]:
    """Return 16-bit values, their slope and their intercept."""
    if modality == CT:
        return _rounded(data - np.float32(_AIR_HU), np.uint16), 1.0, _AIR_HU
    if modality == MR:
        return _rounded(data, np.uint16), 1.0, 0.0
    step, largest = SUV_STEP, float(np.abs(data).max())
    while largest > step * np.iinfo(np.int16).max:
        step *= 2.0
    return _rounded(data / step, np.int16), step * ACTIVITY_PER_SUV, 0.0


def _rounded(data: NDArray[Any], kind: type[np.int16] | type[np.uint16]) -> NDArray[Any]:
    bounds = np.iinfo(kind)
    return np.asarray(np.clip(np.rint(data), bounds.min, bounds.max), dtype=kind)
