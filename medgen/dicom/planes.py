"""What each image plane says of its place, and whether the planes of a series agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.frames import Frame
from medgen.dicom.values import numbers_of, text_of, value_of, whole_of
from medgen.problems import Problem

COSINES = 1e-3  # how far direction cosines may be from unit length, right angles and each other
_PLANE_MM = 0.05  # how far a pixel may lie from where another slice's spacing puts it
_FARTHEST_MM = 1e6
_LARGEST_COSINE = 10.0  # beyond, a number is damaged, and its square may overflow
_SMALLEST_MM, _LARGEST_MM = 1e-4, 1e3
_EXPORT = "export the whole series again from its origin"


@dataclass(frozen=True, eq=False)
class Planes:
    """What image planes have in common, and where each one is; None for what is not known."""

    positions: NDArray[np.float64] | None
    """(N, 3): ImagePositionPatient, LPS millimetres."""
    axes: NDArray[np.float64] | None
    """(3, 3): the directions along a row and along a column, and their normal, as columns, LPS."""
    spacing: tuple[float, float] | None
    """Millimetres between columns and between rows."""
    size: tuple[int, int]
    """Columns and rows of the first."""
    problems: tuple[Problem, ...]


def places_of(
    frames: Sequence[Frame],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return positions (N, 3) and axes (3, 3) as in `Planes`; None where not all are known."""
    positions = _table(frames, "ImagePositionPatient", 3, most=_FARTHEST_MM)
    cosines = _table(frames, "ImageOrientationPatient", 6, most=_LARGEST_COSINE)
    axes = _axes(cosines)[0] if len(cosines) else None
    return None if axes is None or len(positions) < len(frames) else (positions, axes)


def planes_of(frames: Sequence[Frame]) -> Planes:
    """Return what the headers of frames say of their planes (PS3.3 C.7.6.2).

    Problems: E_NO_POSITION, E_ORIENTATION, E_SLICE_SHAPE, E_BAD_SPACING, E_FRAME_OF_REFERENCE and
    E_MIXED_PATIENTS.
    """
    positions = _table(frames, "ImagePositionPatient", 3, most=_FARTHEST_MM)
    cosines = _table(frames, "ImageOrientationPatient", 6, most=_LARGEST_COSINE)
    spacings = _table(frames, "PixelSpacing", 2, most=np.inf)
    total = len(frames)
    lacking = [
        f"{keyword} ({total - len(table)} of {total} images)"
        for keyword, table in (
            ("ImagePositionPatient", positions),
            ("ImageOrientationPatient", cosines),
            ("PixelSpacing", spacings),
        )
        if len(table) < total
    ]
    problems = [*_clashes(frames), *_size_problems(frames)]
    if lacking:
        message = f"without usable {' and '.join(lacking)} nobody knows where pixels lie"
        problems.append(Problem("E_NO_POSITION", message, _EXPORT))
    axes, more = _axes(cosines) if len(cosines) else (None, [])
    size = (_whole(frames[0], "Columns"), _whole(frames[0], "Rows")) if frames else (0, 0)
    problems += more + (_spacing_problems(spacings, max(size)) if len(spacings) else [])
    return Planes(
        positions=positions if len(positions) == total else None,
        axes=axes,
        spacing=(float(spacings[0, 1]), float(spacings[0, 0])) if len(spacings) else None,
        size=size,
        problems=tuple(problems),
    )


def _axes(cosines: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, list[Problem]]:
    """Return the mean row and column direction and their normal, where all are one."""
    rows, columns = cosines[:, :3], cosines[:, 3:]
    length = float(np.abs(np.linalg.norm(cosines.reshape(-1, 3), axis=1) - 1).max())
    skew = float(np.abs((rows * columns).sum(axis=1)).max())
    if max(skew, length) > COSINES:
        message = (
            f"direction cosines are no unit vectors at right angles: their length is off by "
            f"{length:.2g} and their product {skew:.2g}, over {COSINES:g}"
        )
        return None, [Problem("E_ORIENTATION", message, _EXPORT)]
    off = np.abs(cosines - np.median(cosines, axis=0)).max(axis=1)
    if off.max() > COSINES:
        message = (
            f"{int((off > COSINES).sum())} of {len(cosines)} slices are not parallel to the rest: "
            f"direction cosines differ by up to {off.max():.2g}, over {COSINES:g}"
        )
        advice = "give a folder with the slices of one orientation only"
        return None, [Problem("E_ORIENTATION", message, advice)]
    row, column = np.split(cosines.mean(axis=0), 2)
    normal = np.cross(row, column)
    return np.column_stack([row, column, normal / np.linalg.norm(normal)]), []


def _spacing_problems(spacings: NDArray[np.float64], pixels: int) -> list[Problem]:
    low, high = float(spacings.min()), float(spacings.max())
    if low < _SMALLEST_MM or high > _LARGEST_MM:
        message = f"a pixel spacing of {low:g} to {high:g} mm is impossible"
        return [Problem("E_BAD_SPACING", message, _EXPORT)]
    if float(np.ptp(spacings, axis=0).max()) * pixels > _PLANE_MM:
        message = f"the slices' pixel spacings differ: they run from {low:g} to {high:g} mm"
        return [Problem("E_SLICE_SHAPE", message, _EXPORT)]
    return []


def _size_problems(frames: Sequence[Frame]) -> list[Problem]:
    sizes = {(_whole(frame, "Columns"), _whole(frame, "Rows")) for frame in frames}
    if any(min(size) < 1 for size in sizes):
        return [Problem("E_SLICE_SHAPE", "some images state no columns or rows", _EXPORT)]
    if len(sizes) < 2:
        return []
    least, most = (f"{columns} x {rows}" for columns, rows in (min(sizes), max(sizes)))
    message = f"the slices have {len(sizes)} sizes, from {least} to {most} columns and rows"
    return [Problem("E_SLICE_SHAPE", message, "give a folder with images of one size only")]


def _clashes(frames: Sequence[Frame]) -> list[Problem]:
    """Return a problem where images of one series claim several worlds or several persons."""
    problems = []
    references = {str(value_of(frame.header, "FrameOfReferenceUID") or "") for frame in frames}
    if len(references) > 1:
        message = f"the slices lie in {len(references)} different frames of reference"
        problems.append(Problem("E_FRAME_OF_REFERENCE", message, _EXPORT))
    persons = {text_of(frame.header, "PatientID") for frame in frames}
    if len(persons) > 1:
        message = f"the images of this series name {len(persons)} different patients"
        problems.append(Problem("E_MIXED_PATIENTS", message, _EXPORT))
    return problems


def _table(
    frames: Sequence[Frame], keyword: str, count: int, *, most: float
) -> NDArray[np.float64]:
    """Return a tag's numbers (N, count) of those frames in which they are possible."""
    found = (numbers_of(frame.header, keyword) for frame in frames)
    usable = [
        numbers
        for numbers in found
        if len(numbers) == count and all(abs(one) <= most and np.isfinite(one) for one in numbers)
    ]
    return np.array(usable, dtype=np.float64).reshape(-1, count)


def _whole(frame: Frame, keyword: str) -> int:
    return whole_of(frame.header, keyword) or 0
