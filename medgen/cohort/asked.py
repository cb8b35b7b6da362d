"""What is asked of a whole cohort: whether it can be had, and by which model and settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from medgen.cohort.cases import Case, Job, is_file_name, place
from medgen.cohort.outcome import Options
from medgen.conversion import LESIONS, Converter, Provenance, converter_of
from medgen.files import sha256_of_json
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.runs import Model
from medgen.volumes import Volume, open_volume

_ONE_OF_SEVERAL = (
    "--dicom-template 'FOLDER/#series=UID' names one; `medgen inspect FOLDER` lists them"
)
_TEMPLATE_ADVICE = {
    "E_MISSING_FILE": "check its path: it is the folder of the series, or a file of it",
    "E_SEVERAL_SERIES": _ONE_OF_SEVERAL,
    "E_NO_SERIES": f"name a series that is there: {_ONE_OF_SEVERAL}",
}


@dataclass(frozen=True)
class Asked:
    """A cohort's conversion, before any case was looked at."""

    converter: Converter
    kind: str
    """Of the answer."""
    jobs: tuple[Job, ...]
    """Of this part, where the cohort has parts."""
    cases: tuple[str, ...]
    """The sorted names of the cases of all parts."""
    folder: Path
    """Where the answers go."""
    pictured: bool
    """Whether the folder has previews and an index."""
    template: Volume | None
    provenance: Provenance


def ask(
    model: Model,
    members: Sequence[Model],
    cases: Sequence[Case],
    output: Path,
    options: Options,
    device: torch.device,
) -> Asked:
    """Say what is to be done.

    Raises:
        ConfigurationError: the answer cannot be had, or not written where it is asked for.
    """
    converter = converter_of(
        model,
        device=device,
        limit_bytes=options.limit_bytes,
        uncertainty=options.uncertainty,
        members=members,
    )
    kind = check_asked(converter)
    jobs = place(cases, output, options.formats, beside=beside_of(converter))
    named = sorted(job.case.name for job in jobs)
    alone = is_file_name(output)
    if options.part is not None:
        if alone:
            message = "--part shares out the cases of a folder, and --output names a file"
            raise ConfigurationError(Problem("E_PART", message, "give a folder as --output"))
        jobs = list(options.part.share(sorted(jobs, key=lambda job: job.case.name)))
    template = open_template(options, cases)
    return Asked(
        converter=converter,
        kind=kind,
        jobs=tuple(jobs),
        cases=tuple(named),
        folder=output.parent if alone else output,
        pictured=not alone,
        template=template,
        provenance=provenance_of(model, options, template, members=members),
    )


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


def provenance_of(
    model: Model,
    options: Options,
    template: Volume | None = None,
    *,
    members: Sequence[Model] = (),
) -> Provenance:
    """Return the digests that decide whether an answer made before may stay.

    Of an ensemble, the digest of the weights is one of all members', in their order. An
    uncertainty is no part of it: asked for later, it leaves the answer as it is and adds the map.
    """
    settings = {**settings_of(model), "nan_to": options.nan_to}
    if template is not None:
        settings["template"] = template.digest
    if model.calibration is not None:
        settings["calibration"] = sha256_of_json(model.calibration.as_json())
    if members:
        settings["members"] = [settings_of(one) for one in members]
    weights = [one.weights_digest for one in (model, *members)]
    return Provenance(
        weights_digest=sha256_of_json(weights) if members else model.weights_digest,
        config_digest=model.config_digest,
        settings_digest=sha256_of_json(settings),
        method=model.config.method,
        seen=model.seen.union(*(one.seen for one in members)),
        dose_fractions=model.statistics.dose_fractions,
    )


def settings_of(model: Model) -> dict[str, Any]:
    """Return what decides on a model's answers besides its weights."""
    settings: dict[str, Any] = {
        "config": model.config_digest,
        "cohort": {column: list(ends) for column, ends in model.preprocessing.cohort.items()},
        "answer": model.answer,
    }
    if model.preprocessing.decoded:
        decoded = model.preprocessing.decoded
        settings["decoded"] = {column: list(ends) for column, ends in decoded.items()}
    return settings


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
