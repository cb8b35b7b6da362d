"""What `evaluate --features RUN` does: lend a segmenter's features, and say what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgen.cli.terminal import Terminal
from medgen.problems import Problem

if TYPE_CHECKING:
    from medgen.dicom import Choice
    from medgen.evaluation import Evaluation, FeatureSource

WITHOUT_PAIRS = "distribution"
"""The profile that asks for no pairs."""


def usage_of_features(
    profile: str, features: Path | None, device: str | None, of_pairs: Mapping[str, object]
) -> list[Problem]:
    """Return what is wrong with the options; `of_pairs` are those that take pairs, by name."""
    problems = []
    if features is None and device is not None:
        advice = "name a segmenter's run by --features"
        problems.append(Problem("E_USAGE", "--device needs --features", advice))
    if features is not None and profile == "segmentation":
        message = "--features does not go with --profile segmentation"
        advice = "distances between label maps are scored directly; leave it out"
        problems.append(Problem("E_USAGE", message, advice))
    if profile != WITHOUT_PAIRS:
        return problems
    if features is None:
        message = f"--profile {WITHOUT_PAIRS} needs --features"
        problems.append(Problem("E_USAGE", message, "name a segmenter's run by --features"))
    for name, given in of_pairs.items():
        if given:
            message = f"--{name} does not go with --profile {WITHOUT_PAIRS}"
            problems.append(Problem("E_USAGE", message, "leave it out: there are no pairs"))
    return problems


def lend(run: Path, device: str | None, *, column: str | None, unit: str | None) -> FeatureSource:
    """Load a segmenter's run and lend its features of volumes in a unit; None: in its own.

    Raises:
        NothingFound: it is no run folder.
        ConfigurationError: it is damaged, or no segmenter of such volumes; there is no such device.
    """
    from medgen.conversion.features import volume_extractor
    from medgen.evaluation import FeatureSource
    from medgen.runs import choose_device, load_model

    place = choose_device(device or "auto")
    model = load_model(run, device=place)
    extractor = volume_extractor(model, device=place, column=column, unit=unit)
    return FeatureSource(extractor, extractor.column, extractor.unit, extractor.weights_digest)


def evaluate_without_pairs(
    terminal: Terminal,
    prediction: Path,
    reference: Path | None,
    table: tuple[Path, str | None, str | None] | None,
    output: Path,
    choice: Choice,
    lender: tuple[Path, str | None],
    gate: Mapping[str, Any],
) -> Evaluation:
    """Compare a folder of predictions with a folder, or a table's column and split, of references.

    `lender` is the segmenter's run and the device; `gate` is handed to `evaluate_sets`.
    """
    from medgen.evaluation import evaluate_sets, gather_paths, gather_table

    column = None
    if table is not None:
        data, column, split = table
        assert column is not None
        sets = gather_table(prediction, data, column=column, split=split, choice=choice)
    else:
        assert reference is not None
        sets = gather_paths(prediction, reference, choice=choice)
    run, device = lender
    source = lend(run, device, column=column, unit=None)
    counts = len(sets.predictions), len(sets.references)
    terminal.note(f"medgen: {counts[0]} predictions against {counts[1]} references, without pairs")
    with terminal.progress("evaluate", total=sum(counts)) as bar:
        return evaluate_sets(
            sets, output, source, on_volume=lambda name: bar.advance(note=name), **gate
        )


def say_distances(terminal: Terminal, found: Mapping[str, Any]) -> None:
    """Print the distances of a summary's `distribution`, and why one cannot be had."""
    rows: list[list[object]] = []
    missing = []
    for level in ("volumes", "windows"):
        here = found[level]
        for key in ("kid", "fid"):
            figure = here[key]
            name = f"{key} of {level}"
            if "unavailable" in figure:
                missing.append(f"{name}: not available: {figure['unavailable']}")
                continue
            low, high = figure["ci95"]
            interval = "" if low is None else f"{low:.4g} to {high:.4g}"
            floor = here["floor"][key].get("p95")
            counts = [
                f"{here[side]['n']} ({here[side]['patients']})"
                for side in ("prediction", "reference")
            ]
            value, corrected = figure["value"], figure["corrected"]
            shown = [value, "" if corrected in (None, value) else f"{corrected:.4g}", interval]
            rows.append([name, *shown, "" if floor is None else f"{floor:.4g}", *counts])
    heads = ["distance", "value", "less bias", "95% interval", "halves of references, 95%"]
    terminal.say(f"\ndistances of the sets, {found['features']['dimension']} features:")
    if rows:
        terminal.table([*heads, "predictions (patients)", "references (patients)"], rows)
    for line in missing:
        terminal.say(line)
