"""Synthetic volumes on the disk, with sidecars that say that they are synthetic."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medgen.conversion import remove, sidecar_of
from medgen.conversion.file import DTYPES
from medgen.conversion.provenance import NOTICE, versions
from medgen.files import remove_leftovers, sha256_of_file, write_bytes, write_json
from medgen.generation.scales import Meaning
from medgen.limits import Limits
from medgen.problems import ConfigurationError, Problem
from medgen.runs import Model
from medgen.volumes import Grid, Volume, write_volume

Array = NDArray[Any]

SLICES = Limits(least_per_axis=1)
"""What a run on slices draws is one voxel deep."""
SUFFIX = ".nii.gz"
_OURS = re.compile(r"(sample|walk)_\d{3,}(_[A-Za-z0-9_.-]+)?\.(json|nii\.gz)|(samples|walk)\.png")


@dataclass(frozen=True)
class Drawn:
    """Which image of a call it is."""

    kind: Literal["sample", "walk"]
    index: int
    steps: int = 0
    """Of a walk: how many steps it has, both ends included."""

    @property
    def name(self) -> str:
        """Return the beginning of its files' names."""
        return f"{self.kind}_{self.index:03d}"

    def as_json(self) -> dict[str, Any]:
        """Return what the sidecar says of it."""
        if self.kind == "sample":
            return {"kind": "sample", "index": self.index}
        share = self.index / (self.steps - 1)
        return {
            "kind": "walk",
            "index": self.index,
            "steps": self.steps,
            "from_sample": 0,
            "to_sample": 1,
            "share": round(share, 6),
        }


@dataclass(frozen=True)
class Writer:
    """Write drawn images of one call, and nothing else, into a folder."""

    model: Model
    folder: Path
    names: Sequence[str]
    """What a channel's file name ends with."""
    meanings: Sequence[Meaning]
    seed: int
    place: tuple[float, float, float] | None

    def write(self, image: Array, drawn: Drawn) -> str:
        """Write the channels (C, X, Y, Z) of one image and their sidecars; return its name."""
        for column, name, meaning, channel in zip(
            self.model.preprocessing.source_columns, self.names, self.meanings, image, strict=True
        ):
            path = self.folder / f"{drawn.name}{name}{SUFFIX}"
            unit = meaning.codec.unit
            dtype: Literal["int16", "uint8", "float32"] = DTYPES.get(unit.upper(), "float32")
            grid = _grid(channel.shape, self.model.config.preprocessing.spacing_mm)
            written = write_volume(path, Volume(channel, grid, unit), dtype=dtype, limits=SLICES)
            facts: dict[str, Any] = {
                "column": column,
                "unit": unit,
                "scale": meaning.scale,
                "dtype": dtype,
            }
            facts |= {"output_digest": written.digest, "clipped_voxels": written.clipped_voxels}
            write_json(sidecar_of(path), self._sidecar(drawn) | facts)
        return drawn.name

    def picture(self, name: str, data: bytes) -> None:
        """Write a picture."""
        write_bytes(self.folder / f"{name}.png", data)

    def _sidecar(self, drawn: Drawn) -> dict[str, Any]:
        return {
            "notice": NOTICE,
            "synthetic": True,
            "versions": versions(),
            "method": self.model.config.method,
            "weights_digest": self.model.weights_digest,
            "config_digest": self.model.config_digest,
            "seed": self.seed,
            "place": None if self.place is None else list(self.place),
            **drawn.as_json(),
        }


def names_of(columns: Sequence[str]) -> list[str]:
    """Return what the file names of each source column end with; nothing of a single one."""
    if len(columns) == 1:
        return [""]
    plain = [re.sub(r"[^A-Za-z0-9_.-]", "_", column) for column in columns]
    if len({name.casefold() for name in plain}) < len(plain):
        return [f"_channel_{number}" for number in range(len(plain))]
    return [f"_{name}" for name in plain]


def clear_folder(folder: Path, written: Collection[str], *, overwrite: bool) -> None:
    """Make room for one call's volumes, whose file names are `written`.

    Where that is asked for, files of these names go, and what an earlier call made besides, so that
    the folder holds one call's volumes. Others that no sidecar vouches for are somebody else's, or
    changed, and stay.

    Raises:
        ConfigurationError: E_EXISTS where files of an earlier call are there, and may not go.
    """
    there = sorted(path for path in folder.iterdir() if _OURS.fullmatch(path.name))
    if there and not overwrite:
        message = f"the output folder holds {len(there)} files of an earlier call"
        advice = "choose another folder, or give --overwrite"
        raise ConfigurationError(Problem("E_EXISTS", message, advice))
    for path in there:
        if path.name.endswith(SUFFIX) and (path.name in written or _is_own(path)):
            # The volume first: a kill in between leaves a sidecar that vouches for nothing.
            remove(path)
            remove(sidecar_of(path))
        elif path.suffix == ".png":
            remove(path)
    remove_leftovers(folder)


def _is_own(volume: Path) -> bool:
    """Tell whether a sidecar says that a volume is synthetic, and is as it was written."""
    try:
        said = json.loads(sidecar_of(volume).read_text(encoding="utf-8"))
        synthetic, digest = said["synthetic"], said["output_digest"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return synthetic is True and digest == sha256_of_file(volume)


def _grid(shape: tuple[int, ...], spacing_mm: Sequence[float]) -> Grid:
    """Return a RAS grid whose middle is the world's origin."""
    x, y, z = shape
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * mm for n, mm in zip((x, y, z), spacing_mm, strict=True)]
    return Grid((x, y, z), affine)
