"""What is left to do in an output folder: resume by hash, and never overwrite unasked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medgen.cohort.cases import Job
from medgen.cohort.manifest import Entry, Manifest
from medgen.conversion import Provenance, digest_of_inputs, sidecar_of
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import digest_of


@dataclass(frozen=True)
class Plan:
    """The jobs of one call, in order."""

    done: tuple[Job, ...]
    """Converted before, by the same model and settings from the same files, and still whole."""
    todo: tuple[Job, ...]


def plan(
    jobs: Sequence[Job], manifest: Manifest, provenance: Provenance, *, overwrite: bool
) -> Plan:
    """Sort out what is done.

    A job is done when the manifest says so and the hashes of its inputs, its output, the weights
    and the settings all are what they were then. A file that exists is no sign of anything.

    Raises:
        ConfigurationError: without `overwrite`, where an answer of another model or other settings,
            or a file that medgen did not write, would be replaced; all of them are listed.
    """
    done: list[Job] = []
    todo: list[Job] = []
    problems: list[Problem] = []
    for job in jobs:
        entry = manifest.get(job.case.name)
        if job.case.problem is not None:
            todo.append(job)
        elif entry is not None and entry.status == "ok" and not _same_model(entry, provenance):
            todo.append(job)
            if job.output.exists():
                problems.append(_other_model(job, entry, provenance))
        elif entry is None and (job.output.exists() or sidecar_of(job.output).exists()):
            todo.append(job)
            message = "a file of this name is there, which this manifest does not know"
            advice = "choose another --output, or give --overwrite"
            problems.append(Problem("E_OUTPUT_EXISTS", message, advice, job.case.name))
        elif entry is not None and _is_whole(job, entry):
            done.append(job)
        else:
            todo.append(job)
    if problems and not overwrite:
        raise ConfigurationError(problems)
    return Plan(tuple(done), tuple(todo))


def _same_model(entry: Entry, provenance: Provenance) -> bool:
    return (entry.weights_digest, entry.settings_digest) == (
        provenance.weights_digest,
        provenance.settings_digest,
    )


def _other_model(job: Job, entry: Entry, provenance: Provenance) -> Problem:
    weights = entry.weights_digest != provenance.weights_digest
    what = "another model" if weights else "other settings"
    advice = "choose another --output, or give --overwrite"
    message = f"the answer that is there was made with {what}"
    return Problem("E_OUTPUT_OF_OTHER_MODEL", message, advice, job.case.name)


def _is_whole(job: Job, entry: Entry) -> bool:
    """Tell whether an entry's answer is there, unchanged, and made from these very files."""
    return (
        entry.status == "ok"
        and sidecar_of(job.output).is_file()
        and _digest(job.output) == entry.output_digest
        and _digest_of(job.case.inputs) == entry.input_digest
    )


def _digest_of(inputs: Mapping[str, Path]) -> str:
    return digest_of_inputs({column: _digest(path) for column, path in inputs.items()})


def _digest(path: Path) -> str:
    """Return a file's digest, or nothing where it cannot be read; the gate says why later."""
    try:
        return digest_of(path)
    except OSError:
        return ""
