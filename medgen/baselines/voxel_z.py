"""What is unusual by place and intensity: voxelwise z-scores against healthy people's mean."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.baselines.intensity_z import standardised
from medgen.baselines.pairs import no_voxels
from medgen.baselines.threshold import Mask
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.registration import register
from medgen.volumes import Grid, Volume, resample

Floats = NDArray[np.float32]

FEWEST = 3
"""Training cases that a spread is measured on, at least."""

LEAST_DEVIATION = 0.05
"""The smallest spread between people that is believed, in standard deviations of the brain."""

log = logging.getLogger(__name__)


class Healthy(NamedTuple):
    """A healthy training case: its image, and where to look on the image's grid."""

    case: str
    image: Volume
    inside: Mask


@dataclass(frozen=True, eq=False)
class VoxelZ:
    """Answer how far each voxel is from healthy people's at the same place, in their deviations.

    Intensities are standardised inside each mask and smoothed there by a Gaussian; training images
    are laid over one of them by twelve parameters, mean and deviation taken voxel by voxel, and
    both laid over the case. It is voxel-based morphometry's statistic for one person against many
    (Ashburner and Friston, NeuroImage 2000;11:805-821), without tissue classes.
    """

    reference: Volume
    """The training image that the others lie on, standardised, its background as its darkest."""
    mean: Floats
    deviation: Floats
    known: Floats
    """(X, Y, Z) on the reference's grid: 1 where half the training cases or more have brain."""
    smoothing_mm: float
    resolution_mm: float
    name: ClassVar[str] = "voxel_z"

    @classmethod
    def fit(
        cls,
        cases: Iterable[Healthy],
        *,
        smoothing_mm: float = 3.0,
        resolution_mm: float = 4.0,
    ) -> VoxelZ:
        """Measure healthy training cases on the grid of the one whose mask is of median size.

        `smoothing_mm` is the Gaussian's standard deviation, 0 for none; registrations end at
        `resolution_mm`. A case that cannot be registered is left out with a warning. Deviations
        are smoothed too, since a few cases say little of one voxel.

        Raises:
            ConfigurationError: E_BASELINE_EMPTY without a case, E_BASELINE_FEW with fewer than 3.
            Refusal: E_FLAT_INTENSITY where an image is constant inside its mask, or has none; the
                registrations', where fewer than 3 cases are left.
        """
        kept = list(cases)
        if not kept:
            raise no_voxels()
        if len(kept) < FEWEST:
            message = f"a spread needs {FEWEST} training cases or more, got {len(kept)}"
            raise ConfigurationError(Problem("E_BASELINE_FEW", message, "add healthy cases"))
        sizes = [int(each.inside.sum()) * each.image.grid.voxel_mm3 for each in kept]
        middle = kept[int(np.argsort(sizes, kind="stable")[len(kept) // 2])]
        reference = _prepared(middle.image, middle.inside)
        laid = list(_laid_over(kept, reference, smoothing_mm, resolution_mm))
        counts = np.sum([seen for _, seen in laid], axis=0)
        total = np.sum([values for values, _ in laid], axis=0, dtype=np.float64)
        mean = total / np.maximum(counts, 1)
        squares = sum(np.where(seen, (values - mean) ** 2, 0.0) for values, seen in laid)
        known = counts >= max(FEWEST, (len(laid) + 1) // 2)
        variance = np.where(known, squares / np.maximum(counts - 1, 1), 0.0).astype(np.float32)
        smooth = _smoothed(variance, known, reference.grid, smoothing_mm)
        deviation = np.maximum(np.sqrt(smooth), np.float32(LEAST_DEVIATION))
        mean = np.where(known, mean, 0.0).astype(np.float32)
        known = known.astype(np.float32)
        return cls(reference, mean, deviation, known, smoothing_mm, resolution_mm)

    def predict(self, image: Volume, inside: Mask) -> Floats:
        """Return signed z-scores (X, Y, Z) on the image's own grid.

        0 outside the mask, and where too few healthy brains reach to say anything.

        Raises:
            Refusal: E_FLAT_INTENSITY where the image is constant inside the mask, or has none; the
                registration's.
        """
        prepared, here = _prepared(image, inside), self.reference.grid
        back = np.linalg.inv(_onto(prepared, self.reference, self.resolution_mm))
        place = Grid(here.shape, back @ here.affine)
        share = resample(self.known, place, image.grid, outside=0.0)
        judged = inside & (share > 0.5)
        values = _smoothed(standardised(image, inside), inside, image.grid, self.smoothing_mm)
        mean, deviation = (
            resample(each * self.known, place, image.grid, outside=0.0)[judged] / share[judged]
            for each in (self.mean, self.deviation)
        )
        answer = np.zeros(image.grid.shape, np.float32)
        answer[judged] = (values[judged] - mean) / deviation
        return answer


def _prepared(image: Volume, inside: Mask) -> Volume:
    """Return what is registered: the brain alone, on a background as dark as its darkest."""
    values = standardised(image, inside)
    return image.with_data(np.where(inside, values, values[inside].min()))


def _onto(moving: Volume, fixed: Volume, resolution_mm: float) -> NDArray[np.float64]:
    """Return the matrix (4, 4) that lays one prepared image over another, world to world."""
    found = register(
        moving.data,
        moving.grid.affine,
        fixed.data,
        fixed.grid.affine,
        resolution_mm=resolution_mm,
    )
    return found.matrix


def _laid_over(
    cases: Sequence[Healthy], reference: Volume, smoothing_mm: float, resolution_mm: float
) -> list[tuple[Floats, Mask]]:
    """Return each case's smoothed intensities on the reference's grid, and where it has brain."""
    laid, failures = [], []
    for each in cases:
        image, inside = each.image, each.inside
        try:
            matrix = _onto(_prepared(image, inside), reference, resolution_mm)
        except Refusal as error:
            failures.append(Refusal(error.at(case=each.case).problems))
            log.warning("a training case was left out: %s", failures[-1])
            continue
        smooth = _smoothed(standardised(image, inside), inside, image.grid, smoothing_mm)
        place = Grid(image.grid.shape, matrix @ image.grid.affine)
        share = resample(inside.astype(np.float32), place, reference.grid, outside=0.0)
        values = resample(smooth, place, reference.grid, outside=0.0)
        seen = share > 0.5
        laid.append((np.where(seen, values / np.maximum(share, 0.5), np.float32(0.0)), seen))
    if len(laid) < FEWEST:
        raise Refusal(problem for failure in failures for problem in failure.problems)
    return laid


def _smoothed(values: Floats, inside: Mask, grid: Grid, smoothing_mm: float) -> Floats:
    """Return values smoothed over the mask alone, which air does not darken; 0 outside."""
    sigma = smoothing_mm / grid.spacing_mm
    share = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(inside, values, np.float32(0.0)), sigma)
    floor = np.finfo(np.float32).tiny
    return np.where(inside, total / np.maximum(share, floor), np.float32(0.0))
