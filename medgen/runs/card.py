"""The model card: what a model is for, what it saw, how it scored, where it fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from medgen import __version__
from medgen.config import Config
from medgen.files import write_text
from medgen.method import Answer
from medgen.runs.calibration import calibration_lines
from medgen.runs.description import best_scores, class_values
from medgen.runs.folder import RunFolder
from medgen.runs.model import config_digest
from medgen.runs.statistics import Statistics
from medgen.runs.ways import answer_lines, failures, scored, title


def write_card(
    folder: RunFolder, config: Config, statistics: Statistics, answers: Mapping[str, Answer]
) -> None:
    """Write `model/card.md`; it names columns, counts and scores, never a case or a path.

    `answers` are the method's, by name, the one that validation asks for first.
    """
    write_text(folder.card, card(folder, config, statistics, answers))


def card(
    folder: RunFolder, config: Config, statistics: Statistics, answers: Mapping[str, Answer]
) -> str:
    """Return the model card's text in Markdown."""
    best = best_scores(folder)
    spacing = " x ".join(f"{mm:g}" for mm in config.preprocessing.spacing_mm)
    lines = [
        f"# Model card: {title(config, answers)}",
        "",
        "**Research use only. Not a medical device; not for diagnosis or treatment.**",
        "",
        f"- Method: `{config.method}`, trained with medgen {__version__}",
        f"- Source columns: {', '.join(config.roles.source.columns)}",
        *_target_lines(config),
        *answer_lines(config, statistics, answers),
        *_chain_lines(config),
        *_dose_lines(statistics),
        *_feature_lines(folder),
        f"- Working grid: {spacing} mm, axes ordered to RAS; "
        f"patches of {' x '.join(map(str, config.train.patch))} voxels",
        f"- Weights from step {best.get('step', 'none')} of {config.train.steps}",
        f"- Configuration SHA-256: `{config_digest(config)}`",
        "",
        "## Data",
        "",
        "| split | cases | patients |",
        "|---|---|---|",
        *(_count_row(statistics, name) for name in ("train", "validation", "test", "calibrate")),
        "",
        "A patient's cases are never divided between splits.",
        "",
        "## Intensity",
        "",
        *(f"- `{column}`: {_scale(config, column)}" for column in config.intensity),
        "",
        "## Validation scores",
        "",
        *scored(answers),
        *_scores(config, best, statistics.counts.get("validation_cases", 0)),
        "",
        *_diagnosis(best),
        *_monitor(best, next(iter(answers))),
        *_caution(best),
        "",
        *calibration_lines(folder, config, answers),
        "## Intended use",
        "",
        "Research on volumes like the training cases: the same anatomy, sequence, scanner family, "
        "field of view and registration between columns.",
        "",
        "## Out of scope, and known to fail",
        "",
        "- Anatomy, contrast agents, implants, lesions or ages that the training cases lack: the "
        "answer will look plausible and be wrong.",
        "- Another sequence or scanner than the training cases'.",
        "- Dose calculation, diagnosis, or any decision about a patient.",
        *failures(statistics, answers),
        "",
    ]
    return "\n".join(lines)


def _target_lines(config: Config) -> list[str]:
    """Say what the answers are made like: target columns, and the classes of a label."""
    roles, lines = config.roles, []
    if roles.target:
        lines.append(f"- Target columns: {', '.join(roles.target.columns)}")
    if roles.label:
        classes = ", ".join(f"{name} = {value}" for name, value in class_values(config).items())
        lines.append(f"- Label column: {roles.label.columns[0]} ({classes})")
    return lines


def _chain_lines(config: Config) -> list[str]:
    if config.chain is None or config.fed_column is None:
        return []
    chain = config.chain
    how = "instead of the source" if chain.feed == "replace" else "beside the source"
    told = (
        "by models that had seen them"
        if chain.folds == 1
        else f"by models of {chain.folds} folds that had not seen them"
    )
    return [
        f"- Chain of {chain.stages} stages: each is fed the answer of the one before, {how}; "
        f"training cases were answered {told}"
    ]


def _feature_lines(folder: RunFolder) -> list[str]:
    if not folder.record.is_file():
        return []
    digest = json.loads(folder.record.read_text(encoding="utf-8")).get("features_sha256")
    said = f"- Its losses compared the features of a segmenter, weights SHA-256 `{digest}`"
    return [said] if digest else []


def _dose_lines(statistics: Statistics) -> list[str]:
    if not statistics.dose_fractions:
        return []
    doses = ", ".join(f"{dose:g}" for dose in statistics.dose_fractions)
    return [f"- Dose fractions of the training cases: {doses}"]


def _count_row(statistics: Statistics, name: str) -> str:
    counts = statistics.counts
    return f"| {name} | {counts.get(f'{name}_cases', 0)} | {counts.get(f'{name}_patients', 0)} |"


def _scale(config: Config, column: str) -> str:
    values = config.as_json()["intensity"][column]
    return ", ".join(f"{key} {value}" for key, value in values.items() if value is not None)


def _caution(best: Mapping[str, Any]) -> list[str]:
    """Say what scores that chose the weights are worth, where any did."""
    if not best.get("validation") and not best.get("monitor"):
        return ["Score held-out cases with `medgen evaluate` before quoting a figure."]
    return [
        "The best weights were chosen by these scores, so they flatter the model; "
        "score held-out cases with `medgen evaluate` before quoting a figure."
    ]


def _scores(config: Config, best: Mapping[str, Any], held: int) -> list[str]:
    validation = best.get("validation")
    if not validation and best.get("monitor"):
        return ["No validation case has a truth: the monitor chose the weights."]
    if not isinstance(validation, dict) or not validation:
        why = "had a source image" if held else "was held out"
        return [f"No validation case {why}: the last weights were kept, unscored."]
    return [f"Profile `{config.train.validate_.profile}`.", "", *_table(validation)]


def _diagnosis(best: Mapping[str, Any]) -> list[str]:
    """Return the section on the method's own figures, which need no truth."""
    figures = best.get("diagnosis")
    if not figures:
        return []
    lines = (f"- `{name}`: {value:.4g}" for name, value in figures.items())
    return ["## Figures of the method", "", "On validation cases, without a truth:", "", *lines, ""]


def _monitor(best: Mapping[str, Any], forward: str) -> list[str]:
    """Return the section on what was seen of the answers without their truth."""
    found = best.get("monitor")
    if not found:
        return []
    warnings = found["warnings"]
    verdict = [f"- **{warning}**" for warning in warnings] or ["No warning at these weights."]
    return [
        "## Monitor",
        "",
        f"Held against the training images of the domain; the `{forward}` answer alone was "
        "monitored in training. Contrast of body and air: 1 as in the domain, 0 or less inverted. "
        "Outline: Dice of source and answer. Layers: how values by depth below the surface "
        "correlate with the domain's. Doubt: lower is better, and a constant answer has 1 or more.",
        "",
        *_table(found["scores"]),
        "",
        *verdict,
        "",
    ]


def _table(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return scores as rows of a table in Markdown."""
    rows = ["| score | mean | sd over cases | cases |", "|---|---|---|---|"]
    for name, entry in scores.items():
        spread = "-" if entry["sd"] is None else f"{entry['sd']:.4g}"
        rows.append(f"| {name} | {entry['mean']:.4g} | {spread} | {entry['cases']} |")
    return rows
