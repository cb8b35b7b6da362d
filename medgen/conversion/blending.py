"""A whole volume's answer from overlapping windows.

Answers are weighted by a Gaussian and summed in fp32. Windows form a full grid, so the weights are
separable and are normalised in one dimension: there is no count map and no division.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from medgen.conversion.tiling import Axis, Tiling

GAUSSIAN_SIGMA = 0.125
"""Standard deviation of the blending weights as a share of the window, as nnU-Net and MONAI."""

WEIGHT_FLOOR = 1e-3
"""Least blending weight relative to the centre, so that no window's rim vanishes."""


def pad(source: Tensor, tiling: Tiling, mode: Literal["edge", "reflect"]) -> Tensor:
    """Return what the windows see of a source (C, X, Y, Z), padded where they reach beyond it.

    Never with zeros. An axis too short to reflect that much continues with its edge voxel.
    """
    for dimension, axis in enumerate(tiling.axes, start=1):
        before = axis.before + tiling.margin
        after = axis.padded - axis.length - axis.before + tiling.margin
        if before or after:
            index = _padding_index(axis.length, before, after, mode).to(source.device)
            source = source.index_select(dimension, index)
    return source


def blend(
    source: Tensor,
    tiling: Tiling,
    predict: Callable[[Tensor], Tensor],
    *,
    background: Tensor,
    keep: Tensor | None = None,
    padding: Literal["edge", "reflect"] = "edge",
    batch: int = 1,
    even: bool = False,
    device: torch.device | None = None,
    held: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, int]:
    """Answer a whole source (C, X, Y, Z) window by window.

    Args:
        source: encoded channels.
        tiling: the windows over it.
        predict: maps windows (B, C, *input) to answers (B, K, *input less twice the margin); what
            it returns is only read, so it may return its own input.
        background: the K encoded values of voxels that no window answers.
        keep: voxels (X, Y, Z) of interest; windows without any are skipped. None: no skipping.
        padding: how the volume goes on beyond its borders.
        batch: windows given to `predict` at once.
        even: fill the last batch up with a window that is there already, so that all batches have
            one shape.
        device: where windows are predicted; the source's own where left out.
        held: where the source is cut and the answers are summed; `device` where left out.
        progress: called with the windows done and their number; may raise to stop.

    Returns:
        The answer (K, X, Y, Z) in float32 where it is held, and the number of windows skipped.

    Raises:
        ValueError: `predict` returns another shape than promised.
    """
    device = device or source.device
    held = held or device
    padded = pad(source, tiling, padding).to(held)
    weights = [axis_weights(axis).to(held) for axis in tiling.axes]
    background = background.to(held, torch.float32)[:, None, None, None]
    shape = [axis.padded for axis in tiling.axes]
    total = torch.zeros((len(background), *shape), dtype=torch.float32, device=held)

    wanted, skipped = _sort_out(tiling, keep)
    for position in skipped:
        total[(slice(None), *tiling.slices(position))] += background * window_weight(
            weights, position
        )
    for first in range(0, len(wanted), batch):
        positions = wanted[first : first + batch]
        cut = [*positions, *positions[:1] * (batch - len(positions) if even else 0)]
        answers = predict(_cut(padded, tiling, cut, device))
        expected = (len(cut), len(background), *tiling.window)
        if tuple(answers.shape) != expected:
            raise ValueError(f"the method answered {tuple(answers.shape)}, expected {expected}")
        answers = answers.to(held, torch.float32)
        for position, answer in zip(positions, answers, strict=False):
            here = total[(slice(None), *tiling.slices(position))]
            here.addcmul_(answer, window_weight(weights, position))
        if progress is not None:
            progress(first + len(positions), len(wanted))
    return _whole(total, tiling, background), len(skipped)


def _cut(
    padded: Tensor, tiling: Tiling, positions: Sequence[Sequence[int]], device: torch.device
) -> Tensor:
    """Return windows (B, C, *input) on a device; the host need not wait until they are there."""
    windows = torch.stack(
        [
            padded[(slice(None), *tiling.slices(position, margin=tiling.margin))]
            for position in positions
        ]
    )
    if device.type == "cuda" and windows.device.type == "cpu":
        return windows.pin_memory().to(device, non_blocking=True)
    return windows.to(device)


def _whole(total: Tensor, tiling: Tiling, background: Tensor) -> Tensor:
    """Return the answer to the whole volume from that of the windows: background elsewhere."""
    found = total[(slice(None), *tiling.inner)]
    lengths = [axis.length for axis in tiling.axes]
    if list(found.shape[1:]) == lengths:
        return found
    whole = background.expand(-1, *lengths).clone()
    whole[(slice(None), *tiling.answered)] = found
    return whole


def _sort_out(
    tiling: Tiling, keep: Tensor | None
) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Return the windows that hold voxels to keep, and those that hold none."""
    if keep is None:
        return list(tiling.positions()), []
    outer = [axis.padded for axis in tiling.axes]
    padded = torch.zeros(outer, dtype=torch.bool, device=keep.device)
    padded[tiling.inner] = keep[tiling.answered]
    wanted: list[tuple[int, ...]] = []
    skipped: list[tuple[int, ...]] = []
    for position in tiling.positions():
        (wanted if padded[tiling.slices(position)].any() else skipped).append(position)
    return wanted, skipped


def _padding_index(length: int, before: int, after: int, mode: str) -> Tensor:
    index = torch.arange(-before, length + after)
    if mode == "reflect" and max(before, after) < length:
        last = length - 1
        return last - (last - index.abs()).abs()
    return index.clamp(0, length - 1)


def axis_weights(axis: Axis) -> Tensor:
    """Return each window's weights (windows, size), which sum to one at every voxel."""
    offsets = torch.arange(axis.size, dtype=torch.float64) - (axis.size - 1) / 2
    bell = torch.exp(-0.5 * (offsets / (GAUSSIAN_SIGMA * axis.size)) ** 2).clamp(min=WEIGHT_FLOOR)
    total = torch.zeros(axis.padded, dtype=torch.float64)
    bells = bell.repeat(len(axis.starts), 1)
    bells[1:, : axis.rim] = 0.0
    bells[:-1, axis.size - axis.rim :] = 0.0
    for start, row in zip(axis.starts, bells, strict=True):
        total[start : start + axis.size] += row
    shares = zip(axis.starts, bells, strict=True)
    return torch.stack([row / total[start : start + axis.size] for start, row in shares]).float()


def window_weight(weights: Sequence[Tensor], position: Sequence[int]) -> Tensor:
    """Return a window's weights (X, Y, Z), by its index along each axis."""
    x, y, z = (rows[index] for rows, index in zip(weights, position, strict=True))
    return x[:, None, None] * y[None, :, None] * z[None, None, :]
