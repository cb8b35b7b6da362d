"""A full-dose PET image as fewer counts would have shown it, where the counts themselves are gone.

A scan's list of events can be thinned: each is kept with probability d. Of an image alone, its own
noise is kept, and the noise that fewer counts add to it is simulated: its slices are projected,
the projections scaled to the counts that were measured (as somebody states them), Poisson counts n
drawn from them, and Binomial(n, d) / d - n reconstructed and added. That difference has mean 0
and, over both draws, variance (1/d - 1) E[n]: so the image gains (1/d - 1) times the variance that
reconstructing the stated counts has, and the sum has 1/d times it, as thinned events would have
(PMC5002150 thins events, and finds the liver's squared signal-to-noise ratio linear in the
counts).

What is assumed, since an image does not say it: every slice is measured by itself and with the
same sensitivity; counts of background (scatter and randoms) are flat over a slice's bins; photons
are not attenuated, unless a map is given, so that the middle of a body is less noisy, and its rim
noisier, than it should be; and reconstruction is filtered back projection of bins of 4 mm (a ramp
under a cosine window), then a Gaussian. An iterative reconstruction would have far less noise in
air, and less where there is little activity.

How many counts a scan had, its file seldom says, and nothing here assumes it. Two ways to state
it: activity in view (MBq) x the scanner's sensitivity (counts/s per MBq) x the share of photon
pairs that leave the body (1/10 in a trunk, 1/7 in a head, in round numbers) x seconds; or by the
image's own noise: thin it with a guess, divide the standard deviation that was added in an even
organ by that of the full dose there and by sqrt(1/d - 1), and multiply the guess by the square of
this.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.phantom.mr import FULL_WIDTH
from medgen.phantom.pet import PIXEL_MM
from medgen.phantom.projections import Camera, build_camera
from medgen.phantom.randomness import Streams
from medgen.phantom.shapes import Array
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.volumes import Volume, ras_permutation

BACKGROUND_FRACTION = 0.4
"""Scatter and randoms, as a share of all counts; the scatter fractions that makers state by NEMA
NU 2 for scanners without septa lie between 0.3 and 0.45."""

_MOST_COUNTS = 1e12
_BLOCK = 16
_SKEW = 1e-3
_ACTIVITIES = ("Bq/ml", "SUV", "counts", "arbitrary")


@dataclass(frozen=True, kw_only=True)
class Thinning:
    """What to make of a full-dose image, and what is assumed of its scan."""

    dose_fraction: float
    """The share of the counts that is kept, above 0 and up to 1."""
    counts: float
    """True coincidences of the whole image at full dose, all slices together."""
    background_fraction: float = BACKGROUND_FRACTION
    smoothing_mm: float = 4.0
    """Full width at half maximum of the Gaussian filter after reconstruction. With 4 mm the added
    noise is as alike in neighbouring voxels as that of a clinical OSEM image of 4.7 x 4.7 x 3.3 mm
    (liver: correlation 0.56, 0.48, 0.28 against 0.49, 0.54, 0.31)."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value. Raises ConfigurationError that lists all that cannot be."""
        problems = []
        if not 0.0 < self.dose_fraction <= 1.0:
            message = f"the dose is a fraction above 0 and up to 1, got {self.dose_fraction:g}"
            problems.append(Problem("E_DOSE", message, "for example 0.1"))
        if not 0.0 < self.counts <= _MOST_COUNTS:
            message = f"counts are above 0 and up to {_MOST_COUNTS:g}, got {self.counts:g}"
            advice = "state the true counts of the whole image at full dose, for example 5e7"
            problems.append(Problem("E_COUNTS", message, advice))
        if not 0.0 <= self.background_fraction < 1.0:
            share = self.background_fraction
            message = f"the background is a share of all counts, 0 and below 1, got {share:g}"
            problems.append(Problem("E_BACKGROUND", message, "for example 0.4"))
        if not 0.0 <= self.smoothing_mm <= 50.0:
            message = f"the smoothing is 0 to 50 mm, got {self.smoothing_mm:g}"
            problems.append(Problem("E_SMOOTHING", message, "for example 5"))
        if self.seed < 0:
            message = f"the seed must not be negative, got {self.seed}"
            problems.append(Problem("E_SEED", message))
        if problems:
            raise ConfigurationError(problems)


