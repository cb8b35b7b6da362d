"""A method's answer to a whole encoded source, window by window, on one device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medgen.config import ConvertConfig
from medgen.conversion.blending import blend
from medgen.conversion.compiling import CompileFailed, Predict, compiled
from medgen.conversion.decoding import Keep
from medgen.conversion.memory import GB, KEPT_FREE, NETWORK_SHARE, free_bytes, ran_out, window_bytes
from medgen.conversion.progress import Progress
from medgen.conversion.reach import rim_of
from medgen.conversion.sizing import least_work, sizes_near, sizes_over
from medgen.conversion.sparing import Bounds, Effort, Window, lowered, within
from medgen.conversion.task import Task
from medgen.conversion.tiling import Tiling, plan_tiling
from medgen.method import Method
from medgen.problems import Problem, Refusal

WINDOWS_AT_ONCE = {"cuda": 4}
"""Windows in one batch by device type, where memory allows it; elsewhere one, since batching gains
nothing on a CPU."""

MOST_VOXELS = {"cpu": 128**3, "cuda": 192**3}
"""Voxels of the largest window that is chosen by itself, its margin included."""

STRETCH = 1.25
"""How much longer than the training patch windows may be, where less is computed by that and
answers depend on the whole window, as by instance norms: benchmarks/seams.md."""

HELD_SHARE = 0.5
"""Share of a device's free memory that the whole source and its answer may take there."""


