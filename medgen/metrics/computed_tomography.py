"""Scores of a CT in HU: errors by the reference's tissue class, bias, and overlap of bone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medgen.metrics import gradient
from medgen.metrics.challenge import peak_signal_to_noise
from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, rmse
from medgen.metrics.overlap import dice

AIR_BELOW = -250.0
BONE_FROM = 250.0

COLUMNS = (
    Column("mae", "HU", "lower", "mean absolute error inside the mask, nothing clipped"),
    Column(
        "mae_air",
        "HU",
        "lower",
        f"mean absolute error where the reference is below {AIR_BELOW:g} HU (inside the mask)",
    ),
    Column(
        "mae_soft",
        "HU",
        "lower",
        f"mean absolute error where the reference is from {AIR_BELOW:g} to below {BONE_FROM:g} HU",
    ),
    Column(
        "mae_bone",
        "HU",
        "lower",
        f"mean absolute error where the reference is at least {BONE_FROM:g} HU",
    ),
    Column("bias", "HU", "zero", "mean of prediction - reference inside the mask"),
    Column("rmse", "HU", "lower", "root of the mean squared error inside the mask"),
    Column(
        "psnr",
        "dB",
        "higher",
        "10 log10(4024^2 / MSE) inside the mask, both volumes clipped to [-1024, 3000] HU",
    ),
    Column("dice_bone_150", "", "higher", "Dice overlap of voxels of at least 150 HU in the mask"),
    Column("dice_bone_250", "", "higher", "Dice overlap of voxels of at least 250 HU in the mask"),
    gradient.column("HU/mm"),
)
NOTES = (
    f"Tissue classes follow the reference: air below {AIR_BELOW:g} HU, bone from {BONE_FROM:g} HU, "
    "soft tissue between. Papers draw these lines differently (air from -200 to -500 HU, bone "
    "from 150 to 300 HU): compare class errors only at equal thresholds.",
)


def measure(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score volumes (X, Y, Z) in HU; a class that the reference lacks scores NaN, with a remark."""
    inside = mask > 0
    expected = reference[inside]
    difference = prediction[inside] - expected
    error = np.abs(difference)
    air, bone = expected < AIR_BELOW, expected >= BONE_FROM
    classes = {"air": air, "soft": ~(air | bone), "bone": bone}
    scores = {
        "mae": float(error.mean()),
        "bias": float(difference.mean()),
        "rmse": rmse(prediction, reference, mask),
        "psnr": peak_signal_to_noise(prediction, reference, mask),
        "gradient_mae": gradient.gradient_mae(prediction, reference, mask, spacing_mm=spacing_mm),
    }
    remarks = []
    for name, members in classes.items():
        present = bool(members.any())
        scores[f"mae_{name}"] = float(error[members].mean()) if present else math.nan
        if not present:
            remarks.append(f"mae_{name} is NaN: the reference has no {name} inside the mask")
    for threshold in (150, 250):
        overlap = dice(prediction[inside] >= threshold, expected >= threshold)
        scores[f"dice_bone_{threshold}"] = overlap
        if math.isnan(overlap):
            remarks.append(
                f"dice_bone_{threshold} is NaN: neither volume reaches {threshold} HU in the mask"
            )
    if math.isnan(scores["gradient_mae"]):
        remarks.append(gradient.NO_VOXEL)
    return Measured(scores, tuple(remarks))
