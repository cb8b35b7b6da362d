"""What one volume is: opened through the gate, and judged by what its column says it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.modality import modality_of
from medgen.discovery.columns import Kind, kind_of
from medgen.problems import Problem, Refusal
from medgen.volumes import Grid, Volume, open_volume, ras_permutation

SOFT_TISSUE_HU = 200.0
"""Every CT of a patient holds bone or contrast above this, and air below 0 HU."""

_LARGEST_LABEL = 255
_SUV_AT_MOST = 200.0
_SHOWN = 5
_PIECE = 1 << 20


@dataclass(frozen=True)
class Facts:
    """What a sound volume is: `size` in voxels and `spacing_mm` in RAS order."""

    grid: Grid
    size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    low: float
    high: float
    digest: str
    unit: str
    """HU, SUV, Bq/ml, label, mask or arbitrary: what DICOM says, else a guess from the column's
    name and the values."""
    problems: tuple[Problem, ...] = ()
    """What is odd, though the volume can be used."""

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Return the size of the field of view along right, anterior and superior."""
        first, second, third = (n * s for n, s in zip(self.size, self.spacing_mm, strict=True))
        return first, second, third


def examine(path: Path, column: str, *, values: frozenset[int] | None = None) -> Facts:
    """Open a volume and judge it as what its column says; `values` are the labels declared.

    Raises:
        Refusal: the gate's problems; E_CONSTANT, E_NOT_HU, E_EMPTY_MASK, E_MASK_VALUES or
            E_LABEL_VALUES.
    """
    volume = open_volume(path)
    low, high = float(volume.data.min()), float(volume.data.max())
    kind = kind_of(column)
    judged = _judge(volume, column, kind, low, high, values)
    refused = [problem for problem, usable in judged if not usable]
    if refused:
        raise Refusal(refused)
    axes, _ = ras_permutation(volume.grid.affine)
    first, second, third = axes
    spacing = [float(volume.grid.spacing_mm[axis]) for axis in axes]
    shape = volume.grid.shape
    return Facts(
        volume.grid,
        (shape[first], shape[second], shape[third]),
        (spacing[0], spacing[1], spacing[2]),
        low,
        high,
        volume.digest,
        volume.unit if volume.series is not None else _unit(column, kind, low, high),
        (*volume.notes, *(problem for problem, _ in judged)),
    )


def _judge(
    volume: Volume,
    column: str,
    kind: Kind,
    low: float,
    high: float,
    values: frozenset[int] | None,
) -> list[tuple[Problem, bool]]:
    """Return what is wrong with the values, and whether the volume can be used all the same."""
    if kind == "mask":
        return list(_judge_mask(volume.data, low, high))
    if kind == "label":
        return [(problem, False) for problem in _judge_label(volume.data, low, high, values)]
    if low == high:
        return [(_constant(low), False)]
    if modality_of(column) in ("ct", "cbct") and (low >= 0 or high < SOFT_TISSUE_HU):
        # Cone-beam numbers are HU only nearly, and configurations allow for that.
        return [(_not_hu(low, high), modality_of(column) == "cbct")]
    return []


def _judge_mask(data: NDArray[Any], low: float, high: float) -> Iterator[tuple[Problem, bool]]:
    if high <= 0 and low == high:
        yield _EMPTY, False
        return
    distinct = _distinct(data, at_most=2)
    if distinct is None or min(distinct) < 0 or (len(distinct) == 2 and 0 not in distinct):
        message = f"a mask holds 0 and one value more; this holds {_span(data, low, high)}"
        advice = "name it label if it holds several regions, or an image's name if it is one"
        yield Problem("E_MASK_VALUES", message, advice), False
    elif low == high:
        message = "the mask covers the whole field of view"
        yield Problem("E_MASK_VALUES", message, "check that it is a mask"), True
    elif high != 1:
        message = f"the mask holds 0 and {high:g}, not 0 and 1: all above 0 counts as inside"
        yield Problem("E_MASK_VALUES", message, "nothing, if that is what is meant"), True


def _judge_label(
    data: NDArray[Any], low: float, high: float, values: frozenset[int] | None
) -> Iterator[Problem]:
    distinct = _distinct(data, at_most=_LARGEST_LABEL + 1)
    whole = distinct is not None and all(value == int(value) for value in distinct)
    if not whole or low < 0 or high > _LARGEST_LABEL:
        message = f"labels are whole numbers from 0 to 255; this holds {_span(data, low, high)}"
        yield Problem("E_LABEL_VALUES", message, "check that it holds labels, not an image")
        return
    unnamed = sorted(int(v) for v in distinct or () if values is not None and v not in values)
    if unnamed:
        shown = ", ".join(map(str, unnamed[:_SHOWN])) + (", ..." * (len(unnamed) > _SHOWN))
        message = f"the label holds {shown}, which the data set's description does not name"
        yield Problem("E_LABEL_VALUES", message, "mend the label, or name the value there")


def _distinct(data: NDArray[Any], *, at_most: int) -> frozenset[float] | None:
    """Return the distinct values, or None as soon as there are more."""
    flat = data.ravel(order="K")
    found: set[float] = set()
    for start in range(0, flat.size, _PIECE):
        found.update(np.unique(flat[start : start + _PIECE]).tolist())
        if len(found) > at_most:
            return None
    return frozenset(found)


def _span(data: NDArray[Any], low: float, high: float) -> str:
    fractions = data.dtype.kind == "f" and not np.array_equal(data, np.rint(data))
    return f"values from {low:g} to {high:g}" + (" with fractions" * fractions)


def _unit(column: str, kind: Kind, low: float, high: float) -> str:
    if kind != "image":
        return kind
    modality = modality_of(column)
    if modality in ("ct", "cbct") and low < 0 and high >= SOFT_TISSUE_HU:
        return "HU"
    if modality == "pet":
        return "SUV" if high <= _SUV_AT_MOST else "Bq/ml"
    return "arbitrary"


def _constant(value: float) -> Problem:
    message = f"every voxel is {value:g}: the image is empty"
    return Problem("E_CONSTANT", message, "export it again, or leave it out")


def _not_hu(low: float, high: float) -> Problem:
    message = f"values from {low:g} to {high:g} cannot be HU, where air is -1000 and bone over 200"
    advice = "rescale it (often HU = value - 1024), or name the column otherwise if it is no CT"
    return Problem("E_NOT_HU", message, advice)


_EMPTY = Problem("E_EMPTY_MASK", "the mask is empty", "draw it again, or leave it out")
