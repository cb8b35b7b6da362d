"""How one case's image is: where its voxels lie, what its body is like, and its values; figures.

They are measured when a case is prepared, for training and for conversion by this same code, so
that one may be held against the other. A few hundred numbers stay of an image, and no name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.domain import Face, face_of
from medgen.data.intensity import Codec
from medgen.data.masks import Mask, bounding_box
from medgen.data.regions import Regions
from medgen.volumes import Volume, ras_permutation

PARTS = 10
"""Places along an axis of the body's box at which its area and its mean value are told."""

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which quantiles of the values inside the body are told in the image's own unit."""

LINES = 24
"""Lines along an axis, in each of the two others, on which grain is measured."""

Figures = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Look:
    """What is told of one image."""

    figures: Figures
    """By name:

    - `spacing_mm`, `extent_mm` (3): native spacing and field of view along right, anterior,
      superior;
    - `litres` (1): the body's volume; `body_fraction` (1): its share of the field of view;
    - `cut` (6): the body's area on each border of the field of view, left, right, posterior,
      anterior, inferior, superior, over its largest along that axis: 0 where it ends before;
    - `areas` (3 x 10): its area at ten places along each axis of its box, over their mean;
    - `means` (3 x 10): the mean value there, in deviations of the body's values from their mean;
    - `quantiles` (5): values inside the body in the image's own unit;
    - `grain` (3): mean second difference along each axis of the working grid over the standard
      deviation: noise raises it, and slices that were thicker lower it.
    """
    face: Face
    unit: str
    modality: str = ""
    """As a DICOM header says; empty where nothing does."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "figures": {name: list(values) for name, values in self.figures.items()},
            "face": self.face.as_json(),
            "unit": self.unit,
            "modality": self.modality,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Look:
        """Read what `as_json` wrote."""
        figures = {n: tuple(float(v) for v in values) for n, values in value["figures"].items()}
        face = Face.from_json(value["face"])
        return cls(figures, face, str(value["unit"]), str(value["modality"]))


def look_of(
    encoded: NDArray[np.float32], body: Mask, regions: Regions, *, volume: Volume, codec: Codec
) -> Look:
    """Measure an encoded image (X, Y, Z) on the working grid, whose axes run right, anterior, up.

    Takes the body without a rim on the same grid, its regions, the volume that the image came from,
    in the unit that its scale promises, and the codec that encoded it.
    """
    image, where, wide = encoded[regions.every], regions.body, regions.spacing_mm
    face = face_of(encoded, regions)
    deviation = max(float(np.std(face.shares)), 1e-6)
    litres = float(where.sum()) * float(np.prod(wide)) / 1e6
    grid = volume.grid
    axes, _ = ras_permutation(grid.affine)
    spacing = [float(grid.spacing_mm[axis]) for axis in axes]
    extent = [float(grid.spacing_mm[axis]) * grid.shape[axis] for axis in axes]
    figures = {
        "spacing_mm": tuple(spacing),
        "extent_mm": tuple(extent),
        "litres": (litres,),
        "body_fraction": (litres * 1e6 / float(np.prod(extent)),),
        "cut": _cut(where),
        **_along(image, where, float(np.mean(face.shares)), deviation),
        "quantiles": tuple(codec.decode(np.quantile(face.shares, LEVELS)).tolist()),
        "grain": grain_of(encoded, body, deviation),
    }
    modality = volume.series.modality if volume.series is not None else ""
    return Look(figures, face, codec.unit, modality)


def looks_at(
    columns: Sequence[str],
    encoded: NDArray[np.float32],
    codecs: Mapping[str, Codec],
    volumes: Mapping[str, Volume],
    body: Mask,
    regions: Regions,
) -> tuple[Look, ...]:
    """Measure the channels (C, X, Y, Z) of the columns, which come first among them."""
    return tuple(
        look_of(image, body, regions, volume=volumes[column], codec=codecs[column])
        for column, image in zip(columns, encoded, strict=False)
    )


def _cut(body: Mask) -> tuple[float, ...]:
    """Return the body's area on each of the six borders over its largest along that axis."""
    found = []
    for axis in range(3):
        area = _areas(body, axis)
        found += [area[0] / area.max(), area[-1] / area.max()]
    return tuple(float(share) for share in found)


def _areas(body: Mask, axis: int) -> NDArray[np.float64]:
    others = tuple(other for other in range(3) if other != axis)
    return np.asarray(body.sum(axis=others), dtype=np.float64)


def _along(
    image: NDArray[np.float32], body: Mask, mean: float, deviation: float
) -> dict[str, tuple[float, ...]]:
    """Return the body's area and its mean value at ten places along each axis of its box."""
    box = bounding_box(body)
    within, values = body[box], np.where(body[box], image[box], 0.0)
    areas, means = [], []
    for axis in range(3):
        area = _areas(within, axis)
        others = tuple(other for other in range(3) if other != axis)
        sums = values.sum(axis=others, dtype=np.float64)
        # A body of one piece has no empty plane, but one that was thinned out may.
        level = np.where(area > 0, sums / np.maximum(area, 1.0), mean)
        at = (np.arange(PARTS) + 0.5) / PARTS * len(area) - 0.5
        places = np.arange(len(area))
        found = np.interp(at, places, area)
        areas += (found / max(float(found.mean()), 1e-9)).tolist()
        means += ((np.interp(at, places, level) - mean) / deviation).tolist()
    return {"areas": tuple(areas), "means": tuple(means)}


def grain_of(
    encoded: NDArray[np.float32], body: Mask, deviation: float
) -> tuple[float, float, float]:
    """Return the mean second difference along each axis inside the body over the deviation."""
    box = bounding_box(body)
    image, where = encoded[box], body[box]
    found = [_second(image, where, axis) / deviation for axis in range(3)]
    return found[0], found[1], found[2]


def _second(image: NDArray[np.float32], body: Mask, axis: int) -> float:
    every = [slice(None, None, max(1, count // LINES)) for count in body.shape]
    every[axis] = slice(None)
    lines = np.moveaxis(image[tuple(every)], axis, 0).astype(np.float64)
    inside = np.moveaxis(body[tuple(every)], axis, 0)
    if len(lines) < 5:
        return 0.0
    # Away from the surface, whose step is that of the anatomy: two voxels on either side inside.
    deep = inside[2:-2] & inside[:-4] & inside[1:-3] & inside[3:-1] & inside[4:]
    jumps = np.abs(np.diff(lines, n=2, axis=0))[1:-1][deep]
    return float(jumps.mean()) if jumps.size else 0.0
