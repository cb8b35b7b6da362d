"""How a worker elsewhere makes the `CaseWork` that this process would have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import medgen
from medgen.cohort.asked import open_template, provenance_of
from medgen.cohort.case_work import CaseWork
from medgen.cohort.cases import Job
from medgen.cohort.outcome import DEFAULTS, Options
from medgen.conversion import Provenance, converter_of
from medgen.problems import ConfigurationError, Problem
from medgen.runs import Model, load_model


@dataclass(frozen=True)
class Recipe:
    """Runs, what is asked of them, and what must come of it, so that all workers answer alike."""

    runs: tuple[Path, ...]
    """The run folder; after it those of the ensemble's other members."""
    direction: str | None
    options: Options
    provenance: Provenance
    """The calling process' own."""
    version: str = medgen.__version__

    @classmethod
    def of(
        cls,
        runs: Sequence[Path],
        models: Sequence[Model],
        *,
        direction: str | None = None,
        options: Options = DEFAULTS,
    ) -> Recipe:
        """Return the recipe for run folders, of which `models` were loaded and turned.

        Raises:
            Refusal: the gate's, of the series that --dicom-template names.
        """
        model, *members = models
        provenance = provenance_of(model, options, open_template(options, []), members=members)
        return cls(tuple(runs), direction, options, provenance)

    def make(self, device: torch.device) -> CaseWork:
        """Load the runs here.

        Raises:
            ConfigurationError: E_WORKER_VERSION where another version of medgen is installed here,
                E_WORKER_RUN where a run is not here or is another one.
        """
        if medgen.__version__ != self.version:
            message = f"a worker has medgen {medgen.__version__}, and this is {self.version}"
            advice = "install the same version on every machine of the cluster"
            raise ConfigurationError(Problem("E_WORKER_VERSION", message, advice))
        if not all(run.is_dir() for run in self.runs):
            raise ConfigurationError(_other("has no run folder at the path that was given"))
        models = [load_model(run, device=device).facing(self.direction) for run in self.runs]
        model, *members = models
        options = self.options
        template = open_template(options, [])
        provenance = provenance_of(model, options, template, members=members)
        if provenance != self.provenance:
            raise ConfigurationError(_other("found another run at the path that was given"))
        converter = converter_of(
            model,
            device=device,
            limit_bytes=options.limit_bytes,
            uncertainty=options.uncertainty,
            members=members,
        )
        return CaseWork(converter, provenance, options, template)

    def absolute(self) -> Recipe:
        """Return the same for a process that works in another folder."""
        template = self.options.template
        options = replace(self.options, template=template and template.absolute())
        return replace(self, runs=tuple(run.absolute() for run in self.runs), options=options)


def absolute_job(job: Job) -> Job:
    """Return the same job for a process that works in another folder."""
    inputs = {column: path.absolute() for column, path in job.case.inputs.items()}
    return replace(
        job,
        case=replace(job.case, inputs=inputs),
        output=job.output.absolute(),
        series=job.series and job.series.absolute(),
    )


def _other(what: str) -> Problem:
    advice = "runs, inputs and outputs must lie on a disk that all machines share, at one path"
    return Problem("E_WORKER_RUN", f"a worker {what}", advice)
