"""The search for depth, patch and batch: the most context that memory and time allow.

As deep a U-Net as has a patch that fits, then the largest patch of two to a batch, then, where the
patch holds the whole body and a GPU has room, a larger batch. More memory never gives fewer voxels
to a step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from medgen.config import Config
from medgen.data import Classes
from medgen.planning.budget import GB, OVERHEAD, Budget
from medgen.planning.facts import Survey
from medgen.planning.footprint import Footprint, footprint, sizes_of
from medgen.planning.shapes import Size, patches, smallest_patch
from medgen.planning.unets import DEEPEST, SHALLOWEST, WIDTH, channels_of, unets_of, with_unets
from medgen.problems import ConfigurationError, Problem

BATCH, LARGEST_BATCH = 2, 8
"""Patches in a step: two are preferred to a larger one alone; more only of whole
bodies, and on a GPU: on a processor more steps are worth more."""

VOXELS_A_STEP = {"cpu": 2 * 64**3, "cuda": 2 * 160**3}
"""Most voxels of a step, for the time it takes: on a processor as many as the shipped defaults."""

PREFETCHED = 6
"""Batches in the machine's memory at one time: made ahead, in the making, and in use."""

NATIVE_BYTES, WORKING_BYTES = 20, 12
"""Per voxel of a case's files, and per voxel and channel of its working grid, uncropped figures
included, while it is prepared or answered (measured: 8 and 8, and more for files of floats)."""

Bound = Literal["memory", "time", "body"]


@dataclass(frozen=True)
class Choice:
    """What the search came to."""

    config: Config
    """The configuration with the chosen networks, patch and batch."""
    footprint: Footprint
    bytes: int
    """All that the training should take, the program or the CUDA context included."""
    bound: Bound
    """What keeps the patch from being larger."""


def search(config: Config, survey: Survey, budget: Budget) -> Choice:
    """Return the networks, patch and batch for a configuration's spacing.

    Raises:
        ConfigurationError: E_PLAN_MEMORY where not even the smallest patch fits.
    """
    extent = extent_voxels(config, survey)
    for halvings, candidate in _depths(config, budget):
        ladder = patches(extent, sizes_of(candidate), halvings=halvings)
        for batch in (BATCH, 1):
            fitting = _Fitting(candidate, survey, budget, batch)
            patch = fitting.largest(ladder)
            if patch is None or (batch == 1 and halvings is not None and halvings > 1):
                # A batch of one is for the shallowest, when nothing else fits.
                continue
            if patch == ladder[-1] and batch == BATCH and budget.device_type == "cuda":
                fitting = _larger_batch(fitting, patch, len(survey.training))
            return fitting.choice(patch, ladder)
    _, shallowest = list(_depths(config, budget))[-1]
    fitting = _Fitting(shallowest, survey, budget, BATCH)
    smallest = [smallest_patch(sizes_of(shallowest))]
    for batch in (BATCH, 1):
        fitting = _Fitting(shallowest, survey, budget, batch)
        if fitting.largest(smallest) is not None:
            return fitting.choice(smallest[0], smallest)
    raise _too_little(fitting.bytes(smallest[0]), budget)


def extent_voxels(config: Config, survey: Survey) -> tuple[float, ...]:
    """Return the median cropped extent of the training cases in voxels of the working grid."""
    spacing = config.preprocessing.spacing_mm
    return tuple(mm / step for mm, step in zip(survey.median_extent_mm(), spacing, strict=True))


