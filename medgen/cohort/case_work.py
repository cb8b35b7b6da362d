"""What is done with one case, in three stages that may run in different threads.

It knows no manifest file: what became of a case is returned, for the caller to write down.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from medgen.cohort.cases import Case, Job
from medgen.cohort.manifest import Entry, join
from medgen.cohort.outcome import Options, Result, problems_of
from medgen.cohort.previews import remove_preview, write_preview
from medgen.conversion import (
    Answered,
    Converter,
    Provenance,
    Ready,
    Record,
    Waiting,
    derived_problems,
    digest_of_inputs,
    open_sources,
    own_beside,
    remove,
    template_doubts,
    template_problems,
    write_converted,
)
from medgen.conversion.progress import Progress
from medgen.dicom import SeriesFacts
from medgen.problems import ConfigurationError, Interrupted, MedgenError, Refusal
from medgen.volumes import Volume

KEPT = "the answer of an earlier call was kept, since it cannot be made again now"


@dataclass(frozen=True, eq=False)
class Opened:
    """A case that was read and made ready, or why it could not be."""

    job: Job
    before: Entry | None
    """What the manifest says of the case from earlier calls."""
    volumes: Mapping[str, Volume] = field(default_factory=dict)
    ready: Ready | Waiting | None = None
    error: Exception | None = None
    keeps: bool = False
    """Whether the answer of an earlier call stays although the case cannot be made ready."""
    seconds: float = 0.0
    """What it took so far."""


@dataclass(frozen=True, eq=False)
class Turned:
    """A case that the device has answered, or why it could not."""

    opened: Opened
    answered: Answered | None = None
    error: Exception | None = None
    seconds: float = 0.0
    """What it took so far, without the waiting between the stages."""


@dataclass(frozen=True)
class CaseWork:
    """Convert a case: `open` it, `answer` it on the device, `finish` it; or `whole`, all three.

    Whatever is wrong with a case becomes its result; nothing but an interruption is raised.
    """

    converter: Converter
    provenance: Provenance
    options: Options
    template: Volume | None = None
    """The series that --dicom-template names."""

    def open(self, job: Job, before: Entry | None) -> Opened:
        """Read a case through the gate and make it ready; the processor's work, any thread's."""
        start = time.perf_counter()
        there = all(output.exists() for output in job.outputs)
        volumes: Mapping[str, Volume] = {}
        ready, error, keeps = None, None, False
        try:
            volumes = open_case(job.case, self.options.nan_to)
        except Exception as problem:
            error, keeps = problem, there and was_not_read(job, problem)
        if error is None:
            error = self._underivable(job, volumes)
            keeps = error is not None and self._stands(before, volumes)
        if error is None:
            try:
                ready = self.converter.ready(volumes)
            except Exception as problem:
                error = problem
        if error is not None:
            volumes = {}
        spent = time.perf_counter() - start
        return Opened(job, before, volumes, ready, error, keeps, spent)

    def answer(self, opened: Opened, progress: Progress | None = None) -> Turned:
        """Answer a case on the device; one at a time.

        Raises:
            Interrupted: by `progress`.
        """
        if opened.ready is None:
            return Turned(opened, error=opened.error, seconds=opened.seconds)
        start = time.perf_counter()
        answered, error = None, None
        try:
            answered = self.converter.infer(opened.ready, progress=progress)
        except Interrupted:
            raise
        except Exception as problem:
            error = problem
        return Turned(opened, answered, error, opened.seconds + time.perf_counter() - start)

    def finish(self, turned: Turned) -> tuple[Entry, Result]:
        """Restore an answer and write it; the processor's work, any thread's.

        Returns what the manifest shall say of the case, and what became of it.
        """
        start, opened = time.perf_counter(), turned.opened
        if opened.keeps:
            assert opened.error is not None
            return self._kept(opened, opened.error)
        try:
            entry, result = self._written(turned)
        except Exception as error:
            entry, result = self._failed(opened, error)
        seconds = round(turned.seconds + time.perf_counter() - start, 3)
        return replace(entry, seconds=seconds), replace(result, seconds=seconds)

    def whole(
        self, job: Job, before: Entry | None, progress: Progress | None = None
    ) -> tuple[Entry, Result]:
        """Convert a case from its files to its answer's.

        Raises:
            Interrupted: by `progress`.
        """
        return self.finish(self.answer(self.open(job, before), progress))

    def _written(self, turned: Turned) -> tuple[Entry, Result]:
        """Write the answer in the place of an earlier one, if any."""
        opened, job = turned.opened, turned.opened.job
        if job.case.problem is None:  # an answer to files that have changed is none any more
            beside = (*own_beside(job.where), *job.where.beside(job.beside))
            for output in (*job.outputs, *beside):
                remove(output)
            job.where.sidecar.unlink(missing_ok=True)
            if job.pictured:
                remove_preview(job.output.parent, job.case.name)
        if turned.answered is None:
            assert turned.error is not None
            raise turned.error
        converted = self.converter.restore(turned.answered)
        doubts = template_doubts(opened.volumes, self.template)
        warnings = (*converted.facts["warnings"], *doubts)
        converted = replace(converted, facts={**converted.facts, "warnings": warnings})
        template = facts_of(self.template)
        record = write_converted(
            converted, opened.volumes, job.where, self.provenance, template=template
        )
        more: tuple[str, ...] = ()
        if job.pictured:
            more = write_preview(job.output.parent, job.case.name, opened.volumes, converted)
        return self._done(job, record, (*record.warnings, *more))

    def _done(self, job: Job, record: Record, warnings: tuple[str, ...]) -> tuple[Entry, Result]:
        entry = replace(
            self._entry(job, "ok"),
            input_digest=record.input_digest,
            output_digest=record.output_digest,
            dicom_digest=record.dicom_digest,
            clipped_voxels=record.clipped_voxels,
            warnings=join(warnings),
            verdict=record.verdict,
            reasons=join(record.reasons),
        )
        result = Result(job.case.name, "ok", job.output, warnings=warnings)
        return entry, replace(result, verdict=record.verdict, reasons=record.reasons)

    def _failed(self, opened: Opened, error: Exception) -> tuple[Entry, Result]:
        name = opened.job.case.name
        problems = problems_of(error, name)
        codes = dict.fromkeys(problem.code for problem in problems)
        entry = replace(self._entry(opened.job, "failed"), code=",".join(codes))
        return entry, Result(name, "failed", problems=problems)

    def _kept(self, opened: Opened, error: Exception) -> tuple[Entry, Result]:
        """Return that a case failed, but that its answer of an earlier call still stands."""
        name = opened.job.case.name
        problems = problems_of(error, name)
        codes = ",".join(dict.fromkeys(problem.code for problem in problems))
        before = opened.before or Entry(name, "failed")
        entry = replace(before, status="failed", code=codes, seconds=0.0, warnings=KEPT)
        return entry, Result(name, "failed", problems=problems, warnings=(KEPT,))

    def _entry(self, job: Job, status: Literal["ok", "failed"]) -> Entry:
        return Entry(
            job.case.name,
            status,
            weights_digest=self.provenance.weights_digest,
            settings_digest=self.provenance.settings_digest,
        )

    def _underivable(self, job: Job, volumes: Mapping[str, Volume]) -> Exception | None:
        """Return what keeps a case's answer from being written as DICOM, where that is asked.

        Whatever it is, it is this case's alone.
        """
        if job.series is None:
            return None
        try:
            check_derivable(self.converter, volumes, self.template)
        except Exception as error:
            return error
        return None

    def _stands(self, before: Entry | None, volumes: Mapping[str, Volume]) -> bool:
        """Tell whether an answer in another form is there that this call would make again."""
        if before is None or before.status == "started" or not before.output_digest:
            return False
        made_of = digest_of_inputs({column: one.digest for column, one in volumes.items()})
        now = (made_of, self.provenance.weights_digest, self.provenance.settings_digest)
        return now == (before.input_digest, before.weights_digest, before.settings_digest)


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
    volumes: Mapping[str, Volume],
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
