"""What is left to do in an output folder: resume by hash, and never overwrite unasked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from medgen.cohort.cases import DEFAULT_SUFFIX, Job
from medgen.cohort.manifest import BETWEEN, Entry, Manifest
from medgen.cohort.outcome import Result
from medgen.conversion import (
    LESIONS,
    Outputs,
    Provenance,
    digest_of_inputs,
    is_as,
    noted_digests,
)
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import digest_of

NOUNS = {LESIONS: "lesion table", "z": "z-map", "mask": "mask", "std": "map of standard deviations"}
"""What lies beside an answer, by what is added to its name."""
ADVICE = "choose another --output, or give --overwrite"


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
        ConfigurationError: where the folder of a DICOM series holds other files; without
            `overwrite`, where an answer of another model or other settings,
            an answer that was changed since, or a file that medgen did not write, would be
            replaced; all of them are listed.
    """
    done: list[Job] = []
    todo: list[Job] = []
    problems: list[Problem] = []
    jobs = [_with_other_form(job, manifest.get(job.case.name)) for job in jobs]
    foreign = [problem for job in jobs if (problem := _foreign_folder(job)) is not None]
    if foreign:
        raise ConfigurationError(foreign)
    for job in jobs:
        entry = manifest.get(job.case.name)
        verdict = _judge(job, entry, provenance) if job.case.problem is None else None
        (done if verdict == "done" else todo).append(job)
        if isinstance(verdict, Problem):
            problems.append(verdict)
    if problems and not overwrite:
        raise ConfigurationError(problems)
    return Plan(tuple(done), tuple(todo))


def kept(job: Job, entry: Entry | None) -> Result:
    """Return that a job was done by an earlier call."""
    result = Result(job.case.name, "kept", job.output)
    if entry is None:
        return result
    reasons = tuple(filter(None, entry.reasons.split(BETWEEN)))
    return replace(result, verdict=entry.verdict, reasons=reasons)


def _judge(
    job: Job, entry: Entry | None, provenance: Provenance
) -> Literal["done"] | Problem | None:
    """Return "done", or what is in the way of a job, or None where it is simply to do."""
    case = job.case.name
    if entry is None or (entry.status == "failed" and not entry.output_digest):
        if not any(there.exists() for there in job.written):
            return None
        message = "a file of this name is there, which this manifest does not know"
        return Problem("E_OUTPUT_EXISTS", message, ADVICE, case)
    if entry.status == "started" or not entry.output_digest:
        return None
    if not _same_model(entry, provenance):
        there = any(output.exists() for output in job.outputs)
        return _other_model(job, entry, provenance) if there else None
    written = {entry.output_digest, entry.dicom_digest}
    answers = [_digest(output) for output in job.outputs]
    if not written.issuperset(filter(None, answers)):
        message = "the answer that is there was changed or damaged since it was written"
        return Problem("E_OUTPUT_CHANGED", message, ADVICE, case)
    beside = {name: _beside(job, name) for name in job.beside}
    changed = [NOUNS.get(name, name) for name, state in beside.items() if state == "changed"]
    if changed:
        message = f"the {' and the '.join(changed)} that is there was changed since it was written"
        return Problem("E_OUTPUT_CHANGED", message, ADVICE, case)
    whole = (
        entry.status == "ok"
        and all(answers)
        and all(state == "whole" for state in beside.values())
        and job.where.sidecar.is_file()
        and _digest_of(job.case.inputs) == entry.input_digest
    )
    return "done" if whole else None


def _beside(job: Job, name: str) -> Literal["whole", "changed", "lost"]:
    """Tell whether what goes by a name beside a job's answer is there as the sidecar has it."""
    if not job.where.sidecar.is_file():  # all of the answer is made again
        return "lost"
    noted = noted_digests(job.where)
    paths = job.where.beside([name])
    there = [path for path in paths if os.path.lexists(path)]
    if not all(is_as(path, noted.get(path, "")) for path in there):
        return "changed"
    return "whole" if there == list(paths) else "lost"


def _with_other_form(job: Job, entry: Entry | None) -> Job:
    """Add the form of the answer that is there from an earlier call and is not asked for now.

    Written alone, a volume and a series of one name would be of two sources, or of two models.
    """
    if entry is None or not entry.output_digest:
        return job
    if job.series is None:
        series = job.output.with_name(job.case.name)
        return replace(job, series=series) if _is(series, entry.dicom_digest) else job
    file = job.series.with_name(f"{job.case.name}{DEFAULT_SUFFIX}")
    alone = job.output == job.series and entry.output_digest != entry.dicom_digest
    return replace(job, output=file) if alone and _is(file, entry.output_digest) else job


def _is(path: Path, digest: str) -> bool:
    return bool(digest) and path.exists() and _digest(path) == digest


def _foreign_folder(job: Job) -> Problem | None:
    """Find files that convert did not write where a DICOM series goes; they are never removed."""
    from medgen.dicom.writing import is_own_folder

    if job.series is None:
        return None
    folders = [job.series, *Outputs(None, job.series).beside(set(job.beside) - {LESIONS})]
    if all(not os.path.lexists(folder) or is_own_folder(folder) for folder in folders):
        return None
    message = "there is something that convert did not write where the DICOM series goes"
    return Problem("E_OUTPUT_EXISTS", message, "choose another --output", job.case.name)


def _same_model(entry: Entry, provenance: Provenance) -> bool:
    return (entry.weights_digest, entry.settings_digest) == (
        provenance.weights_digest,
        provenance.settings_digest,
    )


def _other_model(job: Job, entry: Entry, provenance: Provenance) -> Problem:
    weights = entry.weights_digest != provenance.weights_digest
    settings = "other settings, such as the direction, or by another version of medgen"
    message = f"the answer that is there was made with {'another model' if weights else settings}"
    return Problem("E_OUTPUT_OF_OTHER_MODEL", message, ADVICE, job.case.name)


def _digest_of(inputs: Mapping[str, Path]) -> str:
    return digest_of_inputs({column: _digest(path) for column, path in inputs.items()})


def _digest(path: Path) -> str:
    """Return a file's digest, or nothing where it cannot be read; the gate says why later."""
    try:
        return digest_of(path)
    except OSError:
        return ""
