"""FDG PET at full dose and at a share of it, by projections, counts and reconstruction.

The scanner measures parallel projections slice by slice. Their expectation is the line integrals
of the activity, blurred by the scanner's resolution, times the survival exp(-integral of mu) of
511 keV photons along each line, plus a flat background of scatter and randoms. Full counts are
Poisson; low counts are Binomial(full counts, dose) / dose, which is what a shorter scan or a
smaller injection of the same patient would have counted. Both are reconstructed alike: the known
background is subtracted, the survival divided out, and the result filtered back (ramp with a cosine
window; Kak and Slaney, Principles of Computerized Tomographic Imaging, 1988, chapter 3). Nothing
is clipped, so both images have the same mean, and noise may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.phantom.mr import FULL_WIDTH
from medgen.phantom.projections import parallel_camera
from medgen.phantom.randomness import Streams, jitter
from medgen.phantom.shapes import Array
from medgen.phantom.tissues import Tissue, TissueMap

# Standardised uptake values about one hour after injection: brain 1999-2015 SUV surveys give grey
# matter 6-10 and white about a third of it; the rest is near or below the blood pool.
UPTAKE: dict[Tissue, float] = {
    Tissue.SKIN: 0.6,
    Tissue.FAT: 0.25,
    Tissue.MUSCLE: 0.9,
    Tissue.CORTICAL_BONE: 0.35,
    Tissue.MARROW: 1.1,
    Tissue.CSF: 0.5,
    Tissue.GREY: 8.5,
    Tissue.WHITE: 2.6,
    Tissue.DEEP_GREY: 8.8,
    Tissue.VITREOUS: 0.4,
    Tissue.LENS: 0.4,
    Tissue.WHITE_MATTER_LESION: 2.0,
    Tissue.MASS: 5.5,
    Tissue.OEDEMA: 2.0,
}

# Linear attenuation at 511 keV (1/mm), NIST XCOM: water 0.0096, cortical bone about 0.0165.
WATER_PER_MM, BONE_PER_MM = 0.0096, 0.0165

RESOLUTION_MM = 4.5
PIXEL_MM = 4.0
BACKGROUND = 25.0
"""Scatter and randoms per bin, in SUV mm; true counts through the head's middle are about 150."""
SENSITIVITY = 2.2
"""Counts per SUV and mm of path before attenuation, per bin of projection and mm of slice."""

SUV_STEP = 1.0 / 256.0
"""Images are stored in steps of this, far below their noise, so that files compress."""


def activity(tissues: TissueMap, streams: Streams) -> Array:
    """Return the uptake (SUV) of every voxel: tissue by fraction, then hot spots over it."""
    generator = streams("uptake")
    uptake = np.array([UPTAKE.get(tissue, 0.0) for tissue in Tissue])
    uptake *= 1.0 + 0.15 * generator.uniform(-1.0, 1.0, len(uptake))
    image = tissues.mix(uptake)
    image -= image * tissues.hot_share
    image += tissues.hot_uptake
    return image


@dataclass(frozen=True, eq=False)
class Emission:
    """Full-dose and low-dose images (SUV) on one grid."""

    full: Array
    low: Array


def scan(
    uptake: Array,
    tissues: TissueMap,
    *,
    dose_fraction: float,
    spacing_mm: NDArray[np.float64],
    streams: Streams,
) -> Emission:
    """Return what the scanner reconstructs from all counts and from a share of them."""
    parts = np.maximum(1, np.rint(PIXEL_MM / spacing_mm)).astype(int)
    blurred = ndimage.gaussian_filter(uptake, RESOLUTION_MM / FULL_WIDTH / spacing_mm, truncate=3.0)
    true = _binned(blurred, parts)
    mu = _binned(_attenuation(tissues), parts)
    pixels = (float(spacing_mm[0] * parts[0]), float(spacing_mm[1] * parts[1]))
    camera = parallel_camera(true.shape[0], true.shape[1], pixels)
    gain = SENSITIVITY * jitter(streams("pet sensitivity"), 0.25) * float(spacing_mm[2] * parts[2])
    survival = np.exp(-camera.project(mu)) * np.float32(gain)
    trues = camera.project(true) * survival
    background = np.float32(BACKGROUND * gain)
    full, low = _counts(trues + background, dose_fraction, streams)
    images = [
        camera.reconstruct((counts - background) / survival, true.shape) for counts in (full, low)
    ]
    first, second = (_spread(image, uptake.shape, parts) for image in images)
    return Emission(first, second)


def _counts(expected: Array, dose_fraction: float, streams: Streams) -> tuple[Array, Array]:
    """Draw full and low counts (angle x bin, slice), each slice from a stream of its own.

    With a stream per slice, a lesion leaves the counts of the slices that it does not reach alone.
    """
    full = np.empty_like(expected)
    low = np.empty_like(expected)
    for k in range(expected.shape[1]):
        generator = streams(f"counts {k}")
        drawn = generator.poisson(expected[:, k])
        full[:, k] = drawn
        low[:, k] = generator.binomial(drawn, dose_fraction)
    return full, low / np.float32(dose_fraction)


def _attenuation(tissues: TissueMap) -> Array:
    """Return linear attenuation (1/mm) at 511 keV."""
    values = np.full(len(Tissue), WATER_PER_MM)
    values[[Tissue.AIR, Tissue.AIRWAY]] = 0.0
    values[Tissue.CORTICAL_BONE] = BONE_PER_MM
    values[Tissue.MARROW] = 0.5 * (WATER_PER_MM + BONE_PER_MM)
    values[Tissue.FAT] = 0.95 * WATER_PER_MM
    return tissues.mix(values)


def _binned(image: Array, parts: NDArray[np.int_]) -> Array:
    """Average blocks of voxels, padding the last ones with their edge."""
    missing = [(0, int(-n % k)) for n, k in zip(image.shape, parts, strict=True)]
    padded = np.pad(image, missing, mode="edge")
    x, y, z = (n // k for n, k in zip(padded.shape, parts, strict=True))
    blocks = padded.reshape(x, parts[0], y, parts[1], z, parts[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float32))


def _spread(image: Array, shape: tuple[int, ...], parts: NDArray[np.int_]) -> Array:
    """Bring a binned image back to the voxels it came from, by linear interpolation."""
    if (parts == 1).all():
        return image
    offset = (0.5 - 0.5 * parts) / parts
    spread = ndimage.affine_transform(
        image, 1.0 / parts, offset, output_shape=shape, output=np.float32, order=1, mode="nearest"
    )
    return np.asarray(spread)
