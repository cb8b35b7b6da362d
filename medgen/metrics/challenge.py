"""The image scores of the SynthRAD challenges, as their published code defines them.

Body mask; mean absolute error without clipping; peak signal-to-noise ratio on both volumes
clipped to [-1024, 3000] HU with data range 4024, on mask voxels only; structural similarity as in
`ssim` (2023) or `ms_ssim` (2025). No dose and no segmentation score is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, mae, psnr
from medgen.metrics.ms_ssim import COMFORTABLE_AXIS, LEAST_AXIS, combined, scales
from medgen.metrics.ssim import ssim

LOW, HIGH = -1024.0, 3000.0

_MAE = Column("mae", "HU", "lower", "mean absolute error inside the mask, nothing clipped")
_PSNR = Column(
    "psnr",
    "dB",
    "higher",
    "10 log10(4024^2 / MSE) inside the mask, both volumes clipped to [-1024, 3000] HU",
)
COLUMNS_2023 = (
    _MAE,
    _PSNR,
    Column(
        "ssim",
        "",
        "higher",
        "structural similarity, 7-voxel uniform windows, sample covariance, data range 4024, "
        "volumes clipped and set to -1024 HU outside the mask; mean over mask voxels at least "
        "3 voxels from the border",
    ),
)
COLUMNS_2025 = (
    _MAE,
    _PSNR,
    Column(
        "ms_ssim",
        "",
        "higher",
        "product over five scales of the masked mean of (luminance x contrast x structure)^weight, "
        "as the challenge's code computes it: the scale weights also weigh luminance, borders "
        "darken on downsampling, volumes are edge-padded to 97 voxels per axis",
    ),
)
_IMAGE_ONLY = "Image scores only: they say nothing about dose."
NOTES_2023 = (_IMAGE_ONLY,)
NOTES_2025 = (
    _IMAGE_ONLY,
    "The challenge also ranked by segmentation overlap and dose, which are not computed here.",
    "Range [-1024, 3000] as in the challenge's published metrics code; a revision of its "
    "evaluation container clips to [-1024, 3071], which raises PSNR by about 0.15 dB.",
)


def peak_signal_to_noise(prediction: Array, reference: Array, mask: Array) -> float:
    """Return the challenges' peak signal-to-noise ratio in dB."""
    clipped = np.clip(prediction, LOW, HIGH), np.clip(reference, LOW, HIGH)
    return psnr(*clipped, mask, data_range=HIGH - LOW)


def measure_2023(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score volumes (X, Y, Z) in HU by mae, psnr and ssim, whatever their spacing."""
    similarity = ssim(prediction, reference, mask, low=LOW, high=HIGH)
    remarks = []
    if math.isnan(similarity):
        remarks.append(f"ssim is NaN: no mask voxel lies 3 voxels inside a {_size(reference)} grid")
    scores = {
        "mae": mae(prediction, reference, mask),
        "psnr": peak_signal_to_noise(prediction, reference, mask),
        "ssim": similarity,
    }
    return Measured(scores, tuple(remarks))


def measure_2025(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score volumes (X, Y, Z) in HU by mae, psnr and ms_ssim, whatever their spacing."""
    levels = scales(prediction, reference, mask, low=LOW, high=HIGH)
    similarity = combined(levels)
    remarks = []
    if math.isnan(similarity):
        level = next(i for i, scale in enumerate(levels, 1) if math.isnan(scale.value))
        remarks.append(
            f"ms_ssim is NaN: at scale {level} of 5 no mask voxel is left 3 voxels inside the "
            f"border of a {_size(reference)} grid (padded to at least {LEAST_AXIS} per axis)"
        )
    elif min(reference.shape) < COMFORTABLE_AXIS:
        remarks.append(
            f"ms_ssim is doubtful: a {_size(reference)} grid is below about {COMFORTABLE_AXIS} "
            f"voxels per axis, so the coarsest scale rests on {levels[-1].voxels} voxels"
        )
    scores = {
        "mae": mae(prediction, reference, mask),
        "psnr": peak_signal_to_noise(prediction, reference, mask),
        "ms_ssim": similarity,
    }
    return Measured(scores, tuple(remarks))


def _size(volume: Array) -> str:
    return "x".join(map(str, volume.shape))
