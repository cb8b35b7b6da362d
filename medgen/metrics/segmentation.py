"""Scores of a segmentation: overlap, surface distance, volume and detection, class by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from medgen.metrics.columns import Column, Direction, Measured
from medgen.metrics.labels import Labels, checked_labels, class_codes, values_of
from medgen.metrics.lesions import detect
from medgen.metrics.masked import Array, Booleans
from medgen.metrics.overlap import dice
from medgen.metrics.surfaces import hausdorff

Scores = dict[str, float]


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN where there is none."""
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _mean_size(values: Sequence[float]) -> float:
    return _mean([abs(value) for value in values])


@dataclass(frozen=True)
class Score:
    """One score of a class, and how the classes of a case make one number of it."""

    name: str
    unit: str
    better: Direction | None
    definition: str
    together: Callable[[Sequence[float]], float] = _mean
    over_classes: str = "mean over the case's classes"

    def of_case(self) -> Column:
        """Return the column of all classes together."""
        better: Direction | None = "lower" if self.better == "zero" else self.better
        return Column(self.name, self.unit, better, f"{self.over_classes}: {self.definition}")

    def of_class(self, name: str, value: int) -> Column:
        """Return the column of one class."""
        definition = f"{self.definition}; of the label value {value}"
        return Column(f"{self.name}_{name}", self.unit, self.better, definition)


SCORES = (
    Score("dice", "", "higher", "2 |P and R| / (|P| + |R|) of predicted and reference voxels"),
    Score(
        "hd95_mm",
        "mm",
        "lower",
        "95th percentile (linearly interpolated) of the distances from each surface voxel to the "
        "other volume's nearest, between voxel centres; the larger of both directions. A surface "
        "voxel has a face neighbour outside the class or the volume",
    ),
    Score(
        "volume_error_percent",
        "%",
        "zero",
        "100 (predicted volume - reference volume) / reference volume",
        _mean_size,
        "mean over the case's classes of the size, without the sign",
    ),
    Score("lesion_f1", "", "higher", "2 precision recall / (precision + recall) of lesions"),
    Score(
        "lesion_recall",
        "",
        "higher",
        "found / reference lesions: a reference lesion (a component of voxels that touch by a "
        "face, an edge or a corner) is found when any of its voxels is predicted",
    ),
    Score(
        "lesion_precision",
        "",
        "higher",
        "true / predicted lesions: a predicted component is true when any of its voxels lies in "
        "the reference",
    ),
    Score("volume_ml", "ml", None, "predicted volume", math.fsum, "sum over classes"),
    Score("reference_volume_ml", "ml", None, "reference volume", math.fsum, "sum over classes"),
    Score(
        "reference_lesions",
        "",
        None,
        "components of the reference, counted at any size",
        math.fsum,
        "sum over classes",
    ),
)
NOTES = (
    "A class that neither volume of a case holds has no score there (NaN, as in nnU-Net) and does "
    "not enter the case's class mean. BraTS gives it a Dice of 1, which makes a cohort's mean "
    "depend on how many patients lack the class; here they are counted apart.",
    "A class that only one of the volumes holds scores Dice 0, an infinite hd95_mm and lesion_f1 "
    "0; the volume error is -100 % where it was missed and infinite where it was invented. "
    "Statistics rest on finite values and count the infinite ones beside them: read both.",
    "Predicted values that no reference of the cohort has are taken together as one unknown class, "
    "which the reference never holds: it enters the case's class mean with a Dice of 0.",
    "A lesion is a component of its class: lesion scores suit classes of separate regions, and say "
    "little of a tissue that hangs together. No lesion is ignored for its size; challenges that "
    "ask for a least size or a least overlap report other counts.",
    "Where a mask is given, both volumes are background outside it, and its border cuts surfaces.",
)


class Pair(NamedTuple):
    """One class in both volumes, inside the box that holds it."""

    prediction: Booleans
    reference: Booleans


def columns(classes: Mapping[str, int]) -> tuple[Column, ...]:
    """Return the columns of the class means, then those of each class, score by score."""
    means = [score.of_case() for score in SCORES]
    return (*means, *(s.of_class(name, value) for s in SCORES for name, value in classes.items()))


def of_classes(scores: Mapping[str, float], names: Iterable[str]) -> Scores:
    """Return a case's class means and sums over some classes, from the scores by class alone."""
    chosen = list(names)
    return {
        score.name: score.together([scores[f"{score.name}_{name}"] for name in chosen])
        for score in SCORES
    }


