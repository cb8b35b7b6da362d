"""Which cases to convert, and where their answers go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from medgen.cohort.directions import advice, direction_of, other_directions, pointed_at
from medgen.cohort.manifest import FILE_NAME
from medgen.cohort.previews import FOLDER as PREVIEWS
from medgen.cohort.scores import FILE_NAME as SCORES
from medgen.conversion import Outputs
from medgen.data.table import CASE_ID, Row, read_table
from medgen.dicom import Choice, split_choice
from medgen.dicom.index import SUFFIXES as DICOM_SUFFIXES
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.runs import Model
from medgen.volumes import SUFFIXES, list_volumes, volume_name, with_choice
from medgen.volumes.writing import WRITABLE_SUFFIXES

DEFAULT_SUFFIX = ".nii.gz"
INDEX = "index.html"
"""The page of an output folder."""
Format = Literal["nifti", "dicom"]
_NO_CHOICE = Choice()
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
    """A case and where its answer goes."""

    case: Case
    output: Path
    """A volume file; where only DICOM is written, the same as `series`."""
    series: Path | None = None
    """The folder of the DICOM series, where one is written."""
    beside: tuple[str, ...] = ()
    """What is written beside the answer, by what is added to its name."""
    pictured: bool = False
    """Whether a preview is drawn in the folder of the answer."""

    @property
    def where(self) -> Outputs:
        """Return the answer's file and folder."""
        return Outputs(self.output if self.output != self.series else None, self.series)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Return the file, the folder, or both."""
        return tuple(dict.fromkeys([self.output, *([self.series] if self.series else [])]))

    @property
    def written(self) -> tuple[Path, ...]:
        """Return all that is written of the case, its sidecar and what is beside it."""
        return (*self.outputs, self.where.sidecar, *self.where.beside(self.beside))


def cases_of_input(
    path: Path, model: Model, *, output: Path | None = None, choice: Choice = _NO_CHOICE
) -> list[Case]:
    """Return a case for each volume of a file or folder, and for each DICOM series below it.

    A file's case is named after it, a series' by a hash (see `Found`). DICOM below `output` is
    left out: it is what an earlier call wrote.

    Raises:
        ConfigurationError: E_SEVERAL_SOURCES where the run wants more than one volume per case.
        NothingFound: no such path, or a folder without volumes.
    """
    columns = model.preprocessing.given
    if len(columns) != 1:
        message = f"this run reads {len(columns)} volumes per case ({', '.join(columns)})"
        advice = "give a table with these columns by --data instead of --input"
        raise ConfigurationError(Problem("E_SEVERAL_SOURCES", message, advice))
    files = list_volumes(path, choice, but_in=output)
    if not files:
        message = "the input folder holds no volume"
        advice = f"known are {', '.join(SUFFIXES)} directly inside it, and DICOM at any depth"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, advice))
    alike = Counter(file.name.casefold() for file in files)
    cases = []
    for number, file in enumerate(files, start=1):
        name, problem = file.name, None
        twins = alike[name.casefold()]
        if CASE_ID.fullmatch(name) is None:
            name = f"#{number}"  # the real name may hold anything, so it is not repeated
            message = f"the name of file {number}, in alphabetical order, cannot be a case id"
            problem = Problem("E_CASE_NAME", message, NAME_ADVICE, case=name)
        elif twins > 1:
            name = f"#{number}"
            message = f"{twins} files would be the same case"
            problem = Problem("E_CASE_DUPLICATE", message, "give each its own name", case=name)
        cases.append(Case(name, {columns[0]: file.path}, problem))
    return cases


def looks_like_one_case(cases: Sequence[Case], model: Model) -> bool:
    """Tell whether a folder's volumes seem to be one case's columns rather than a case each.

    So it seems where one of several files is named after the run's source column, as in a folder
    of mr.nii.gz, ct.nii.gz and mask.nii.gz.
    """
    (column,) = model.preprocessing.given
    return len(cases) > 1 and column.casefold() in {case.name.casefold() for case in cases}


def cases_of_table(
    path: Path,
    model: Model,
    *,
    split: str | None = None,
    choice: Choice = _NO_CHOICE,
    on_left_out: Callable[[str, int], None] | None = None,
) -> list[Case]:
    """Return the cases of a table that hold a source image, all of them or those of one split.

    The split is the one that the run recorded where the table holds its cases, else the table's
    `split` column. A case with some but not all source images is returned with its problem, unless
    it is of the domain that another of the model's answers starts from. `on_left_out` is called
    with such an answer's name and how many cases only it would convert, if any.

    Raises:
        ConfigurationError: the table is refused, or nobody knows its splits.
        NothingFound: no case is left.
    """
    source = model.config.roles.source
    columns = model.preprocessing.given
    directions = other_directions(model)
    try:
        table = read_table(path, columns=columns)
        admitted = {row.case for row in table.select(source.where)}
    except ConfigurationError as error:
        raise pointed_at(error, path, directions) from None
    rows: Sequence[Row] = table.rows
    if split is not None:
        members = _members(rows, model, split)
        rows = [row for row in rows if row.case in members]
    cases: list[Case] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        case = _case_of(row, columns, choice) if row.case in admitted else None
        other = direction_of(row, directions)
        if case is not None and (case.problem is None or other is None):
            cases.append(case)
        elif other is not None:
            left_out[other] += 1
    if not cases:
        where = "" if split is None else f" of the split {split!r}"
        message = f"no case{where} has an image in {', '.join(columns)}"
        if source.where:
            words = ", ".join(f"{column} is {value!r}" for column, value in source.where.items())
            message += f" where {words}"
        how = advice(left_out) or "check --data and --split"
        raise NothingFound(Problem("E_NOTHING_FOUND", message, how))
    if on_left_out is not None:
        for name, count in left_out.items():
            on_left_out(name, count)
    return cases


def _case_of(row: Row, columns: Sequence[str], choice: Choice) -> Case | None:
    """Return a row's case, with its problem where it lacks some images; None where it has none."""
    lacking = [column for column in columns if column not in row.cells]
    if len(lacking) == len(columns):
        return None
    if lacking:
        message = "the case has no image in this column"
        problem = Problem("E_COLUMN_EMPTY", message, "fill the cell", row.case, lacking[0])
        return Case(row.case, problem=problem)
    return Case(row.case, {c: with_choice(row.cells[c], choice) for c in columns})


