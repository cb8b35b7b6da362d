"""Single volumes for `conversion.py`: MONAI's inferer, medgen's windows, bare forward passes.

All answer the same encoded source with the same network, in one process and in turn, round by
round, so that a drifting machine slows each of them.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
from monai_conversion import inferer_of
from numpy.typing import NDArray
from seam_energy import energy_of
from seams import Subject, answered, layout
from torch import Tensor

from medgen.conversion import Tiling, Windows
from medgen.conversion.seams import meetings_of
from medgen.data import with_rim
from medgen.runs import Model

OVERLAPS = (0.25, 0.5)
REFERENCE = "MONAI, overlap 0.5, fp32"
MEMORY_EVERY = 0.002
"""Seconds between two looks at the process's memory."""


@dataclass
class Contestant:
    """One way to answer a volume, and what it took and gave."""

    answer: Callable[[], Tensor | None]
    """Returns the encoded answer (K, X, Y, Z) on the CPU; None where there is none to compare."""
    tiling: Tiling | None = None
    passes: int | None = None
    """How often the network is asked; None: not counted."""
    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    last: Tensor | None = None


def timed(
    model: Model, subject: Subject, device: torch.device, *, rounds: int
) -> dict[str, dict[str, float]]:
    """Time every way to answer one case; return figures by contestant."""
    contestants = contestants_of(model, subject, device)
    for _ in range(rounds):
        for contestant in contestants.values():
            with peak_mib(device) as mib:
                begun = time.perf_counter()
                contestant.last = contestant.answer()
                wait(device)
                contestant.seconds.append(time.perf_counter() - begun)
            contestant.mib += mib
    whole, _ = answered(model, subject, layout(model, subject, "whole", 0), device)
    reference = contestants[REFERENCE].last
    assert reference is not None
    found = {}
    for name, contestant in contestants.items():
        figures = {"seconds": statistics.median(contestant.seconds), "mib": max(contestant.mib)}
        figures |= compared(subject, contestant, reference, whole)
        found[name] = figures
    return found


def contestants_of(model: Model, subject: Subject, device: torch.device) -> dict[str, Contestant]:
    """Return every contestant in both precisions."""
    source = np.ascontiguousarray(subject.prepared.source)
    tensor = torch.from_numpy(source)
    background = subject.codec.encode(np.full(1, subject.codec.background, np.float32))
    keep = with_rim(subject.prepared.body, spacing_mm=subject.prepared.grid.spacing_mm)
    found: dict[str, Contestant] = {}
    for precision in ("fp32", "bf16"):
        for overlap in OVERLAPS:
            slide = partial(slid, model, tensor, device, overlap=overlap, bf16=precision == "bf16")
            found[f"MONAI, overlap {overlap}, {precision}"] = Contestant(slide)
        windows = windows_of(model, device, precision)
        give = partial(given, windows, source, background, keep)
        visited: list[Tensor] = []
        with recording(model, visited):
            tiling = windows(source, background=background, keep=keep).tiling
        found[f"medgen, {precision}"] = Contestant(give, tiling, len(visited))
        passes = partial(forward, model, visited, device, bf16=precision == "bf16")
        found[f"forward passes alone, {precision}"] = Contestant(passes, None, len(visited))
    return found


def windows_of(model: Model, device: torch.device, precision: str) -> Windows:
    """Return what `convert` answers with."""
    named: Literal["bf16", "fp32"] = "bf16" if precision == "bf16" else "fp32"
    return Windows(model.method, model.answer, model.config.convert, device, named, model.patch)


def slid(
    model: Model, source: Tensor, device: torch.device, *, overlap: float, bf16: bool
) -> Tensor:
    """Return the answer of MONAI's inferer."""
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        answer = inferer_of(model, overlap)(source[None].to(device), model.method.infer)
    assert isinstance(answer, Tensor)
    return answer[0].float().cpu()


def given(
    windows: Windows,
    source: NDArray[np.float32],
    background: NDArray[np.float32],
    keep: NDArray[np.bool_],
) -> Tensor:
    """Return the answer of medgen's windows."""
    return windows(source, background=background, keep=keep).encoded


