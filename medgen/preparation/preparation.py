"""The verb prepare: every case on its own, resumable, then the new table and its pages."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgen.data.rows import Table
from medgen.files import locked, remove_leftovers, writable, write_json, write_text
from medgen.preparation.case import Bench
from medgen.preparation.cases import TABLE, Case, cases_of, digests_of, left_out
from medgen.preparation.pages import INDEX, index_page
from medgen.preparation.record import Record, digest_there, read_record
from medgen.preparation.request import Request
from medgen.preparation.tables import MANIFEST, manifest, new_table
from medgen.problems import ConfigurationError, Exit, Problem, problems_of
from medgen.registration import require_elastix

SETTINGS = "prepare.json"
ADVICE = "choose another --output, or give --overwrite"
TABLE_ADVICE = (
    "copy the edited table to another name and train on that one, "
    "or give --overwrite to write it again"
)


@dataclass(frozen=True)
class Watch:
    """What is called while cases are prepared."""

    case: Callable[[Record, bool], None] = field(default=lambda record, kept: None)
    """After each case: its record, and whether it was kept from an earlier call."""
    step: Callable[[str], None] = field(default=lambda note: None)
    """Before each step of a case, with a note that names case and column."""
    begin: Callable[[int, Sequence[str]], None] = field(default=lambda cases, left_out: None)
    """Before the first case: their number, and the columns that the new table does not get."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cohort."""

    records: tuple[Record, ...]
    kept: frozenset[str]
    """Cases that an earlier call had prepared."""

    @property
    def exit_code(self) -> Exit:
        """Say whether nothing, something or all of what can fail did.

        A case counts as failed where nothing of it, or nothing beside its fixed image, was made.
        """
        if not any(record.verdict == "failed" for record in self.records):
            return Exit.OK
        return Exit.ALL_FAILED if all(map(_barren, self.records)) else Exit.SOME_FAILED


UNWATCHED = Watch()


def prepare_table(
    data: Path, request: Request, output: Path, *, overwrite: bool = False, watch: Watch = UNWATCHED
) -> Outcome:
    """Prepare each case of a table into `output`, a folder per case, and write the new table.

    What an earlier call made with the same settings of the same files is kept. A case or a column
    that fails does not stop the others; its cell in the new table is empty. The old table is gone
    before the first case is done again: an interrupted call leaves none.

    Raises:
        ConfigurationError: the table is refused, an input lies in the way, the folder holds what
            was made with other settings, was changed since, or was not made by medgen, another
            process writes to it, or a deformable transform is asked of a medgen without itk.
        NothingFound: no case holds any of the columns.
    """
    table, cases = cases_of(data, request, output)
    with writable(), locked(output):
        remove_leftovers(output, of={TABLE, MANIFEST, SETTINGS, INDEX})
        done, before = _plan(cases, request, output, overwrite=overwrite)
        if len(done) < len(cases):
            if request.moving and request.transform == "deformable":
                require_elastix()
            _withdraw(output)
        watch.begin(len(cases), left_out(table, request))
        records: dict[str, Record] = {}
        for case in cases:
            kept = done.get(case.name)
            records[case.name] = kept or _prepare(case, request, output, before, watch.step)
            watch.case(records[case.name], kept is not None)
        _finish(table, cases, request, output, records)
    return Outcome(tuple(records.values()), frozenset(done))


def _plan(
    cases: Sequence[Case], request: Request, output: Path, *, overwrite: bool
) -> tuple[dict[str, Record], dict[str, Record]]:
    """Return the records of the cases that are done, and of all that were begun before.

    Raises:
        ConfigurationError: without `overwrite`, where something that medgen did not write, that was
            changed since, or that was made with other settings would be replaced.
    """
    problems = _table_problems(output)
    done: dict[str, Record] = {}
    before: dict[str, Record] = {}
    for case in cases:
        folder = output / case.name
        record = read_record(folder)
        if record is None:
            if folder.is_dir() and any(folder.iterdir()):
                message = "there is a folder of this name, which prepare did not write"
                problems.append(Problem("E_OUTPUT_EXISTS", message, ADVICE, case.name))
            continue
        before[case.name] = record
        changed = record.changed(folder)
        edited = [name for name in changed if (folder / name).exists()]
        if record.settings_digest != request.digest:
            message = "what is there was made with other settings"
            problems.append(Problem("E_OUTPUT_OF_OTHER_SETTINGS", message, ADVICE, case.name))
        elif edited:
            message = f"{', '.join(edited)} was changed or damaged since it was written"
            problems.append(Problem("E_OUTPUT_CHANGED", message, ADVICE, case.name))
        elif record.lasting and not changed and record.inputs == digests_of(case):
            done[case.name] = record
    if problems and not overwrite:
        raise ConfigurationError(problems)
    return done, before