def _depths(config: Config, budget: Budget) -> Sequence[tuple[int | None, Config]]:
    """Return the configurations to try, the deepest U-Nets first; as it is without a U-Net."""
    if not unets_of(config):
        return [(None, config)]
    width = WIDTH[budget.device_type]
    return [
        (
            levels - 1,
            with_unets(config, channels=channels_of(levels, width=width), features=width // 2),
        )
        for levels in range(DEEPEST, SHALLOWEST - 1, -1)
    ]


class _Fitting:
    """Which patches fit, for one network and one batch size; every answer is asked for once."""

    def __init__(self, config: Config, survey: Survey, budget: Budget, batch: int) -> None:
        self.batch = batch
        self._config = config
        self._survey = survey
        self._budget = budget
        self._known: dict[Size, Footprint] = {}

    def with_batch(self, batch: int) -> _Fitting:
        """Return the same for another batch size."""
        return _Fitting(self._config, self._survey, self._budget, batch)

    def in_time(self, patch: Size) -> bool:
        """Tell whether a step has no more voxels than time allows."""
        limit = VOXELS_A_STEP[self._budget.device_type]
        return math.prod(patch) * self.batch <= limit

    def fits(self, patch: Size) -> bool:
        """Tell whether a step fits time and memory."""
        return self.in_time(patch) and self.bytes(patch) <= self._budget.usable_bytes

    def largest(self, ladder: Sequence[Size]) -> Size | None:
        """Return the largest patch of a growing ladder that fits, by bisection from the top."""
        ladder = [patch for patch in ladder if self.in_time(patch)]
        if not ladder or not self.fits(ladder[0]):
            return None
        fits, fails = 0, len(ladder)
        probe = fails - 1
        while fails - fits > 1:
            fits, fails = (probe, fails) if self.fits(ladder[probe]) else (fits, probe)
            probe = (fits + fails) // 2
        return ladder[fits]

    def bytes(self, patch: Size) -> int:
        """Return what a training with this patch takes in all."""
        found = self.footprint(patch)
        kind = self._budget.device_type
        beside = _beside(self.config(patch), self._survey, found, kind)
        return OVERHEAD[kind] + max(found.bytes + beside.training, beside.validation)

    def footprint(self, patch: Size) -> Footprint:
        """Return a step's needs."""
        if patch not in self._known:
            self._known[patch] = footprint(
                self.config(patch),
                device_type=self._budget.device_type,
                precision=self._budget.precision,
            )
        return self._known[patch]

    def config(self, patch: Size) -> Config:
        """Return the configuration with this patch and batch size, and windows of that size."""
        train = self._config.train.model_copy(update={"patch": patch, "batch_size": self.batch})
        overlap = max(8, min(patch) // 4)
        convert = self._config.convert.model_copy(
            update={"window": "auto", "overlap_voxels": overlap}
        )
        return self._config.model_copy(update={"train": train, "convert": convert})

    def choice(self, patch: Size, ladder: Sequence[Size]) -> Choice:
        """Return the patch as the choice, and say what bounds it."""
        bound: Bound = "body"
        if patch != ladder[-1]:
            following = ladder[ladder.index(patch) + 1]
            bound = "memory" if self.in_time(following) else "time"
        return Choice(self.config(patch), self.footprint(patch), self.bytes(patch), bound)


@dataclass(frozen=True)
class _Beside:
    """What a training takes beside its steps, in bytes."""

    training: int
    validation: int


def _beside(
    config: Config, survey: Survey, found: Footprint, device_type: Literal["cpu", "cuda"]
) -> _Beside:
    """Return what batches made ahead, and the largest case's validation, take on the device."""
    channels = len(config.roles.columns()) + 1
    batch = math.prod(config.train.patch) * config.train.batch_size * channels * 4
    spacing = math.prod(config.preprocessing.spacing_mm)
    working = max(math.prod(case.extent_mm) / spacing for case in survey.cases)
    states = (2 + 3) * found.weight_bytes
    answered = max(1, Classes.of(config.labels).count)  # a label answer is a volume per class
    if device_type == "cuda":
        # The source and the sum of blended windows lie there as whole volumes.
        return _Beside(batch, states + found.bytes // 2 + int(working) * 4 * (channels + answered))
    native = max(sum(facts.voxels for facts in case.columns.values()) for case in survey.cases)
    case_bytes = NATIVE_BYTES * native + int(WORKING_BYTES * working * channels)
    case_bytes += int(working) * 4 * (answered - 1)
    return _Beside(PREFETCHED * batch, states + case_bytes)


def _larger_batch(fitting: _Fitting, patch: Size, cases: int) -> _Fitting:
    """Return the largest batch of whole bodies that fits; no more of them than cases."""
    best = fitting
    for batch in range(BATCH + 1, min(LARGEST_BATCH, cases) + 1):
        larger = fitting.with_batch(batch)
        if not larger.fits(patch):
            break
        best = larger
    return best


def _too_little(needed: int, budget: Budget) -> ConfigurationError:
    message = (
        f"the smallest patch needs {needed / GB:.1f} GB; there are "
        f"{budget.usable_bytes / GB:.1f} GB to use ({budget.origin})"
    )
    advice = "plan for more by --memory, or give the method's other networks fewer channels"
    return ConfigurationError(Problem("E_PLAN_MEMORY", message, advice))
