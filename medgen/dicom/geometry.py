"""Image planes to one grid: their order, their affine, and everything that keeps them from one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from medgen.dicom.frames import Frame
from medgen.dicom.planes import places_of, planes_of
from medgen.problems import Problem

SAME_PLACE_MM = 0.01
GAP_MM, GAP_SHARE = 0.05, 0.01  # how far a gap may be from the usual one: the larger of both
_QUARTER = 0.25  # of a gap is no tolerance: thinner slices than 0.2 mm are held to less
TILT_DEGREES, TILT_MM = 0.1, 0.05
WIDEST_GAP = 3.0  # usual gaps; where one is wider, a part of the series is missing
_EXPORT = "export the whole series again from its origin"
_STRAIGHTEN = "give --straighten to resample it"
_MEND = "mend the files that cannot be read first: their slices may be the missing ones"

Positions = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Frames in the order of the third array axis, and where they are.

    The third axis runs along the normal, the cross product of row and column direction
    (PS3.3 C.7.6.2.1.1), whatever the order of files or InstanceNumbers: so a series' array does
    not depend on how it was stored. Its first two axes are columns and rows, as stored.
    """

    frames: tuple[Frame, ...] = field(repr=False)
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    """(4, 4): indices (column, row, slice) to RAS millimetres, from the first slice's position and
    the mean step from first to last; sheared where the slices are tilted."""
    along_mm: Positions
    """Each slice's distance from the first along the normal."""
    shear: NDArray[np.float64]
    """(2,): how far slices move along rows and along columns for each millimetre of the normal."""
    usual_gap_mm: float

    @property
    def straight(self) -> bool:
        """Tell whether the voxels lie on the affine's grid as they are, at right angles."""
        return not (_tilt_problems(self.along_mm, self.shear) or _gap_problems(self.along_mm))

    @property
    def tolerance_mm(self) -> float:
        """Return how far from its place on an even grid a slice may lie and still be there."""
        return _tolerance(self.along_mm)


def arrange(
    frames: Sequence[Frame], *, straighten: bool = False, incomplete: bool = False
) -> tuple[Arrangement | None, list[Problem]]:
    """Return frames as one grid, or all the problems that keep them from being one.

    `straighten` tolerates tilt and uneven gaps of up to three times the usual one, which are then
    to be resampled. `incomplete` says that files of the series could not be read, so that gaps are
    to be mended with them. Tolerances: gaps within 0.05 mm (at most a quarter) or 1 % of the usual
    gap, whichever is larger, and slices as near to evenly spaced places; direction cosines within
    1e-3; the same place below 0.01 mm. Slices are tilted where they drift by over 0.1 degrees and
    by over 0.05 mm in all.

    Problems: E_NO_POSITION, E_SLICE_SHAPE, E_BAD_SPACING, E_ORIENTATION, E_DUPLICATE_SLICE,
    E_GANTRY_TILT, E_NONUNIFORM_SPACING, E_FRAME_OF_REFERENCE, E_MIXED_PATIENTS, E_TOO_FEW_SLICES.
    """
    planes = planes_of(frames)
    problems = list(planes.problems)
    if len(frames) < 2:
        problems.append(_too_few(len(frames)))
    if planes.positions is None or planes.axes is None:
        return None, problems
    order, along, across = _sorted(planes.positions, planes.axes)
    problems += _stack_problems(along, across, straighten=straighten, incomplete=incomplete)
    if problems or planes.spacing is None:
        return None, problems
    shear = across[-1] / along[-1]
    axes, spacing = planes.axes, planes.spacing
    step = (axes[:, 2] + axes[:, :2] @ shear) * along[-1] / (len(frames) - 1)
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1], lps[:3, 2] = axes[:, 0] * spacing[0], axes[:, 1] * spacing[1], step
    lps[:3, 3] = planes.positions[order[0]]
    return (
        Arrangement(
            frames=tuple(frames[index] for index in order),
            shape=(*planes.size, len(frames)),
            affine=np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps + 0.0,  # + 0.0: no negative zeros
            along_mm=along,
            shear=shear,
            usual_gap_mm=_usual(np.diff(along)),
        ),
        [],
    )


def position_groups(frames: Sequence[Frame]) -> NDArray[np.int64] | None:
    """Return for each frame which place along the normal it has, counted from 0; None if unknown.

    Frames less than 0.01 mm from the next belong to one place.
    """
    places = places_of(frames)
    if places is None:
        return None
    order, along, _ = _sorted(*places)
    labels = np.zeros(len(frames), dtype=np.int64)
    labels[order] = np.concatenate([[0], np.cumsum(np.diff(along) >= SAME_PLACE_MM)])
    return labels


def _sorted(
    positions: Positions, axes: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Positions, Positions]:
    """Return the order along the normal, and in it the distances from the first slice.

    Those are along the normal (N,), and along rows and columns (N, 2).
    """
    projected = positions @ axes[:, 2]
    order = np.lexsort((*positions.T[::-1], projected))
    offsets = positions[order] - positions[order[0]]
    return order, offsets @ axes[:, 2], offsets @ axes[:, :2]