def place(
    cases: Sequence[Case],
    output: Path,
    formats: Container[Format] = ("nifti",),
    *,
    beside: Sequence[str] = (),
) -> list[Job]:
    """Say where each case's answer goes: `output` names a file, or a folder for CASE.nii.gz.

    A DICOM series goes to the folder CASE beside it, what is `beside` an answer to CASE_z.nii.gz
    and the folder CASE_z, or to CASE_lesions.tsv. A single case that goes to a file is named after
    that file.

    Raises:
        ConfigurationError: one file for several cases, an unusable name, or an input's own path.
    """
    if output.suffix.lower() in DICOM_SUFFIXES and not output.is_dir():
        message = "--output is named like one DICOM file, and an answer is a series of many"
        raise ConfigurationError(Problem("E_OUTPUT", message, "give a folder as --output"))
    if not is_file_name(output):
        jobs = [_job(case, output, formats) for case in cases]
    elif "dicom" in formats:
        message = "a DICOM series is a folder, and --output names a file"
        raise ConfigurationError(Problem("E_OUTPUT", message, "give a folder as --output"))
    elif len(cases) > 1:
        message = f"{len(cases)} cases cannot be written to one file"
        raise ConfigurationError(Problem("E_OUTPUT", message, "give a folder as --output"))
    else:
        jobs = [Job(_named_after(case, output), output) for case in cases]
    jobs = [replace(job, beside=tuple(beside)) for job in jobs]
    inputs = [split_choice(file)[0].resolve() for case in cases for file in case.inputs.values()]
    message = "the answer would replace an input, or lie among its DICOM files"
    advice = "choose another --output"
    problems = [
        Problem("E_OUTPUT_IS_INPUT", message, advice, job.case.name)
        for job in jobs
        if any(_collides(output.resolve(), file) for output in job.written for file in inputs)
        or any(job.series and job.series.resolve().is_relative_to(file) for file in inputs)
    ]
    problems += _clashes(jobs)
    if problems:
        raise ConfigurationError(problems)
    return jobs


def _job(case: Case, output: Path, formats: Container[Format]) -> Job:
    series = output / case.name if "dicom" in formats else None
    file = output / f"{case.name}{DEFAULT_SUFFIX}" if "nifti" in formats else None
    first = file or series
    assert first is not None  # the verb refuses an empty list of formats
    return Job(case, first, series, pictured=True)


def _clashes(jobs: Sequence[Job]) -> list[Problem]:
    """Find cases whose names, with what is added to them, are those of other files to be written.

    A case `a.json` has a DICOM folder of the name that the sidecar of a case `a` has.
    """
    names = [{file.name.casefold() for file in job.written} for job in jobs]
    tables = [name.casefold() for name in (FILE_NAME, SCORES, INDEX, PREVIEWS)]
    count = Counter([*tables, *(name for each in names for name in each)])
    message = "another file to be written has the same name as one of this case's"
    return [
        Problem("E_CASE_NAME", message, "rename the case", job.case.name)
        for job, each in zip(jobs, names, strict=True)
        if any(count[name] > 1 for name in each)
    ]


def _collides(output: Path, source: Path) -> bool:
    """Tell whether an answer would replace a source, or land among a source's DICOM files."""
    return output == source or source.is_relative_to(output) or output.parent == source


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
