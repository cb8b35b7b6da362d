"""Scores of PET by labelled region: how far SUVmean, SUVmax and SUVpeak are off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.signal import fftconvolve

from medgen.metrics.columns import Column, Measured
from medgen.metrics.labels import Labels, whole_labels
from medgen.metrics.masked import Array, Booleans, Floats

SUV_OR_BECQUEREL = "SUV or Bq/ml"
"""What PET is scored in; relative scores are the same in either."""
UNIT_UNKNOWN = "unit unknown"
"""What stands for the unit of PET where neither volume names one."""
PEAK_ML = 1.0
"""The sphere of SUVpeak."""
PEAK_RADIUS_MM = 10.0 * (3.0 * PEAK_ML / (4.0 * math.pi)) ** (1.0 / 3.0)
"""Of that sphere: 6.2 mm."""

_BIAS = "100 (prediction - reference) / reference of the {} of the region"
COLUMNS = (
    Column("suv_mean_bias", "%", "zero", _BIAS.format("mean")),
    Column("suv_max_bias", "%", "zero", _BIAS.format("highest voxel, each volume's own,")),
    Column(
        "suv_peak_bias",
        "%",
        "zero",
        _BIAS.format("highest mean over a sphere of 1 ml around a voxel, each volume's own,"),
    ),
    Column("reference_suv_mean", SUV_OR_BECQUEREL, None, "the reference's mean in the region"),
    Column("reference_suv_max", SUV_OR_BECQUEREL, None, "the reference's highest in the region"),
    Column("volume_ml", "ml", None, "volume of the region as scored"),
)
NOTES = (
    "Regions are scored whole, whatever the mask. A case without a region has no score there (NaN) "
    "and does not enter that region's means; it is counted.",
    "SUVpeak is the global intensity peak of the Image Biomarker Standardisation Initiative "
    "(Zwanenburg et al. 2020): its sphere counts voxels whose centres lie within 6.2 mm, those "
    "outside the region too, so for regions under 1 ml it says as much of their surroundings.",
    "SUVmax is a single voxel and grows with noise: a smoothed answer lowers it even where "
    "SUVmean is right.",
)


class Uptake(NamedTuple):
    """What one volume holds in one region."""

    mean: float
    highest: float
    peak: float


def columns(scores: Sequence[Column], names: Mapping[str, int]) -> tuple[Column, ...]:
    """Return the scores of each region, score by score, as columns of their own."""
    return tuple(
        replace(
            score,
            name=f"{score.name}_{name}",
            definition=f"{score.definition}; of the label value {value}",
        )
        for score in scores
        for name, value in names.items()
    )


def measure(
    prediction: Array,
    reference: Array,
    regions: Array,
    spacing_mm: Sequence[float],
    names: Mapping[str, int],
) -> Measured:
    """Score volumes (X, Y, Z) in one unit by the regions of a label map on their grid.

    `names` gives each region its label value. A bias is NaN where the region has no voxel, or
    where the reference's own value is not above 0.

    Raises:
        Refusal: E_LABEL_VALUES, naming the regions.
    """
    labels = whole_labels(regions, "regions")
    boxes = ndimage.find_objects(labels, max_label=max(names.values(), default=0))
    volumes = [np.asarray(values, np.float64) for values in (prediction, reference)]
    found: dict[str, float] = {}
    absent, cold = [], []
    for name, value in names.items():
        box = boxes[value - 1]
        if box is None:
            absent.append(name)
            scores = dict.fromkeys((score.name for score in COLUMNS), math.nan)
        else:
            scores = _region(volumes, labels, value, box, spacing_mm)
            if any(map(math.isnan, scores.values())):
                cold.append(name)
        found |= {f"{score}_{name}": number for score, number in scores.items()}
    remarks = []
    if absent:
        remarks.append(f"regions that the case does not have, so NaN: {', '.join(absent)}")
    if cold:
        remarks.append(f"a bias is NaN: the reference is not above 0 there: {', '.join(cold)}")
    return Measured(found, tuple(remarks))


def _region(
    volumes: Sequence[Floats],
    labels: Labels,
    value: int,
    box: tuple[slice, ...],
    spacing_mm: Sequence[float],
) -> dict[str, float]:
    """Score one region, inside its box and as far around it as a sphere reaches."""
    reach = [int(PEAK_RADIUS_MM // spacing) for spacing in spacing_mm]
    near = tuple(
        slice(max(0, part.start - more), part.stop + more)
        for part, more in zip(box, reach, strict=True)
    )
    members = labels[near] == value
    predicted, expected = (uptake(volume[near], members, spacing_mm) for volume in volumes)
    voxel_ml = math.prod(spacing_mm) / 1000.0
    return {
        "suv_mean_bias": _relative(predicted.mean, expected.mean),
        "suv_max_bias": _relative(predicted.highest, expected.highest),
        "suv_peak_bias": _relative(predicted.peak, expected.peak),
        "reference_suv_mean": expected.mean,
        "reference_suv_max": expected.highest,
        "volume_ml": int(np.count_nonzero(members)) * voxel_ml,
    }


def uptake(values: Floats, members: Booleans, spacing_mm: Sequence[float]) -> Uptake:
    """Return mean, maximum and peak of a volume's values over the members of a region.

    The sphere of the peak is cut by the volume's border; there its mean is over what is left.
    """
    inside = values[members]
    ball = sphere(spacing_mm)
    scale = float(np.abs(values).max()) or 1.0  # keeps the transform's rounding relative
    sums = fftconvolve(values / scale, ball, mode="same")[members] * scale
    counts = np.rint(fftconvolve(np.ones_like(values), ball, mode="same")[members])
    return Uptake(float(inside.mean()), float(inside.max()), float((sums / counts).max()))


def sphere(spacing_mm: Sequence[float]) -> Floats:
    """Return 1 for voxels whose centres lie in a sphere of 1 ml around the middle one, else 0."""
    reach = [int(PEAK_RADIUS_MM // spacing) for spacing in spacing_mm]
    axes = [np.arange(-n, n + 1) * step for n, step in zip(reach, spacing_mm, strict=True)]
    squares = sum(np.square(axis) for axis in np.ix_(*axes))
    return np.asarray(squares <= PEAK_RADIUS_MM**2, dtype=np.float64)


def _relative(predicted: float, expected: float) -> float:
    return 100.0 * (predicted - expected) / expected if expected > 0 else math.nan
