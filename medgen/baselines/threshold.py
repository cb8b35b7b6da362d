"""The lesions by intensity alone: what is far brighter than the rest of the brain."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medgen.baselines.pairs import no_voxels, open_cell
from medgen.config import ZScoreScale
from medgen.conversion.parts import find_parts
from medgen.data import Classes, Row, body_mask, measure
from medgen.problems import MedgenError
from medgen.volumes import Volume, resample

Mask = NDArray[np.bool_]

DEVIATIONS = tuple(0.25 * step for step in range(2, 25))
"""The thresholds that are tried: 0.5 to 6 standard deviations above the mean."""

LEAST_ML = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""The least volumes of a part that are tried."""

_PLAIN = ZScoreScale(scale="z_score", deviations=1.0)


@dataclass(frozen=True, eq=False)
class Marked:
    """A training case on the image's grid: where to look, and what is lesion."""

    case: str
    image: Volume
    inside: Mask
    lesion: Mask


@dataclass(frozen=True)
class IntensityThreshold:
    """Call lesion what lies `deviations` standard deviations above the mean, inside a mask.

    Mean and deviation are the mask's own in each image, so that no scanner's gain matters; parts
    (of voxels that touch by a face, an edge or a corner) smaller than `least_ml` are left out. For
    lesions that are bright, such as those of white matter in FLAIR.
    """

    deviations: float
    least_ml: float
    dice: float = math.nan
    """The mean Dice of the training cases."""
    name: ClassVar[str] = "intensity_threshold"

    @classmethod
    def fit(
        cls,
        cases: Iterable[Marked],
        *,
        deviations: Sequence[float] = DEVIATIONS,
        least_ml: Sequence[float] = LEAST_ML,
    ) -> IntensityThreshold:
        """Take the pair of a grid that has the highest mean Dice, the lower of equal ones.

        A case without a lesion counts 1 where nothing is found, else 0. What is lesion outside
        the mask is missed, and counts.

        Raises:
            ConfigurationError: E_BASELINE_EMPTY without a case.
            Refusal: E_FLAT_INTENSITY where an image is constant inside its mask, or has none.
        """
        scores = [_dices(case, deviations, least_ml) for case in cases]
        if not scores:
            raise no_voxels()
        means = np.mean(scores, axis=0)
        row, column = divmod(int(means.argmax()), len(least_ml))
        return cls(deviations[row], least_ml[column], float(means[row, column]))

    def predict(self, image: Volume, inside: Mask) -> Mask:
        """Return what is lesion (X, Y, Z), on the image's own grid.

        Raises:
            Refusal: E_FLAT_INTENSITY where the image is constant inside the mask, or has none.
        """
        found = (_z_scores(image, inside) > self.deviations) & inside
        parts = find_parts(found)
        strays = parts.strays(
            largest_only=False, minimum_ml=self.least_ml, voxel_ml=_voxel_ml(image)
        )
        found[parts.box] &= ~strays[parts.numbers]
        return found


def open_marked(
    row: Row, *, source: str, label: str, classes: Classes, mask: str | None = None
) -> Marked:
    """Open a case's image, its label, and where to look; every class counts as lesion.

    Without a mask column that is the image's body outline, scalp and all.

    Raises:
        Refusal: the gate's, E_EMPTY_BODY, or E_LABEL_VALUES.
    """
    image, inside = open_masked(row, source=source, mask=mask)
    drawn = open_cell(row, label)
    try:
        indices = classes.indices(drawn.data)
    except MedgenError as error:
        raise error.at(case=row.case, column=label) from None
    lesion = resample(indices, drawn.grid, image.grid, order=0, outside=0.0) > 0
    return Marked(row.case, image, inside, lesion)


def open_masked(row: Row, *, source: str, mask: str | None = None) -> tuple[Volume, Mask]:
    """Open a case's image and where to look in it, on the image's grid."""
    image = open_cell(row, source)
    if mask is None:
        try:
            return image, body_mask(image.data, spacing_mm=image.grid.spacing_mm)
        except MedgenError as error:
            raise error.at(case=row.case, column=source) from None
    drawn = open_cell(row, mask)
    above = (drawn.data > 0).astype(np.uint8)
    return image, resample(above, drawn.grid, image.grid, order=0, outside=0.0) > 0


def _z_scores(image: Volume, inside: Mask) -> NDArray[np.float32]:
    return measure(_PLAIN, image.data, inside).encode(image.data)


def _voxel_ml(image: Volume) -> float:
    return image.grid.voxel_mm3 / 1000.0


def _dices(
    case: Marked, deviations: Sequence[float], least_ml: Sequence[float]
) -> NDArray[np.float64]:
    """Return the Dice of every threshold (rows) and every least volume (columns)."""
    try:
        scores = _z_scores(case.image, case.inside)
    except MedgenError as error:
        raise error.at(case=case.case) from None
    return np.array(
        [list(_dices_above(case, scores, level, least_ml)) for level in deviations], np.float64
    )


def _dices_above(
    case: Marked, scores: NDArray[np.float32], level: float, least_ml: Sequence[float]
) -> Iterator[float]:
    """Yield the Dice at one threshold: parts are found once, and each is kept whole or not."""
    parts = find_parts((scores > level) & case.inside)
    hits = np.bincount(parts.numbers[case.lesion[parts.box]], minlength=parts.count + 1)
    drawn = int(case.lesion.sum())
    for least in least_ml:
        kept = ~parts.strays(largest_only=False, minimum_ml=least, voxel_ml=_voxel_ml(case.image))
        kept[0] = False
        total = drawn + int(parts.sizes[kept].sum())
        yield 2.0 * int(hits[kept].sum()) / total if total else 1.0
