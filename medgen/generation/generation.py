"""The verb generate as a function: a run in, synthetic volumes and their pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medgen.files import locked, writable
from medgen.generation.scales import Meaning, meaning_of
from medgen.generation.writing import SUFFIX, Drawn, Writer, clear_folder, names_of
from medgen.method import Generative
from medgen.methods import METHODS
from medgen.methods.latents import draw_latents, spherical_walk
from medgen.problems import ConfigurationError, Problem
from medgen.report.drawn import Window, drawn_at_most, samples_sheet, walks_sheet
from medgen.runs import Model

Array = NDArray[Any]

PICTURE_STEPS = 9
"""Pictures of a walk whose volumes nobody asked for."""
MOST = 10_000
"""Volumes of one call: what is meant to be fewer would fill a disk."""


@dataclass(frozen=True)
class Wish:
    """What to draw."""

    count: int = 8
    """Samples."""
    seed: int = 0
    walk: int = 0
    """Steps of the walk whose volumes are written; 0 writes none."""
    place: tuple[float, float, float] | None = None
    """Where in the body the windows' middles lie; of located methods only, None: the middle."""


@dataclass(frozen=True)
class Generation:
    """What one call left on the disk."""

    samples: int
    steps: int
    """Volumes of the walk."""
    units: tuple[str, ...]
    """By source column."""


def generate(
    model: Model,
    output: Path,
    wish: Wish,
    *,
    device: torch.device,
    overwrite: bool = False,
    on_volume: Callable[[str], None] = lambda name: None,
) -> Generation:
    """Draw synthetic volumes into a folder.

    It gets `sample_000.nii.gz` and on (several source columns: `sample_000_COLUMN.nii.gz`), each
    with a JSON sidecar, `samples.png`, and `walk.png`, which goes from the first sample's latent to
    the second's; with `wish.walk`, `walk_000.nii.gz` and on too. The sample of a number is the same
    however many are drawn. Volumes have the run's spacing and the training patch's size; their
    middle lies at the world's origin, since they are of nobody and nowhere. Computed in float32.

    Args:
        model: a loaded run of a generative method.
        output: the folder; one call's volumes fill it.
        wish: what to draw.
        device: where to compute.
        overwrite: replace the volumes of an earlier call.
        on_volume: called with each volume's name when it is there.

    Raises:
        ConfigurationError: E_GENERATE, the method draws nothing; E_GENERATE_COUNT, E_PLACE,
            E_EXISTS.
    """
    method = _checked(model, wish)
    columns = model.preprocessing.source_columns
    meanings = [meaning_of(model.preprocessing, column) for column in columns]
    names = names_of(columns)
    latents = draw_latents(wish.seed, range(max(wish.count, 2)), method.latent)
    steps = spherical_walk(latents[0], latents[1], wish.walk or PICTURE_STEPS)
    wanted = [Drawn("sample", number) for number in range(wish.count)]
    wanted += [Drawn("walk", number, wish.walk) for number in range(wish.walk)]
    files = {f"{drawn.name}{name}{SUFFIX}" for drawn in wanted for name in names}
    with writable(), locked(output):
        clear_folder(output, files, overwrite=overwrite)
        writer = Writer(model, output, names, meanings, wish.seed, _told_place(method, wish))
        shown = []
        for number, image in _drawn(method, latents[: wish.count], wish, device):
            decoded = _decoded(image, meanings)
            shown += [decoded] if number < drawn_at_most(image.shape) else []
            on_volume(writer.write(decoded, Drawn("sample", number)))
        strip = []
        pictured = np.linspace(0, len(steps) - 1, min(len(steps), PICTURE_STEPS)).round()
        for number, image in _drawn(method, steps, wish, device):
            decoded = _decoded(image, meanings)
            strip += [decoded] if number in pictured else []
            if wish.walk:
                on_volume(writer.write(decoded, Drawn("walk", number, wish.walk)))
        _write_pictures(writer, model, wish, np.stack(shown), np.stack(strip), meanings)
    return Generation(wish.count, wish.walk, tuple(m.codec.unit for m in meanings))


def _checked(model: Model, wish: Wish) -> Generative:
    """Return the method, if it can do what is wished.

    Raises:
        ConfigurationError: with every problem.
    """
    method, problems = model.method, []
    if not isinstance(method, Generative):
        able = ", ".join(name for name, known in METHODS.items() if issubclass(known, Generative))
        message = f"the run's method {model.config.method!r} draws no images of its own"
        advice = f"give the run of one that does: {able}"
        raise ConfigurationError(Problem("E_GENERATE", message, advice))
    if not 1 <= wish.count <= MOST:
        message = f"{wish.count} samples are asked for; from 1 to {MOST} can be drawn"
        problems.append(Problem("E_GENERATE_COUNT", message, "choose another --count"))
    if wish.walk and not 2 <= wish.walk <= MOST:
        message = f"a walk of {wish.walk} steps is asked for; it takes from 2 to {MOST}"
        problems.append(Problem("E_GENERATE_COUNT", message, "choose another --walk"))
    if wish.place is not None and not method.located:
        message = f"this run of {model.config.method!r} was not told where its patches lie"
        advice = f"leave --place out, or train with methods.{model.config.method}.located: true"
        problems.append(Problem("E_PLACE", message, advice))
    elif wish.place is not None and not all(-1.0 <= at <= 1.0 for at in wish.place):
        message = f"the place {', '.join(f'{at:g}' for at in wish.place)} leaves [-1, 1]"
        advice = "0,0,0 is the body's middle, 1,1,1 its right, front and upper end"
        problems.append(Problem("E_PLACE", message, advice))
    if problems:
        raise ConfigurationError(problems)
    return method


def _told_place(method: Generative, wish: Wish) -> tuple[float, float, float] | None:
    if not method.located:
        return None
    return wish.place or (0.0, 0.0, 0.0)


def _drawn(
    method: Generative, latents: Tensor, wish: Wish, device: torch.device
) -> Iterator[tuple[int, Array]]:
    """Yield numbered images (C, *window), encoded, a few at a time."""
    at_once = max(1, method.windows_at_once)
    for first in range(0, len(latents), at_once):
        part = latents[first : first + at_once].to(device)
        place = None
        if wish.place is not None:
            place = torch.tensor([wish.place], device=device).expand(len(part), -1)
        with torch.no_grad():
            images = method.generate(part, place).float().cpu().numpy()
        yield from enumerate(images, first)


def _decoded(image: Array, meanings: Sequence[Meaning]) -> Array:
    """Return an image (C, X, Y, Z) as it is written."""
    channels = [meaning.codec.decode(one) for one, meaning in zip(image, meanings, strict=True)]
    return np.stack(channels).astype(np.float32)


def _write_pictures(
    writer: Writer,
    model: Model,
    wish: Wish,
    samples: Array,
    walk: Array,
    meanings: Sequence[Meaning],
) -> None:
    columns = model.preprocessing.source_columns
    windows = [
        Window(m.codec.low, m.codec.high, f"{column} [{m.codec.unit}]")
        for column, m in zip(columns, meanings, strict=True)
    ]
    spacing = model.config.preprocessing.spacing_mm
    which = f"the first {len(samples)} of {wish.count} samples"
    title = f"{len(samples)} samples" if len(samples) == wish.count else which
    title += f", synthetic; seed {wish.seed}"
    writer.picture("samples", samples_sheet(samples, windows, spacing_mm=spacing, title=title))
    title = f"synthetic: from one latent to another; seed {wish.seed}"
    writer.picture("walk", walks_sheet([walk], windows, spacing_mm=spacing, title=title))
