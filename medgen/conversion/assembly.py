"""From a trained model to what converts with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from medgen.conversion.converter import Converter
from medgen.conversion.judge import Judge
from medgen.conversion.monitor import Monitor
from medgen.conversion.uncertainty import Sampling
from medgen.method import Answer
from medgen.problems import ConfigurationError, Problem
from medgen.runs import Model, choose_precision


def converter_of(
    model: Model,
    *,
    device: torch.device,
    limit_bytes: int | None = None,
    uncertainty: bool = False,
    members: Sequence[Model] = (),
) -> Converter:
    """Return the converter of a run, and of the stages before it where it is part of a chain.

    Args:
        model: the run; of an ensemble the first, by whose settings answers are judged and filled.
        device: where it answers.
        limit_bytes: memory that one conversion may take; None: what there is.
        uncertainty: write a map of standard deviations beside each answer.
        members: the other runs of an ensemble, whose mean is the answer.

    Raises:
        ConfigurationError: E_ENSEMBLE where members do not fit each other, or one comes twice;
            E_USAGE where the run scores anomalies and more than its answer is asked for.
    """
    digests = [one.weights_digest for one in (model, *members)]
    if len(set(digests)) < len(digests):
        message = f"the ensemble names {len(digests)} runs of {len(set(digests))} different weights"
        raise ConfigurationError(Problem("E_ENSEMBLE", message, "name each run once"))
    answer = model.method.answers[model.answer]
    usual = model.statistics.usual
    sampling = Sampling(model.config.train.augment.flip_axes) if uncertainty else None
    return Converter(
        model.method,
        model.preprocessing,
        model.config.convert,
        device=device,
        precision=choose_precision(model.config.train.precision, device),
        patch=model.patch,
        answer=model.answer,
        monitor=_monitor_of(model, answer),
        judge=Judge(usual.get(answer.source, {}), model.statistics.label_ml),
        upstream=None
        if model.upstream is None
        else converter_of(model.upstream, device=device, limit_bytes=limit_bytes),
        lists_lesions=True,
        calibration=model.calibration,
        limit_bytes=limit_bytes,
        uncertainty=sampling,
        members=[
            converter_of(one, device=device, limit_bytes=limit_bytes, uncertainty=uncertainty)
            for one in members
        ],
    )


def _monitor_of(model: Model, answer: Answer) -> Monitor | None:
    """Return what holds images against the training targets; of other answers there is none."""
    if answer.kind != "image":
        return None
    for usual in model.statistics.usual.get(answer.target, {}).values():
        return Monitor(usual.domain, usual.least_overlap, usual.learned)
    # A run from before this was recorded for all knows the domains of unpaired answers alone.
    domain = model.statistics.domains.get(answer.target)
    return None if domain is None else Monitor(domain)
