"""Randomness that belongs to a case: named streams and smooth random fields.

A case draws every quantity from a stream of its own name. Case 7 is therefore the same whether 8
or 800 cases are made, and a lesion changes nothing outside itself, because no stream is shared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.phantom.shapes import Array


@dataclass(frozen=True)
class Streams:
    """The named random streams of one case of one cohort."""

    seed: int
    case: int

    def __call__(self, name: str) -> np.random.Generator:
        """Return the generator of this name, at its start, whenever it is asked for."""
        key = (self.case, zlib.crc32(name.encode()))
        return np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(self.seed, spawn_key=key))
        )


@dataclass(frozen=True, eq=False)
class Field:
    """A random function of position: values on a lattice in head coordinates (mm)."""

    values: Array
    origin_mm: NDArray[np.float64]
    pitch_mm: float

    def at(self, x: Array, y: Array, z: Array) -> Array:
        """Return the values at points in mm, linear between lattice nodes, constant beyond."""
        start, pitch = self.origin_mm, self.pitch_mm
        index = [(axis - start[i]) / pitch for i, axis in enumerate((x, y, z))]
        found = ndimage.map_coordinates(
            self.values, np.stack(index), output=np.float32, order=1, mode="nearest"
        )
        return np.asarray(found)

    def on(self, shape: Sequence[int], to_mm: NDArray[np.float64]) -> Array:
        """Return the values at every voxel of a grid; `to_mm` is its (4, 4) index-to-mm matrix."""
        matrix = to_mm[:3, :3] / self.pitch_mm
        offset = (to_mm[:3, 3] - self.origin_mm) / self.pitch_mm
        found = ndimage.affine_transform(
            self.values,
            matrix,
            offset,
            output_shape=tuple(shape),
            output=np.float32,
            order=1,
            mode="nearest",
        )
        return np.asarray(found)


Box = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
HEAD_BOX_MM: Box = ((-110.0, 110.0), (-140.0, 130.0), (-130.0, 120.0))
"""The box in which fields vary; larger than any head at any pose."""


def smooth_field(
    generator: np.random.Generator, *, correlation_mm: float, pitch_mm: float = 6.0
) -> Field:
    """Draw a field of mean 0 and standard deviation 1, smooth over `correlation_mm`."""
    noise, origin = _white(generator, pitch_mm, HEAD_BOX_MM)
    values = ndimage.gaussian_filter(noise, correlation_mm / pitch_mm, mode="wrap")
    return Field(_standardised(values), origin, pitch_mm)


def banded_field(
    generator: np.random.Generator,
    *,
    wavelength_mm: float,
    bandwidth: float = 0.2,
    pitch_mm: float = 3.0,
    box_mm: Box = HEAD_BOX_MM,
) -> Field:
    """Draw a field whose power lies in a ring around one wavelength.

    Its zero level is a maze of evenly spaced sheets, divided by its own slope so that values near
    zero read as distances in mm to the nearest sheet.
    """
    noise, origin = _white(generator, pitch_mm, box_mm)
    axes = [np.fft.fftfreq(n, pitch_mm) for n in noise.shape[:2]]
    axes.append(np.fft.rfftfreq(noise.shape[2], pitch_mm))
    squares = np.meshgrid(*[axis**2 for axis in axes], indexing="ij", sparse=True)
    frequency = np.sqrt(squares[0] + squares[1] + squares[2]) * wavelength_mm
    ring = np.exp(-0.5 * ((frequency - 1.0) / bandwidth) ** 2)
    values = _standardised(np.fft.irfftn(np.fft.rfftn(noise) * ring, noise.shape, axes=(0, 1, 2)))
    slope = np.sqrt(sum(part**2 for part in np.gradient(values, pitch_mm)))
    floor = 0.6 * float(np.sqrt(np.mean(slope**2)))
    return Field((values / np.hypot(slope, floor)).astype(np.float32), origin, pitch_mm)


def grain(
    generator: np.random.Generator, shape: tuple[int, ...], sigma: float | NDArray[np.float64]
) -> Array:
    """Draw noise of mean 0 and variance 1 per voxel, correlated by a Gaussian of `sigma` voxels."""
    sigmas = np.broadcast_to(np.asarray(sigma, float), 3)
    white = generator.standard_normal(shape, dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, sigmas, truncate=3.0, mode="wrap")
    # The filter's weights give the variance exactly, whatever the volume holds.
    impulse = np.zeros(4 * int(np.ceil(3.0 * sigmas.max())) + 3)
    impulse[len(impulse) // 2] = 1.0
    kernels = [ndimage.gaussian_filter1d(impulse, width, truncate=3.0) for width in sigmas]
    gain = float(np.sqrt(np.prod([(kernel**2).sum() for kernel in kernels])))
    return np.asarray(smooth / np.float32(gain))


def jitter(generator: np.random.Generator, spread: float) -> float:
    """Draw a factor uniformly from 1 - spread to 1 + spread."""
    return float(1.0 + spread * generator.uniform(-1.0, 1.0))


def _white(
    generator: np.random.Generator, pitch_mm: float, box_mm: Box
) -> tuple[Array, NDArray[np.float64]]:
    low = np.array([axis[0] for axis in box_mm])
    high = np.array([axis[1] for axis in box_mm])
    shape = np.ceil((high - low) / pitch_mm).astype(int) + 1
    return generator.standard_normal(tuple(shape), dtype=np.float32), low


def _standardised(values: Array) -> Array:
    standardised: Array = ((values - values.mean()) / values.std()).astype(np.float32)
    return standardised