def thin(
    volume: Volume,
    thinning: Thinning,
    *,
    case: str = "",
    attenuation: Array | None = None,
) -> Volume:
    """Return a PET image (any unit proportional to activity) with the noise of fewer counts added.

    Slices run along the axis nearest to head-feet, whatever the order and the handedness of the
    stored axes: the same patient stored otherwise gets the same noise in the same places. It is
    drawn by seed, `case` and slice. `attenuation` (1/mm at 511 keV, on the same grid) is ignored
    where it is unknown. Values are float32; negative ones stay. Dose 1 changes nothing.

    Raises:
        Refusal: E_PET_UNITS for Hounsfield units, labels or masks, E_SHEARED where the axes in a
            slice are not at right angles, E_NO_ACTIVITY where nothing could have been counted.
    """
    if volume.unit not in _ACTIVITIES:
        message = "the unit of the image is none of activity or uptake"
        raise Refusal(Problem("E_PET_UNITS", message, "name a column of PET in Bq/ml or SUV"))
    data = np.asarray(volume.data, dtype=np.float32)
    if thinning.dose_fraction == 1.0:
        return volume.with_data(data)
    axes, signs = ras_permutation(volume.grid.affine)
    across = volume.grid.directions[:, axes[0]] @ volume.grid.directions[:, axes[1]]
    if abs(across) > _SKEW:
        message = "the axes in a slice are not at right angles"
        raise Refusal(Problem("E_SHEARED", message, "resample it to a grid without shear"))
    flips = tuple(axis for axis in range(3) if signs[axis] < 0)

    def upright(values: Array) -> Array:
        return np.ascontiguousarray(np.flip(values.transpose(axes), flips), dtype=np.float32)

    noise = added_noise(
        upright(data),
        thinning,
        spacing_mm=volume.grid.spacing_mm[list(axes)],
        streams=Streams(thinning.seed, zlib.crc32(case.encode())),
        attenuation=None if attenuation is None else upright(attenuation),
    )
    return volume.with_data(data + np.flip(noise, flips).transpose(np.argsort(axes)))


def added_noise(
    image: Array,
    thinning: Thinning,
    *,
    spacing_mm: NDArray[np.float64],
    streams: Streams,
    attenuation: Array | None = None,
) -> Array:
    """Return the noise (X, Y, Z; slices along Z) that fewer counts add, in the image's unit.

    Its mean is 0 and its variance (1/d - 1) times that of reconstructing the stated counts.
    Projections, not voxels, are kept from being negative: the noise of an image averages out along
    a line, where clipped voxels would add up. Raises Refusal E_NO_ACTIVITY.
    """
    pixel_mm = (float(spacing_mm[0]), float(spacing_mm[1]))
    camera = _camera(image.shape[0], image.shape[1], pixel_mm)
    blocks = [
        slice(start, min(start + _BLOCK, image.shape[2]))
        for start in range(0, image.shape[2], _BLOCK)
    ]
    survival = [_survival(camera, attenuation, block) for block in blocks]
    trues = [
        np.maximum(camera.project(image[:, :, block]), 0.0) * part
        for block, part in zip(blocks, survival, strict=True)
    ]
    total = sum(float(part.sum(dtype=np.float64)) for part in trues)
    if not total > 0.0 or not np.isfinite(total):
        message = "the image has no activity above zero, so nothing could have been counted"
        raise Refusal(Problem("E_NO_ACTIVITY", message, "check that it is a PET image"))
    gain = thinning.counts / total
    noise = np.empty(image.shape, np.float32)
    for block, lines, part in zip(blocks, trues, survival, strict=True):
        difference = _difference(lines * gain, thinning, streams, block.start) / (part * gain)
        shape = (*image.shape[:2], lines.shape[1])
        noise[:, :, block] = camera.reconstruct(difference.astype(np.float32), shape)
    if thinning.smoothing_mm > 0.0:
        sigma = thinning.smoothing_mm / FULL_WIDTH / spacing_mm
        ndimage.gaussian_filter(noise, sigma, output=noise, mode="constant")
    return noise


@lru_cache(maxsize=1)
def _camera(width: int, height: int, pixel_mm: tuple[float, float]) -> Camera:
    """Return a camera whose bins are those of a scanner, or as wide as the image's pixels."""
    return build_camera(width, height, pixel_mm, max(PIXEL_MM, *pixel_mm))


def _survival(camera: Camera, attenuation: Array | None, block: slice) -> Array | np.float32:
    """Return the share of photon pairs that leave the body along each line of some slices."""
    if attenuation is None:
        return np.float32(1.0)
    return np.exp(-camera.project(attenuation[:, :, block]))


def _difference(
    trues: NDArray[np.floating], thinning: Thinning, streams: Streams, first: int
) -> NDArray[np.float64]:
    """Draw, per bin, thinned counts over the dose less all counts; a stream for every slice.

    A slice's background is its own share of all background, so that empty slices stay empty.
    """
    share = thinning.background_fraction
    difference = np.empty(trues.shape)
    for k in range(trues.shape[1]):
        generator = streams(f"thinning {first + k}")
        expected = trues[:, k].astype(np.float64)
        expected += expected.mean() * share / (1.0 - share)
        drawn = generator.poisson(expected)
        kept = generator.binomial(drawn, thinning.dose_fraction)
        difference[:, k] = kept / thinning.dose_fraction - drawn
    return difference
