"""CT images in Hounsfield units: per-tissue values, texture, scanner blur and correlated noise.

The values per tissue follow textbook ranges (Bushberg et al., The Essential Physics of Medical
Imaging, 3rd ed. 2012, chapter 10; brain, CSF and blood also Kamalian et al., Handb Clin Neurol
2016;135:3-20; skull and its diploe within the spread of Schneider et al., Phys Med Biol
2000;45:459-478). How dense a person's bone is, MR does not show: it is drawn per case and varies
over the skull.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.phantom.mr import FULL_WIDTH
from medgen.phantom.randomness import Streams, grain
from medgen.phantom.shapes import Array
from medgen.phantom.tissues import Tissue, TissueMap

AIR_HU = -1000.0
FLOOR_HU = -1024.0

# mean HU, the spread of the mean between persons, and of the texture within one
VALUES: dict[Tissue, tuple[float, float, float]] = {
    Tissue.AIR: (AIR_HU, 0.0, 0.0),
    Tissue.SKIN: (45.0, 15.0, 10.0),
    Tissue.FAT: (-98.0, 8.0, 12.0),
    Tissue.MUSCLE: (55.0, 6.0, 9.0),
    Tissue.CORTICAL_BONE: (1350.0, 120.0, 90.0),
    Tissue.MARROW: (330.0, 75.0, 80.0),
    Tissue.CSF: (8.0, 3.0, 2.0),
    Tissue.GREY: (38.0, 2.0, 2.5),
    Tissue.WHITE: (28.0, 2.0, 2.5),
    Tissue.DEEP_GREY: (37.0, 2.0, 2.5),
    Tissue.AIRWAY: (AIR_HU, 0.0, 0.0),
    Tissue.VITREOUS: (10.0, 3.0, 2.0),
    Tissue.LENS: (95.0, 15.0, 5.0),
    Tissue.WHITE_MATTER_LESION: (25.0, 3.0, 3.0),
    Tissue.MASS: (36.0, 5.0, 5.0),
    Tissue.OEDEMA: (20.0, 3.0, 3.0),
}


@dataclass(frozen=True, eq=False)
class Attenuation:
    """A person's tissues in HU, texture (HU), and the scanner's blur (FWHM mm) and noise (HU)."""

    hounsfield: NDArray[np.float64]
    texture: NDArray[np.float64]
    blur_mm: float
    noise_hu: float

    @property
    def bone_hu(self) -> float:
        """Return this person's cortical bone."""
        return float(self.hounsfield[Tissue.CORTICAL_BONE])


@dataclass(frozen=True, eq=False)
class ComputedTomography:
    """A CT image, and the same without its noise (HU)."""

    image: Array
    noise_free: Array

    def noise_floor(self, body: NDArray[np.bool_]) -> float:
        """Return the MAE (HU) in the body of a perfect predictor of the noise-free CT."""
        return float(np.abs(self.image - self.noise_free)[body].mean(dtype=np.float64))


def draw_attenuation(streams: Streams) -> Attenuation:
    """Draw a person's HU values and a CT scanner's setting."""
    generator = streams("attenuation")
    table = np.array([VALUES[tissue] for tissue in Tissue])
    hounsfield = table[:, 0] + table[:, 1] * np.clip(generator.standard_normal(len(table)), -2, 2)
    return Attenuation(
        hounsfield,
        table[:, 2],
        blur_mm=float(generator.uniform(1.6, 2.4)),
        noise_hu=float(generator.uniform(9.0, 15.0)),
    )


def scan(
    tissues: TissueMap,
    attenuation: Attenuation,
    *,
    spacing_mm: NDArray[np.float64],
    streams: Streams,
) -> ComputedTomography:
    """Return a CT image (X, Y, Z) of tissue fractions.

    Texture (correlated over about 3 mm) belongs to the object; blur is the scanner's; noise has
    the scanner's correlation and grows where more bone and tissue surround the voxel.
    """
    shape = tissues.body.shape
    sigma = attenuation.blur_mm / FULL_WIDTH / spacing_mm
    ideal = tissues.mix(attenuation.hounsfield)
    ideal += grain(streams("ct texture"), shape, 1.3 / spacing_mm) * tissues.mix(
        attenuation.texture
    )
    blurred = ndimage.gaussian_filter(ideal, sigma, truncate=3.0)
    noise = grain(streams("ct noise"), shape, np.maximum(sigma, 0.35))
    noise *= np.float32(attenuation.noise_hu) * _noise_profile(tissues)
    noise_free = np.maximum(blurred, np.float32(FLOOR_HU))
    image = np.maximum(blurred + noise, np.float32(FLOOR_HU))
    return ComputedTomography(image, noise_free)


def known_from_tissue(
    tissues: TissueMap, attenuation: Attenuation, spacing_mm: NDArray[np.float64]
) -> Array:
    """Return the CT (HU) that perfect knowledge of every voxel's tissue would give.

    It knows the average person's HU, not this one's, nor texture or noise.
    """
    values = np.array([VALUES[tissue][0] for tissue in Tissue])
    sigma = attenuation.blur_mm / FULL_WIDTH / spacing_mm
    return np.asarray(ndimage.gaussian_filter(tissues.mix(values), sigma, truncate=3.0))


def _noise_profile(tissues: TissueMap) -> Array:
    """Return relative noise: fewer photons reach the detector through the middle of a head."""
    coarse = tissues.body[::4, ::4, ::4].astype(np.float32)
    around = ndimage.gaussian_filter(coarse, 3.0, mode="constant")
    step = 1.0 / 4.0
    profile = ndimage.affine_transform(
        around, np.full(3, step), output_shape=tissues.body.shape, output=np.float32, order=1
    )
    return np.asarray(np.float32(0.55) + np.float32(0.6) * profile)
