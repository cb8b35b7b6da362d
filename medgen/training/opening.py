"""Opening a run folder: new, or the same as before."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import yaml

from medgen import __version__
from medgen.config import Config
from medgen.files import remove_leftovers, write_json
from medgen.problems import ConfigurationError, Problem
from medgen.runs import RunFolder, Statistics, write_config, write_statistics
from medgen.training.data import Cohort


def open_run(
    folder: RunFolder, config: Config, cohort: Cohort, statistics: Statistics, *, overwrite: bool
) -> None:
    """Write what a run holds before its first step.

    Raises:
        ConfigurationError: the folder is taken and `overwrite` is not set.
    """
    if folder.model.exists() or folder.training.exists():
        if not overwrite:
            problem = Problem(
                "E_RUN_EXISTS",
                "the run folder is taken",
                "use --resume to go on, --overwrite to start anew, or another --run",
            )
            raise ConfigurationError(problem)
        # First, so that a kill in between leaves a folder that --resume takes for unopened.
        folder.cases.unlink(missing_ok=True)
        for part in (folder.model, folder.training):
            shutil.rmtree(part, ignore_errors=True)
    write_config(folder, config)
    write_statistics(folder, statistics)
    write_json(folder.record, _record())
    # Last, since resuming takes its presence for a whole opening.
    write_json(folder.cases, _cases(cohort))


def reopen_run(folder: RunFolder, config: Config, cohort: Cohort) -> None:
    """Check that a run goes on with the configuration and the cases that it began with.

    Raises:
        ConfigurationError: naming the changed keys or cases.
    """
    for part in (folder.model, folder.training):
        remove_leftovers(part)
    then = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
    changed = sorted(_changed_keys(then, config.as_json()))
    if changed:
        problem = Problem(
            "E_RESUME_CONFIG",
            f"the configuration differs from the run's in {', '.join(changed)}",
            "put it back, or start a new run with --from to keep the weights",
        )
        raise ConfigurationError(problem)
    if json.loads(folder.cases.read_text(encoding="utf-8")) != json.loads(
        json.dumps(_cases(cohort))
    ):
        problem = Problem(
            "E_RESUME_DATA",
            "the table's cases, their files or their split have changed since the run began",
            "put them back, or start a new run with --from to keep the weights",
        )
        raise ConfigurationError(problem)


def _cases(cohort: Cohort) -> dict[str, Any]:
    return {
        "split": {name: list(ids) for name, ids in cohort.split.items()},
        "digests": {case: dict(digests) for case, digests in cohort.digests.items()},
    }


def _record() -> dict[str, str]:
    """Return the versions that a run was made with."""
    packages = ("torch", "monai", "numpy", "scipy")
    return {
        "medgen": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def _changed_keys(then: Any, now: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys whose values differ."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in {*then, *now}:
            path = f"{prefix}.{key}" if prefix else str(key)
            yield from _changed_keys(then.get(key), now.get(key), path)
    elif then != now:
        yield prefix
