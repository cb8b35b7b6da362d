"""A dry run: every case is opened and made ready as conversion would, and nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from medgen.cohort.asked import Asked, ask
from medgen.cohort.case_work import check_derivable, open_case
from medgen.cohort.cases import Case, Job
from medgen.cohort.manifest import Manifest
from medgen.cohort.outcome import DEFAULTS, UNWATCHED, Options, Outcome, Result, Watch, problems_of
from medgen.cohort.planning import kept, plan
from medgen.cohort.scores import Scores
from medgen.conversion import Ready, Waiting, template_doubts
from medgen.runs import Model


def check_cohort(
    model: Model,
    cases: Sequence[Case],
    output: Path,
    *,
    members: Sequence[Model] = (),
    options: Options = DEFAULTS,
    watch: Watch = UNWATCHED,
) -> Outcome:
    """Open and make ready every case that `convert_cohort` would convert, and write nothing.

    Verdicts are on the sources alone.

    Raises:
        ConfigurationError: an answer of another model, a changed answer, or a foreign file, is in
            the way.
    """
    asked = ask(model, members, cases, output, options, torch.device("cpu"))
    manifest = Manifest(asked.folder)
    Scores(asked.folder, wanted=asked.kind == "anomaly")
    planned = plan(asked.jobs, manifest, asked.provenance, overwrite=options.overwrite)
    results = [kept(job, manifest.get(job.case.name)) for job in planned.done]
    for result in results:
        watch.case(result)
    for job in planned.todo:
        start = time.perf_counter()
        result = _checked(asked, job, options)
        results.append(replace(result, seconds=round(time.perf_counter() - start, 3)))
        watch.case(results[-1])
        if options.fail_fast and result.status == "failed":
            break
    return Outcome(tuple(results), len(asked.jobs))


def _checked(asked: Asked, job: Job, options: Options) -> Result:
    """Return what would become of a case, as far as can be told without its answer."""
    name = job.case.name
    try:
        volumes = open_case(job.case, options.nan_to)
        if job.series is not None:
            check_derivable(asked.converter, volumes, asked.template)
        ready = _first(asked.converter.ready(volumes))
        warnings = (*ready.prepared.warnings, *template_doubts(volumes, asked.template))
        result = Result(name, "ok", job.output, warnings=warnings)
        if ready.trust is None:
            return result
        return replace(result, verdict=ready.trust.verdict, reasons=ready.trust.reasons)
    except Exception as error:
        return Result(name, "failed", problems=problems_of(error, name))


def _first(ready: Ready | Waiting) -> Ready:
    """Return the case as the first stage of a chain sees it."""
    while isinstance(ready, Waiting):
        ready = ready.before
    return ready
