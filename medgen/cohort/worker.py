"""One case after the other: isolated, written down, with the next one's files read meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import cast

from medgen.cohort.cases import Case, Job
from medgen.cohort.interruption import Interruption
from medgen.cohort.manifest import Entry, Manifest, join
from medgen.cohort.outcome import Options, Result, Watch, problems_of
from medgen.conversion import (
    Converter,
    Provenance,
    derived_problems,
    digest_of_inputs,
    open_sources,
    own_beside,
    remove,
    template_doubts,
    template_problems,
    write_converted,
)
from medgen.data import prefetch
from medgen.dicom import SeriesFacts
from medgen.files import writable
from medgen.problems import ConfigurationError, Interrupted, MedgenError, Problem, Refusal
from medgen.volumes import Volume

KEPT = "the answer of an earlier call was kept, since it cannot be made again now"


@dataclass
class Worker:
    """Convert jobs one after the other, with the next one's files being read meanwhile."""

    converter: Converter
    provenance: Provenance
    options: Options
    manifest: Manifest
    interruption: Interruption
    watch: Watch
    template: Volume | None = None

    def work(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Yield what becomes of each job, until the end or an interruption."""

        def read(index: int) -> dict[str, Volume] | Exception:
            try:
                return open_case(jobs[index].case, self.options.nan_to)
            except Exception as error:
                return error

        # Two ahead: the case in hand, and the one being read.
        ahead = cast(
            "Generator[dict[str, Volume] | Exception]", prefetch(read, 0, len(jobs), ahead=2)
        )
        with closing(ahead) as opened:
            for job, volumes in zip(jobs, opened, strict=True):
                if self.interruption.wanted:
                    return
                try:
                    yield self._convert(job, volumes)
                except Interrupted:
                    return

    def _convert(self, job: Job, volumes: dict[str, Volume] | Exception) -> Result:
        """Convert one job and write down what became of it."""
        name = job.case.name
        there = all(output.exists() for output in job.outputs)
        if isinstance(volumes, Exception) and there and was_not_read(job, volumes):
            return self._keep(job, volumes)
        if (error := self._underivable(job, volumes)) is not None:
            if self._stands(job, volumes):
                return self._keep(job, error)
            volumes = error
        start = time.perf_counter()
        entry = Entry(
            name,
            "started",
            weights_digest=self.provenance.weights_digest,
            settings_digest=self.provenance.settings_digest,
        )
        with writable():
            self.manifest.add(entry)
        try:
            entry, result = self._answer(job, volumes, entry)
        except Interrupted:
            raise
        except Exception as error:
            problems = problems_of(error, name)
            codes = dict.fromkeys(problem.code for problem in problems)
            entry = replace(entry, status="failed", code=",".join(codes))
            result = Result(name, "failed", problems=problems)
        seconds = round(time.perf_counter() - start, 3)
        with writable():
            self.manifest.add(replace(entry, seconds=seconds))
        return replace(result, seconds=seconds)

    def _keep(self, job: Job, error: Exception) -> Result:
        """Write down that a case failed, but that its answer of an earlier call still stands."""
        name = job.case.name
        problems = problems_of(error, name)
        codes = dict.fromkeys(problem.code for problem in problems)
        before = self.manifest.get(name) or Entry(name, "failed")
        with writable():
            self.manifest.add(
                replace(before, status="failed", code=",".join(codes), seconds=0.0, warnings=KEPT)
            )
        return Result(name, "failed", problems=problems, warnings=(KEPT,))

    def _answer(
        self, job: Job, volumes: dict[str, Volume] | Exception, entry: Entry
    ) -> tuple[Entry, Result]:
        """Write the answer and return its entry."""
        if job.case.problem is None:  # an answer to files that have changed is none any more
            beside = (*own_beside(job.where), *job.where.beside(job.beside))
            for output in (*job.outputs, *beside):
                remove(output)
            job.where.sidecar.unlink(missing_ok=True)
        if isinstance(volumes, Exception):
            raise volumes
        converted = self.converter(volumes, progress=self._progress(job.case.name))
        doubts = template_doubts(volumes, self.template)
        warnings = (*converted.facts["warnings"], *doubts)
        converted = replace(converted, facts={**converted.facts, "warnings": warnings})
        record = write_converted(
            converted, volumes, job.where, self.provenance, template=facts_of(self.template)
        )
        entry = replace(
            entry,
            status="ok",
            input_digest=record.input_digest,
            output_digest=record.output_digest,
            dicom_digest=record.dicom_digest,
            clipped_voxels=record.clipped_voxels,
            warnings=join(record.warnings),
        )
        return entry, Result(job.case.name, "ok", job.output, warnings=record.warnings)

    def _underivable(self, job: Job, volumes: dict[str, Volume] | Exception) -> Exception | None:
        """Return what keeps a case's answer from being written as DICOM, where that is asked.

        Whatever it is, it is this case's alone.
        """
        if job.series is None or isinstance(volumes, Exception):
            return None
        try:
            check_derivable(self.converter, volumes, self.template)
        except Exception as error:
            return error
        return None

    def _stands(self, job: Job, volumes: dict[str, Volume] | Exception) -> bool:
        """Tell whether an answer in another form is there that this call would make again."""
        before = self.manifest.get(job.case.name)
        if before is None or isinstance(volumes, Exception) or not before.output_digest:
            return False
        made_of = digest_of_inputs({column: one.digest for column, one in volumes.items()})
        now = (made_of, self.provenance.weights_digest, self.provenance.settings_digest)
        return now == (before.input_digest, before.weights_digest, before.settings_digest)

    def _progress(self, case: str) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if self.interruption.wanted:
                message = "the conversion was interrupted"
                raise Interrupted(Problem("E_INTERRUPTED", message, "run it again to go on"))
            self.watch.windows(case, done, total)

        return progress


def open_case(case: Case, nan_to: float | None) -> dict[str, Volume]:
    """Open a case's files, or raise the reason why it cannot be converted."""
    if case.problem is not None:
        raise ConfigurationError(case.problem)
    return open_sources(case.inputs, nan_to=nan_to)


def facts_of(template: Volume | None) -> SeriesFacts | None:
    """Return what a derived series needs of the template that --dicom-template names."""
    return None if template is None else template.series


def check_derivable(
    converter: Converter,
    volumes: dict[str, Volume],
    template: Volume | None,
) -> None:
    """Refuse, before anything is computed, a case whose answer could not be written as DICOM."""
    answer = converter.wanted()
    preprocessing = converter.preprocessing
    unit = "label"
    if answer.kind == "image":
        unit = preprocessing.answer_unit(preprocessing.in_units(volumes))
    problems = derived_problems(volumes, answer, unit=unit, template=facts_of(template))
    problems = problems or template_problems(volumes, template)
    if problems:
        raise Refusal(problems)


def was_not_read(job: Job, error: Exception) -> bool:
    """Tell whether a case failed out of reach of its files, whose content may be as it was."""
    if job.case.problem is not None:
        return True
    if isinstance(error, MedgenError):
        return all(problem.code in ("E_MISSING_FILE", "E_UNREADABLE") for problem in error.problems)
    return isinstance(error, OSError | MemoryError)
