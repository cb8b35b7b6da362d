"""What layouts of windows made of cases, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

GROUPS = ((0, 3), (4, 7), (8, 15), (16, 23), (24, 10_000))


@dataclass(frozen=True)
class Measure:
    """What one layout of windows made of one case."""

    case: str
    window: str
    size: tuple[int, ...]
    overlap: int
    least: int
    """The least overlap that two windows really have; of one window, its size."""
    windows: int
    mae: float
    mean_difference: float | None
    """From the answer of the largest overlap; None where there is but one."""
    largest_difference: float | None
    energy: float
    work: float
    seconds: float


def markdown(
    measures: Sequence[Measure], meetings: Sequence[tuple[int, float]], unit: str
) -> Iterator[str]:
    """Yield a row per window and overlap, the mean over cases, and the energy by real overlap."""
    cases = len({measure.case for measure in measures})
    told = ["overlap asked", "least had", "windows", f"MAE ({unit})", "mean difference"]
    told += ["largest difference", "seam energy", "work", "seconds"]
    yield f"| {cases} cases | {' | '.join(told)} |"
    yield "|---|" + "---:|" * len(told)
    grouped: dict[tuple[str, int], list[Measure]] = {}
    for measure in measures:
        grouped.setdefault((measure.window, measure.overlap), []).append(measure)
    for (window, overlap), found in grouped.items():
        means = {
            name: float(np.nanmean([getattr(each, name) for each in found]))
            for name in ("windows", "mae", "energy", "work", "seconds")
        }
        gaps = [each.mean_difference for each in found if each.mean_difference is not None]
        tops = [each.largest_difference for each in found if each.largest_difference is not None]
        gap = f"{np.mean(gaps):.1f} | {max(tops):.0f}" if gaps and tops else "|"
        least = min(each.least for each in found)
        size = "x".join(map(str, found[0].size))
        yield (
            f"| {window} ({size}) | {overlap} | {least} | {means['windows']:.0f} "
            f"| {means['mae']:.1f} | {gap} "
            f"| {means['energy']:.2f} | {means['work']:.2f} | {means['seconds']:.1f} |"
        )
    yield "\n| overlap that windows of the patch really have | meetings | seam energy: mean | max |"
    yield "|---|---:|---:|---:|"
    for low, high in GROUPS:
        energies = [e for overlap, e in set(meetings) if low <= overlap <= high and np.isfinite(e)]
        if energies:
            label = f"{low} to {high}" if high < 1000 else f"{low} or more"
            mean = float(np.mean(energies))
            yield f"| {label} | {len(energies)} | {mean:.2f} | {max(energies):.2f} |"