def measure(
    prediction: Array,
    reference: Array,
    mask: Array,
    spacing_mm: Sequence[float],
    classes: Mapping[str, int],
) -> Measured:
    """Score label volumes (X, Y, Z); without classes, all values that occur, as `label_VALUE`.

    Raises:
        Refusal: E_METRIC_SHAPE, E_EMPTY_MASK or E_LABEL_VALUES; all that apply.
    """
    predicted, expected, inside = checked_labels(prediction, reference, mask)
    if not inside.all():
        predicted, expected = predicted * inside, expected * inside
    occurring = values_of(predicted), values_of(expected)
    named = dict(classes) or {f"label_{v}": v for v in sorted({*occurring[0], *occurring[1]})}
    strange = [value for value in occurring[0] if value not in named.values()]
    pairs = _pairs(predicted, expected, list(named.values()))
    *known, unknown = [_class_scores(pair, spacing_mm) for pair in pairs]
    found = dict(zip(named, known, strict=True))
    counted = [*known, unknown] if strange else known
    scores = {
        score.name: score.together([each[score.name] for each in counted]) for score in SCORES
    }
    for name in classes:
        scores |= {f"{score}_{name}": value for score, value in found[name].items()}
    return Measured(scores, tuple(_remarks(found, strange)))


def _pairs(predicted: Labels, expected: Labels, values: Sequence[int]) -> Iterator[Pair]:
    """Yield each class's voxels in both volumes, and those of all other values at the end.

    One by one: together they would take two bytes per class for every voxel of the volume.
    """
    first, second = (class_codes(volume, values) for volume in (predicted, expected))
    boxes = zip(*(_boxes(volume, len(values) + 1) for volume in (first, second)), strict=True)
    for code, hull in enumerate([_hull(*pair) for pair in boxes], 1):
        yield Pair(first[hull] == code, second[hull] == code)


def _boxes(codes: Array, count: int) -> list[tuple[slice, ...] | None]:
    found: list[tuple[slice, ...] | None] = ndimage.find_objects(codes, max_label=count)
    return found


def _hull(first: tuple[slice, ...] | None, second: tuple[slice, ...] | None) -> tuple[slice, ...]:
    """Return the box around two boxes; one voxel's where there is none."""
    boxes = [box for box in (first, second) if box is not None]
    if not boxes:
        return (slice(0, 1),) * 3
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*boxes, strict=True)
    )


def _class_scores(pair: Pair, spacing_mm: Sequence[float]) -> Scores:
    """Score one class; what is not defined is NaN."""
    predicted, expected = (int(np.count_nonzero(region)) for region in pair)
    voxel_ml = math.prod(spacing_mm) / 1000.0
    lesions = detect(*pair)
    return {
        "dice": dice(*pair),
        "hd95_mm": hausdorff(*pair, spacing_mm=spacing_mm),
        "volume_error_percent": _relative(predicted, expected),
        "lesion_f1": lesions.f1,
        "lesion_recall": lesions.recall,
        "lesion_precision": lesions.precision,
        "volume_ml": predicted * voxel_ml,
        "reference_volume_ml": expected * voxel_ml,
        "reference_lesions": float(lesions.reference),
    }


def _relative(predicted: int, expected: int) -> float:
    if not expected:
        return math.inf if predicted else math.nan
    return 100.0 * (predicted - expected) / expected


def _remarks(found: Mapping[str, Scores], strange: Sequence[int]) -> list[str]:
    """Say why a score is NaN or infinite, from the scores of the known classes."""
    held = {
        name: (scores["volume_ml"] > 0, scores["reference_volume_ml"] > 0)
        for name, scores in found.items()
    }
    remarks = []
    if not strange and not any(any(sides) for sides in held.values()):
        remarks.append("both volumes are empty: rightly so, but no score can be taken (NaN)")
    elif neither := [name for name, sides in held.items() if not any(sides)]:
        remarks.append(f"in neither volume, so NaN and in no class mean: {', '.join(neither)}")
    for words, sides in (("missed altogether", (False, True)), ("invented", (True, False))):
        if names := [name for name, has in held.items() if has == sides]:
            remarks.append(f"{words}, so hd95_mm is infinite: {', '.join(names)}")
    if strange:
        values = ", ".join(map(str, strange[:20])) + (" ..." if len(strange) > 20 else "")
        remarks.append(
            f"the prediction holds label values that no reference has ({values}): they count as "
            "false positives of an unknown class"
        )
    return remarks
