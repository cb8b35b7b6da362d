"""How large and how small a volume may be, judged from the header before any voxel is read."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medgen.problems import Problem

_SHRINK = "crop or resample it first; if it is not that large, its header is damaged"


@dataclass(frozen=True)
class Limits:
    """Bound what the gate reads: voxels per axis, voxels in all, bytes on disk."""

    voxels_per_axis: int = 4096
    voxels: int = 1_500_000_000
    file_bytes: int = 16 << 30
    least_per_axis: int = 2


def file_size_problems(size: int, limits: Limits) -> list[Problem]:
    """Return what is wrong with a file's size in bytes."""
    if size == 0:
        return [Problem("E_EMPTY_FILE", "the file is empty", "copy or export it again")]
    if size > limits.file_bytes:
        message = f"the file has {size} bytes, over the limit of {limits.file_bytes}"
        return [Problem("E_TOO_LARGE", message, _SHRINK)]
    return []


def size_problems(shape: tuple[int, ...], limits: Limits) -> list[Problem]:
    """Return what is wrong with a volume's shape: too many voxels, or too few for a volume."""
    problems = []
    size = " x ".join(map(str, shape))
    if max(shape) > limits.voxels_per_axis or math.prod(shape) > limits.voxels:
        message = (
            f"{size} voxels, over the limit of {limits.voxels_per_axis} per axis "
            f"and {limits.voxels} in all"
        )
        problems.append(Problem("E_TOO_LARGE", message, _SHRINK))
    if min(shape[:3]) < limits.least_per_axis:
        message = f"{size} voxels: a volume needs at least {limits.least_per_axis} along each axis"
        advice = "export the whole series as one volume, not single slices"
        problems.append(Problem("E_TOO_FEW_SLICES", message, advice))
    return problems
