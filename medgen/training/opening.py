"""Opening a run folder: new, or the same as before."""

from __future__ import annotations

import json
import logging
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import yaml

from medgen import __version__
from medgen.config import Config
from medgen.files import remove_leftovers, replacing_folder, write_json
from medgen.problems import ConfigurationError, Problem
from medgen.runs import RunFolder, Statistics, write_config, write_statistics
from medgen.training.cohort import Cohort

logger = logging.getLogger(__name__)


def open_run(
    folder: RunFolder,
    config: Config,
    cohort: Cohort,
    statistics: Statistics,
    *,
    features: str = "",
    processes: int = 1,
    overwrite: bool,
) -> None:
    """Write what a run holds before its first step; the earlier stages of its chain stay.

    `features` is the digest of the weights whose features the losses compare, `processes` how many
    train together. A run that is no chain keeps no stages: they show patients, and nobody would
    look for them there.

    Raises:
        ConfigurationError: the folder is taken and `overwrite` is not set.
    """
    single = config.fed_column is None
    if is_taken(folder) or (single and folder.chain.exists()):
        if not overwrite:
            raise taken()
        clear(folder, chain=single)
    write_config(folder, config)
    write_statistics(folder, statistics)
    write_json(folder.record, _record(features, processes))
    # Last, since resuming takes its presence for a whole opening.
    write_json(folder.cases, cases_json(cohort))


def is_taken(folder: RunFolder) -> bool:
    """Tell whether a folder holds a run; the earlier stages of a chain are none yet."""
    own = folder.training.iterdir() if folder.training.is_dir() else ()
    return folder.model.exists() or any(path != folder.chain for path in own)


def taken() -> ConfigurationError:
    """Return the refusal of a folder that holds a run."""
    advice = "use --resume to go on, --overwrite to start anew, or another --run"
    return ConfigurationError(Problem("E_RUN_EXISTS", "the run folder is taken", advice))


def clear(folder: RunFolder, *, chain: bool = False) -> None:
    """Remove a run, and with `chain` the earlier stages of its chain as well."""
    # First, so that a kill in between leaves a folder that --resume takes for unopened.
    folder.cases.unlink(missing_ok=True)
    shutil.rmtree(folder.model, ignore_errors=True)
    for path in folder.training.iterdir() if folder.training.is_dir() else ():
        if path.is_dir() and (chain or path != folder.chain):
            shutil.rmtree(path, ignore_errors=True)
        elif not path.is_dir():
            path.unlink(missing_ok=True)


def keep_upstream(folder: RunFolder, upstream: RunFolder) -> None:
    """Copy the model of a chain's earlier stage into the run, which then needs no other folder."""
    if folder.upstream.model.exists():
        return
    with replacing_folder(folder.upstream.model) as temporary:
        shutil.copytree(upstream.model, temporary, dirs_exist_ok=True)


def reopen_run(
    folder: RunFolder,
    config: Config,
    cohort: Cohort,
    *,
    features: str = "",
    processes: int = 1,
) -> None:
    """Check that a run goes on with the configuration and the cases that it began with.

    Another number of processes is let through with a warning.

    Raises:
        ConfigurationError: naming the changed keys or cases.
    """
    for part in (folder.model, folder.training):
        remove_leftovers(part)
    check_unchanged(folder, config)
    if json.loads(folder.cases.read_text(encoding="utf-8")) != json.loads(
        json.dumps(cases_json(cohort))
    ):
        problem = Problem(
            "E_RESUME_DATA",
            "the table's cases, their files or their split have changed since the run began",
            "put them back, or start a new run with --from to keep the weights",
        )
        raise ConfigurationError(problem)
    record = json.loads(folder.record.read_text(encoding="utf-8"))
    before = record.get("processes", 1)
    if before != processes:
        logger.warning(
            "the run began with %d processes and goes on with %d: a step sees %g times the patches",
            before,
            processes,
            processes / before,
        )
    if record.get("features_sha256", "") != features:
        message = "the run began with the features of other weights than --features names now"
        advice = "name the run that it began with, or start a new run with --from"
        raise ConfigurationError(Problem("E_RESUME_FEATURES", message, advice))


def check_unchanged(folder: RunFolder, config: Config) -> None:
    """Check that a run goes on with the configuration, complete, that it began with.

    Raises:
        ConfigurationError: naming the changed keys.
    """
    then = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
    changed = sorted(_changed_keys(then, config.as_json()))
    if changed:
        advice = "put it back, or start a new run"
        # A chain trains several networks, and --from gives the weights of one.
        advice += " with --from to keep the weights" if config.fed_column is None else ""
        message = f"the configuration differs from the run's in {', '.join(changed)}"
        raise ConfigurationError(Problem("E_RESUME_CONFIG", message, advice))


def cases_json(cohort: Cohort) -> dict[str, Any]:
    """Return which case is in which split, and the digests of its files, as JSON."""
    return {
        "split": {name: list(ids) for name, ids in cohort.split.items()},
        "digests": {case: dict(digests) for case, digests in cohort.digests.items()},
    }


def _record(features: str, processes: int) -> dict[str, str | int]:
    """Return the versions that a run was made with, the weights whose features it used, and more.

    A step of several processes sees so many times the patches that the configuration says.
    """
    packages = ("torch", "monai", "numpy", "scipy")
    return {
        "medgen": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        **({"features_sha256": features} if features else {}),
        **({"processes": processes} if processes > 1 else {}),
    }


def _changed_keys(then: Any, now: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys whose values differ."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        for key in {*then, *now}:
            path = f"{prefix}.{key}" if prefix else str(key)
            yield from _changed_keys(then.get(key), now.get(key), path)
    elif then != now:
        yield prefix
