"""Many cases through one model: isolated from each other, resumable, and accounted for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch

from medgen.cohort.cases import Case, Job, is_file_name, place
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import FILE_NAME, Manifest
from medgen.cohort.outcome import Options, Outcome, Result, Watch, problems_of
from medgen.cohort.planning import NOUNS, plan
from medgen.cohort.scores import FILE_NAME as SCORES
from medgen.cohort.scores import Scores
from medgen.cohort.worker import Worker, check_derivable, open_case
from medgen.conversion import (
    LESIONS,
    Converter,
    Provenance,
    converter_of,
    template_doubts,
)
from medgen.files import locked, remove_leftovers, sha256_of_json, writable
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.runs import Model
from medgen.volumes import Volume, open_volume

DEFAULTS = Options()
UNWATCHED = Watch()
_ONE_OF_SEVERAL = (
    "--dicom-template 'FOLDER/#series=UID' names one; `medgen inspect FOLDER` lists them"
)
_TEMPLATE_ADVICE = {
    "E_MISSING_FILE": "check its path: it is the folder of the series, or a file of it",
    "E_SEVERAL_SERIES": _ONE_OF_SEVERAL,
    "E_NO_SERIES": f"name a series that is there: {_ONE_OF_SEVERAL}",
}


def convert_cohort(
    model: Model,
    cases: Sequence[Case],
    output: Path,
    *,
    device: torch.device,
    options: Options = DEFAULTS,
    watch: Watch = UNWATCHED,
) -> Outcome:
    """Convert cases into a folder (or one case into a file), each with a sidecar, and a manifest.

    What was converted before by the same model and settings from the same files is kept. A case
    that fails does not stop the others. SIGINT and SIGTERM stop between two windows.

    Of anomalies, `scores.tsv` has a row for each case of the folder, whichever call converted it.

    Raises:
        ConfigurationError: the folder cannot be written, another process writes to it, or an
            answer of another model, a changed answer, or a foreign file, is in the way.
    """
    converter = converter_of(model, device=device)
    kind = check_asked(converter)
    jobs = place(cases, output, options.formats, beside=beside_of(converter))
    folder = _folder(output)
    template = open_template(options, cases)
    provenance = provenance_of(model, options, template)
    results: list[Result] = []
    with ExitStack() as stack, Interruption() as interruption:
        with writable():
            stack.enter_context(locked(folder))
        manifest = Manifest(folder)
        scores = Scores(folder, wanted=kind == "anomaly")
        planned = plan(jobs, manifest, provenance, overwrite=options.overwrite)
        with writable():
            remove_leftovers(folder, of=_names(jobs))
            manifest.tidy()
            # No row outlives its answer, wherever the process may be killed.
            scores.write(manifest, but={job.case.name for job in planned.todo})
        for job in planned.done:
            results.append(Result(job.case.name, "kept", job.output))
            watch.case(results[-1])
        worker = Worker(converter, provenance, options, manifest, interruption, watch, template)
        for result in worker.work(planned.todo):
            results.append(result)
            watch.case(result)
            if options.fail_fast and result.status == "failed":
                break
        with writable():
            manifest.tidy()
            scores.write(manifest)
    stopped = interruption.wanted and len(results) < len(jobs)
    return Outcome(tuple(results), len(jobs), interrupted=stopped)


def check_cohort(
    model: Model,
    cases: Sequence[Case],
    output: Path,
    *,
    options: Options = DEFAULTS,
    watch: Watch = UNWATCHED,
) -> Outcome:
    """Open and prepare every case that `convert_cohort` would convert, and write nothing.

    Raises:
        ConfigurationError: an answer of another model, a changed answer, or a foreign file, is in
            the way.
    """
    converter = converter_of(model, device=torch.device("cpu"))
    kind = check_asked(converter)
    jobs = place(cases, output, options.formats, beside=beside_of(converter))
    template = open_template(options, cases)
    provenance = provenance_of(model, options, template)
    folder = _folder(output)
    Scores(folder, wanted=kind == "anomaly")
    planned = plan(jobs, Manifest(folder), provenance, overwrite=options.overwrite)
    results = [Result(job.case.name, "kept", job.output) for job in planned.done]
    for result in results:
        watch.case(result)
    for job in planned.todo:
        start = time.perf_counter()
        try:
            volumes = open_case(job.case, options.nan_to)
            if job.series is not None:
                check_derivable(converter, volumes, template)
            prepared = converter.entry.prepare_source(volumes)
            warnings = (*prepared.warnings, *template_doubts(volumes, template))
            result = Result(job.case.name, "ok", job.output, warnings=warnings)
        except Exception as error:
            result = Result(job.case.name, "failed", problems=problems_of(error, job.case.name))
        results.append(replace(result, seconds=round(time.perf_counter() - start, 3)))
        watch.case(results[-1])
        if options.fail_fast and result.status == "failed":
            break
    return Outcome(tuple(results), len(jobs))


def open_template(options: Options, cases: Sequence[Case]) -> Volume | None:
    """Read the series that --dicom-template names.

    Raises:
        ConfigurationError: E_DICOM_TEMPLATE where several cases would get one patient's identity.
        Refusal: the gate's, where the series is missing, not the only one, or cannot be read.
    """
    if options.template is None:
        return None
    if len(cases) > 1:
        message = f"--dicom-template names one series, and there are {len(cases)} cases"
        advice = "convert one volume at a time, each with its own series"
        raise ConfigurationError(Problem("E_DICOM_TEMPLATE", message, advice))
    try:
        volume = open_volume(options.template)
    except Refusal as error:
        raise Refusal(
            replace(
                problem,
                message=f"--dicom-template: {problem.message}",
                advice=_TEMPLATE_ADVICE.get(problem.code, problem.advice),
            )
            for problem in error.problems
        ) from None
    if volume.series is None:
        message = "--dicom-template names no DICOM series"
        advice = "give the folder of the series that the source was converted from"
        raise ConfigurationError(Problem("E_DICOM_TEMPLATE", message, advice))
    return volume


def provenance_of(model: Model, options: Options, template: Volume | None = None) -> Provenance:
    """Return the digests that decide whether an answer made before may stay."""
    settings = {
        "config": model.config_digest,
        "cohort": {column: list(ends) for column, ends in model.preprocessing.cohort.items()},
        "answer": model.answer,
        "nan_to": options.nan_to,
    }
    if model.preprocessing.decoded:
        decoded = model.preprocessing.decoded
        settings["decoded"] = {column: list(ends) for column, ends in decoded.items()}
    if template is not None:
        settings["template"] = template.digest
    if model.calibration is not None:
        settings["calibration"] = sha256_of_json(model.calibration.as_json())
    return Provenance(
        weights_digest=model.weights_digest,
        config_digest=model.config_digest,
        settings_digest=sha256_of_json(settings),
        method=model.config.method,
        seen=model.seen,
        dose_fractions=model.statistics.dose_fractions,
    )


def check_asked(converter: Converter) -> str:
    """Return the kind of the answer, once it is sure that it can be had of every case.

    Raises:
        ConfigurationError: E_ANSWER; E_CALIBRATION_RATE.
    """
    kind, calibration = converter.wanted().kind, converter.calibration
    if kind == "anomaly" and calibration is not None:
        settings = converter.settings.anomaly
        calibration.voxel_threshold(settings.voxel_false_positives)
        if settings.case_false_positives is not None:
            calibration.case_threshold(settings.score, settings.case_false_positives)
    return kind


def beside_of(converter: Converter) -> tuple[str, ...]:
    """Return what a converter's answers have beside them, by what is added to their names."""
    return (*([LESIONS] if converter.lesions else []), *converter.beside)


def _names(jobs: Sequence[Job]) -> frozenset[str]:
    """Return the names of all files that the jobs write, or that another run's would have."""
    places = [replace(job, beside=tuple(NOUNS)) for job in jobs]
    files = [file for job in places for file in job.written]
    return frozenset({FILE_NAME, SCORES, *(file.name for file in files)})


def _folder(output: Path) -> Path:
    return output.parent if is_file_name(output) else output
