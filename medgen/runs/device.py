"""Where to compute, and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from medgen.problems import ConfigurationError, Problem

Precision = Literal["bf16", "fp32"]


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` means here.

    Raises:
        ConfigurationError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        problem = Problem(
            "E_DEVICE", f"device {name!r} is not available", "`medgen info` lists the devices"
        )
        raise ConfigurationError(problem) from None
    return device


def choose_precision(wanted: Literal["auto", "bf16", "fp32"], device: torch.device) -> Precision:
    """Return the precision of the forward pass; `auto` is bf16 where the device is fast at it.

    That is every CUDA device from Ampere on, and CPUs with AMX tiles or AVX512-BF16: on the latter
    a training step of the default networks took 0.6 of the fp32 time.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp32"
    return "bf16" if processor_bf16_units() else "fp32"


def processor_bf16_units() -> set[str]:
    """Return the processor's units that multiply bf16, where the system lists them (Linux, x86)."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return {"amx_bf16", "avx512_bf16"} & set(line.partition(":")[2].split())
