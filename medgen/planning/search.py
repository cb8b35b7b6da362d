"""The search for depth, patch and batch: the most context that memory and time allow.

As deep a network as has a patch that fits, then the largest patch of two to a batch, then, where
no larger patch fits the body and a GPU has room, a larger batch. More memory never gives fewer
voxels to a step of the same kind of network.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch._subclasses.fake_tensor import FakeTensorMode

from medgen.config import Config
from medgen.data import Classes
from medgen.planning.budget import GB, OVERHEAD, Budget
from medgen.planning.facts import Survey
from medgen.planning.footprint import Footprint, footprint, sizes_of
from medgen.planning.generators import SHORTEST, has_depth, with_depth
from medgen.planning.shapes import Size, pads, patches, smallest_patch
from medgen.problems import ConfigurationError, Problem
from medgen.runs import build, setting_of

BATCH, LARGEST_BATCH = 2, 8
"""Patches in a step: two are preferred to a larger one alone; more only of whole
bodies, and on a GPU: on a processor more steps are worth more."""

VOXELS_A_STEP = {"cpu": 2 * 64**3, "cuda": 2 * 160**3}
"""Most voxels of a step, for the time it takes: on a processor as many as the shipped defaults."""

FLOPS_A_STEP = {"cpu": 4e11, "cuda": 6e13}
"""Most arithmetic of a step, for the same reason: three times that of the shipped conditional GAN,
which takes a core two seconds; and about a second of a GPU that does 60 TFLOP/s, a fifth of what an
A100 is sold with. The default U-Nets stay far below; networks at full resolution do not."""

LEAST_OVERLAP = 8
"""Voxels by which windows overlap at least, however small the patch."""

PREFETCHED = 6
"""Batches in the machine's memory at one time: made ahead, in the making, and in use."""

NATIVE_BYTES, WORKING_BYTES = 20, 12
"""Per voxel of a case's files, and per voxel and channel of its working grid, uncropped figures
included, while it is prepared or answered (measured: 8 and 8, and more for files of floats)."""

Bound = Literal["memory", "time", "work", "body", "least"]


@dataclass(frozen=True)
class Choice:
    """What the search came to."""

    config: Config
    """The configuration with the chosen networks, patch and batch."""
    footprint: Footprint
    bytes: int
    """All that the training should take, the program or the CUDA context included."""
    bound: Bound
    """What keeps the patch from being larger: `time` counts voxels, `work` their arithmetic. With
    `least` it is the smallest of all, and no other was found."""
    instead_of: Choice | None = None
    """The choice of a smaller network, where this one has taken its place."""


def search(config: Config, survey: Survey, budget: Budget, *, least_voxels: int = 0) -> Choice:
    """Return the networks, patch and batch for a configuration's spacing.

    A caller who has no use for patches of fewer than `least_voxels`, if they do not hold the whole
    body, is sooner told so: by the smallest patch of all, or by the error.

    Raises:
        ConfigurationError: E_PLAN_MEMORY where not even the smallest patch fits.
    """
    depths, on_gpu = _depths(config, budget), budget.device_type == "cuda"
    given = keeps_batch(config)
    batches = range(config.train.batch_size, 0, -1) if given else range(BATCH, 0, -1)
    most = math.inf
    for shortest, candidate, ladder in _ladders(depths, extent_voxels(config, survey)):
        # A deeper network's weights take memory, so that with less of it a shallower one could have
        # more voxels: it ends where the deeper one begins.
        reach = [patch for patch in ladder if math.prod(patch) <= most]
        reach = [p for p in reach if math.prod(p) >= least_voxels or p == ladder[-1]]
        most = min(most, math.prod(ladder[0]))
        for batch in batches:
            if batch < batches[0] and shortest not in (None, SHORTEST[-1]):
                continue  # a smaller batch is for the shallowest, when nothing else fits
            fitting = _Fitting(candidate, survey, budget, batch)
            patch = fitting.largest(reach)
            if patch is None:
                continue
            if patch == ladder[-1] and batch == BATCH and not given and on_gpu:
                fitting = _larger_batch(fitting, patch, len(survey.training))
            return fitting.choice(patch, ladder)
    _, shallowest = depths[-1]
    smallest = smallest_patch(sizes_of(shallowest))
    for batch in batches:
        fitting = _Fitting(shallowest, survey, budget, batch)
        if fitting.in_memory(smallest):
            return replace(fitting.choice(smallest, [smallest]), bound="least")
    raise _too_little(fitting.bytes(smallest), budget)


