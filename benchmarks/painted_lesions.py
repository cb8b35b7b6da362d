"""Lesions of a patient's T1 painted into a healthy brain: as dark as they were, voxel by voxel.

What is painted is no drawn blob but what the patient's own image lacks of its white matter's level,
carried over with the expert's mask: pale rims, dark cores and lesions that T1 does not show at all
come along, in the shares in which they were measured. Of a large confluent lesion, pieces are
taken, and fade towards a cut as lesions of the patient fade towards their edge.

Not realistic: what a lesion does to the tissue around it is missing (the pale rim beyond the
mask, atrophy, wide ventricles), so a method gets no credit for finding those; the affine map does
not know the folds or the ventricles, so a lesion may lie where none would arise, and is cut where
it leaves the white matter; two patients are all there is, so ten painted heads share their lesions;
what touches a ventricle is left out, since fluid and lesion cannot be told apart there, so that
large painted lesions are paler than the patient's own; both patients were scanned elsewhere, so the
contrast is that scanner's; and young heads bear an old disease.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import filters

from medgen.volumes import Grid, Volume, resample

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

TOUCHING = np.ones((3, 3, 3), np.bool_)
LEVEL_MM, NOISE_MM = 6.0, 0.8
"""How far white matter's level is averaged; how much the patient's own noise is smoothed."""
PIECE_ML = 1.5
"""Confluent lesions are cut into pieces of about this volume."""
VENTRICLE_ML = 1.0
"""Dark parts from this volume on are fluid, and no holes of lesions."""
DEPTHS = 6
"""Millimetres from the edge up to which darkness is averaged apart."""
TOO_MUCH = 1.1
"""No piece is taken that would lead beyond this share of the wanted load."""


@dataclass(frozen=True, eq=False)
class Lesions:
    """What a patient's image lacks at the lesions, on the patient's grid."""

    darkness: Floats
    """1 - image / white matter's level (X, Y, Z), 0 outside the mask."""
    mask: Mask
    grid: Grid
    profile: Floats
    """The mean darkness by depth, millimetre by millimetre from the edge."""

    @classmethod
    def of(cls, image: Volume, mask: Mask, brain: Mask) -> Lesions:
        """Measure a patient's lesions, but for what of them is a ventricle's rim."""
        values, spacing = np.asarray(image.data, np.float32), image.grid.spacing_mm
        white = white_matter(values, brain) & ~ndimage.binary_dilation(mask, TOUCHING)
        mask = mask & ~ndimage.binary_dilation(
            fluid(values, brain, image.grid.voxel_mm3 / 1000), TOUCHING
        )
        dark = 1 - values / white_level(values, white, spacing)
        smooth = averaged(dark, mask, NOISE_MM / spacing) * mask
        depth = depth_mm(mask, spacing)
        deepest = min(DEPTHS, int(depth.max()))
        layers = np.minimum(depth, deepest).astype(int)
        profile = [smooth[layers == each].mean() for each in range(1, deepest + 1)]
        return cls(smooth.astype(np.float32), mask, image.grid, np.array(profile, np.float32))

    def mirrored(self) -> Lesions:
        """Return them on the other side of the head."""
        return Lesions(self.darkness, self.mask, mirror(self.grid), self.profile)

    def pieces(self, generator: Generator) -> NDArray[np.int32]:
        """Number the lesions from 1, large ones cut into pieces around random voxels."""
        numbers, count = ndimage.label(self.mask, TOUCHING)
        sizes = np.bincount(numbers.ravel()) * self.grid.voxel_mm3 / 1000
        for whole in np.flatnonzero(sizes[1:] > 2 * PIECE_ML) + 1:
            points = np.argwhere(numbers == whole)
            seeds = generator.choice(points, round(sizes[whole] / PIECE_ML), replace=False)
            numbers[tuple(points.T)] = count + 1 + cKDTree(seeds).query(points)[1]
            count += len(seeds)
        return np.asarray(numbers, np.int32)

    def among(self, chosen: Mask) -> Floats:
        """Return the darkness of chosen voxels, faded towards where they were cut off."""
        spacing = self.grid.spacing_mm
        cut, whole = (self._expected(depth_mm(mask, spacing)) for mask in (chosen, self.mask))
        return np.where(chosen, self.darkness * cut / whole, 0).astype(np.float32)

    def _expected(self, depth: Floats) -> Floats:
        deep = np.arange(1, len(self.profile) + 1)
        return np.interp(depth, deep, self.profile).astype(np.float32)