def _table_problems(output: Path) -> list[Problem]:
    """Find a table where the new one goes that something else wrote, or that somebody edited."""
    if not (output / TABLE).exists():
        return []
    written = _written_table(output)
    if written is None:
        message = f"the output folder holds a {TABLE} that this version of prepare did not write"
        return [Problem("E_OUTPUT_EXISTS", message, ADVICE)]
    if digest_there(output / TABLE) != written:
        message = f"{TABLE} was changed since it was written"
        return [Problem("E_OUTPUT_CHANGED", message, TABLE_ADVICE)]
    return []


def _written_table(output: Path) -> str | None:
    """Return the digest of the table that an earlier call wrote, or None where none is known."""
    try:
        written = json.loads((output / SETTINGS).read_text(encoding="utf-8"))["table_sha256"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return written if isinstance(written, str) else None


def _withdraw(output: Path) -> None:
    """Remove what describes all cases together, the table first, while they are not all done."""
    for name in (TABLE, INDEX, MANIFEST, SETTINGS):
        (output / name).unlink(missing_ok=True)


def _prepare(
    case: Case,
    request: Request,
    output: Path,
    before: Mapping[str, Record],
    step: Callable[[str], None],
) -> Record:
    """Prepare one case; its record is written before the first file, and after the last."""
    folder = output / case.name
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    # Until it is done, all that an interrupted call may leave is known to be prepare's own: what
    # this one will write, and what an earlier one wrote with other settings.
    old = before[case.name].files if case.name in before else {}
    names = dict.fromkeys((*old, *request.files), "")
    Record(case.name, "started", request.digest, files=names).write(folder)
    for name in names if case.name in before else ():
        (folder / name).unlink(missing_ok=True)
    inputs = digests_of(case)
    bench = Bench(case, request, folder, step)
    problems: tuple[Problem, ...] = ()
    try:
        bench.work()
    except ConfigurationError:
        raise
    except Exception as error:
        problems = problems_of(error, case.name)
    record = Record(
        case.name,
        "done",
        request.digest,
        inputs,
        tuple(bench.results),
        problems,
        bench.files,
        round(time.perf_counter() - started, 3),
    )
    record.write(folder)
    return record


def _finish(
    table: Table,
    cases: Sequence[Case],
    request: Request,
    output: Path,
    records: Mapping[str, Record],
) -> None:
    """Write the new table last: while it is missing, the work is not done."""
    found = list(records.values())
    text = new_table(table, cases, request, records)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest_there(output / TABLE) != digest:  # an old table beside a new digest looks edited
        _withdraw(output)
    write_text(output / MANIFEST, manifest(found))
    write_json(output / SETTINGS, _settings(request, found) | {"table_sha256": digest})
    write_text(output / INDEX, index_page(request, found))
    write_text(output / TABLE, text)


def _settings(request: Request, records: Sequence[Record]) -> dict[str, Any]:
    verdicts = [record.verdict for record in records]
    counts = {name: verdicts.count(name) for name in ("ok", "doubtful", "failed")}
    return {"settings": request.as_json(), "cases": counts}


def _barren(record: Record) -> bool:
    """Tell whether nothing that was asked for, beside the fixed image, came of a case."""
    wanted = [result for result in record.results if result.kind in ("moved", "mask")]
    if not wanted:
        return bool(record.problems)
    moved = [result for result in wanted if result.kind == "moved"] or wanted
    return all(result.verdict == "failed" for result in moved)
