"""One prepared case on the disk: arrays that are mapped when read, and what describes them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.intensity import Codec
from medgen.data.look import Look
from medgen.data.position import BodyBox, body_box
from medgen.data.prepared import PreparedCase
from medgen.files import write_json
from medgen.problems import Refusal
from medgen.volumes import Grid

META = "meta.json"
INSIDE = "inside"
LABELLED = "labelled"
_CHUNK = 1 << 22


class MappedArrays(Mapping[str, NDArray[Any]]):
    """The arrays of a cache entry, mapped anew at each access.

    A map held open would hold a file descriptor, and a large cohort would run out of them.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        self._folder = folder
        self._names = names

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)
        mapped: NDArray[Any] = np.load(
            self._folder / f"{name}.npy", mmap_mode="r", allow_pickle=False
        )
        return mapped

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, eq=False)
class CachedCase:
    """A prepared case of which patches can be cut."""

    case: str
    arrays: Mapping[str, NDArray[Any]]
    """(C, X, Y, Z) by batch key, and flat indices (int32) of voxels to centre patches on.

    `inside` are the mask's; `labelled`, where there is a label, those of the mask that a class
    holds, class by class.
    """
    codecs: Mapping[str, Codec]
    grid: Grid
    jitter: tuple[bool, ...]
    """For each source channel, whether its intensity may be augmented."""
    warnings: tuple[str, ...] = ()
    overlaps: Mapping[str, float] | None = None
    class_counts: tuple[int, ...] = ()
    """Voxels of each class from 1 on, in the order of `labelled`."""
    target_jitter: tuple[bool, ...] = ()
    """The same as `jitter` of each target channel; empty: of none."""
    looks: Mapping[str, tuple[Look, ...]] = field(default_factory=dict)
    """How the images of each role are, in the order of its columns."""

    @cached_property
    def body_box(self) -> BodyBox:
        """Return the box of the body with its rim, by which places in it are told."""
        return body_box(np.asarray(self.arrays["body"][0]) > 0)

    def jitters(self, array: str) -> tuple[bool, ...]:
        """Return for each channel of an array whether its intensity may be augmented."""
        return {"source": self.jitter, "target": self.target_jitter}.get(array, ())

    @property
    def present(self) -> tuple[int, ...]:
        """Return the classes that the case has voxels of."""
        return tuple(index for index, count in enumerate(self.class_counts, start=1) if count)

    def class_indices(self, index: int) -> NDArray[np.int32]:
        """Return the flat indices, in C order, of one class's voxels in the mask."""
        first = sum(self.class_counts[: index - 1])
        return self.arrays[LABELLED][first : first + self.class_counts[index - 1]]

    @property
    def indices(self) -> NDArray[np.int32]:
        """Return the flat indices, in C order, of the mask's voxels."""
        return self.arrays[INSIDE]


def write_entry(folder: Path, prepared: PreparedCase) -> None:
    """Write a prepared case into an existing, empty folder. Raises OSError."""
    inside = np.flatnonzero(prepared.arrays["mask"][0]).astype(np.int32)
    arrays = {**prepared.arrays, INSIDE: inside}
    counts: list[int] = []
    if "label" in prepared.arrays:
        label = prepared.arrays["label"][0].ravel()[inside]
        order = np.argsort(label, kind="stable")
        arrays[LABELLED] = inside[order][np.count_nonzero(label == 0) :]
        counts = [int(count) for count in np.bincount(label, minlength=1)[1:]]
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    write_json(folder / META, _describe(prepared, folder, counts))


def _describe(prepared: PreparedCase, folder: Path, class_counts: list[int]) -> dict[str, Any]:
    files = sorted(folder.glob("*.npy"))
    return {
        "grid": prepared.grid.as_json(),
        "codecs": {column: codec.as_json() for column, codec in prepared.codecs.items()},
        "warnings": list(prepared.warnings),
        "overlaps": dict(prepared.overlaps),
        "class_counts": class_counts,
        "looks": {
            role: [look.as_json() for look in looks] for role, looks in prepared.looks.items()
        },
        "checksums": {file.stem: _checksum(file) for file in files},
    }


def read_entry(
    folder: Path, case: str, jitter: tuple[bool, ...], target_jitter: tuple[bool, ...] = ()
) -> CachedCase | None:
    """Return an entry, or None where it is absent, incomplete or damaged."""
    try:
        meta = json.loads((folder / META).read_text(encoding="utf-8"))
        checksums = meta["checksums"]
        if any(_checksum(folder / f"{name}.npy") != value for name, value in checksums.items()):
            return None
        codecs = {column: Codec.from_json(value) for column, value in meta["codecs"].items()}
        return CachedCase(
            case=case,
            arrays=MappedArrays(folder, tuple(checksums)),
            codecs=codecs,
            grid=Grid.from_json(meta["grid"]),
            jitter=jitter,
            target_jitter=target_jitter,
            warnings=tuple(meta["warnings"]),
            overlaps=meta["overlaps"],
            class_counts=tuple(int(count) for count in meta["class_counts"]),
            looks={
                role: tuple(Look.from_json(look) for look in looks)
                for role, looks in meta["looks"].items()
            },
        )
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, Refusal):
        return None


def _checksum(path: Path) -> int:
    """Return the CRC-32 of a file: it finds damage, which is all it is for."""
    checksum = 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum
