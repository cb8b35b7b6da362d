"""Memory: what there is, what a window takes, and what it looks like when it runs out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from medgen.conversion.live import NEEDS_VALUES, WORKSPACE, Live
from medgen.dicom.values import quiet
from medgen.method import Method

GB = 10**9

KEPT_FREE = 0.1
"""Share of the memory that windows leave alone: what is foreseen is not exact."""

NETWORK_SHARE = 0.5
"""Share of a limit on the processor's memory that windows may take: cases that are read and written
meanwhile lie there too, and libraries."""

_CONTAINERS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)
"""A container's limit, what it has in use, and which of that is a cache of files that is given up
first; of both versions of control groups."""

_RAN_OUT = (
    "DefaultCPUAllocator",
    "not enough memory",
    "can't allocate memory",
    "STATUS_ALLOC_FAILED",
)
"""What torch says where it has no exception of its own: the CPU's allocator, cuDNN, cuBLAS."""

_SEARCH_STEPS = 3
"""Steps of a latent search that are tried; all further ones take the same."""


def ran_out(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _RAN_OUT)


def free_bytes(device: torch.device) -> int:
    """Return the memory that can be taken on a device now; of the CPU, without swapping.

    Of CUDA, what torch holds in reserve counts as free; of a container, what its limit leaves.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    free = _free_of_machine()
    for folder, limit, used, cached in _CONTAINERS:
        with suppress(OSError, ValueError, KeyError):  # no such file, or "max"
            rows = (Path(folder) / "memory.stat").read_text("ascii").splitlines()
            cache = int(dict(row.split(" ", 1) for row in rows)[cached])
            ends = [int((Path(folder) / name).read_text("ascii")) for name in (limit, used)]
            free = min(free, max(0, ends[0] - ends[1] + cache))
    return free


def _free_of_machine() -> int:
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            name, _, figure = line.partition(":")
            if name == "MemAvailable":
                return int(figure.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def window_bytes(
    method: Method, answer: str, *, channels: int, size: Sequence[int], device: torch.device
) -> int | None:
    """Return what answering one window takes beside the weights, at its peak.

    It is tried with tensors that have no values, under the autocast that is on; `size` holds the
    margin. None where the method asks for values.
    """
    steps = method.search_steps
    method.search_steps = min(steps, _SEARCH_STEPS)
    try:
        # Torch warns about fake tensors. Warnings' filters are the process's, and while the device
        # answers a case another thread may read DICOM, whose silence must outlast this one.
        with quiet(), FakeTensorMode(allow_non_fake_inputs=True), Live() as live:
            method.infer(torch.empty(1, channels, *size, device=device), answer)
    except NEEDS_VALUES:
        return None
    finally:
        method.search_steps = steps
    return int(live.peak * WORKSPACE)
