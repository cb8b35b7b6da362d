"""Who is who in DICOM: patients by their id in the headers, and rows by study and frame."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath

from medgen.data.spelling import same_spelling
from medgen.discovery.findings import Finding
from medgen.discovery.headers import TreeSeries
from medgen.problems import Problem

FAR_APART_DAYS = 30
"""Studies of one row that lie further apart are told: anatomy changes."""


@dataclass
class Patient:
    """The series of one PatientID (with its issuer); of one study where the id is blank.

    `spellings` are the ids as written: nothing of them may be printed, logged or written.
    """

    spellings: set[str] = field(repr=False)
    nameless: bool
    series: list[TreeSeries] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Return what a keyed id is hashed from."""
        return min(self.spellings)


def patients_of(series: Iterable[TreeSeries], *, keyed: bool) -> list[Patient]:
    """Group series by patient, in an order that does not follow names.

    Ids that differ only in letter case, signs or leading zeros are one patient's, unless `keyed`:
    then `grouping` joins them, since each has its own hash.
    """
    found: dict[tuple[str, str], Patient] = {}
    for one in series:
        name = full_id(one)
        written = unicodedata.normalize("NFC", name).casefold()
        key = ("id", written if keyed else same_spelling(name))
        if not name:
            key = ("study", one.head.study or one.head.series or str(one.files[0]))
        patient = found.setdefault(key, Patient(set(), not name))
        patient.spellings.add(name or ":".join(key))
        patient.series.append(one)
    return sorted(found.values(), key=_shuffled)


def full_id(series: TreeSeries) -> str:
    """Return the PatientID with its issuer as HL7 writes them (`ID^^^ISSUER`), or ""."""
    head = series.head
    return (
        f"{head.patient_id}^^^{head.issuer}"
        if head.patient_id and head.issuer
        else (head.patient_id)
    )


def _shuffled(patient: Patient) -> str:
    """Return a hash of the patient's first study, which orders patients as no name does."""
    study = min(one.head.study or one.head.series or one.files[0].name for one in patient.series)
    return hashlib.sha256(study.encode("utf-8", "surrogatepass")).hexdigest()


def numbered(count: int, taken: Iterable[str]) -> list[str]:
    """Return p001, p002, ..., with another word in front where files' names would be alike."""
    others = {same_spelling(name) for name in taken}
    prefix = "p"
    while True:
        names = [f"{prefix}{number:03d}" for number in range(1, count + 1)]
        if not others & {same_spelling(name) for name in names}:
            return names
        prefix = f"dicom_{prefix}"


def check_patients(patients: Sequence[Patient], ids: Sequence[str]) -> list[Finding]:
    """Find what speaks against the patients: other births or sexes, no id, several spellings."""
    findings = []
    nameless = [patient for patient in patients if patient.nameless]
    if nameless:
        message = f"{len(nameless)} of {len(patients)} patients have no PatientID: each study was "
        message += "taken for another patient"
        advice = "edit the patient column where studies are of one person"
        problem = Problem("W_PATIENT_ID", message, advice)
        findings.append(Finding(problem, _places(nameless), refused=False))
    for patient, name in zip(patients, ids, strict=True):
        for what, values in _facts(patient).items():
            if len(values) > 1:
                message = f"the files of patient {name} give {len(values)} {what}"
                advice = "see whether one id stands for several persons, and edit the table if so"
                problem = Problem("W_PATIENT_DIFFERS", message, advice)
                findings.append(Finding(problem, _places([patient]), refused=False))
        if len(patient.spellings) > 1:
            message = f"{len(patient.spellings)} spellings of one id were taken for patient {name}"
            advice = "edit the patient column where they are several persons"
            problem = Problem("E_PATIENT_SPELLING", message, advice)
            findings.append(Finding(problem, _places([patient]), refused=False))
    return findings


def _facts(patient: Patient) -> Mapping[str, set[str]]:
    heads = [one.head for one in patient.series]
    return {
        "birth dates": {head.birth_date for head in heads} - {""},
        "sexes": {head.sex for head in heads} - {"", "O"},
    }


def _places(patients: Iterable[Patient]) -> tuple[PurePosixPath, ...]:
    return tuple(dict.fromkeys(one.folder for patient in patients for one in patient.series))


def rows_of(
    series: Sequence[TreeSeries], column: Callable[[TreeSeries], str]
) -> list[list[TreeSeries]]:
    """Return one patient's series as rows, in the order of their studies.

    Studies that complement each other, so that no two claim one column, are one row: an MR and a
    CT are mostly studies of their own. Otherwise there are follow-ups, which nothing but dates
    could pair: then a row is a study, or several that share a frame of reference and claim no
    column twice, as a CT and the MR that was registered to it.
    """
    studies: dict[str, list[TreeSeries]] = defaultdict(list)
    for one in series:
        studies[study_of(one)].append(one)
    rows: list[list[TreeSeries]] = []
    for study in sorted(studies.values(), key=_moment):
        columns = {column(one) for one in study}
        for row in rows:
            if _frames(row) & _frames(study) and not columns & {column(one) for one in row}:
                row += study
                break
        else:
            rows.append(study)
    claimed = [name for row in rows for name in {column(one) for one in row}]
    if len(claimed) == len(set(claimed)):
        return [[one for row in rows for one in row]]
    return rows


def days_apart(row: Sequence[TreeSeries]) -> int:
    """Return how many days lie between a row's first and last study; 0 where no date tells."""
    days = [day for day in map(_day, row) if day is not None]
    return (max(days) - min(days)).days if days else 0


def check_dates(rows: Sequence[Sequence[TreeSeries]], ids: Sequence[str]) -> list[Finding]:
    """Find rows of studies that lie far apart in time; `ids` are the rows' patients."""
    far = [
        (row, name, days)
        for row, name in zip(rows, ids, strict=True)
        if (days := days_apart(row)) > FAR_APART_DAYS
    ]
    if not far:
        return []
    _, name, days = max(far, key=lambda one: one[2])
    rows_are = "row is of studies that lie" if len(far) == 1 else "rows are of studies that lie"
    message = f"{len(far)} {rows_are} over {FAR_APART_DAYS} days apart, at most {days} ({name})"
    advice = "see that they show the same anatomy, or split the row in the table"
    where = tuple(dict.fromkeys(one.folder for row, _, _ in far for one in row))
    return [Finding(Problem("W_STUDIES_DATES", message, advice), where, refused=False)]


def _day(series: TreeSeries) -> datetime | None:
    """Return the day of a series' study, where its header has one."""
    try:
        return datetime.strptime(series.head.study_moment[:8], "%Y%m%d")
    except ValueError:
        return None


def study_of(series: TreeSeries) -> str:
    """Return what tells a series' study: its UID, else its frame of reference, else the series."""
    head = series.head
    return head.study or head.frame_of_reference or f"{head.series}/{series.files[0]}"


def _moment(study: Sequence[TreeSeries]) -> tuple[str, str]:
    return min((one.head.study_moment, one.head.study) for one in study)


def _frames(series: Iterable[TreeSeries]) -> set[str]:
    return {one.head.frame_of_reference for one in series} - {""}
