"""What a run is, in plain values: for `medgen info` and for the model card."""

from __future__ import annotations

import json
import math
import statistics as stats
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from medgen.config import Config
from medgen.data import Classes
from medgen.runs.assembly import assemble
from medgen.runs.calibration import calibration_facts
from medgen.runs.folder import RunFolder
from medgen.runs.model import config_digest, read_run_files, weights_digest
from medgen.runs.ways import answer_facts, unlabelled

DIAGNOSIS = "diagnose."
"""What the names of a method's own figures begin with: one for each validation, not for a case."""

MONITOR = "monitor."
"""What the names of the monitor's scores begin with: they need no truth."""


def describe(run: Path) -> dict[str, Any]:
    """Return what a run is: task, data, progress, scores, versions and hashes.

    Raises:
        NothingFound: `run` is not a run folder.
        ConfigurationError: a part of it is damaged.
    """
    folder = RunFolder(run)
    config, statistics, _ = read_run_files(folder)
    with torch.device("meta"):  # what it answers is asked for, not its weights
        roles, answers = config.roles, assemble(config)[0].answers
    weights = weights_digest(folder, config)
    anomalies = next(iter(answers.values())).kind == "anomaly"
    calibration = {"calibration": calibration_facts(folder, config, weights)} if anomalies else {}
    return {
        "method": config.method,
        "source": list(roles.source.columns),
        "target": list(roles.target.columns) if roles.target else [],
        "label": list(roles.label.columns) if roles.label else [],
        "answers": answer_facts(config, answers),
        "unpaired": bool(statistics.domains),
        "unlabelled": list(unlabelled(answers)),
        "classes": class_values(config),
        "intensity": config.as_json()["intensity"],
        "spacing_mm": list(config.preprocessing.spacing_mm),
        "patch_voxels": list(config.train.patch),
        "chain": config.chain.model_dump() if config.chain and config.fed_column else None,
        "dose_fractions": list(statistics.dose_fractions),
        "data": dict(statistics.counts),
        "training": _training(folder, config.train.steps),
        "best": best_scores(folder),
        **calibration,
        "versions": json.loads(folder.record.read_text(encoding="utf-8")),
        "config_sha256": config_digest(config),
        "weights_sha256": weights,
    }


def class_values(config: Config) -> dict[str, int]:
    """Return the value that a label answer holds for each class."""
    return Classes.of(config.labels).written


def best_scores(folder: RunFolder) -> dict[str, Any]:
    """Return the step of the exported weights, and each validation score's mean, spread and number.

    The spread is the sample standard deviation over cases; scores that are not finite are left out.
    What the monitor found stands apart, under `monitor`: its scores and its warnings; the method's
    own figures, one of each, under `diagnosis`.
    """
    if not folder.weights.is_file():
        return {}
    with safe_open(folder.weights, "pt") as stored:
        record = json.loads((stored.metadata() or {}).get("medgen", "{}"))
    scores: dict[str, Any] = {}
    judged: dict[str, Any] = {}
    diagnosed: dict[str, float] = {}
    for name, values in record.get("scores", {}).items():
        finite = [v for v in values if v is not None and math.isfinite(v)]
        if finite and name.startswith(DIAGNOSIS):
            diagnosed[name.removeprefix(DIAGNOSIS)] = finite[0]
        elif finite:
            spread = stats.stdev(finite) if len(finite) > 1 else None
            group = judged if name.startswith(MONITOR) else scores
            group[name.removeprefix(MONITOR)] = {
                "mean": stats.fmean(finite),
                "sd": spread,
                "cases": len(finite),
            }
    best = {"step": record.get("step"), "validation": scores}
    if judged:
        best["monitor"] = {"scores": judged, "warnings": record.get("warnings", [])}
    if diagnosed:
        best["diagnosis"] = diagnosed
    return best


def _training(folder: RunFolder, steps: int) -> dict[str, Any]:
    """Return how far the training came; unknown where only `model/` was handed over."""
    if not folder.state.is_file():
        return {"state": "not here", "of_steps": steps}
    try:
        with safe_open(folder.state, "pt") as stored:
            record = json.loads((stored.metadata() or {}).get("medgen", "{}"))
    except (SafetensorError, OSError, ValueError):
        return {"state": "damaged", "of_steps": steps}
    state = "finished" if record.get("finished") else "resumable"
    return {"state": state, "step": record.get("step"), "of_steps": steps}
