"""Voxel-by-voxel scores inside a mask."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal

Array = NDArray[Any]
Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]


def checked(prediction: Array, reference: Array, mask: Array) -> tuple[Floats, Floats, Booleans]:
    """Return both volumes as float64 and the mask as booleans (a voxel counts where mask > 0).

    Raises:
        Refusal: E_METRIC_SHAPE, E_METRIC_NONFINITE or E_EMPTY_MASK; all that apply.
    """
    refuse_shapes(prediction, reference, mask)
    inside = np.asarray(mask) > 0
    problems = mask_problems(inside)
    for name, values in (("prediction", prediction), ("reference", reference)):
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        if bad:
            message = f"the {name} holds {bad} NaN or infinite voxels"
            advice = "find out where they come from; --nan-to VALUE replaces them"
            problems.append(Problem("E_METRIC_NONFINITE", message, advice))
    if problems:
        raise Refusal(problems)
    return np.asarray(prediction, np.float64), np.asarray(reference, np.float64), inside


def refuse_shapes(prediction: Array, reference: Array, third: Array, *, role: str = "mask") -> None:
    """Raise Refusal E_METRIC_SHAPE where three arrays differ in shape; `role` is the third's."""
    shapes = {"prediction": prediction.shape, "reference": reference.shape, role: third.shape}
    if len(set(shapes.values())) > 1:
        text = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        advice = "resample them onto one grid first"
        raise Refusal(Problem("E_METRIC_SHAPE", f"arrays differ in shape: {text}", advice))


def mask_problems(inside: Booleans) -> list[Problem]:
    """Return E_EMPTY_MASK where a mask holds no voxel."""
    if inside.any():
        return []
    advice = "check that the mask belongs to this case and is above 0 inside"
    return [Problem("E_EMPTY_MASK", "the mask holds no voxel", advice)]


def differences(prediction: Array, reference: Array, mask: Array) -> Floats:
    """Return prediction - reference at the mask's voxels, one-dimensional."""
    predicted, expected, inside = checked(prediction, reference, mask)
    return predicted[inside] - expected[inside]


def mae(prediction: Array, reference: Array, mask: Array) -> float:
    """Return the mean absolute error inside the mask, in the volumes' unit; nothing is clipped."""
    return float(np.abs(differences(prediction, reference, mask)).mean())


def bias(prediction: Array, reference: Array, mask: Array) -> float:
    """Return the mean of prediction - reference inside the mask, in the volumes' unit."""
    return float(differences(prediction, reference, mask).mean())


def mse(prediction: Array, reference: Array, mask: Array) -> float:
    """Return the mean squared error inside the mask, in the square of the volumes' unit."""
    return float(np.square(differences(prediction, reference, mask)).mean())


def rmse(prediction: Array, reference: Array, mask: Array) -> float:
    """Return the root of the mean squared error inside the mask, in the volumes' unit."""
    return math.sqrt(mse(prediction, reference, mask))


def nmse(prediction: Array, reference: Array, mask: Array) -> float:
    """Return |prediction - reference|^2 / |reference|^2 in the mask; NaN for a zero reference."""
    predicted, expected, inside = checked(prediction, reference, mask)
    energy = float(np.square(expected[inside]).sum())
    error = float(np.square(predicted[inside] - expected[inside]).sum())
    return error / energy if energy else math.nan


def nrmse(prediction: Array, reference: Array, mask: Array, *, data_range: float) -> float:
    """Return the root mean squared error inside the mask divided by `data_range`."""
    _check_range(data_range)
    return rmse(prediction, reference, mask) / data_range


def psnr(prediction: Array, reference: Array, mask: Array, *, data_range: float) -> float:
    """Return the peak signal-to-noise ratio inside the mask in dB; infinite without any error.

    10 log10(data_range^2 / MSE). Clip both volumes beforehand where a definition asks for it.
    """
    _check_range(data_range)
    error = mse(prediction, reference, mask)
    return 10.0 * math.log10(data_range**2 / error) if error else math.inf


def reference_range(reference: Array, mask: Array) -> tuple[float, float]:
    """Return the lowest and the highest value of the reference inside the mask."""
    _, expected, inside = checked(reference, reference, mask)
    values = expected[inside]
    return float(values.min()), float(values.max())


def _check_range(data_range: float) -> None:
    """Refuse a range that no ratio can be taken of."""
    if not (math.isfinite(data_range) and data_range > 0):
        message = f"the data range is {data_range:g}, not above 0"
        advice = "a reference that is constant inside the mask cannot be scored this way"
        raise Refusal(Problem("E_METRIC_RANGE", message, advice))
