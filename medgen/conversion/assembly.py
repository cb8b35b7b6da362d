"""From a trained model to what converts with it."""

from __future__ import annotations

import torch

from medgen.conversion.converter import Converter
from medgen.conversion.monitor import Monitor
from medgen.runs import Model, choose_precision


def converter_of(model: Model, *, device: torch.device) -> Converter:
    """Return the converter of a run, and of the stages before it where it is part of a chain."""
    answer = model.method.answers[model.answer]
    domain = model.statistics.domains.get(answer.target)
    return Converter(
        model.method,
        model.preprocessing,
        model.config.convert,
        device=device,
        precision=choose_precision(model.config.train.precision, device),
        patch=model.patch,
        answer=model.answer,
        monitor=None
        if domain is None
        else Monitor(domain, model.statistics.domains.get(answer.source)),
        upstream=None if model.upstream is None else converter_of(model.upstream, device=device),
        lists_lesions=True,
        calibration=model.calibration,
    )
