"""What a generative method draws at each validation: pictures, and two signs of failure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medgen.config import Config
from medgen.data import CachedCase
from medgen.files import write_bytes
from medgen.method import Generative, Method
from medgen.methods.latents import draw_latents, spherical_walk
from medgen.report.drawn import COLUMNS, Window, neighbours_sheet, samples_sheet, walks_sheet
from medgen.runs import DIAGNOSIS, Precision
from medgen.training.reference_patches import (
    Nearest,
    ReferencePatches,
    around,
    nearest,
    scattered,
)

Array = NDArray[Any]

REFERENCES = 256
"""Training patches that samples are held against."""
SAMPLES, SAMPLE_BYTES = 32, 1 << 25
"""Samples at most, and the memory that they may take."""
PLACES = 2
"""Places at which a located method's variety is measured."""
WALKS, STEPS = 3, 9
"""Walks between latents that are drawn, and their pictures."""


def checks_of(
    method: Method,
    config: Config,
    training: Sequence[CachedCase],
    held: Sequence[CachedCase],
    *,
    device: torch.device,
    precision: Precision,
) -> Checks | None:
    """Return the checks of a generative method, None of any other; see `Checks`."""
    if not isinstance(method, Generative):
        return None
    return Checks(method, config, training, held, device=device, precision=precision)


