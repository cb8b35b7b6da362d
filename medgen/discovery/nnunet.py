"""The layout of nnU-Net: `imagesTr/ID_0000.nii.gz`, `labelsTr/ID.nii.gz`, `imagesTs`.

Channel and label names come from `dataset.json`, which is read as data: a name in it becomes a
column or nothing, never a path. The Medical Decathlon's `imagesTr/ID.nii.gz` is read as well.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from medgen.discovery.channels import FOLDERS, channels_of
from medgen.discovery.columns import known_column, slug
from medgen.discovery.findings import Finding
from medgen.discovery.placement import Placed, Placement, site_of
from medgen.discovery.sessions import settle_sessions
from medgen.discovery.walking import Entry
from medgen.problems import Problem

LAYOUT = "nnU-Net"
DESCRIPTION = "dataset.json"
_LARGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class Description:
    """What `dataset.json` says: a column per channel, and the values of the labels."""

    channels: Mapping[int, str] = field(default_factory=dict)
    values: frozenset[int] | None = None


def recognise(root: Path, entries: Sequence[Entry]) -> tuple[Placed, list[Entry]]:
    """Place every file in a folder that nnU-Net names so; return the others too."""
    placed = Placed()
    others: list[Entry] = []
    sets: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
    for entry in entries:
        inside = bool(entry.folders) and entry.folders[-1] in FOLDERS
        (sets[entry.folders[:-1]] if inside else others).append(entry)
    for scope, files in sorted(sets.items()):
        description, finding = _describe(root.joinpath(*scope), PurePosixPath(*scope))
        placed.findings += [finding] if finding else []
        channels, unsure = channels_of(files, description.channels)
        placed.findings += [Finding(_CHANNELS_UNSURE, unsure, refused=False)] if unsure else []
        for file in files:
            placed.placements.append(_place(file, scope, description, channels))
    settle_sessions(placed, (LAYOUT,))
    return placed, others


def read_description(text: str) -> Description:
    """Read the text of a `dataset.json`, of version 1 or 2.

    Raises:
        ValueError: where it is not JSON, or its blocks are not of the form that nnU-Net gives them.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("too deeply nested") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    channels = value.get("channel_names", value.get("modality", {}))
    if not isinstance(channels, dict):
        raise ValueError("channel_names is not an object")
    return Description(_columns(channels), _values(value.get("labels")))


def _columns(channels: Mapping[str, Any]) -> dict[int, str]:
    """Return the column of each channel; a name that stands twice gets its number behind."""
    columns: dict[int, str] = {}
    for number, name in channels.items():
        if not re.fullmatch(r"[0-9]{1,4}", number) or not isinstance(name, str):
            raise ValueError("a channel is not a number with a name")
        column = known_column(name) or slug(name)
        columns[int(number)] = slug(f"{column}_{number}") if column in columns.values() else column
    return columns


def _values(labels: Any) -> frozenset[int] | None:
    """Return the label values: `{"tumor": 1}` or `{"tumor": [1, 2]}`, of old `{"1": "tumor"}`."""
    if labels is None:
        return None
    if not isinstance(labels, dict):
        raise ValueError("labels is not an object")
    found: set[int] = {0}
    for name, value in labels.items():
        old = isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", name)
        given = [int(name)] if old else value if isinstance(value, list) else [value]
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in given):
            raise ValueError("a label's value is not a whole number")
        found.update(given)
    return frozenset(found)


def _describe(folder: Path, relative: PurePosixPath) -> tuple[Description, Finding | None]:
    path = folder / DESCRIPTION
    try:
        if not path.is_file():
            return Description(), None
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError("too large")
        return read_description(data.decode("utf-8")), None
    except (OSError, ValueError):
        return Description(), Finding(_UNUSABLE, (relative / DESCRIPTION,), refused=False)


def _place(
    entry: Entry,
    scope: tuple[str, ...],
    description: Description,
    channels: Mapping[PurePosixPath, tuple[str, int]],
) -> Placement:
    is_label, split = FOLDERS[entry.folders[-1]]
    patient, channel = channels.get(entry.path, (entry.stem, 0))
    column = "label" if is_label else description.channels.get(channel, f"channel_{channel}")
    return Placement(
        entry,
        LAYOUT,
        scope,
        patient,
        column,
        split=split,
        site=site_of(scope),
        values=description.values if is_label else None,
    )


_UNUSABLE = Problem(
    "E_DATASET_JSON",
    "a dataset.json cannot be used: its channels get numbers for names",
    "mend it, or rename the columns in the table",
)
_CHANNELS_UNSURE = Problem(
    "E_CHANNELS_UNSURE",
    "names end in _0000, _0001, ... but nothing shows whether that counts channels or cases: each "
    "is taken for a case",
    "add a dataset.json that names the channels, or the labels, and scan again",
)