@dataclass(frozen=True, eq=False)
class Windowed:
    """An encoded answer, and how its windows lay."""

    encoded: Tensor
    """(K, X, Y, Z) float32 on the CPU."""
    tiling: Tiling
    skipped: int
    """Windows without a voxel to answer."""
    spared: tuple[str, ...] = ()
    """What was given up for want of memory, in words; empty where nothing was."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Answer encoded sources with a method that stands on `device` in eval mode."""

    method: Method
    answer: str
    settings: ConvertConfig
    device: torch.device
    precision: Literal["bf16", "fp32"]
    patch: tuple[int, int, int]
    """The training patch in voxels."""
    limit_bytes: int | None = None
    """Memory that one conversion may take; None: what there is."""

    def tiling(
        self,
        shape: tuple[int, ...],
        *,
        window: Window | None = None,
        box: tuple[slice, ...] | None = None,
        rim: int | None = None,
    ) -> Tiling:
        """Lay the windows over a volume of `shape` voxels, or over a box of it.

        Windows are those of the settings unless others are given. They overlap by what the settings
        say, or, where it is known how far their edges show, by what leaves that `rim` out: answers
        are then those of the whole volume, and more overlap would change nothing.

        Raises:
            ConfigurationError: E_WINDOW.
        """
        overlap = self.settings.overlap_voxels if rim is None else 2 * rim
        return plan_tiling(
            shape,
            patch=self.patch,
            window=window or self.settings.window,
            overlap=overlap,
            margin=self.method.margin,
            divisor=self.method.divisor,
            phase=self.method.phase,
            fixed=self.method.window,
            box=box,
            rim=rim or 0,
        )

    def __call__(
        self,
        source: NDArray[np.float32],
        *,
        background: NDArray[np.float32],
        keep: Keep = None,
        progress: Progress | None = None,
    ) -> Windowed:
        """Answer a source (C, X, Y, Z), a located method's coordinates included.

        What does not fit into memory is tried again with less: fewer windows at once, smaller
        windows, and at last on the CPU. Then all begins anew.

        Args:
            source: encoded channels.
            background: the K encoded values of a voxel where nothing is.
            keep: voxels (X, Y, Z) to answer; None: all.
            progress: see `Progress`.

        Raises:
            ConfigurationError: E_WINDOW.
            Refusal: E_MEMORY, not even the smallest window fits.
        """
        task = Task(source, background, keep, progress)
        rim = rim_of(self.method, self.answer, channels=len(source), patch=self.patch)
        first, told = self._effort(task, rim)
        effort, fast = first, self.settings.compile
        while True:
            try:
                with self._standing_on(effort.device):
                    found = self._answered(task, effort, rim, fast=fast)
                return replace(found, spared=told)
            except CompileFailed as failure:
                fast = False
                told = (*told, f"not compiled, since compiling failed ({failure})")
                continue
            except (MemoryError, RuntimeError) as error:
                if not ran_out(error):
                    raise
            # Not before the error is gone, which holds on to what was computed.
            step = lowered(effort, self._bounds(rim))
            if step is None:
                raise Refusal(_too_large(effort))
            effort, said = step
            if effort.device != first.device:
                effort, fast = self._effort_on_processor(first), False
                told = ()  # what was given up before is had again
            told = (*told, f"memory ran out: {said}")
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _bounds(self, rim: int | None) -> Bounds:
        """Return the smallest windows: of a known rim, those that still leave it out."""
        least = max(self.method.minimum_patch, 4 * (rim or 0))
        return Bounds(self.method.divisor, least, self.method.window is not None)

    def _effort(self, task: Task, rim: int | None) -> tuple[Effort, tuple[str, ...]]:
        """Return how to begin, and what is given up from the outset."""
        kind, method = self.device.type, self.method
        batch = max(WINDOWS_AT_ONCE.get(kind, 1), method.windows_at_once)
        effort = Effort(self.device, batch, self._window(task, rim))
        if kind == "cpu" and self.limit_bytes is None and rim is None:
            return effort, ()  # answering a patch takes a fraction of what training on it took
        room, each = self._room(task), self._bytes_a_voxel(len(task.source))
        if each is None:
            return effort, ()
        if rim is not None and self._free_to_choose:
            effort = replace(effort, window=self._window(task, rim, room / each))

        def needed(tried: Effort) -> float:
            voxels = math.prod(length + 2 * method.margin for length in tried.window)
            return each * tried.batch * voxels

        # What is computed at once for speed alone is no loss, nor is it said.
        while effort.batch > 1 and needed(effort) > room:
            effort = replace(effort, batch=effort.batch // 2)
        if kind == "cuda" and self.limit_bytes is None:
            return effort, ()  # an estimate is no reason for other windows: it says if it is full
        effort, said = within(effort, self._bounds(rim), needed=needed, most_bytes=room)
        why = "of the limit" if self.limit_bytes is not None else "that are free"
        return effort, tuple(f"to stay within {room / GB:.2g} GB {why}: {step}" for step in said)

    def _room(self, task: Task) -> float:
        """Return the bytes that windows may take, beside the whole source and its answer."""
        room = free_bytes(self.device) * (1 - KEPT_FREE)
        if self.limit_bytes is not None:
            own = NETWORK_SHARE if self.device.type == "cpu" else 1.0
            room = min(room, own * self.limit_bytes)
        beside = self._held(task, self.device) == self.device
        return room - (task.held_bytes if beside else 0)

    @property
    def _free_to_choose(self) -> bool:
        # Compiled code is made anew for each shape, which takes longer than any shape saves.
        fitted = self.settings.window != "auto" or self.settings.compile
        return not fitted and self.method.window is None

    def _effort_on_processor(self, first: Effort) -> Effort:
        return replace(first, device=torch.device("cpu"), batch=self.method.windows_at_once)

    def _window(self, task: Task, rim: int | None, most_voxels: float = math.inf) -> Window:
        """Return the window for which least is computed, among those that the method may be given.

        Of a known rim that is any; else those near the training patch. A window's score, as of
        anomalies, is not compared between sizes: there it is the patch.
        """
        method, shape = self.method, task.source.shape[1:]
        planned = self.tiling(shape).window
        scored = method.answers[self.answer].kind == "anomaly"
        if not self._free_to_choose or (rim is None and scored):
            return planned
        overlap, divisor = self.settings.overlap_voxels, method.divisor
        box = task.box_with(rim)
        if rim is None:
            sizes = [sizes_near(size, most=STRETCH, divisor=divisor) for size in self.patch]
        else:
            overlap, least = 2 * rim, method.minimum_patch
            most_voxels = min(most_voxels, MOST_VOXELS.get(self.device.type, math.inf))
            sizes = [
                sizes_over(span.stop - span.start, overlap=overlap, divisor=divisor, least=least)
                for span in box
            ]
        return least_work(
            shape,
            box,
            task.keep,
            sizes=sizes,
            overlap=overlap,
            margin=method.margin,
            phase=method.phase or divisor,
            most_voxels=most_voxels,
        )

    @cached_property
    def _tried(self) -> dict[tuple[int, bool], float | None]:
        return {}

    def _bytes_a_voxel(self, channels: int) -> float | None:
        """Return what a window takes for each voxel that it is given; with dropout it is more."""
        key = channels, any(layer.training for layer in self.method.modules())
        if key not in self._tried:
            self._tried[key] = self._try_window(channels)
        return self._tried[key]

    def _try_window(self, channels: int) -> float | None:
        size = [length + 2 * self.method.margin for length in self.tiling(self.patch).window]
        kind = self.device.type
        precise = self.precision == "fp32"
        # Without the cache: real windows would meet weights without values in it.
        with (
            torch.no_grad(),
            torch.autocast(kind, torch.bfloat16, enabled=not precise, cache_enabled=False),
        ):
            whole = window_bytes(
                self.method, self.answer, channels=channels, size=size, device=self.device
            )
        return None if whole is None else whole / math.prod(size)

    def _held(self, task: Task, device: torch.device) -> torch.device:
        """Return where the whole source and its answer lie: on the device where there is room."""
        if device.type == "cpu":
            return device
        room = free_bytes(device)
        room = room if self.limit_bytes is None else min(room, self.limit_bytes)
        return device if task.held_bytes <= HELD_SHARE * room else torch.device("cpu")

    @cached_property
    def _compiled(self) -> Predict:
        return compiled(self._predict)

    def _predict(self, windows: Tensor) -> Tensor:
        if windows.device.type == "cuda":
            windows = windows.contiguous(memory_format=torch.channels_last_3d)
        return self.method.infer(windows, self.answer)

    @contextmanager
    def _standing_on(self, device: torch.device) -> Iterator[None]:
        """Move the method to another device for as long as the block takes."""
        if device == self.device:
            yield
            return
        self.method.to(device)
        try:
            yield
        finally:
            self.method.to(self.device)

    def _answered(self, task: Task, effort: Effort, rim: int | None, *, fast: bool) -> Windowed:
        shape = task.source.shape[1:]
        fixed = self.method.window is not None
        # Where windows begin inside the volume, their rims lie around what is to be answered.
        box, window = task.box_with(rim), None if fixed else effort.window
        tiling = self.tiling(shape, window=window, box=box, rim=rim)
        kind, bf16 = effort.device.type, self.precision == "bf16"
        # no_grad, not inference_mode: a latent search needs gradients and switches them on itself.
        with torch.no_grad(), torch.autocast(kind, dtype=torch.bfloat16, enabled=bf16):
            encoded, skipped = blend(
                torch.from_numpy(np.ascontiguousarray(task.source)),
                tiling,
                self._compiled if fast else self._predict,
                background=torch.as_tensor(task.background),
                keep=None if task.keep is None else torch.from_numpy(task.keep),
                padding=self.settings.padding,
                batch=effort.batch,
                even=fast,
                device=effort.device,
                held=self._held(task, effort.device),
                progress=task.progress,
            )
        return Windowed(encoded.cpu(), tiling, skipped)


def _too_large(effort: Effort) -> Problem:
    window = " x ".join(map(str, effort.window))
    message = f"memory ran out on the {effort.device.type}, also for one window of {window} voxels"
    advice = "set convert.window smaller, or convert on a machine with more memory"
    return Problem("E_MEMORY", message, advice)