class Checks:
    """The same latents, places and patches at every validation.

    `diagnose.sample_variance`: the variance across samples over that across training patches, both
    the mean over voxels. Far below 1, the samples are all alike: a collapsed generator. Samples of
    a located method are compared at one place each time, since the place alone makes a difference.
    Far above 1, here and below, samples are like nothing real: drawn where no image was encoded.

    `diagnose.nearest`: the mean distance from a sample to the nearest of the training patches, over
    the same of held-out patches. Far below 1, samples are training patches learned by heart: 0.4
    for copies with noise on 15 real heads. About 1 does not prove that nothing is: only some spots
    of a volume are references, and training patches from elsewhere came to 0.8 there. Blurred
    samples lie a little nearer than held-out patches, which have noise that no other patch has.
    """

    def __init__(
        self,
        method: Generative,
        config: Config,
        training: Sequence[CachedCase],
        held: Sequence[CachedCase],
        *,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._device, self._precision = device, precision
        self._seed = config.train.seed
        self._spacing_mm = config.preprocessing.spacing_mm
        self._flip_axes = config.train.augment.flip_axes
        self._at_once = max(1, method.windows_at_once)
        self._training = training
        size = method.window or config.train.patch
        one = 4 * int(np.prod(size)) * len(training[0].arrays["source"])
        self._count = int(np.clip(SAMPLE_BYTES // one, 4, SAMPLES))
        inside, seed = config.train.inside_mask, config.train.seed
        self._references = scattered(training, size, REFERENCES, inside_mask=inside, seed=(seed, 0))
        self._held = (
            scattered(held, size, self._count, inside_mask=inside, seed=(seed, 1)) if held else None
        )
        shown = self._held or self._references
        self._places = shown.places()[: self._count] if method.located else None

    def __call__(
        self, method: Method, folder: Path, check: Callable[[], None] = lambda: None
    ) -> dict[str, float]:
        """Draw with a method in eval mode, write three pictures, and return the figures.

        `check` is called between parts of the work and may raise to stop.
        """
        assert isinstance(method, Generative)
        numbers = range(self._count)
        samples = self._draw(method, numbers, self._places)
        check()
        found = nearest(samples, self._references, flip_axes=self._flip_axes, check=check)
        figures = {"sample_variance": self._variety(method, check)}
        floor = self._floor
        figures |= {} if floor is None else {"nearest": float(found.distances.mean() / floor)}
        walks = self._walks(method)
        check()
        for name, picture in self._pictures(samples, found, walks).items():
            write_bytes(folder / name, picture)
        return {f"{DIAGNOSIS}{name}": value for name, value in figures.items()}

    @cached_property
    def _floor(self) -> float | None:
        """Return how far held-out patches lie from the nearest training patch, in the mean."""
        if self._held is None:
            return None
        patches = self._held.first(self._count)
        found = nearest(patches, self._references, flip_axes=self._flip_axes)
        return float(found.distances.mean())

    def _draw(
        self, method: Generative, numbers: Sequence[int], places: NDArray[np.float32] | None
    ) -> Array:
        """Return samples (N, C, *window) of numbered latents, at places (N, 3) or nowhere."""
        latents = draw_latents(self._seed, numbers, method.latent)
        return self._generate(method, latents, places)

    def _generate(
        self, method: Generative, latents: torch.Tensor, places: NDArray[np.float32] | None
    ) -> Array:
        drawn = []
        where = None if places is None else torch.from_numpy(np.array(places)).to(self._device)
        with (
            torch.no_grad(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"),
        ):
            for first in range(0, len(latents), self._at_once):
                part = slice(first, first + self._at_once)
                images = method.generate(
                    latents[part].to(self._device), None if where is None else where[part]
                )
                drawn.append(images.float().cpu().numpy())
        return np.concatenate(drawn)

    def _variety(self, method: Generative, check: Callable[[], None]) -> float:
        """Return the variance across samples over that across training patches."""
        if self._places is None:
            samples = self._draw(method, range(self._count), None)
            return _ratio(_variance([samples]), _variance(_parts(self._references, check)))
        drawn, known = 0.0, 0.0
        for number, where in enumerate(self._places[:PLACES]):
            numbers = range(number * self._count, (number + 1) * self._count)
            here = np.repeat(where[None], self._count, axis=0)
            drawn += _variance([self._draw(method, numbers, here)])
            size = self._references.size
            patches = around(self._training, size, where, 2 * self._count)
            known += _variance(_parts(patches, check))
        return _ratio(drawn, known)

    def _walks(self, method: Generative) -> list[Array]:
        """Return walks (STEPS, C, *window) from one sample's latent to the next's, at its place."""
        latents = draw_latents(self._seed, range(WALKS + 1), method.latent)
        walks = []
        for number in range(WALKS):
            walk = spherical_walk(latents[number], latents[number + 1], STEPS)
            places = None
            if self._places is not None:
                places = np.repeat(self._places[number][None], STEPS, axis=0)
            walks.append(self._generate(method, walk, places))
        return walks

    def _pictures(
        self, samples: Array, found: Nearest, walks: Sequence[Array]
    ) -> Mapping[str, bytes]:
        windows = [Window(-1.0, 1.0, "encoded")] * samples.shape[1]
        floor = self._floor
        heads = [f"{d if floor is None else d / floor:.2f}" for d in found.distances[:COLUMNS]]
        unit = "encoded RMS" if floor is None else "held-out patches' is 1"
        below = f"below each sample its nearest of {len(self._references)} training patches"
        spacing = self._spacing_mm
        return {
            "samples.png": samples_sheet(samples, windows, spacing_mm=spacing, title="samples"),
            "neighbours.png": neighbours_sheet(
                samples,
                found.patches,
                heads,
                windows,
                spacing_mm=spacing,
                title=f"{below}; distance ({unit})",
            ),
            "walk.png": walks_sheet(
                walks, windows, spacing_mm=spacing, title="from one latent to another"
            ),
        }


def _parts(patches: ReferencePatches, check: Callable[[], None]) -> Iterator[Array]:
    for _, part in patches.chunks():
        check()
        yield part


def _variance(parts: Iterable[Array]) -> float:
    """Return the unbiased variance across images (N, ...), the mean over voxels, given by parts.

    NaN of fewer than two images.
    """
    count, total, squares = 0, 0.0, 0.0
    for part in parts:
        wide = np.asarray(part, dtype=np.float64)
        count += len(wide)
        total = total + wide.sum(0)
        squares = squares + (wide**2).sum(0)
    if count < 2:
        return float("nan")
    return float(np.mean((squares - np.asarray(total) ** 2 / count) / (count - 1)))


def _ratio(drawn: float, known: float) -> float:
    """Return a share; NaN where training patches do not vary or there is only one."""
    return drawn / known if known > 0 else float("nan")
