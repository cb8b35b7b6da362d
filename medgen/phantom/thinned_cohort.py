"""A table's full-dose PET column thinned, case by case, and a new table with both doses."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from medgen import __version__
from medgen.data.modality import check_modality
from medgen.data.rows import Row
from medgen.files import (
    locked,
    remove_leftovers,
    sha256_of_file,
    sha256_of_json,
    writable,
    write_json,
    write_text,
)
from medgen.phantom.thinned_table import (
    RECORD,
    TABLE,
    Request,
    new_table,
    read_json,
    read_request,
    sha256_of_text,
    table_is_ours,
)
from medgen.phantom.thinning import thin
from medgen.problems import ConfigurationError, Exit, Problem, problems_of
from medgen.volumes import digest_of, open_volume
from medgen.volumes.writing import write_volume

__all__ = ["Outcome", "Request", "Result", "thin_table"]

ADVICE = "choose another --output, or give --overwrite"
Status = Literal["made", "kept", "failed"]


@dataclass(frozen=True)
class Result:
    """What became of one case that has the column."""

    case: str
    status: Status
    problems: tuple[Problem, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of a cohort, and where its table is."""

    results: tuple[Result, ...]
    table: Path

    @property
    def exit_code(self) -> Exit:
        """Say whether none, some or all of the cases failed."""
        failed = sum(result.status == "failed" for result in self.results)
        if not failed:
            return Exit.OK
        return Exit.ALL_FAILED if failed == len(self.results) else Exit.SOME_FAILED


def thin_table(
    data: Path,
    request: Request,
    output: Path,
    *,
    overwrite: bool = False,
    on_start: Callable[[int], None] = lambda cases: None,
    on_case: Callable[[Result], None] = lambda result: None,
) -> Outcome:
    """Thin a column of a table into a folder per case, and write the new table last.

    What an earlier call made with the same settings of the same files is kept. A case that fails
    does not stop the others; its cell is empty. `on_start` is told how many cases have the column.

    Raises:
        ConfigurationError: the table or the settings are refused, an input lies in the way, the
            folder holds what was made with other settings, was changed since, or was not made by
            medgen, or another process writes to it.
        NothingFound: no case has an image in the column.
    """
    table = read_request(data, request, output)
    rows = [row for row in table.rows if request.column in row.cells]
    with writable(), locked(output):
        remove_leftovers(output, of={TABLE, RECORD})
        kept = _kept(rows, request, output, overwrite=overwrite)
        if len(kept) < len(rows):  # while it is missing, the work is not done
            for name in (TABLE, RECORD):
                (output / name).unlink(missing_ok=True)
        on_start(len(rows))
        results = []
        for row in rows:
            found = Result(row.case, "kept") if row.case in kept else _thin(row, request, output)
            results.append(found)
            on_case(found)
        made = {result.case for result in results if result.status != "failed"}
        text = new_table(table, data, request, output, made)
        write_json(output / RECORD, {"simulated": True, "table_sha256": sha256_of_text(text)})
        write_text(output / TABLE, text)
    return Outcome(tuple(results), output / TABLE)


def _kept(rows: list[Row], request: Request, output: Path, *, overwrite: bool) -> frozenset[str]:
    """Return the cases that are done; what else is in the way is refused without `overwrite`."""
    problems = []
    if not table_is_ours(output):
        message = f"the output folder holds a {TABLE} that was not written by thin, or was changed"
        problems.append(Problem("E_OUTPUT_EXISTS", message, ADVICE))
    kept = set()
    for row in rows:
        wrong = _standing(row, request, output)
        if wrong is None:
            kept.add(row.case)
        elif wrong:
            code, message = wrong
            problems.append(Problem(code, message, ADVICE, row.case, request.name))
    if problems and not overwrite:
        raise ConfigurationError(problems)
    return frozenset(kept)


def _standing(row: Row, request: Request, output: Path) -> tuple[str, str] | tuple[()] | None:
    """Return None where a case is done, nothing where it is to be made, or what is in the way."""
    image, sidecar = request.files(output, row.case)
    facts = read_json(sidecar)
    if facts is None:
        there = image.exists() or sidecar.exists()
        return ("E_OUTPUT_EXISTS", "there is a file that thin did not write") if there else ()
    if facts.get("settings_digest") != _digest(request):
        return "E_OUTPUT_OF_OTHER_SETTINGS", "what is there was made with other settings"
    if not image.exists() or not facts.get("output_digest"):
        return ()
    if sha256_of_file(image) != facts["output_digest"]:
        return "E_OUTPUT_CHANGED", "the image was changed or damaged since it was written"
    return None if facts.get("input_digest") == _input_digest(row, request) else ()


def _thin(row: Row, request: Request, output: Path) -> Result:
    """Thin one case; its sidecar is written before the image, and again after it."""
    started = time.perf_counter()
    image, sidecar = request.files(output, row.case)
    image.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(image.parent, of={image.name, sidecar.name})
    problems: tuple[Problem, ...] = ()
    try:
        write_json(sidecar, _facts(row, request))
        image.unlink(missing_ok=True)
        volume = open_volume(row.cells[request.column], nan_to=request.nan_to)
        check_modality(request.column, volume)
        thinned = thin(volume, request.thinning, case=row.case)
        digest = write_volume(image, thinned, dtype="float32").digest
        facts = _facts(row, request) | {"input_digest": volume.digest, "output_digest": digest}
        write_json(sidecar, facts | {"unit": thinned.unit})
    except Exception as error:
        problems = tuple(
            problem.at(column=request.column) for problem in problems_of(error, row.case)
        )
        for path in (image, sidecar):
            path.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 3)
    return Result(row.case, "failed" if problems else "made", problems, seconds)


def _facts(row: Row, request: Request) -> dict[str, Any]:
    """Return what a sidecar says before the image stands."""
    return {
        "simulated": True,
        "attenuation": "ignored",
        "case": row.case,
        "column": request.column,
        "settings_digest": _digest(request),
        "medgen": __version__,
        **asdict(request.thinning),
    }


def _digest(request: Request) -> str:
    settings = {"column": request.column, "nan_to": request.nan_to}
    return sha256_of_json(settings | asdict(request.thinning))


def _input_digest(row: Row, request: Request) -> str:
    try:
        return digest_of(row.cells[request.column])
    except OSError:
        return ""
