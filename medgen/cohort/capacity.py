"""How many cases may be in flight: as many as memory holds, judged by those that were opened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medgen.cohort.case_work import Opened
from medgen.cohort.cases import Job
from medgen.conversion import Ready, Waiting
from medgen.dicom import split_choice

PEAK = 4
"""What a case comes to take, as a multiple of its volumes as they were read: these, its channels on
the working grid, the answer on both grids, and what resampling and writing need for a while."""
SHARE = 0.25
"""Of the memory; half is the network's, and a quarter is left to libraries and everybody else."""


class Capacity:
    """Tell whether another case may be read while others are in flight."""

    def __init__(self, most: int, *, free_bytes: int) -> None:
        """Take the bounds.

        Args:
            most: cases in flight at most.
            free_bytes: the memory there is for everything.
        """
        self._most, self._budget = most, SHARE * free_bytes
        self._bytes_per_byte = 0.0
        """The most that any case so far has taken for a byte on the disk."""

    def has_room(self, in_flight: Sequence[Job], job: Job) -> bool:
        """Tell whether a job may be opened beside those in flight; alone it always may.

        Until one case has been opened, nobody knows what the next one takes.
        """
        if not in_flight:
            return True
        if len(in_flight) >= self._most or not self._bytes_per_byte:
            return False
        on_disk = sum(map(_bytes_on_disk, [*in_flight, job]))
        return on_disk * self._bytes_per_byte <= self._budget

    def learn(self, job: Job, opened: Opened) -> None:
        """Take note of what an opened case takes."""
        on_disk = _bytes_on_disk(job)
        if on_disk and opened.ready is not None:
            taken = PEAK * max(_bytes_of(opened), 1)
            self._bytes_per_byte = max(self._bytes_per_byte, taken / on_disk)


def _bytes_of(opened: Opened) -> int:
    """Return the bytes of a case's volumes and of what its network is given."""
    volumes = sum(volume.data.nbytes for volume in opened.volumes.values())
    ready: Ready | Waiting | None = opened.ready
    while isinstance(ready, Waiting):
        ready = ready.before
    return volumes + (0 if ready is None else ready.source.nbytes)


def _bytes_on_disk(job: Job) -> int:
    """Return the size of a case's files, 0 where they are out of reach; the gate says why later."""
    return sum(_size(split_choice(path)[0]) for path in job.case.inputs.values())


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())
        return path.stat().st_size
    except OSError:
        return 0
