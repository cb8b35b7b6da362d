"""How much memory there is to plan for, and where that is known from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from medgen.problems import ConfigurationError, Problem
from medgen.runs import Precision, choose_device, choose_precision

GB = 10**9
"""A card of "8 GB" has a little more than 8 of these."""

RAM_SHARE = 0.5
"""Share of the machine's memory that a training may take where nobody names a limit."""

KEPT_FREE = 0.1
"""Share of the limit that a plan leaves alone: what is foreseen is not exact."""

OVERHEAD = {"cpu": int(0.6 * GB), "cuda": int(1.0 * GB)}
"""What is taken before the first tensor: the program and its libraries, or the CUDA context with
the workspaces of its kernels (from what is known of CUDA; no GPU was at hand)."""

_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True)
class Budget:
    """What to plan for."""

    device_type: Literal["cpu", "cuda"]
    precision: Precision
    total_bytes: int
    origin: str
    """Where the figure comes from, in words."""

    @property
    def usable_bytes(self) -> int:
        """Return what a training may take in all."""
        return int(self.total_bytes * (1 - KEPT_FREE))


def budget_of(
    *, memory_gb: float | None, device: str, precision: Literal["auto", "bf16", "fp32"]
) -> Budget:
    """Return the budget: the memory asked for, else the GPU's, else a share of the machine's.

    `device` is `auto`, `cpu` or `cuda`; a CUDA device that is not here can be planned for where
    `memory_gb` (of 10^9 bytes) is given, and then bf16 is taken for granted.

    Raises:
        ConfigurationError: E_DEVICE without the device or its memory, E_PLAN_MEMORY.
    """
    if memory_gb is not None and not 0 < memory_gb < 10_000:
        message = f"--memory {memory_gb:g} is no number of gigabytes"
        raise ConfigurationError(Problem("E_PLAN_MEMORY", message, "give e.g. --memory 8"))
    elsewhere = device == "cuda" and not torch.cuda.is_available()
    if elsewhere and memory_gb is None:
        message = "there is no CUDA device here to take the memory of"
        raise ConfigurationError(Problem("E_DEVICE", message, "give its --memory in GB"))
    if elsewhere:
        assert memory_gb is not None
        chosen: Precision = "bf16" if precision == "auto" else precision
        origin = f"{memory_gb:g} GB by --memory, of a CUDA device elsewhere"
        return Budget("cuda", chosen, int(memory_gb * GB), origin)
    place = choose_device(device)
    kind: Literal["cpu", "cuda"] = "cuda" if place.type == "cuda" else "cpu"
    chosen = choose_precision(precision, place)
    if memory_gb is not None:
        return Budget(kind, chosen, int(memory_gb * GB), f"{memory_gb:g} GB by --memory")
    if kind == "cuda":
        size = int(torch.cuda.get_device_properties(place).total_memory)
        return Budget(kind, chosen, size, f"{size / GB:.1f} GB, the CUDA device's memory")
    size = machine_bytes()
    share = int(size * RAM_SHARE)
    origin = f"{share / GB:.1f} GB, half of the machine's {size / GB:.1f} GB, without a GPU"
    return Budget(kind, chosen, share, origin)


def machine_bytes() -> int:
    """Return the machine's memory, or its container's limit where that is less."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CONTAINER_LIMITS:
        try:
            sizes.append(int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(sizes)
