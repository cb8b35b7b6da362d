"""MR images: signal equations on tissue mixtures, then coil bias, blur, noise and gain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.phantom.randomness import Streams, grain, jitter
from medgen.phantom.relaxation import Relaxation, draw_relaxation
from medgen.phantom.scanners import Contrast, Scanner, Sequence
from medgen.phantom.shapes import Array
from medgen.phantom.tissues import Tissue, TissueMap

FULL_WIDTH = 2.0 * float(np.sqrt(2.0 * np.log(2.0)))
"""Full width at half maximum of a Gaussian, in standard deviations."""


@dataclass(frozen=True, eq=False)
class Protocol:
    """How one case was scanned in one contrast."""

    sequence: Sequence
    bias: float
    """Range of the coil's shading over the field of view, relative to its mean."""
    gain: float
    noise: float


def draw_tissue(streams: Streams, scanner: Scanner) -> Relaxation:
    """Draw a person's T1, T2 and proton densities, within 10 % of the published ones."""
    return draw_relaxation(scanner.tissues, streams("relaxation"), spread=0.10)


def draw_protocol(streams: Streams, scanner: Scanner, contrast: Contrast) -> Protocol:
    """Draw the settings of one acquisition."""
    generator = streams(f"protocol {contrast}")
    return Protocol(
        sequence=scanner.sequences[contrast].varied(generator),
        bias=float(generator.uniform(0.2, 0.4)),
        gain=scanner.gain * float(np.exp(generator.uniform(-0.35, 0.35))),
        noise=scanner.noise * jitter(generator, 0.25),
    )


def scan(
    tissues: TissueMap,
    relaxation: Relaxation,
    protocol: Protocol,
    scanner: Scanner,
    *,
    spacing_mm: NDArray[np.float64],
    generator: np.random.Generator,
) -> Array:
    """Return the magnitude image (X, Y, Z), in the scanner's arbitrary unit, never negative.

    Texture of 3 % within tissues and the point spread act on the object, the coil's shading on
    the signal, and complex Gaussian noise on the result, which makes the magnitude Rician
    (Gudbjartsson and Patz, Magn Reson Med 1995;34:910-914).
    """
    signals = protocol.sequence.signal(relaxation)
    reference = float(signals[Tissue.WHITE])
    image = tissues.mix(signals / reference)
    shape = image.shape
    image *= 1.0 + np.float32(0.03) * grain(generator, shape, 2.4 / spacing_mm)
    image = ndimage.gaussian_filter(image, scanner.blur_mm / FULL_WIDTH / spacing_mm, truncate=3.0)
    image *= shading(shape, protocol.bias, generator)
    noise = generator.standard_normal((2, *shape), dtype=np.float32)
    noise *= np.float32(protocol.noise)
    image += noise[0]
    magnitude: Array = np.hypot(image, noise[1])
    magnitude *= np.float32(protocol.gain)
    return magnitude


def shading(shape: tuple[int, ...], bias: float, generator: np.random.Generator) -> Array:
    """Return a smooth positive field of mean about 1 whose range is `bias`."""
    coarse = generator.standard_normal((9, 9, 9), dtype=np.float32)
    coarse = ndimage.gaussian_filter(coarse, 2.0, mode="nearest")
    step = (np.array(coarse.shape) - 1.0) / (np.array(shape) - 1.0)
    field = ndimage.affine_transform(
        coarse, step, output_shape=shape, output=np.float32, order=1, mode="nearest"
    )
    low, high = float(field.min()), float(field.max())
    field = (field - low) * np.float32(bias / (high - low)) + np.float32(1.0 - 0.5 * bias)
    return np.asarray(field, dtype=np.float32)
