"""Which cases to convert, and where their answers go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from medgen.data.table import CASE_ID, Row, read_table
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.runs import Model
from medgen.volumes import SUFFIXES, list_volumes, volume_name
from medgen.volumes.writing import WRITABLE_SUFFIXES

DEFAULT_SUFFIX = ".nii.gz"
NAME_ADVICE = (
    "use at most 100 of A-Z a-z 0-9 . _ - and start with a letter, a digit or _; "
    "or give a table by --data"
)


@dataclass(frozen=True)
class Case:
    """A case to convert, or the reason why it cannot be."""

    name: str
    inputs: Mapping[str, Path] = field(default_factory=dict)
    """The files by source column."""
    problem: Problem | None = None


@dataclass(frozen=True)
class Job:
    """A case and the file that its answer goes to."""

    case: Case
    output: Path


def cases_of_input(path: Path, model: Model) -> list[Case]:
    """Return a case for a file, or for each volume in a folder, named after the file.

    Raises:
        ConfigurationError: E_SEVERAL_SOURCES where the run wants more than one volume per case.
        NothingFound: no such path, or a folder without volumes.
    """
    columns = model.preprocessing.source_columns
    if len(columns) != 1:
        message = f"this run reads {len(columns)} volumes per case ({', '.join(columns)})"
        advice = "give a table with these columns by --data instead of --input"
        raise ConfigurationError(Problem("E_SEVERAL_SOURCES", message, advice))
    files = list_volumes(path)
    if not files:
        message = "the input folder holds no volume file"
        advice = f"known are {', '.join(SUFFIXES)}, directly inside the folder"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, advice))
    alike = Counter(volume_name(file).casefold() for file in files)
    cases = []
    for number, file in enumerate(files, start=1):
        name, problem = volume_name(file), None
        twins = alike[name.casefold()]
        if CASE_ID.fullmatch(name) is None:
            name = f"#{number}"  # the real name may hold anything, so it is not repeated
            message = f"the name of file {number}, in alphabetical order, cannot be a case id"
            problem = Problem("E_CASE_NAME", message, NAME_ADVICE, case=name)
        elif twins > 1:
            name = f"#{number}"
            message = f"{twins} files would be the same case"
            problem = Problem("E_CASE_DUPLICATE", message, "give each its own name", case=name)
        cases.append(Case(name, {columns[0]: file}, problem))
    return cases


def looks_like_one_case(cases: Sequence[Case], model: Model) -> bool:
    """Tell whether a folder's volumes seem to be one case's columns rather than a case each.

    So it seems where one of several files is named after the run's source column, as in a folder
    of mr.nii.gz, ct.nii.gz and mask.nii.gz.
    """
    (column,) = model.preprocessing.source_columns
    return len(cases) > 1 and column.casefold() in {case.name.casefold() for case in cases}


def cases_of_table(path: Path, model: Model, *, split: str | None = None) -> list[Case]:
    """Return the cases of a table that hold a source image, all of them or those of one split.

    The split is the one that the run recorded where the table holds its cases, else the table's
    `split` column. A case with some but not all source images is returned with its problem.

    Raises:
        ConfigurationError: the table is refused, or nobody knows its splits.
        NothingFound: no case is left.
    """
    roles = model.config.roles
    columns = model.preprocessing.source_columns
    table = read_table(path, columns=columns)
    rows: Sequence[Row] = table.select(roles.source.where)
    if split is not None:
        members = _members(rows, model, split)
        rows = [row for row in rows if row.case in members]
    cases = []
    for row in rows:
        lacking = [column for column in columns if column not in row.cells]
        problem = None
        if lacking:
            message = "the case has no image in this column"
            problem = Problem("E_COLUMN_EMPTY", message, "fill the cell", row.case, lacking[0])
        if len(lacking) < len(columns):
            cases.append(Case(row.case, {c: row.cells[c] for c in columns if not lacking}, problem))
    if not cases:
        where = "" if split is None else f" of the split {split!r}"
        message = f"no case{where} has an image in {', '.join(columns)}"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, "check --data and --split"))
    return cases


def place(cases: Sequence[Case], output: Path) -> list[Job]:
    """Say where each case's answer goes: `output` names a file, or a folder for CASE.nii.gz.

    A single case that goes to a file is named after that file.

    Raises:
        ConfigurationError: one file for several cases, an unusable name, or an input's own path.
    """
    if not is_file_name(output):
        jobs = [Job(case, output / f"{case.name}{DEFAULT_SUFFIX}") for case in cases]
    elif len(cases) > 1:
        message = f"{len(cases)} cases cannot be written to one file"
        raise ConfigurationError(Problem("E_OUTPUT", message, "give a folder as --output"))
    else:
        jobs = [Job(_named_after(case, output), output) for case in cases]
    inputs = {file.resolve() for case in cases for file in case.inputs.values()}
    message, advice = "the answer would replace an input", "choose another --output"
    problems = [
        Problem("E_OUTPUT_IS_INPUT", message, advice, job.case.name)
        for job in jobs
        if job.output.resolve() in inputs
    ]
    if problems:
        raise ConfigurationError(problems)
    return jobs


def is_file_name(output: Path) -> bool:
    """Tell whether an output names a volume file rather than a folder."""
    return output.name.lower().endswith(SUFFIXES) and not output.is_dir()


def _named_after(case: Case, output: Path) -> Case:
    """Return the case under its output's name, which makes up for an unusable name of its own."""
    if not output.name.lower().endswith(WRITABLE_SUFFIXES):
        message = f"answers are written as {', '.join(WRITABLE_SUFFIXES)}"
        raise ConfigurationError(Problem("E_OUTPUT", message, "change the name of --output"))
    name = volume_name(output)
    if CASE_ID.fullmatch(name) is None:
        message = "the output's name cannot be a case id"
        raise ConfigurationError(Problem("E_CASE_NAME", message, NAME_ADVICE))
    problem = case.problem
    if problem is not None:
        problem = None if problem.code == "E_CASE_NAME" else problem.at(case=name)
    return Case(name, case.inputs, problem)


def _members(rows: Sequence[Row], model: Model, split: str) -> frozenset[str]:
    """Return the cases of a split, by the run's own record or the table's column."""
    recorded = {case for cases in model.split.values() for case in cases}
    if recorded & {row.case for row in rows}:
        known: Mapping[str, Sequence[str]] = model.split
    elif any(row.split for row in rows):
        names = {row.split or "" for row in rows}
        known = {name: [row.case for row in rows if row.split == name] for name in names}
    else:
        message = f"neither the run nor the table says which cases are {split!r}"
        advice = "add a split column to the table, or leave --split out"
        raise ConfigurationError(Problem("E_SPLIT_UNKNOWN", message, advice))
    if split not in known:
        advice = f"known: {', '.join(sorted(known))}"
        raise ConfigurationError(Problem("E_SPLIT_UNKNOWN", f"there is no split {split!r}", advice))
    return frozenset(known[split])
