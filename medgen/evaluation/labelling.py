"""What the label values of an evaluation mean: which classes there are, and their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medgen.evaluation.matching import Case, listed
from medgen.evaluation.sidecars import read_sidecar
from medgen.metrics import class_slugs, values_of, whole_labels
from medgen.metrics.labels import LARGEST, Labels, replaced
from medgen.problems import MedgenError
from medgen.volumes import open_volume

BACKGROUND = "background"
NAMED, NUMBERED = "named by the predictions' sidecars", "named by their label values"


@dataclass(frozen=True)
class Labelling:
    """The classes that are scored, and the values that count as another.

    `classes` gives the label value of each class by name; `becomes` maps values that the
    predicting model merges into a class (or into the background, 0); `held` are the values that
    the references have before that.
    """

    classes: Mapping[str, int] = field(default_factory=dict)
    becomes: Mapping[int, int] = field(default_factory=dict)
    source: str = NUMBERED
    remarks: tuple[str, ...] = ()
    held: tuple[int, ...] = ()

    def applied(self, labels: Labels) -> Labels:
        """Return label values (X, Y, Z) with the merged ones replaced."""
        if not self.becomes:
            return labels
        table = np.arange(max(int(labels.max(initial=0)), *self.becomes) + 1, dtype=np.int32)
        table[list(self.becomes)] = list(self.becomes.values())
        return replaced(labels, table)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "classes": dict(self.classes),
            "source": self.source,
            "merged": {str(value): new for value, new in self.becomes.items()},
            "in_references": list(self.held),
            "remarks": list(self.remarks),
        }


def find_labelling(cases: Sequence[Case], *, nan_to: float | None = None) -> Labelling:
    """Find the classes: every label value that some case's reference holds.

    Names are those of the predictions' sidecars (`"labels": {NAME: VALUE or VALUES}`) where all
    that have the key agree, else `label_VALUE`. Of several values the first counts for all of
    them, and those of `background` count as background: the predicting model was trained so.
    References are read one by one; one that cannot be read is left to be refused when its case is
    scored.
    """
    named, remarks = _agreed(cases)
    becomes = {
        value: 0 if name == BACKGROUND else values[0]
        for name, values in named.items()
        for value in (values if name == BACKGROUND else values[1:])
    }
    becomes = {value: new for value, new in becomes.items() if value != new}
    held: set[int] = set()
    for case in cases:
        try:
            volume = open_volume(case.reference, nan_to=nan_to)
            held |= set(values_of(whole_labels(volume.data, "reference")))
        except MedgenError:
            continue
    names = {values[0]: name for name, values in named.items() if name != BACKGROUND}
    found = {becomes.get(value, value) for value in held} - {0}
    classes = class_slugs({names.get(v, f"label_{v}"): v for v in sorted(found)})
    changed = {value: new for value, new in becomes.items() if value in held}
    said = (*remarks, *([_changes(changed)] if changed else []))
    return Labelling(classes, becomes, NAMED if names else NUMBERED, said, tuple(sorted(held)))


def _changes(changed: Mapping[int, int]) -> str:
    """Say which label values of the references count as others."""
    into: dict[int, list[str]] = {}
    for value in sorted(changed):
        into.setdefault(changed[value], []).append(str(value))
    parts = [f"{listed(v)} as {new or 'background'}" for new, v in sorted(into.items())]
    return (
        "the predictions' sidecars change what the references say: of their label values count "
        + "; ".join(parts)
    )


def _agreed(cases: Iterable[Case]) -> tuple[Mapping[str, tuple[int, ...]], list[str]]:
    """Return the names that all sidecars with names give, and what is to be said about them."""
    notes = [read_sidecar(case.prediction).labels for case in cases]
    given = [note for note in notes if note is not None]
    if not given:
        return {}, []
    remarks = []
    if any(not _meant(note) for note in given):
        remarks.append("the sidecars' `labels` are not names with label values: numbers are used")
    elif len({json.dumps(note, sort_keys=True) for note in given}) > 1:
        remarks.append("the predictions' sidecars name their labels differently: numbers are used")
    elif len(given) < len(notes):
        remarks.append("some predictions have no sidecar with `labels`: the others' names are used")
        return _meant(given[0]), remarks
    else:
        return _meant(given[0]), []
    return {}, remarks


def _meant(note: object) -> dict[str, tuple[int, ...]]:
    """Return names with their values as a sidecar gives them; nothing where it makes no sense."""
    if not isinstance(note, dict):
        return {}
    found: dict[str, tuple[int, ...]] = {}
    for name, value in note.items():
        values = tuple(value) if isinstance(value, list) else (value,)
        if not values or not all(_is_label(each) for each in values):
            return {}
        if 0 in values and name != BACKGROUND:
            return {}
        found[str(name)] = values
    everything = [value for values in found.values() for value in values]
    return found if len(set(everything)) == len(everything) else {}


def _is_label(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST
