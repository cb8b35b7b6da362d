"""A volume as a segmenter sees it: the means of its features inside the body.

What distances between sets of images are measured on, where no pretrained network is to be had.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from medgen.config import OwnScale, Scale
from medgen.conversion.blending import axis_weights, pad, window_weight
from medgen.conversion.tiling import Axis, Tiling, plan_tiling
from medgen.data import PreparedSource
from medgen.data.intensity import ARBITRARY, unit_of
from medgen.methods.segmenter import Segmenter
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.runs import Model
from medgen.runs.features import network_problems
from medgen.volumes import Volume

BODY_SHARE = 0.25
"""Share of a window that is body, from which on the window is described by itself."""


class VolumeFeatures(NamedTuple):
    """A volume's description, float64."""

    volume: NDArray[np.float64]
    """(D,): the mean over the body of each channel, the decoder's levels one after the other."""
    windows: NDArray[np.float64]
    """(W, D): the same of windows that hold enough body and no voxel in common."""


class VolumeExtractor:
    """Describe volumes by a trained segmenter's features.

    A volume goes through the segmenter's own preprocessing, on its own body outline, and through
    its windows as `convert` lays them, always in float32. At each level of the decoder the features
    are averaged with the windows' blending weights, so that every voxel of the body counts once.
    """

    def __init__(self, model: Model, *, device: torch.device) -> None:
        """Take a loaded run; see `volume_extractor` for one that has been checked."""
        assert isinstance(model.method, Segmenter)
        self._method = model.method.requires_grad_(False)
        self._model = model
        self._device = device
        self.column = model.preprocessing.inputs[0]
        self.unit = unit_of(model.preprocessing.intensity[self.column])
        self.weights_digest = model.weights_digest

    def __call__(self, volume: Volume) -> VolumeFeatures:
        """Return a volume's features.

        Raises:
            Refusal: the preprocessing's (E_UNIT, E_MODALITY, E_EMPTY_BODY, E_FLAT_INTENSITY, ...),
                or E_FEATURES_NONFINITE.
        """
        prepared = self._model.preprocessing.prepare_source({self.column: volume})
        tiling = self._tiling(prepared)
        apart = _apart(tiling)
        total: Tensor | None = None
        weight = 0.0
        windows: list[Tensor] = []
        with torch.no_grad():
            for position, levels, body, blending in self._windows(prepared, tiling):
                sums = _sums(levels, body * blending)
                total = sums if total is None else total + sums
                weight += float((body * blending).sum(dtype=torch.float64))
                if position in apart and float(body.mean()) >= BODY_SHARE:
                    windows.append(_sums(levels, body) / body.sum(dtype=torch.float64))
        assert total is not None  # the preprocessing refuses a volume without a body
        described = total / weight
        rows = torch.stack(windows) if windows else described.new_zeros((0, len(described)))
        if not (torch.isfinite(described).all() and torch.isfinite(rows).all()):
            advice = "check the volume's values, and that the segmenter's training went well"
            raise Refusal(Problem("E_FEATURES_NONFINITE", "the features are not finite", advice))
        return VolumeFeatures(described.cpu().numpy(), rows.cpu().numpy())

    def _windows(
        self, prepared: PreparedSource, tiling: Tiling
    ) -> Iterator[tuple[tuple[int, ...], tuple[Tensor, ...], Tensor, Tensor]]:
        """Yield each window with body: its place, its features, its body, its blending weights."""
        source = torch.from_numpy(np.ascontiguousarray(prepared.source))
        padded = pad(source, tiling, self._model.config.convert.padding)
        body = torch.zeros([axis.padded for axis in tiling.axes])
        inner = tuple(slice(axis.before, axis.before + axis.length) for axis in tiling.axes)
        body[inner] = torch.from_numpy(prepared.body.astype(np.float32))
        weights = [axis_weights(axis).to(self._device) for axis in tiling.axes]
        for position in tiling.positions():
            here = body[tiling.slices(position)]
            if not here.any():
                continue
            window = padded[(slice(None), *tiling.slices(position, margin=tiling.margin))]
            window = window[None].to(self._device)
            if window.device.type == "cuda":
                window = window.contiguous(memory_format=torch.channels_last_3d)
            levels = self._method.features(window)
            yield position, levels, here.to(self._device), window_weight(weights, position)

    def _tiling(self, prepared: PreparedSource) -> Tiling:
        method, convert = self._method, self._model.config.convert
        return plan_tiling(
            prepared.source.shape[1:],
            patch=self._model.patch,
            window=convert.window,
            overlap=convert.overlap_voxels,
            margin=method.margin,
            divisor=method.divisor,
            phase=method.phase,
            fixed=method.window,
        )


def volume_extractor(
    model: Model, *, device: torch.device, column: str | None = None, unit: str | None = None
) -> VolumeExtractor:
    """Return what describes volumes of a column, in a unit, by a run's features.

    A scale by percentiles is no hindrance, since every volume has its own; the volumes' values then
    count relative to their own range.

    Args:
        model: the segmenter's run, as `load_model` read it.
        device: where the run was loaded to.
        column: what the caller's table calls the volumes; None where there is no table.
        unit: what the caller scores in; None where it takes the run's.

    Raises:
        ConfigurationError: all at once, E_FEATURES_METHOD (not a segmenter), E_FEATURES_NETWORK
            (its features lie on a smaller grid than the image), E_FEATURES_COLUMNS (it reads
            another column, or more than one), E_FEATURES_SCALE (it reads another unit).
    """
    problems = list(_problems(model, column, unit))
    if problems:
        raise ConfigurationError(problems)
    return VolumeExtractor(model, device=device)


def _problems(model: Model, column: str | None, unit: str | None) -> Iterator[Problem]:
    """Find everything that keeps a run from describing the volumes."""
    if not isinstance(model.method, Segmenter):
        message = f"the run's method is {model.config.method!r}, and features are a segmenter's"
        advice = "give --features a run of the method segmenter"
        yield Problem("E_FEATURES_METHOD", message, advice)
    else:
        yield from network_problems(model.config)
    read = model.preprocessing.inputs
    if len(read) != 1:
        message = f"the run reads {len(read)} columns, [{', '.join(read)}], and a volume is one"
        advice = f"train the segmenter with `source: [{column or read[0]}]`"
        yield Problem("E_FEATURES_COLUMNS", message, advice)
        return
    if column is not None and read[0] != column:
        message = f"the run reads {read[0]}, and the volumes are {column}"
        advice = f"train the segmenter with `source: [{column}]`"
        yield Problem("E_FEATURES_COLUMNS", message, advice)
    yield from _scale_problems(read[0], model.preprocessing.intensity[read[0]], unit)


def _scale_problems(column: str, scale: Scale, unit: str | None) -> Iterator[Problem]:
    """Find a scale that volumes of a unit cannot be put into."""
    relative = isinstance(scale, OwnScale) and scale.unit is None
    have = unit_of(scale)
    known = [each.strip().casefold() for each in (unit or have).split(" or ")]
    if not relative and have.casefold() not in known:
        message = f"the run's unit is {have}, and the volumes' {unit}"
        advice = "train the segmenter on that unit, or choose the --profile of the run's"
        if have == ARBITRARY:
            advice = "give its scale the unit, or train it with scale: percentile"
        yield Problem("E_FEATURES_SCALE", message, advice, column=column)


def _sums(levels: tuple[Tensor, ...], weights: Tensor) -> Tensor:
    """Return the weighted sums (D,) of each level's channels; weights are at full resolution.

    A coarser level's voxel weighs as much as the voxels that it covers.
    """
    parts = []
    for features in levels:
        x, y, z = features.shape[2:]
        pooled = adaptive_avg_pool3d(weights[None, None], (x, y, z))
        each = weights.numel() / pooled.numel()
        product = (features[0].double() * pooled[0].double()).sum(dim=(1, 2, 3))
        parts.append(each * product)
    return torch.cat(parts)


def _apart(tiling: Tiling) -> set[tuple[int, ...]]:
    """Return the positions of windows that have no voxel in common."""
    x, y, z = (_separate(axis) for axis in tiling.axes)
    return {(i, j, k) for i in x for j in y for k in z}


def _separate(axis: Axis) -> list[int]:
    """Return indices of windows that do not overlap: as many as there can be, in the middle."""
    chains = []
    for first in range(len(axis.starts)):
        chain = [first]
        for index in range(first + 1, len(axis.starts)):
            if axis.starts[index] >= axis.starts[chain[-1]] + axis.size:
                chain.append(index)
        end = axis.starts[chain[-1]] + axis.size
        chains.append((-len(chain), abs(axis.padded - end - axis.starts[first]), chain))
    return min(chains)[2]
