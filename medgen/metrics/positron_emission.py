"""Scores of PET, in SUV or Bq/ml: errors relative to the reference's own uptake."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medgen.metrics import gradient
from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, bias, mae, nmse, nrmse, psnr, reference_range, rmse
from medgen.metrics.regions import SUV_OR_BECQUEREL as UNIT
from medgen.metrics.ssim import ssim

COLUMNS = (
    Column("mae", UNIT, "lower", "mean absolute error inside the mask"),
    Column(
        "nrmse_range",
        "",
        "lower",
        "root mean squared error / (highest - lowest reference value), inside the mask",
    ),
    Column(
        "nrmse_mean",
        "",
        "lower",
        "root mean squared error / mean reference value, inside the mask",
    ),
    Column("nmse", "", "lower", "|prediction - reference|^2 / |reference|^2 inside the mask"),
    Column(
        "psnr",
        "dB",
        "higher",
        "20 log10(MAX / RMSE) inside the mask, MAX the highest reference value in the mask; "
        "nothing clipped",
    ),
    Column(
        "ssim",
        "",
        "higher",
        "structural similarity with the range 0 to the highest reference value in the mask, "
        "7-voxel uniform windows, sample covariance; both volumes set to 0 outside the mask, "
        "nothing clipped; mean over mask voxels at least 3 voxels from the border",
    ),
    Column(
        "bias_percent",
        "%",
        "zero",
        "100 (mean prediction - mean reference) / mean reference, inside the mask",
    ),
    gradient.column(f"{UNIT} per mm"),
    Column("data_range", UNIT, None, "highest reference value in the mask: MAX of psnr and ssim"),
)
NOTES = (
    "NRMSE is published by both definitions, which differ many times over: compare like with like. "
    "The range of psnr and ssim is the reference's highest value inside the mask, per case, given "
    "as data_range; one hot voxel (a bladder) raises it, and PSNRs with other ranges cannot be "
    "compared.",
    "Prediction and reference are scored in one unit. PET in Bq/ml becomes SUV where the other is "
    "in SUV and the DICOM header allows; a NIfTI file names no unit: a prediction's sidecar is "
    "believed, and without one it is taken to be in the other file's unit; where neither names "
    "one, the unit is unknown.",
)


def measure(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score PET volumes (X, Y, Z) in one unit, SUV or Bq/ml.

    Raises:
        Refusal: E_METRIC_RANGE where the reference is constant in the mask or nowhere above 0.
    """
    low, high = reference_range(reference, mask)
    error = rmse(prediction, reference, mask)
    uptake = float(reference[mask > 0].mean())
    positive = uptake > 0
    scores = {
        "mae": mae(prediction, reference, mask),
        "nrmse_range": nrmse(prediction, reference, mask, data_range=high - low),
        "nrmse_mean": error / uptake if positive else math.nan,
        "nmse": nmse(prediction, reference, mask),
        "psnr": psnr(prediction, reference, mask, data_range=high),
        "ssim": ssim(prediction, reference, mask, low=0.0, high=high, clip=False),
        "bias_percent": 100 * bias(prediction, reference, mask) / uptake if positive else math.nan,
        "gradient_mae": gradient.gradient_mae(prediction, reference, mask, spacing_mm=spacing_mm),
        "data_range": high,
    }
    remarks = []
    if not positive:
        remarks.append("nrmse_mean and bias_percent are NaN: the reference's mean is not above 0")
    if math.isnan(scores["ssim"]):
        size = "x".join(map(str, reference.shape))
        remarks.append(f"ssim is NaN: no mask voxel lies 3 voxels inside a {size} grid")
    if math.isnan(scores["gradient_mae"]):
        remarks.append(gradient.NO_VOXEL)
    return Measured(scores, tuple(remarks))
