"""Batches: a pure function of (seed, step, rank), so that resuming equals never stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medgen.config import Augmentation
from medgen.data.augmentation import UNCHANGED, draw_spatial, jitter_intensity
from medgen.data.entries import CachedCase
from medgen.data.patches import IMAGE, REGION, Box, Size, draw_centre, place

Array = NDArray[Any]

REGIONS = frozenset({"label", "mask", "source_body", "target_body"})
"""Keys that hold classes, not intensities."""

ARRAYS = {"source_body": "body", "target_body": "body", "source_at_large": "source"}
"""Keys that have another name than the array they are cut from: two groups bring two bodies."""

IMAGES = ("source", "source_at_large", "target")
"""Keys whose intensity may be augmented, in the order of the draws."""

STREAM = 0
"""A number among those that seed every draw. Another one would change what all runs draw."""


@dataclass(frozen=True)
class Group:
    """Keys that come from one case and one crop, and the cases they are drawn from."""

    keys: frozenset[str]
    cases: Sequence[CachedCase]


class Batches:
    """Random patches of one or more groups, zipped.

    Each group walks through its cases in shuffled rounds. A patch is centred in the mask with
    probability `inside_mask`, else anywhere; where the group reads a label, first with probability
    `foreground` on a voxel of a class that is drawn evenly among those the case has. Every key
    arrives with `margin` more voxels of real context on each side; patches lie inside the volume,
    and their margins go on beyond it as conversion's do, so that no voxel is only ever context.
    Where `located`, a source has three channels more: the coordinates of `medgen.data.position`.

    Raises ValueError where a group is empty or a case lacks one of its keys.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        *,
        patch: Size,
        margin: int = 0,
        batch_size: int,
        inside_mask: float = 0.9,
        foreground: float = 0.5,
        augment: Augmentation | None = None,
        seed: int = 0,
        located: bool = False,
    ) -> None:
        _check(groups)
        self._groups = tuple(groups)
        self._patch_size: Size = patch
        self._margin = margin
        self._batch_size = batch_size
        self._inside_mask = inside_mask
        self._foreground = foreground
        self._augment = augment
        self._seed = seed
        self._located = located

    def batch(self, step: int, rank: int = 0, *, world: int = 1) -> dict[str, Tensor]:
        """Return the batch of a step: (B, C, X, Y, Z), float32 images and masks, int64 labels.

        Of `world` processes the one of this `rank` gets its part of what a single one would draw
        in a batch `world` times as large: together they see each of its patches once.

        Raises:
            ValueError: there is no such rank.
        """
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is none of {world} processes")
        size = self._batch_size
        samples = [self._sample(step, world * size, rank * size + index) for index in range(size)]
        return {key: _as_tensor(key, [sample[key] for sample in samples]) for key in samples[0]}

    def _sample(self, step: int, among: int, index: int) -> dict[str, Array]:
        """Return one sample of the `among` that a step draws."""
        sample: dict[str, Array] = {}
        for number, group in enumerate(self._groups):
            case = self._case(group, number, step * among + index)
            rng = np.random.default_rng([self._seed, step, STREAM, index, number])
            sample.update(self._patch(rng, case, group.keys))
        return sample

    def _case(self, group: Group, number: int, draw: int) -> CachedCase:
        """Return the case of a draw: every round of draws visits each case once."""
        past, place_in_round = divmod(draw, len(group.cases))
        order = np.random.default_rng([self._seed, STREAM, number, past]).permutation(
            len(group.cases)
        )
        return group.cases[int(order[place_in_round])]

    def _patch(
        self, rng: np.random.Generator, case: CachedCase, keys: frozenset[str]
    ) -> dict[str, Array]:
        """Cut one patch; the draws come in one order, whatever the keys."""
        shape = _shape(case)
        centre = self._centre(rng, case, keys, shape)
        first = place(centre, self._patch_size, shape)
        start, size = _widened(first, self._patch_size, self._margin)
        change = UNCHANGED
        if self._augment is not None:
            change = draw_spatial(rng, self._augment, case.grid.spacing_mm)
        box = Box(start, size, shape, change.matrix)
        reversed_axes = tuple(axis + 1 for axis in change.flips)
        patch = {}
        for key in sorted(keys):
            values = box.read(
                case.arrays[ARRAYS.get(key, key)], REGION if key in REGIONS else IMAGE
            )
            patch[key] = np.flip(values, reversed_axes)
        for key in (key for key in IMAGES if key in patch):
            patch[key] = self._jitter(rng, case.jitters(ARRAYS.get(key, key)), patch[key])
        if self._located and "source" in patch:
            patch["source"] = np.concatenate([patch["source"], _places(case, box, change.flips)])
        return patch

    def _centre(
        self, rng: np.random.Generator, case: CachedCase, keys: frozenset[str], shape: Size
    ) -> Size:
        classes = case.present if "label" in keys else ()
        if classes and rng.random() < self._foreground:
            drawn = case.class_indices(classes[int(rng.integers(len(classes)))])
            return draw_centre(rng, drawn, shape, inside_mask=1.0)
        return draw_centre(rng, case.indices, shape, inside_mask=self._inside_mask)

    def _jitter(self, rng: np.random.Generator, allowed: Sequence[bool], image: Array) -> Array:
        relative = self._augment.intensity if self._augment else 0.0
        if relative == 0.0 or not any(allowed):
            return image
        channels = [
            jitter_intensity(rng, channel, relative) if may else channel
            for channel, may in zip(image, allowed, strict=True)
        ]
        return np.stack(channels)


def _places(case: CachedCase, box: Box, flips: Sequence[int]) -> NDArray[np.float32]:
    """Return the coordinates (3, X, Y, Z) of a patch that is read from a box and then mirrored.

    What was on the left and is mirrored looks like what is on the right, and so says it is there.
    """
    places = case.body_box.coordinates(box.voxels())
    for axis in flips:
        places[axis] = -places[axis]
    return np.flip(places, tuple(axis + 1 for axis in flips))


def _widened(start: Size, size: Size, margin: int) -> tuple[Size, Size]:
    """Return the first voxel and the size of a box with a margin around it."""
    (x, y, z), (i, j, k) = start, size
    wide = 2 * margin
    return (x - margin, y - margin, z - margin), (i + wide, j + wide, k + wide)


def _as_tensor(key: str, values: Sequence[Array]) -> Tensor:
    # Stacked by NumPy: torch would start threads of its own beside the training's.
    dtype = np.int64 if key == "label" else np.float32
    return torch.from_numpy(np.stack(values).astype(dtype, order="C", copy=False))


def _shape(case: CachedCase) -> Size:
    x, y, z = case.grid.shape
    return x, y, z


def _check(groups: Sequence[Group]) -> None:
    if not groups:
        raise ValueError("there is no group to draw from")
    seen: set[str] = set()
    for group in groups:
        if not group.cases:
            raise ValueError(f"the group of {sorted(group.keys)} has no case")
        if seen & group.keys:
            raise ValueError(f"two groups hold {sorted(seen & group.keys)}")
        seen |= group.keys
        for case in group.cases:
            lacking = sorted({ARRAYS.get(key, key) for key in group.keys} - set(case.arrays))
            if lacking:
                raise ValueError(f"case {case.case} has no {', '.join(lacking)}")