def keeps_batch(config: Config) -> bool:
    """Tell whether the given batch size is kept: where a step takes patches of several domains.

    It has as many of each, and CycleGAN's paper a batch of one.
    """
    try:
        with FakeTensorMode():
            method, _ = build(config)
    except ConfigurationError:  # what cannot be built is refused where it is measured
        return False
    return len(method.reads) > 1


def overlap_of(patch: Size) -> int:
    """Return by how many voxels windows of a patch's size overlap."""
    return max(LEAST_OVERLAP, min(patch) // 4)


def extent_voxels(config: Config, survey: Survey) -> tuple[float, ...]:
    """Return the median cropped extent of the training cases in voxels of the working grid."""
    spacing = config.preprocessing.spacing_mm
    return tuple(mm / step for mm, step in zip(survey.median_extent_mm(), spacing, strict=True))


def _depths(config: Config, budget: Budget) -> Sequence[tuple[int | None, Config]]:
    """Return the configurations to try with the least axis of their patches, the deepest first."""
    kind = budget.device_type
    if not has_depth(config):
        return [(None, with_depth(config, SHORTEST[-1], device_type=kind))]  # its width alone
    return [(least, with_depth(config, least, device_type=kind)) for least in SHORTEST]


def _ladders(
    depths: Sequence[tuple[int | None, Config]], extent: Sequence[float]
) -> Iterator[tuple[int | None, Config, list[Size]]]:
    """Yield the patches of each depth, the deepest first, leaving out depths that pad the body.

    A network of halvings without end rounds the body up to their multiple, and a discriminator asks
    for more than that. Where every depth pads, those that do so least remain.
    """
    padding = []
    without = False
    for shortest, candidate in depths:
        ladder = patches(extent, sizes_of(candidate), shortest=shortest)
        if not ladder:
            continue
        if pads(ladder[0], extent):
            padding.append((shortest, candidate, ladder))
            continue
        without = True
        yield shortest, candidate, ladder
    if padding and not without:
        least = min(math.prod(ladder[0]) for _, _, ladder in padding)
        yield from (entry for entry in padding if math.prod(entry[2][0]) == least)


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

    def few_voxels(self, patch: Size) -> bool:
        """Tell whether a step has no more voxels than time allows; quickly."""
        limit = VOXELS_A_STEP[self._budget.device_type]
        return math.prod(patch) * self.batch <= limit

    def in_time(self, patch: Size) -> bool:
        """Tell whether a step has no more voxels and arithmetic than time allows."""
        limit = FLOPS_A_STEP[self._budget.device_type]
        return self.few_voxels(patch) and self.footprint(patch).flops <= limit

    def in_memory(self, patch: Size) -> bool:
        """Tell whether a training fits the memory."""
        return self.bytes(patch) <= self._budget.usable_bytes

    def fits(self, patch: Size) -> bool:
        """Tell whether a step fits time and memory."""
        return self.in_time(patch) and self.in_memory(patch)

    def largest(self, ladder: Sequence[Size]) -> Size | None:
        """Return the largest patch of a growing ladder that fits, by bisection from the top."""
        ladder = [patch for patch in ladder if self.few_voxels(patch)]
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
        convert = self._config.convert.model_copy(
            update={"window": "auto", "overlap_voxels": overlap_of(patch)}
        )
        return self._config.model_copy(update={"train": train, "convert": convert})

    def choice(self, patch: Size, ladder: Sequence[Size]) -> Choice:
        """Return the patch as the choice, and say what bounds it."""
        bound: Bound = "body"
        if patch != ladder[-1]:
            following = ladder[ladder.index(patch) + 1]
            if not self.few_voxels(following):
                bound = "time"
            else:
                bound = "memory" if self.in_time(following) else "work"
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
    roles = config.roles
    # What a chain feeds to its last stage is no column of the table.
    fed = max(0, setting_of(config).source_channels - len(roles.source.columns))
    channels = len(roles.columns()) + 1 + fed
    size = [length + 2 * found.margin for length in config.train.patch]
    batch = math.prod(size) * config.train.batch_size * channels * 4
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
