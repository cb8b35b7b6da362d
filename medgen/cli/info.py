"""The verb `info`: what a run is, or what this machine has."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import medgen
from medgen.cli.terminal import Terminal

if TYPE_CHECKING:
    from medgen.config import Config

PACKAGES = ("torch", "monai", "numpy", "scipy", "scikit-image", "nibabel", "SimpleITK")


def info(
    context: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(help="A run folder; none describes the machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For a machine to read.")] = False,
) -> None:
    """Say what a run is; without one, list versions and devices."""
    terminal = Terminal.of(context)
    facts = _run(run) if run else {"versions": versions(), "devices": devices()}
    if as_json:
        terminal.json(facts)
    else:
        terminal.say("\n".join(outline(facts)))


def _run(run: Path) -> dict[str, Any]:
    """Return what a run is, its validation scores with their units."""
    from medgen.runs import RunFolder, describe, read_run_files

    facts = describe(run)
    config, _, _ = read_run_files(RunFolder(run))
    units = score_units(config)
    for name, score in facts["best"].get("validation", {}).items():
        score["unit"] = units.get(name, "")
    for name, score in facts["best"].get("monitor", {}).get("scores", {}).items():
        score["unit"] = target_unit(config) if name == "histogram_distance" else ""
    return facts


def target_unit(config: Config) -> str:
    """Return the unit that the target's scale promises, else that of the column it shares with."""
    return column_unit(config, config.roles.target.columns[0]) if config.roles.target else ""


def column_unit(config: Config, column: str) -> str:
    """Return the unit that a column's scale promises, else that of the column it shares with."""
    from medgen.data.intensity import unit_of

    scale = config.intensity[column]
    return unit_of(config.intensity[scale.column] if scale.scale == "shared" else scale)


def score_units(config: Config) -> dict[str, str]:
    """Return the unit of each validation score of a run; "" where it has none.

    PET is in the unit that the configuration gives the target, or the column whose scale it shares;
    a reconstruction in that of the column whose residuals are the map.
    """
    from medgen.data import Classes
    from medgen.metrics import PROFILES, SUV_OR_BECQUEREL, UNIT_UNKNOWN

    profile = PROFILES[config.train.validate_.profile]
    if profile.kind == "anomaly":
        mapped = config.convert.anomaly.column or config.roles.source.columns[0]
        profile = profile.in_unit(column_unit(config, mapped))
    profile = profile.for_labels(Classes.of(config.labels).written)
    if profile.unit == SUV_OR_BECQUEREL and config.roles.target:
        known = {"suv": "SUV", "bq/ml": "Bq/ml"}
        profile = profile.in_unit(known.get(target_unit(config).casefold(), UNIT_UNKNOWN))
    return {column.name: column.unit for column in profile.details}


def versions() -> dict[str, str]:
    """Return the versions of medgen, Python and the packages that decide a result."""
    found = {"medgen": medgen.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def devices() -> dict[str, Any]:
    """Return what can compute: the processor with its bf16 units, and each GPU with its memory."""
    import torch

    from medgen.runs import processor_bf16_units

    processor = {
        "architecture": platform.machine(),
        "vector_units": torch.backends.cpu.get_cpu_capability(),
        "bf16_units": sorted(processor_bf16_units()),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append(
            {
                "device": f"cuda:{index}",
                "name": properties.name,
                "memory_gib": round(properties.total_memory / 2**30, 1),
                "bf16": torch.cuda.is_bf16_supported(),
            }
        )
    return {"cpu": processor, "cuda": gpus, "cuda_version": torch.version.cuda}


def outline(facts: Mapping[str, Any], indent: str = "") -> list[str]:
    """Return nested facts as indented lines."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", *outline(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, item in enumerate(value):
                lines += [f"{indent}{name} {number}:", *outline(item, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_text(value)}")
    return lines


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None or value == {} else str(value)
