"""How the images of one domain look, whoever is on them: what an unpaired answer is held against.

A distribution is kept as the means of equal shares of its sorted values. Two of them in the same
number of shares lie a Wasserstein-1 distance apart that is the mean difference of their shares
(the coupling of sorted values is the best one on a line; Villani, Topics in Optimal Transportation,
2003, section 2.2), and no single voxel decides a share as it would a largest value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.regions import LAYERS, Regions

SHARES = 101
"""Shares of a distribution; an odd number, so that the middle one is the median."""

FINE = 5
"""Shares of one case in each share of the pool."""


@dataclass(frozen=True)
class Domain:
    """The training cases' images of one role, in encoded values, pooled over cases.

    It names nobody: a distribution, a profile and two figures.
    """

    quantiles: tuple[float, ...]
    """Means of equal shares of the sorted values inside the body, less its edge, least first."""
    contrast: float
    """Mean of the same values less the mean in the shell of background around; 0: not known."""
    distance: float
    """The largest distance of one case's own distribution from all others', in encoded units."""
    layers: tuple[float, ...] = ()
    """Mean value by depth below the body's surface, outermost first; empty: not known."""

    @property
    def median(self) -> float:
        """Return the median of the values inside the body."""
        return float(np.median(self.quantiles))

    @property
    def spread(self) -> float:
        """Return the mean distance of the values from their median."""
        return float(np.abs(np.asarray(self.quantiles) - self.median).mean())

    @property
    def deviation(self) -> float:
        """Return the standard deviation of the values."""
        return float(np.std(self.quantiles))

    def distance_to(self, values: NDArray[Any]) -> float:
        """Return the Wasserstein-1 distance of encoded values, any number of them, to the domain.

        Exact where the two quantile functions do not cross within a share, else a little too small.
        """
        return apart(shares(values, len(self.quantiles)), np.asarray(self.quantiles))

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "quantiles": list(self.quantiles),
            "contrast": self.contrast,
            "distance": self.distance,
            "layers": list(self.layers),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Domain:
        """Read what `as_json` wrote."""
        return cls(
            quantiles=tuple(float(q) for q in value["quantiles"]),
            contrast=float(value["contrast"]),
            distance=float(value["distance"]),
            layers=tuple(float(layer) for layer in value.get("layers", ())),
        )


@dataclass(frozen=True)
class Face:
    """How one case's image looks, in encoded values."""

    shares: tuple[float, ...]
    """Means of equal shares of the sorted values inside the body, less its edge, least first."""
    contrast: float | None
    """Their mean less that of the shell of background around; None where none is in view."""
    layers: tuple[float, ...]
    """Mean value by depth below the surface, outermost first; NaN where a layer is empty."""

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        layers = [None if np.isnan(layer) else layer for layer in self.layers]
        return {"shares": list(self.shares), "contrast": self.contrast, "layers": layers}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Face:
        """Read what `as_json` wrote."""
        layers = (float("nan") if layer is None else float(layer) for layer in value["layers"])
        contrast = value["contrast"]
        return cls(
            shares=tuple(float(share) for share in value["shares"]),
            contrast=None if contrast is None else float(contrast),
            layers=tuple(layers),
        )


def face_of(image: NDArray[Any], regions: Regions) -> Face:
    """Measure an encoded image (X, Y, Z) in the regions of the body in it."""
    seen = image[regions.every]
    return Face(
        shares=tuple(shares(seen[regions.inside], SHARES * FINE).tolist()),
        contrast=contrast_of(seen, regions),
        layers=tuple(layers_of(seen, regions).tolist()),
    )


def fit_domain(faces: Sequence[Face]) -> Domain:
    """Pool how the cases' images look, every case counting alike.

    Raises ValueError where there is no case.
    """
    if not faces:
        raise ValueError("a domain needs a case")
    kept = np.asarray([face.shares for face in faces])
    contrasts = [face.contrast for face in faces if face.contrast is not None]
    return Domain(
        quantiles=tuple(shares(kept, SHARES).tolist()),
        contrast=float(np.mean(contrasts)) if contrasts else 0.0,
        distance=_farthest(kept),
        layers=_mean_layers(np.asarray([face.layers for face in faces])),
    )


def contrast_of(seen: NDArray[Any], regions: Regions) -> float | None:
    """Return the mean inside less the mean in the shell of background around it.

    Takes the voxels of an image (X, Y, Z) that the regions are of. None where no shell is in view.
    """
    if not regions.shell.any():
        return None
    inside, around = seen[regions.inside], seen[regions.shell]
    return float(inside.mean(dtype=np.float64) - around.mean(dtype=np.float64))


def layers_of(seen: NDArray[Any], regions: Regions) -> NDArray[np.float64]:
    """Return the mean value of each layer of the body below its surface, NaN of one that is empty.

    Takes the voxels of an image (X, Y, Z) that the regions are of.
    """
    where = regions.layer >= 0
    which, values = regions.layer[where].astype(np.intp), seen[where].astype(np.float64)
    counts = np.bincount(which, minlength=LAYERS)
    sums = np.bincount(which, weights=values, minlength=LAYERS)
    means = np.full(LAYERS, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of two profiles of layers, over those that both have.

    NaN where they share fewer than three, or one of them is flat.
    """
    both = np.isfinite(first) & np.isfinite(second)
    one, other = first[both], second[both]
    if both.sum() < 3 or np.ptp(one) < 1e-9 or np.ptp(other) < 1e-9:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _mean_layers(rows: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the mean over cases of each layer that every case has; none beyond the first gap."""
    whole = np.asarray(np.isfinite(rows).all(axis=0))
    known = len(whole) if whole.all() else int(np.argmin(whole))
    return tuple(rows[:, :known].mean(axis=0).tolist())


def shares(values: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the means of `count` equal shares of the sorted values, the least first.

    A value on the border of two shares is divided between them, so that any number of values will
    do.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=None)
    summed = np.concatenate([[0.0], np.cumsum(ordered)])
    ends = np.linspace(0.0, ordered.size, count + 1)
    sums = np.diff(np.interp(ends, np.arange(ordered.size + 1), summed))
    return np.asarray(sums * count / ordered.size)


def apart(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the Wasserstein-1 distance of two distributions in as many shares each."""
    return float(np.abs(first - second).mean())


def _farthest(kept: NDArray[np.float64]) -> float:
    """Return the largest distance of one case (a row of shares) from all others; 0 for one case."""
    if len(kept) == 1:
        return 0.0
    order = np.argsort(kept, axis=None, kind="stable")
    pooled, owner = kept.ravel()[order], order // kept.shape[1]
    return max(
        apart(shares(own, SHARES), shares(pooled[owner != index], SHARES))
        for index, own in enumerate(kept)
    )
