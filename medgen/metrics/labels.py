"""Label volumes: whole numbers with 0 for the background, and the names of their classes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medgen.metrics.masked import Array, Booleans, mask_problems, refuse_shapes
from medgen.problems import Problem, Refusal

Labels = NDArray[np.int32]
Codes = NDArray[np.uint16]
Number = TypeVar("Number", bound=np.generic)

LARGEST = 65535
MOST_CLASSES = 512
"""More than any atlas of the brain in use; an image has thousands of values."""
UNKNOWN = "unknown"
"""What predicted values that no reference has are called in reports; no class has this name."""

_NAME_LENGTH = 40
_ADVICE = "give a volume of label values, whole numbers with 0 for the background"


def whole_labels(values: Array, role: str) -> Labels:
    """Return label values as integers.

    Raises:
        Refusal: E_LABEL_VALUES, naming the role as its column, where a value is not a whole number
            from 0 to 65535, or where there are so many values that the volume is an image.
    """
    given = np.asarray(values)
    problem = _value_problem(given, role)
    if problem is not None:
        raise Refusal(problem)
    found = np.asarray(given, dtype=np.int32)
    if len(values_of(found)) > MOST_CLASSES:
        message = f"the {role} holds more than {MOST_CLASSES} label values: it looks like an image"
        raise Refusal(Problem("E_LABEL_VALUES", message, _ADVICE, column=role))
    return found


def checked_labels(
    prediction: Array, reference: Array, mask: Array
) -> tuple[Labels, Labels, Booleans]:
    """Return both label volumes as integers and the mask as booleans (a voxel counts above 0).

    Raises:
        Refusal: E_METRIC_SHAPE, E_EMPTY_MASK or E_LABEL_VALUES; all that apply.
    """
    refuse_shapes(prediction, reference, mask)
    inside = np.asarray(mask) > 0
    problems = mask_problems(inside)
    found = []
    for role, values in (("prediction", prediction), ("reference", reference)):
        try:
            found.append(whole_labels(values, role))
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return found[0], found[1], inside


def values_of(labels: Labels) -> tuple[int, ...]:
    """Return the label values that occur, in order, without the background."""
    size = int(labels.max(initial=0)) + 1
    counts = np.zeros(size, dtype=np.intp)
    for part in _slabs(labels):
        counts += np.bincount(part.ravel(), minlength=size)
    return tuple(int(value) for value in np.flatnonzero(counts) if value)


def class_codes(labels: Array, values: Sequence[int]) -> Codes:
    """Return 0 for the background, 1 to K for the K values in their order, K + 1 for all others.

    `labels` are whole numbers from 0 to 65535.
    """
    table = np.full(LARGEST + 1, len(values) + 1, dtype=np.uint16)
    table[0] = 0
    table[list(values)] = np.arange(1, len(values) + 1, dtype=np.uint16)
    return replaced(labels, table)


def replaced(labels: Array, table: NDArray[Number]) -> NDArray[Number]:
    """Return `table[labels]`, slab by slab: indexing copies its indices as 64-bit integers."""
    found = np.empty_like(labels, dtype=table.dtype)
    for part, values in zip(_slabs(found), _slabs(labels), strict=True):
        part[...] = table[values]
    return found


def _slabs(volume: NDArray[Any]) -> list[NDArray[Any]]:
    """Return a volume cut along the axis that is outermost in memory."""
    axis = int(np.argmax(np.abs(volume.strides)))
    return np.split(volume, volume.shape[axis], axis) if volume.size else []


def class_slugs(names: Mapping[str, int]) -> dict[str, int]:
    """Return names as column names can hold them (a-z, 0-9 and _), by value, less the background.

    A name of which nothing is left becomes `label_VALUE`; names that become equal, and `unknown`,
    which reports use themselves, get their value appended. Raises ValueError where two names
    share a value or a value is negative.
    """
    classes = sorted((value, name) for name, value in names.items() if value != 0)
    values = [value for value, _ in classes]
    if len(set(values)) < len(values) or (values and values[0] < 0):
        raise ValueError(f"label values must be distinct and not negative: {values}")
    slugs = [_slug(name) or f"label_{value}" for value, name in classes]
    unique = [
        slug if slugs.count(slug) == 1 and slug != UNKNOWN else f"{slug}_{value}"
        for slug, value in zip(slugs, values, strict=True)
    ]
    if len(set(unique)) < len(unique):
        unique = [f"label_{value}" for value in values]
    return dict(zip(unique, values, strict=True))


def _value_problem(values: Array, role: str) -> Problem | None:
    """Return what keeps values from being labels."""
    if values.dtype.kind not in "biu":
        bad = int(values.size - np.count_nonzero(np.isfinite(values)))
        if bad:
            message = f"the {role} holds {bad} NaN or infinite voxels"
            return Problem("E_LABEL_VALUES", message, _ADVICE, column=role)
        broken = int(np.count_nonzero(values != np.rint(values)))
        if broken:
            message = f"the {role} holds {broken} voxels that are no whole numbers"
            return Problem("E_LABEL_VALUES", message, _ADVICE, column=role)
    if values.size and not (values.min() >= 0 and values.max() <= LARGEST):
        message = f"the {role} holds label values below 0 or above {LARGEST}"
        return Problem("E_LABEL_VALUES", message, _ADVICE, column=role)
    return None


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:_NAME_LENGTH].strip("_")
