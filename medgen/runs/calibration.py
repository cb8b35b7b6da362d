"""A run's calibration on disk: read, written, and refused where it is of another model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medgen.calibration import Calibration
from medgen.config import AnomalyConfig, Config
from medgen.files import sha256_of_file, sha256_of_json, write_json
from medgen.method import Answer
from medgen.problems import ConfigurationError, Problem
from medgen.runs.folder import RunFolder

_RESUME = "run the training's command again with --resume, which measures the healthy cases anew"

_APPLIED = ("minimum_ml", "score", "case_false_positives", "voxel_false_positives")
"""What of `convert.anomaly` is applied to residuals and scores, and decides none of them."""

_TILING = ("window", "overlap_voxels", "padding", "fill_outside_body")
"""What else of `convert` decides residuals and window scores."""


def measuring_digest(config: Config) -> str:
    """Return the SHA-256 of the settings that decide what residuals and scores a case has."""
    convert = config.convert.model_dump(mode="json")
    anomaly = {name: value for name, value in convert["anomaly"].items() if name not in _APPLIED}
    whole = config.as_json()
    prepared = {name: whole[name] for name in ("roles", "preprocessing", "intensity")}
    tiling = {name: convert[name] for name in _TILING}
    return sha256_of_json({"anomaly": anomaly, **prepared, **tiling})


def write_calibration(folder: RunFolder, calibration: Calibration) -> None:
    """Write what the healthy cases look like; no case id and no path."""
    write_json(folder.calibration, calibration.as_json())


def calibration_of(folder: RunFolder, config: Config, weights: str) -> Calibration | None:
    """Read a run's calibration; None where there is none.

    `weights` is the digest of the weights that it has to be of.

    Raises:
        ConfigurationError: E_RUN_DAMAGED; E_CALIBRATION_STALE where it was measured with other
            weights, or with other settings of `convert`.
    """
    if not folder.calibration.is_file():
        return None
    try:
        stored = json.loads(folder.calibration.read_text(encoding="utf-8"))
        calibration = Calibration.from_json(stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        message = "calibration.json of the run cannot be read"
        raise ConfigurationError(Problem("E_RUN_DAMAGED", message, _RESUME)) from None
    if calibration.weights_digest != weights:
        message = (
            f"the run was calibrated with weights {calibration.weights_digest[:12]}, "
            f"and holds {weights[:12]}"
        )
        raise ConfigurationError(Problem("E_CALIBRATION_STALE", message, _RESUME))
    if calibration.settings_digest != measuring_digest(config):
        message = "the run was calibrated with other settings than its configuration holds now"
        raise ConfigurationError(Problem("E_CALIBRATION_STALE", message, _RESUME))
    return calibration


def standing_calibration(
    folder: RunFolder, config: Config, weights: str | None
) -> Calibration | None:
    """Return the calibration where it can be used with the run's weights as they are, else None."""
    if weights is None:
        return None
    try:
        return calibration_of(folder, config, weights)
    except ConfigurationError:
        return None


def calibration_facts(
    folder: RunFolder, config: Config, weights: str | None
) -> dict[str, Any] | None:
    """Return what a run's calibration promises, as plain values; None where it has none to use."""
    calibration = standing_calibration(folder, config, weights)
    if calibration is None:
        return None
    settings = config.convert.anomaly
    return {
        "cases": calibration.cases,
        "patients": calibration.patients,
        "smallest_p": 1 / (calibration.cases + 1),
        "direction": settings.direction,
        "voxel_false_positives": settings.voxel_false_positives,
        "voxel_threshold_z": _voxel_threshold(calibration, settings),
        "score": settings.score,
        "case_false_positives": settings.case_false_positives,
        "case_threshold": _case_threshold(calibration, settings),
    }


def calibration_lines(
    folder: RunFolder, config: Config, answers: Mapping[str, Answer]
) -> list[str]:
    """Return the card's section on what counts as unusual; empty where no answer is an anomaly."""
    if next(iter(answers.values())).kind != "anomaly":
        return []
    weights = sha256_of_file(folder.weights) if folder.weights.is_file() else None
    facts = calibration_facts(folder, config, weights)
    heading = ["## Calibration", ""]
    if facts is None:
        told = "None: `medgen convert` gives the map and the scores, and calls nothing unusual."
        return [*heading, told, ""]
    return [
        *heading,
        f"Measured on {facts['cases']} cases of {facts['patients']} patients that the table calls "
        "healthy and that no weight was learned from or chosen by. A case of theirs that is not "
        "healthy makes every threshold too high.",
        "",
        f"- p-values of cases: from {facts['smallest_p']:.3g} up, in steps of as much",
        _voxel_line(facts),
        _case_line(facts),
        "",
        "The shares hold for healthy cases like these, from the same scanners and of the same "
        "ages; they say nothing of how many lesions are found.",
        "",
    ]


def _voxel_line(facts: Mapping[str, Any]) -> str:
    threshold, rate = facts["voxel_threshold_z"], facts["voxel_false_positives"]
    if threshold is None:
        return f"- No mask: {rate:g} of the healthy voxels is a finer share than they can tell"
    return (
        f"- Mask: z above {threshold:.3g} ({facts['direction']}), which {rate:g} of the healthy "
        "voxels exceed, pooled over cases"
    )


def _case_line(facts: Mapping[str, Any]) -> str:
    threshold, rate = facts["case_threshold"], facts["case_false_positives"]
    if rate is not None and threshold is None:
        return f"- No case can be called unusual: {rate:g} is a finer share than they can tell"
    if threshold is None:
        return "- No case is called unusual: `convert.anomaly.case_false_positives` is not set"
    return (
        f"- A case is called unusual where `{facts['score']}` is above {threshold:.4g}, as of at "
        f"most {rate:g} of healthy cases"
    )


def _voxel_threshold(calibration: Calibration, settings: AnomalyConfig) -> float | None:
    try:
        return calibration.voxel_threshold(settings.voxel_false_positives)
    except ConfigurationError:
        return None


def _case_threshold(calibration: Calibration, settings: AnomalyConfig) -> float | None:
    rate = settings.case_false_positives
    try:
        return None if rate is None else calibration.case_threshold(settings.score, rate)
    except ConfigurationError:
        return None