def paint(
    image: Volume,
    brain: Mask,
    lesions: Sequence[tuple[Lesions, NDArray[np.float64]]],
    *,
    load_ml: float,
    generator: Generator,
) -> tuple[Floats, Mask]:
    """Return a healthy image with lesions (X, Y, Z), and where they are, at about a load.

    Each patient's lesions come with the matrix from their world to the image's (RAS+, mm). Pieces
    of all of them are taken in random order. The mask holds the voxels that are lesion by half or
    more, inside white matter, whose rims have their share of darkness as partial volume has it;
    the image's noise is left as it is.
    """
    values, spacing = np.asarray(image.data, np.float32), image.grid.spacing_mm
    white = white_matter(averaged(values, brain, np.full(3, 0.7)), brain)
    carried = [(one, moved(one.grid, matrix), one.pieces(generator)) for one, matrix in lesions]
    landed = [
        resample(numbers, grid, image.grid, order=0, outside=0.0).astype(int) * white
        for _, grid, numbers in carried
    ]
    voxel_ml = image.grid.voxel_mm3 / 1000
    taken = chosen_pieces(landed, load_ml / voxel_ml, generator)
    darkness, share = np.zeros_like(values), np.zeros_like(values)
    for (one, grid, numbers), mine in zip(carried, taken, strict=True):
        chosen = np.isin(numbers, list(mine))
        dark, part = one.among(chosen), chosen.astype(np.float32)
        dark, part = (resample(each, grid, image.grid, outside=0.0) for each in (dark, part))
        darkness, share = np.where(part > share, dark, darkness), np.maximum(part, share)
    inside = ndimage.gaussian_filter(white.astype(np.float32), 0.5) * white
    level = white_level(values, white, spacing)
    darkest = np.minimum(values, np.percentile(values[brain], 1))
    painted = np.maximum(values - darkness * inside * level, darkest)
    return np.where(brain, painted, 0).astype(np.float32), (share > 0.5) & white


def chosen_pieces(
    landed: Sequence[NDArray[Any]], voxels: float, generator: Generator
) -> list[set[int]]:
    """Return the pieces of each map that together come to about a number of voxels."""
    sizes = [np.bincount(numbers.ravel()) for numbers in landed]
    every = [(m, n) for m, size in enumerate(sizes) for n in np.flatnonzero(size[1:]) + 1]
    taken: list[set[int]] = [set() for _ in landed]
    load = 0
    for which in generator.permutation(len(every)):
        source, number = every[which]
        size = int(sizes[source][number])
        if load < voxels and load + size <= TOO_MUCH * voxels:
            taken[source].add(int(number))
            load += size
    return taken


def white_matter(values: Floats, brain: Mask) -> Mask:
    """Return the brightest of a T1's three classes inside the brain (Otsu)."""
    return np.asarray(brain & (values > classes(values[brain])[1]), np.bool_)


def fluid(values: Floats, brain: Mask, voxel_ml: float) -> Mask:
    """Return the ventricles and fissures: large parts of the darkest class, less its thin ones.

    Dark holes within lesions are smaller, and are not among them.
    """
    dark = brain & (values < classes(values[brain])[0])
    numbers, _ = ndimage.label(ndimage.binary_opening(dark, TOUCHING))
    large = np.bincount(numbers.ravel()) * voxel_ml > VENTRICLE_ML
    large[0] = False
    return np.asarray(large[numbers], np.bool_)


def classes(inside: NDArray[Any]) -> NDArray[np.float64]:
    """Return the two thresholds between the three classes of a brain's voxels (N,)."""
    otsu: Any = filters.threshold_multiotsu  # untyped
    found = otsu(np.clip(inside, *np.percentile(inside, [0.5, 99.5])), 3)
    return np.asarray(found, np.float64)


