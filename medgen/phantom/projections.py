"""Parallel projections of slices, and their filtered back projection."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from medgen.phantom.shapes import Array

ANGLES = 120


@dataclass(frozen=True, eq=False)
class Camera:
    """Parallel projections of slices: a sparse matrix (angle x bin, pixel), and its filter."""

    matrix: sparse.csr_array
    ramp: NDArray[np.float64]
    bins: int
    bin_mm: float
    pixel_area_mm2: float

    def project(self, image: Array) -> Array:
        """Return line integrals (angle x bin, slice) of an image (X, Y, Z) per mm."""
        flat = image.reshape(-1, image.shape[2])
        return np.asarray(self.matrix @ flat, dtype=np.float32)

    def reconstruct(self, lines: Array, shape: tuple[int, ...]) -> Array:
        """Return the filtered back projection (X, Y, Z) of line integrals."""
        stack = lines.reshape(ANGLES, self.bins, -1)
        size = 2 * (len(self.ramp) - 1)
        spectrum = np.fft.rfft(stack, size, axis=1) * self.ramp[None, :, None]
        filtered = np.fft.irfft(spectrum, size, axis=1)[:, : self.bins].astype(np.float32)
        back = self.matrix.T @ filtered.reshape(ANGLES * self.bins, -1)
        # The matrix carries pixel area / bin width; back projection wants interpolation alone.
        scale = np.pi / ANGLES * self.bin_mm / self.pixel_area_mm2
        return np.asarray((back * scale).reshape(shape), dtype=np.float32)


@lru_cache(maxsize=4)
def parallel_camera(width: int, height: int, pixel_mm: tuple[float, float]) -> Camera:
    """Return the projections of a slice onto bins as wide as its pixels, kept for the next one."""
    return build_camera(width, height, pixel_mm, float(min(pixel_mm)))


def build_camera(width: int, height: int, pixel_mm: tuple[float, float], bin_mm: float) -> Camera:
    """Build the projections of a slice; pixels drive, split linearly between two bins.

    Bins narrower than a pixel would have gaps between pixels; wider ones limit what is resolved.
    """
    x = (np.arange(width) - 0.5 * (width - 1)) * pixel_mm[0]
    y = (np.arange(height) - 0.5 * (height - 1)) * pixel_mm[1]
    reach = np.hypot(width * pixel_mm[0], height * pixel_mm[1])
    bins = int(np.ceil(reach / bin_mm)) + 3
    area = pixel_mm[0] * pixel_mm[1]
    rows, columns, weights = [], [], []
    pixels = np.arange(width * height, dtype=np.int32)
    for angle in range(ANGLES):
        theta = np.pi * angle / ANGLES
        at = (x[:, None] * np.cos(theta) + y[None, :] * np.sin(theta)).ravel() / bin_mm
        at += 0.5 * (bins - 1)
        left = np.floor(at).astype(np.int32)
        share = at - left
        for offset, weight in ((0, 1.0 - share), (1, share)):
            rows.append(angle * bins + left + offset)
            columns.append(pixels)
            weights.append((weight * area / bin_mm).astype(np.float32))
    values = np.concatenate(weights)
    places = (np.concatenate(rows), np.concatenate(columns))
    matrix = sparse.csr_array((values, places), shape=(ANGLES * bins, width * height))
    return Camera(matrix, _ramp(bins, bin_mm), bins, bin_mm, area)


def _ramp(bins: int, bin_mm: float) -> NDArray[np.float64]:
    """Return the ramp filter, made from its band-limited kernel, under a cosine window."""
    size = int(2 ** np.ceil(np.log2(2 * bins)))
    n = np.fft.fftfreq(size, 1.0 / size)
    kernel = np.zeros(size)
    kernel[0] = 0.25 / bin_mm
    odd = n.astype(int) % 2 == 1
    kernel[odd] = -1.0 / (np.pi**2 * n[odd] ** 2 * bin_mm)
    frequency = np.fft.rfftfreq(size)
    window = np.cos(np.pi * frequency)
    filtered: NDArray[np.float64] = np.real(np.fft.rfft(kernel)) * window
    return filtered