def forward(model: Model, visited: Sequence[Tensor], device: torch.device, *, bf16: bool) -> None:
    """Make the network's passes over batches of windows, and nothing else."""
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for windows in visited:
            model.method.infer(windows.to(device), model.answer)


@contextmanager
def recording(model: Model, visited: list[Tensor]) -> Iterator[None]:
    """Keep all that the network is given in the block."""
    infer = model.method.infer

    def record(windows: Tensor, answer: str) -> Tensor:
        visited.append(windows.cpu())
        return infer(windows, answer)

    with patch.object(model.method, "infer", record):
        yield


def compared(
    subject: Subject, contestant: Contestant, reference: Tensor, whole: NDArray[np.float32]
) -> dict[str, float]:
    """Return an answer's error and differences inside the body, and its seams.

    Seam energy is measured where medgen's windows meet, and of the reference at the same places.
    """
    figures: dict[str, float] = {}
    if contestant.last is not None:
        values = decoded(subject, contestant.last)
        gap = np.abs(values - decoded(subject, reference))[subject.body]
        figures["mae"] = float(np.abs(values - subject.truth)[subject.inside].mean())
        figures["mean_difference"] = float(gap.mean())
        figures["largest_difference"] = float(gap.max())
    if contestant.passes is not None:
        figures["passes"] = float(contestant.passes)
    if contestant.last is not None and contestant.tiling is not None:
        met = meetings_of(contestant.tiling)
        figures["seam_energy"] = energy_of(values, whole, subject.body, met)
        rival = energy_of(decoded(subject, reference), whole, subject.body, met)
        figures["seam_energy_of_reference"] = rival
    return figures


def decoded(subject: Subject, encoded: Tensor) -> NDArray[np.float32]:
    """Return an encoded answer in the target's unit."""
    codec = subject.codec
    values = np.asarray(codec.decode(encoded[0].numpy()), np.float32)
    return np.clip(values, codec.low, codec.high) if codec.clip else values


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def peak_mib(device: torch.device) -> Iterator[list[float]]:
    """Fill a list with the most memory that the block took beyond what was there before it.

    On a GPU of the device's allocator, else of the process, looked at every few milliseconds.
    """
    found: list[float] = []
    wait(device)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield found
        found.append((torch.cuda.max_memory_allocated(device) - before) / 2**20)
        return
    first, most, over = resident(), 0, threading.Event()

    def look() -> None:
        nonlocal most
        while not over.wait(MEMORY_EVERY):
            most = max(most, resident())

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    yield found
    over.set()
    looking.join()
    found.append(max(0, most - first) / 2**20)


def resident() -> int:
    """Return the bytes of the process that are in memory."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096


def table(found: Sequence[dict[str, dict[str, float]]], unit: str) -> Iterator[str]:
    """Yield a row per contestant, the mean over volumes."""
    columns: dict[str, Any] = {
        "seconds": "{:.2f}",
        "mib": "{:.0f}",
        "passes": "{:.0f}",
        "mae": "{:.2f}",
        "mean_difference": "{:.2f}",
        "largest_difference": "{:.0f}",
        "seam_energy": "{:.3f}",
        "seam_energy_of_reference": "{:.3f}",
    }
    told = ["seconds", "times", "peak MiB", "passes", f"MAE ({unit})", "mean difference"]
    told += ["largest difference", "seam energy", "of the reference there"]
    yield f"| {len(found)} volumes | {' | '.join(told)} |"
    yield "|---|" + "---:|" * len(told)
    slowest = np.mean([each[REFERENCE]["seconds"] for each in found])
    for name in found[0]:
        cells = []
        for column, form in columns.items():
            values = [each[name][column] for each in found if column in each[name]]
            cells.append(form.format(np.nanmean(values)) if values else "")
            if column == "seconds":
                cells.append(f"{slowest / np.mean(values):.1f}")
        yield f"| {name} | {' | '.join(cells)} |"
