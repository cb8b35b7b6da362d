"""Whether `a_0002` is channel 2 of case `a`, as nnU-Net writes it, or a case of its own."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath

from medgen.discovery.walking import Entry

FOLDERS = {
    "imagesTr": (False, "train"),
    "imagesTs": (False, "test"),
    "labelsTr": (True, "train"),
    "labelsTs": (True, "test"),
}
"""nnU-Net's folders: whether they hold labels, and the split they name."""

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_MOST = 8
"""Channels; where no dataset.json names them, more numbers than this count cases."""

Channels = dict[PurePosixPath, tuple[str, int]]
"""The case and the channel, by the path of the file."""


def channels_of(
    files: Sequence[Entry], named: Collection[int]
) -> tuple[Channels, tuple[PurePosixPath, ...]]:
    """Return which images of one data set are channels, and the paths that stay unsure.

    `named` are the channels of its dataset.json. A label named as an image less its number shows
    that the number is a channel; one named as the whole image, that the data set has none. Of other
    images all numbers must be channels that are known: named, or seen with labels, or else the
    same from 0 on in several cases.
    """
    labelled = {file.stem for file in files if FOLDERS[file.folders[-1]][0]}
    images = [file for file in files if not FOLDERS[file.folders[-1]][0]]
    groups: dict[str, list[tuple[Entry, int]]] = defaultdict(list)
    for file in images:
        match = _CHANNEL.fullmatch(file.stem)
        if match and file.stem not in labelled:
            groups[match[1]].append((file, int(match[2])))
    whole = any(file.stem in labelled for file in images)
    numbers = {case: frozenset(number for _, number in found) for case, found in groups.items()}
    proven = [numbers[case] for case in groups if case in labelled]
    known = frozenset(named).union(*proven)
    if not whole and not known:
        known = _shared(numbers.values())
    if whole and not proven:
        known = frozenset()
    channels = {
        file.path: (case, number)
        for case, found in groups.items()
        if case in labelled or numbers[case] <= known
        for file, number in found
    }
    unsure = [
        file.path
        for case, found in groups.items()
        if not (whole or known) and len(found) > 1 and _counts(numbers[case])
        for file, _ in found
    ]
    return channels, tuple(unsure)


def _shared(sets: Collection[frozenset[int]]) -> frozenset[int]:
    """Return the largest set of channel numbers that several cases have."""
    counts = Counter(found for found in sets if _counts(found))
    return max((found for found, n in counts.items() if n > 1), key=len, default=frozenset())


def _counts(numbers: frozenset[int]) -> bool:
    """Tell whether numbers count channels: 0, 1, 2 and so on, a few."""
    return len(numbers) <= _MOST and numbers == frozenset(range(len(numbers)))
