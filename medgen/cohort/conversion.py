"""Many cases through one model: isolated from each other, resumable, and accounted for."""

from __future__ import annotations

from collections.abc import Container, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from medgen.cohort.asked import ask
from medgen.cohort.case_work import CaseWork
from medgen.cohort.cases import INDEX, Case, Job
from medgen.cohort.executor import Executor
from medgen.cohort.interruption import Interruption
from medgen.cohort.ledger import Ledger
from medgen.cohort.local import LocalExecutor
from medgen.cohort.manifest import FILE_NAME
from medgen.cohort.outcome import DEFAULTS, UNWATCHED, Options, Outcome, Result, Watch
from medgen.cohort.parts import holding, is_table, merging
from medgen.cohort.planning import NOUNS, kept, plan
from medgen.cohort.previews import preview_of
from medgen.cohort.scores import FILE_NAME as SCORES
from medgen.cohort.scores import Scores
from medgen.files import remove_leftovers, writable
from medgen.runs import Model


def convert_cohort(
    model: Model,
    cases: Sequence[Case],
    output: Path,
    *,
    device: torch.device,
    members: Sequence[Model] = (),
    options: Options = DEFAULTS,
    watch: Watch = UNWATCHED,
    executor: Executor | None = None,
) -> Outcome:
    """Convert cases into a folder (or one case into a file), each with a sidecar, and a manifest.

    What was converted before by the same model and settings from the same files is kept. A case
    that fails does not stop the others. SIGINT and SIGTERM stop between two windows.

    Of anomalies, `scores.tsv` has a row for each case of the folder, whichever call converted it. A
    folder has a preview of each case, and `index.html`.

    Args:
        model: what answers.
        cases: what is to be converted, of all parts.
        output: the folder, or a file.
        device: where the model stands.
        members: the other models of an ensemble.
        options: what is asked for.
        watch: what is called meanwhile.
        executor: who does the work; threads of this process where left out.

    Raises:
        ConfigurationError: the folder cannot be written, another process writes to it, or an
            answer of another model, a changed answer, or a foreign file, is in the way.
    """
    asked = ask(model, members, cases, output, options, device)
    folder, provenance = asked.folder, asked.provenance
    work = CaseWork(asked.converter, provenance, options, asked.template)
    executor = LocalExecutor(work) if executor is None else executor
    results: list[Result] = []
    with ExitStack() as stack, Interruption() as interruption:
        with writable():
            stack.enter_context(holding(folder, options.part, asked.cases))
        ledger = Ledger(folder, options.part, asked.cases, provenance)
        scores = Scores(folder, wanted=asked.kind == "anomaly")
        planned = plan(asked.jobs, ledger.manifest, provenance, overwrite=options.overwrite)
        with writable(), merging(folder, options.part):
            _remove_leftovers(folder, asked.jobs)
        ledger.open(scores, todo=[job.case.name for job in planned.todo])
        for job in planned.done:
            results.append(kept(job, ledger.manifest.get(job.case.name)))
            watch.case(results[-1])
        for entry, result in executor.work(
            planned.todo,
            begin=lambda job: ledger.begin(job.case.name),
            before=ledger.manifest.get,
            interruption=interruption,
            watch=watch,
        ):
            ledger.add(entry)
            results.append(result)
            watch.case(result)
            if options.fail_fast and result.status == "failed":
                interruption.stop()
        ledger.close(scores, pictured=asked.pictured)
    stopped = interruption.signalled and len(results) < len(asked.jobs)
    return Outcome(tuple(results), len(asked.jobs), interrupted=stopped)


@dataclass(frozen=True)
class _Names(Container[str]):
    """Names of files, and those of all parts' tables."""

    files: frozenset[str]

    def __contains__(self, name: object) -> bool:
        return name in self.files or is_table(str(name))


def _remove_leftovers(folder: Path, jobs: Sequence[Job]) -> None:
    """Remove what killed processes left of all files that the jobs write, or another run's would.

    Other parts' answers stay; temporaries of what all of them write are nobody's while `merging`.
    """
    places = [replace(job, beside=tuple(NOUNS)) for job in jobs]
    files = [file.name for job in places for file in job.written]
    remove_leftovers(folder, of=_Names(frozenset([FILE_NAME, SCORES, INDEX, *files])))
    previews = {preview_of(folder, job.case.name) for job in jobs if job.pictured}
    for pictures in {preview.parent for preview in previews}:
        remove_leftovers(pictures, of=frozenset(preview.name for preview in previews))
