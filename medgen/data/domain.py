"""How the images of one domain look, whoever is on them: what an unpaired answer is held against.

A distribution is kept as the means of equal shares of its sorted values. Two of them in the same
number of shares lie a Wasserstein-1 distance apart that is the mean difference of their shares
(the coupling of sorted values is the best one on a line; Villani, Topics in Optimal Transportation,
2003, section 2.2), and no single voxel decides a share as it would a largest value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medgen.data.entries import CachedCase
from medgen.data.masks import RIM_MM, Mask, Spacing, within

SHARES = 101
"""Shares of a distribution; an odd number, so that the middle one is the median."""

FINE = 5
"""Shares of one case in each share of the pool."""

EDGE_MM = 4.0
"""How deep in the body values begin to count: outlines found on two modalities lie some 2 mm apart,
and a fringe of air would decide the distance of two otherwise equal histograms."""

SHELL_MM = 10.0
"""How far around the body the background is looked at: conversion's crop shows no more."""


LAYERS_FROM_MM, LAYER_MM, LAYERS = 2.0, 3.0, 10
"""Where below the surface layers begin, their thickness and their number; the last one is all that
is deeper. Scalp, skull and brain of a head lie within two centimetres. Of 7 sample heads' CTs the
layers correlate with those of 7 others by 0.84 to 0.99, of their T1s by -0.2 to 0.2: fat, not bone,
is bright there."""


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


def fit_domain(
    cases: Sequence[CachedCase],
    key: str,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Domain:
    """Measure how the images under a batch key look, every case counting alike.

    Of several channels the first is measured: an answer that can be converted has one. One case is
    read at a time, and of each a few hundred figures are kept.

    Raises ValueError where there is no case.
    """
    if not cases:
        raise ValueError("a domain needs a case")
    kept, contrasts, layers = [], [], []
    for done, case in enumerate(cases, start=1):
        image = np.asarray(case.arrays[key][0])
        body = np.asarray(case.arrays["body"][0]) > 0
        inside = interior(body, spacing_mm=case.grid.spacing_mm)
        kept.append(shares(image[inside], SHARES * FINE))
        contrast = contrast_of(image, body, spacing_mm=case.grid.spacing_mm)
        contrasts += [] if contrast is None else [contrast]
        layers.append(layers_of(image, body, spacing_mm=case.grid.spacing_mm))
        on_progress(done, len(cases))
    return Domain(
        quantiles=tuple(shares(np.concatenate(kept), SHARES).tolist()),
        contrast=float(np.mean(contrasts)) if contrasts else 0.0,
        distance=_farthest(np.stack(kept)),
        layers=_mean_layers(np.stack(layers)),
    )


def interior(body: Mask, *, spacing_mm: Spacing) -> Mask:
    """Return the body without its edge; takes it with its rim, (X, Y, Z).

    A body that has nothing but edge is returned whole. Where the volume ends there is no edge.
    """
    deep = ~within(~body, spacing_mm=spacing_mm, radius_mm=RIM_MM + EDGE_MM)
    return deep if deep.any() else body


def contrast_of(image: NDArray[Any], body: Mask, *, spacing_mm: Spacing) -> float | None:
    """Return the mean inside less the mean in the shell of background around it.

    Takes an image (X, Y, Z) and the body with its rim, whose edge is left out; the shell ends 10 mm
    from the body itself. None where the field of view shows no shell.
    """
    near = within(body, spacing_mm=spacing_mm, radius_mm=SHELL_MM - RIM_MM)
    shell = near & ~body
    if not shell.any():
        return None
    values = np.asarray(image, dtype=np.float64)
    inside = interior(body, spacing_mm=spacing_mm)
    return float(values[inside].mean() - values[shell].mean())


def layers_of(image: NDArray[Any], body: Mask, *, spacing_mm: Spacing) -> NDArray[np.float64]:
    """Return the mean value of each layer of the body below its surface, NaN of one that is empty.

    Takes an image (X, Y, Z) and the body with its rim, which is no layer, nor is the surface, where
    outlines are uncertain. Where the volume ends there is no surface.
    """
    if body.all():
        return np.full(LAYERS, np.nan)
    deep = ndimage.distance_transform_edt(body, sampling=[float(mm) for mm in spacing_mm])
    layer = np.clip((deep[body] - RIM_MM - LAYERS_FROM_MM) / LAYER_MM, -1.0, LAYERS - 1.0)
    inside = layer >= 0.0
    which, values = layer[inside].astype(int), np.asarray(image, dtype=np.float64)[body][inside]
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