def _stack_problems(
    along: Positions, across: Positions, *, straighten: bool, incomplete: bool
) -> list[Problem]:
    """Return what is wrong with the places of slices in the order of the normal."""
    if len(along) < 2:
        return []
    problems = []
    fresh = np.concatenate([[True], np.diff(along) >= SAME_PLACE_MM])
    if not fresh.all():
        count = int(len(along) - fresh.sum())
        message = (
            f"{count} of {len(along)} images lie where another one does, within "
            f"{SAME_PLACE_MM:g} mm, and no tag tells them apart"
        )
        problems.append(Problem("E_DUPLICATE_SLICE", message, "remove what does not belong"))
    along, across = along[fresh], across[fresh]
    if len(along) < 2:
        return problems
    shear = across[-1] / along[-1]
    widest = float(np.diff(along).max() / _usual(np.diff(along)))
    fillable = widest <= WIDEST_GAP + GAP_SHARE
    stray = float(np.linalg.norm(across - along[:, None] * shear, axis=1).max())
    in_line = stray <= _tolerance(along)
    # What resampling would not mend is not offered it.
    mendable = fillable and in_line
    tilt = _tilt_problems(along, shear, advice=_STRAIGHTEN if mendable else _EXPORT)
    gap_advice = f"{_EXPORT}, or {_STRAIGHTEN}" if mendable else _EXPORT
    gaps = _gap_problems(along, advice=_MEND if incomplete else gap_advice)
    if straighten:
        tilt, gaps = [], [] if fillable else [_unfilled(gap, widest) for gap in gaps]
    if not in_line:
        message = (
            f"slices leave the straight line from first to last by up to {stray:.3g} mm, "
            f"over {_tolerance(along):.3g} mm"
        )
        message += ", which --straighten does not mend" if straighten else ""
        gaps = [*gaps, Problem("E_NONUNIFORM_SPACING", message, _EXPORT)]
    return [*problems, *tilt, *gaps]


def _unfilled(gap: Problem, widest: float) -> Problem:
    """Return the problem of gaps, saying why they are one though slices may be resampled."""
    message = (
        f"{gap.message}; --straighten does not fill gaps of more than {WIDEST_GAP - 1:g} slices, "
        f"and the widest is {widest:.3g} times the usual one"
    )
    return replace(gap, message=message)


def tilt_degrees(shear: NDArray[np.float64]) -> float:
    """Return the angle between the stack of slices and their normal."""
    return float(np.rad2deg(np.arctan(np.linalg.norm(shear))))


def _tilt_problems(
    along: Positions, shear: NDArray[np.float64], *, advice: str = _STRAIGHTEN
) -> list[Problem]:
    degrees, drift = tilt_degrees(shear), float(np.linalg.norm(shear)) * float(along[-1])
    if degrees <= TILT_DEGREES or drift <= TILT_MM:
        return []
    message = (
        f"the slices are tilted by {degrees:.3g} degrees against their stack: they drift by "
        f"{drift:.3g} mm from first to last"
    )
    return [Problem("E_GANTRY_TILT", message, advice)]


def missing_slices(along: Positions) -> int:
    """Return how many slices are missing, where all gaps are whole multiples of the usual one."""
    gaps = np.diff(along)
    ratios = gaps / _usual(gaps)
    if np.abs(ratios - np.rint(ratios)).max() > GAP_SHARE:
        return 0
    return int(np.rint(ratios - 1).clip(0).sum())


def _gap_problems(along: Positions, *, advice: str = _EXPORT) -> list[Problem]:
    gaps = np.diff(along)
    usual, tolerance = _usual(gaps), _tolerance(along)
    even = np.linspace(0, along[-1], len(along))
    stray = float(np.abs(along - even).max())
    if np.abs(gaps - usual).max() <= tolerance and stray <= tolerance:
        return []
    message = f"slice gaps run from {gaps.min():.4g} to {gaps.max():.4g} mm, usually {usual:.4g} mm"
    missing = missing_slices(along)
    if missing:
        message += f", as if {missing} {'slice was' if missing == 1 else 'slices were'} missing"
    elif np.abs(gaps - usual).max() <= tolerance:
        message += f": slices stray by {stray:.3g} mm from even places, over {tolerance:.3g} mm"
    return [Problem("E_NONUNIFORM_SPACING", message, advice)]


def _usual(gaps: Positions) -> float:
    """Return the median gap; of an even number, the lower of the two in the middle."""
    return float(np.sort(gaps)[(len(gaps) - 1) // 2])


def _tolerance(along: Positions) -> float:
    usual = _usual(np.diff(along))
    return max(min(GAP_MM, usual * _QUARTER), GAP_SHARE * usual)


def _too_few(count: int) -> Problem:
    held = "a single image" if count else "no image"
    message = f"{held}, where a volume needs at least 2 slices"
    return Problem("E_TOO_FEW_SLICES", message, "give the folder that holds the whole series")