def white_level(values: Floats, white: Mask, spacing_mm: NDArray[np.float64]) -> Floats:
    """Return the level of white matter around each voxel, everywhere."""
    return averaged(values, white, LEVEL_MM / spacing_mm)


def averaged(values: Floats, mask: Mask, sigma: NDArray[np.float64]) -> Floats:
    """Return the Gaussian mean over a mask's voxels; far from it, that of the whole mask."""
    weights = mask.astype(np.float32)
    few, mean = 1e-3, float(values[mask].mean())
    total = ndimage.gaussian_filter(values * weights, sigma) + few * mean
    return np.asarray(total / (ndimage.gaussian_filter(weights, sigma) + few), np.float32)


def depth_mm(mask: Mask, spacing_mm: NDArray[np.float64]) -> Floats:
    """Return how far each voxel of a mask lies from the nearest voxel outside it."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=spacing_mm), np.float32)


def moved(grid: Grid, matrix: NDArray[np.float64]) -> Grid:
    """Return a grid carried to another world."""
    return Grid(grid.shape, matrix @ grid.affine)


def mirror(grid: Grid) -> Grid:
    """Return a grid with left and right exchanged."""
    return moved(grid, np.diag([-1.0, 1.0, 1.0, 1.0]))


@dataclass(frozen=True)
class Contrast:
    """One lesion against the white matter around it, as fractions of that white matter's mean."""

    volume_ml: float
    darkness: float
    deviation: float
    """Of the lesion's voxels."""
    step: float
    """How much darker its outermost voxels are than the voxels that touch it from outside."""


NEAR_MM = 3.0


def contrasts(image: Volume, lesion: Mask, brain: Mask) -> list[Contrast]:
    """Measure every lesion that has white matter within 3 mm (or two voxels), or none is listed."""
    values, spacing = np.asarray(image.data, np.float32), image.grid.spacing_mm
    white = white_matter(values, brain) & ~lesion
    numbers, _ = ndimage.label(lesion, TOUCHING)
    reach = max(NEAR_MM, 2 * float(spacing.max()))
    pad, found = int(np.ceil(reach / spacing.min())) + 1, []
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        near = tuple(slice(max(0, side.start - pad), side.stop + pad) for side in box)
        mine, local = numbers[near] == number, values[near]
        distance = ndimage.distance_transform_edt(~mine, sampling=spacing)
        ring = white[near] & (distance > spacing.max() * 1.01) & (distance <= reach)
        if ring.sum() < 5:
            continue
        level = float(local[ring].mean())
        rim = mine & ~ndimage.binary_erosion(mine)
        shell = ndimage.binary_dilation(mine) & ~lesion[near] & brain[near]
        step = (local[shell].mean() - local[rim].mean()) / level if shell.any() else np.nan
        inside = local[mine] / level
        volume = float(mine.sum()) * image.grid.voxel_mm3 / 1000
        found.append(Contrast(volume, float(1 - inside.mean()), float(inside.std()), float(step)))
    return found


SIZES_ML: Mapping[str, tuple[float, float]] = {
    "below 0.03 ml": (0, 0.03),
    "0.03 to 0.1 ml": (0.03, 0.1),
    "0.1 to 0.3 ml": (0.1, 0.3),
    "0.3 to 3 ml": (0.3, 3),
    "above 3 ml": (3, np.inf),
}


def described(found: Mapping[str, Sequence[Contrast]]) -> list[str]:
    """Return the contrasts of several origins as Markdown, by the size of the lesion."""
    lines = ["| lesions | size | n | darkness: median (quartiles) | deviation | step at the edge |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    for origin, size in ((origin, size) for size in SIZES_ML for origin in found):
        low, high = SIZES_ML[size]
        mine = [each for each in found[origin] if low <= each.volume_ml < high]
        if not mine:
            continue
        quarter, half, most = np.percentile([each.darkness for each in mine], [25, 50, 75])
        cells = [origin, size, str(len(mine)), f"{half:.2f} ({quarter:.2f} to {most:.2f})"]
        cells.append(f"{np.mean([each.deviation for each in mine]):.2f}")
        cells.append(f"{np.nanmean([each.step for each in mine]):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines
