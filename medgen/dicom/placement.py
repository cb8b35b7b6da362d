"""Which voxel of an answer is which pixel of its source: decided by affine, never by shape.

Shapes and names of axes mislead: a cube fits its source in 48 ways, and one of the 47 wrong ones is
a patient mirrored.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medgen.dicom.decimals import decimal, decimals
from medgen.dicom.frames import Frame, SeriesFacts
from medgen.dicom.values import number_of, numbers_of, value_of, whole_of
from medgen.problems import Problem, Refusal

SAME_PLACE_MM = 0.01
_RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])
_ADVICE = "write NIfTI instead, or answer on the source's own grid"


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice of the answer is, in DICOM's own decimal strings (LPS millimetres)."""

    frame: Frame = field(repr=False)
    """The source's frame at this place; the nearest one where the source was straightened."""
    position: list[str]
    orientation: list[str]
    spacing: list[str]
    """Between rows, between columns."""
    thickness: str | None

    def describe(self, target: Dataset) -> None:
        """Write the Image Plane Module (PS3.3 C.7.6.2)."""
        target.ImagePositionPatient = self.position
        target.ImageOrientationPatient = self.orientation
        target.PixelSpacing = self.spacing
        target.SliceThickness = self.thickness

    def corners(self, columns: int, rows: int) -> NDArray[np.float64]:
        """Return the LPS centres of the first, the last of the first row, and the last pixel."""
        return corners_of(self.position, self.orientation, self.spacing, columns, rows)


