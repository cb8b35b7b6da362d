"""Scores of an image in an arbitrary unit: every range is the reference's own, in the mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medgen.metrics import gradient
from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, mae, nmse, nrmse, psnr, reference_range
from medgen.metrics.ssim import ssim

COLUMNS = (
    Column("mae", "arbitrary", "lower", "mean absolute error inside the mask"),
    Column("nrmse", "", "lower", "root mean squared error / data range, inside the mask"),
    Column("nmse", "", "lower", "|prediction - reference|^2 / |reference|^2 inside the mask"),
    Column("psnr", "dB", "higher", "10 log10(range^2 / MSE) inside the mask, nothing clipped"),
    Column(
        "ssim",
        "",
        "higher",
        "structural similarity, 7-voxel uniform windows, sample covariance; both volumes set to "
        "the range's low end outside the mask, nothing clipped; mean over mask voxels at least "
        "3 voxels from the border",
    ),
    gradient.column("arbitrary/mm"),
    Column("data_range", "arbitrary", None, "highest - lowest reference value in the mask"),
)
NOTES = (
    "The data range of nrmse, psnr and ssim is the reference's highest minus its lowest value "
    "inside the mask, per case, given as data_range. PSNRs with other ranges cannot be compared.",
    "A prediction in another arbitrary unit than its reference scores badly for that alone.",
)


def measure(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score volumes (X, Y, Z) in one arbitrary unit; E_METRIC_RANGE for a constant reference."""
    low, high = reference_range(reference, mask)
    scores = {
        "mae": mae(prediction, reference, mask),
        "nrmse": nrmse(prediction, reference, mask, data_range=high - low),
        "nmse": nmse(prediction, reference, mask),
        "psnr": psnr(prediction, reference, mask, data_range=high - low),
        "ssim": ssim(prediction, reference, mask, low=low, high=high, clip=False),
        "gradient_mae": gradient.gradient_mae(prediction, reference, mask, spacing_mm=spacing_mm),
        "data_range": high - low,
    }
    remarks = []
    if math.isnan(scores["ssim"]):
        size = "x".join(map(str, reference.shape))
        remarks.append(f"ssim is NaN: no mask voxel lies 3 voxels inside a {size} grid")
    if math.isnan(scores["gradient_mae"]):
        remarks.append(gradient.NO_VOXEL)
    return Measured(scores, tuple(remarks))
