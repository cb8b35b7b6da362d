"""When a residual-encoder U-Net is proposed in place of `unet`: on a GPU with memory to spare.

It is what leads the current challenges of segmentation and synthesis (Isensee et al., nnU-Net
Revisited, MICCAI 2024; SynthRAD 2025), at 17 times the arithmetic of `unet` and four times its
memory per voxel (benchmarks/plan.md). So it is proposed where no resolution and not too much
context is paid for it, and never on a processor, where the same time makes many steps of `unet`.
"""

from __future__ import annotations

import math
from dataclasses import replace

from medgen.config import Config
from medgen.networks import UNetOptions
from medgen.planning.budget import Budget
from medgen.planning.facts import Survey
from medgen.planning.generators import generators_of, with_residual_encoders
from medgen.planning.search import BATCH, Choice, keeps_batch, search
from medgen.planning.spacing import SEEN, share_seen
from medgen.problems import ConfigurationError

LEAST_VOXELS = 96**3
"""A patch that is worth the swap, where it does not hold the whole body: the smallest cube that
leaves a network of five stages six voxels at its coarsest. Below it the context is what is short,
and `unet` has four times as much of it for the same memory."""


HALF = 0.5
"""Share of what a patch of `unet` sees of the body that one of the stronger network must see, where
that is less than the planner asks for anyway."""


def strengthened(choice: Choice, survey: Survey, budget: Budget) -> Choice:
    """Return the plan with residual encoders in place of every `unet`, or the plan as it is.

    They are taken on CUDA, where two patches (or the batch that is kept) fit that hold
    `LEAST_VOXELS` or the whole body, and an eighth of the median body or `HALF` of what those of
    `unet` hold. The grid is that planned for `unet`: no coarser one is taken for their sake. A
    network of another kind stays.
    """
    if budget.device_type != "cuda" or not _swappable(choice.config):
        return choice
    config = with_residual_encoders(choice.config)
    try:
        found = search(config, survey, budget, least_voxels=LEAST_VOXELS)
    except ConfigurationError:
        return choice  # no patch fits, or the method's option takes no such network
    seen, before = _seen(found, survey), _seen(choice, survey)
    whole = found.bound == "body" or seen == 1
    large = whole or math.prod(found.config.train.patch) >= LEAST_VOXELS
    least = choice.config.train.batch_size if keeps_batch(choice.config) else BATCH
    if found.config.train.batch_size < least or not large or seen < min(SEEN, HALF * before):
        return choice
    return replace(found, instead_of=choice)


def _seen(choice: Choice, survey: Survey) -> float:
    settings = choice.config
    spacing = settings.preprocessing.spacing_mm
    return share_seen(spacing, survey.median_extent_mm(), settings.train.patch)


def _swappable(config: Config) -> bool:
    return any(isinstance(g, UNetOptions) for g in generators_of(config).values())