@dataclass(frozen=True, eq=False)
class Placement:
    """How an answer lies on its source: planes along the source's third axis."""

    planes: tuple[Plane, ...]
    preserved: bool
    """Whether each plane is a frame of the source, pixel by pixel."""
    axes: tuple[int, ...]
    flips: tuple[int, ...]
    backwards: bool = False
    """Whether the source's images are numbered against its third axis."""

    @property
    def order(self) -> tuple[int, ...]:
        """Return the planes in the order that the source's images are numbered in.

        Viewers scroll by InstanceNumber, and an answer is looked at beside its source.
        """
        indices = range(len(self.planes))
        return tuple(reversed(indices) if self.backwards else indices)

    def arrange(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the answer as (columns, rows, slices) of the source."""
        return np.flip(np.transpose(data, self.axes), self.flips)


def place(shape: tuple[int, ...], affine: NDArray[Any], source: SeriesFacts) -> Placement:
    """Find the source's frame for each plane of an answer of this shape and RAS affine.

    The answer's axes may be the source's in any order and direction; its voxel centres must be the
    source's within 0.01 mm. Raises Refusal E_DICOM_GRID otherwise.
    """
    axes, signs = _matching_axes(shape, affine, source)
    flips = tuple(axis for axis in range(3) if signs[axis] < 0)
    if source.straightened:
        planes = tuple(_computed_plane(source, index) for index in range(source.shape[2]))
    else:
        _check_frames(source)
        planes = tuple(_own_plane(frame) for frame in source.frames)
    return Placement(planes, not source.straightened, axes, flips, _is_backwards(source))


def _is_backwards(source: SeriesFacts) -> bool:
    """Tell whether image numbers fall along the third axis, with frames' numbers within a file.

    Where an image has none, or they rise and fall, slices are numbered along the axis.
    """
    found = [
        (whole_of(frame.instance.header, "InstanceNumber"), frame.number) for frame in source.frames
    ]
    numbers = [(number, frame) for number, frame in found if number is not None]
    if len(numbers) < max(2, len(found)):
        return False
    return all(later < sooner for sooner, later in itertools.pairwise(numbers))


def corners_of(
    position: Any, orientation: Any, spacing: Any, columns: int, rows: int
) -> NDArray[np.float64]:
    """Return three LPS corner pixels (3, 3) of a plane by its attributes (PS3.3 C.7.6.2.1.1)."""
    origin = np.array([float(value) for value in position])
    along_row, along_column = np.array([float(value) for value in orientation]).reshape(2, 3)
    between_rows, between_columns = (float(value) for value in spacing)
    right = origin + (columns - 1) * between_columns * along_row
    return np.stack([origin, right, right + (rows - 1) * between_rows * along_column])


def _matching_axes(
    shape: tuple[int, ...], affine: NDArray[Any], source: SeriesFacts
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the answer's axis, and its direction, for each of the source's three."""
    affine = np.asarray(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise _off_grid("its affine is not a 4 x 4 matrix of finite numbers")
    steps = np.linalg.solve(source.affine[:3, :3], affine[:3, :3])
    signed = np.rint(steps)
    if not np.array_equal(np.abs(signed) @ np.ones(3), np.ones(3)) or not np.array_equal(
        np.ones(3) @ np.abs(signed), np.ones(3)
    ):
        raise _off_grid("its axes are not the source's, in whatever order and direction")
    axes = tuple(int(axis) for axis in np.abs(signed).argmax(axis=1))
    arranged = tuple(shape[axis] for axis in axes)
    if arranged != tuple(source.shape):
        mine, theirs = (" x ".join(map(str, size)) for size in (arranged, source.shape))
        raise _off_grid(f"along the source's axes it has {mine} voxels, the source {theirs}")
    signs = tuple(int(signed[row, axis]) for row, axis in enumerate(axes))
    expected = np.eye(4)
    expected[:3, :3] = signed
    expected[:3, 3] = [
        count - 1 if sign < 0 else 0 for count, sign in zip(arranged, signs, strict=True)
    ]
    ends = np.array([(*end, 1) for end in itertools.product(*((0, count - 1) for count in shape))])
    apart = np.linalg.norm(ends @ (affine - source.affine @ expected).T, axis=1).max()
    if apart > SAME_PLACE_MM:
        raise _off_grid(f"its voxels lie up to {apart:.3g} mm beside the source's")
    return axes, signs


def _check_frames(source: SeriesFacts) -> None:
    """Make sure that the frames are in the order of the affine's third axis."""
    if len(source.frames) != source.shape[2]:
        raise _off_grid(f"the source has {len(source.frames)} frames and {source.shape[2]} planes")
    gap = float(np.linalg.norm(source.affine[:3, 2]))
    for index, frame in enumerate(source.frames):
        position = np.array(numbers_of(frame.header, "ImagePositionPatient"))
        expected = _RAS_TO_LPS * (source.affine @ (0, 0, index, 1))[:3]
        # Closer is the reader's to ask; here a frame must only be nobody else's neighbour.
        if position.shape != (3,) or not np.linalg.norm(position - expected) < gap / 2:
            raise _off_grid(f"frame {index + 1} of the source is not at its plane of the volume")


def _own_plane(frame: Frame) -> Plane:
    """Return a frame's own place, as its header spells it."""
    header = frame.header
    thickness = number_of(header, "SliceThickness")
    known = thickness is not None and np.isfinite(thickness)
    return Plane(
        frame,
        decimals(value_of(header, "ImagePositionPatient")),
        decimals(value_of(header, "ImageOrientationPatient")),
        decimals(value_of(header, "PixelSpacing")),
        decimals([value_of(header, "SliceThickness")])[0] if known else None,
    )


def _computed_plane(source: SeriesFacts, index: int) -> Plane:
    """Return the place of a plane that was resampled, and the frame nearest to it."""
    lps = _RAS_TO_LPS[:, None] * source.affine[:3]
    between_columns, between_rows, gap = np.linalg.norm(lps[:, :3], axis=0)
    position = lps @ (0, 0, index, 1)
    orientation = [*(lps[:, 0] / between_columns), *(lps[:, 1] / between_rows)]
    normal = lps[:, 2] / gap
    distances = [
        abs(float((np.array(numbers_of(frame.header, "ImagePositionPatient")) - position) @ normal))
        for frame in source.frames
    ]
    return Plane(
        source.frames[int(np.argmin(distances))],
        [decimal(value) for value in position],
        [decimal(value) for value in orientation],
        [decimal(between_rows), decimal(between_columns)],
        decimal(gap),
    )


def _off_grid(why: str) -> Refusal:
    message = f"the answer cannot be written onto the source's frames: {why}"
    return Refusal(Problem("E_DICOM_GRID", message, _ADVICE))
