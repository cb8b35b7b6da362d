"""What a method makes of fixed validation patches, without any truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medgen.config import Config
from medgen.data import Batches, Group
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem
from medgen.runs import DIAGNOSIS, Precision
from medgen.training.data import Examined

PATCHES = 16
"""Patches of each group: a step's memory allows as many, one after the other."""


class Diagnosis:
    """The same patches at every validation, drawn as in training but changed by no augmentation.

    The first half comes from other patients than the second, where there are two.
    """

    def __init__(
        self,
        examined: Sequence[Examined],
        config: Config,
        *,
        margin: int,
        device: torch.device,
        precision: Precision,
    ) -> None:
        halves = [_half(examined, config, margin, second=second) for second in (False, True)]
        self._batch = {key: torch.cat([half[key] for half in halves]) for key in halves[0]}
        self._device = device
        self._precision = precision

    def __call__(self, method: Method) -> dict[str, float]:
        """Return the figures of a method in eval mode, by the names that logs know them by."""
        batch: Mapping[str, Tensor] = {k: v.to(self._device) for k, v in self._batch.items()}
        with (
            torch.no_grad(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"),
        ):
            found = method.diagnose(batch)
        return {f"{DIAGNOSIS}{name}": float(value) for name, value in found.items()}


def _half(
    examined: Sequence[Examined], config: Config, margin: int, *, second: bool
) -> dict[str, Tensor]:
    """Draw half of the patches, from every second patient.

    Who has cases in all groups is in the same half of each.
    """
    train = config.train
    groups = []
    shared = set.intersection(*(set(each.patients) for each in examined))
    for each in examined:
        order = sorted(set(each.patients), key=lambda patient: (patient not in shared, patient))
        mine = set(order[1::2] if second and len(order) > 1 else order[::2])
        pairs = zip(each.group.cases, each.patients, strict=True)
        groups.append(Group(each.group.keys, [case for case, whose in pairs if whose in mine]))
    drawn = Batches(
        groups,
        patch=train.patch,
        margin=margin,
        batch_size=PATCHES // 2,
        inside_mask=train.inside_mask,
        foreground=0.0,
        seed=train.seed,
    )
    return drawn.batch(int(second))


def check_examined(config: Config, examined: Sequence[Examined], method: Method) -> bool:
    """Tell whether there is something to diagnose; refuse where the choice of weights needs it.

    Raises:
        ConfigurationError: E_NOTHING_TO_DIAGNOSE.
    """
    if not method.examines:
        return False
    lacking = [sorted(each.group.keys) for each in examined if not each.group.cases]
    if not lacking:
        return True
    if wanted := config.train.validate_.best_by.penalties:
        roles = ", ".join(dict.fromkeys(key for keys in lacking for key in keys))
        message = f"{', '.join(wanted)} helps to pick the weights, but no validation case has "
        message += f"images of the {roles}"
        advice = "raise split.validation, or take it out of train.validate.best_by"
        raise ConfigurationError(Problem("E_NOTHING_TO_DIAGNOSE", message, advice))
    return False
