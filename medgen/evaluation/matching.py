"""Which prediction belongs to which reference: by file name, or by the case table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from medgen.data.rows import CASE_ID
from medgen.data.table import read_table
from medgen.dicom import Choice
from medgen.evaluation.groups import words_of
from medgen.evaluation.sidecars import belongs_to_another
from medgen.metrics import Profile
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.volumes import Found, is_dicom, list_volumes, with_choice

LISTED = 20
_NO_CHOICE = Choice()
NOUNS = {"regions": "region map"}
"""What one volume of a role is called, where it is not the role's name."""
OUTLINE, EVERYWHERE = "outline of the reference", "none: the whole volume counts"


@dataclass(frozen=True)
class Case:
    """One prediction, its reference, and the mask and the regions to score in, if given."""

    name: str
    prediction: Path
    reference: Path
    mask: Path | None = None
    patient: str | None = None
    regions: Path | None = None
    group: str = ""
    """The case's word in the column that groups results, if one was asked for."""

    def paths(self) -> dict[str, Path]:
        """Return the case's files by their roles."""
        paths = {"reference": self.reference, "prediction": self.prediction}
        others = {"mask": self.mask, "regions": self.regions}
        return paths | {role: path for role, path in others.items() if path is not None}


@dataclass(frozen=True)
class Matched:
    """The cases to score, the references without a prediction, where masks and regions are from.

    `region_source` is empty where no regions were given.
    """

    cases: tuple[Case, ...]
    without_prediction: tuple[str, ...]
    mask_source: str
    region_source: str = ""

    def scored_in(self, profile: Profile) -> str:
        """Return where masks come from; labels and anomalies without one are scored everywhere."""
        everywhere = profile.kind == "labels" or profile.name == "anomaly"
        unmasked = self.mask_source == OUTLINE and everywhere
        return EVERYWHERE if unmasked else self.mask_source


def match_paths(
    prediction: Path,
    reference: Path,
    mask: Path | None = None,
    *,
    regions: Path | None = None,
    choice: Choice = _NO_CHOICE,
) -> Matched:
    """Match volumes by their file names less the extension; two single volumes always match.

    A DICOM series counts as one volume, and `choice` picks it where a folder holds several. Every
    prediction needs a reference and, where `mask` is a folder, a mask of its name. One mask
    file serves every case; both hold for `regions` too. References without a prediction are
    reported, not refused.

    Raises:
        NothingFound: where a side holds no volume.
        ConfigurationError: E_UNMATCHED or E_DUPLICATE_CASE, naming the cases on both sides, or
            E_CASE_NAME, naming no file.
    """
    predictions = volumes_by_name(prediction, "prediction", choice=choice)
    references = volumes_by_name(reference, "reference", choice=choice)
    if _is_one(prediction, predictions) and _is_one(reference, references):
        references = dict.fromkeys(predictions, next(iter(references.values())))
    _check_subset(predictions, references, "reference", unpaired=True)
    masks, mask_source = _beside(predictions, mask, "mask")
    maps, region_source = _beside(predictions, regions, "regions")
    cases = tuple(
        Case(name, path, references[name], masks.get(name), regions=maps.get(name))
        for name, path in predictions.items()
    )
    missing = tuple(name for name in references if name not in predictions)
    return Matched(cases, missing, mask_source or OUTLINE, region_source)


def _beside(
    predictions: Mapping[str, Path], path: Path | None, role: str
) -> tuple[dict[str, Path], str]:
    """Return each case's mask or regions, and in words whether one file serves all."""
    if path is None:
        return {}, ""
    found = volumes_by_name(path, role)
    noun = NOUNS.get(role, role)
    if _is_one(path, found):
        one = next(iter(found.values()))
        return dict.fromkeys(predictions, one), f"one {noun} file for every case"
    _check_subset(predictions, found, noun)
    return found, f"a {noun} file per case"


def match_table(
    prediction: Path,
    table: Path,
    *,
    column: str,
    mask_column: str | None = None,
    region_column: str | None = None,
    group_column: str | None = None,
    split: str | None = None,
    choice: Choice = _NO_CHOICE,
) -> Matched:
    """Match predictions to the rows of a case table by case id; `split` keeps that split's rows.

    Raises:
        NothingFound: where there is no prediction, or no row of the split.
        ConfigurationError: the table's problems, E_UNMATCHED, E_SPLIT_MISSING, or E_GROUPS.
    """
    predictions = volumes_by_name(prediction, "prediction", choice=choice)
    beside = [name for name in (mask_column, region_column) if name is not None]
    whole = read_table(table, columns=list(dict.fromkeys([column, *beside])))
    rows = whole.rows
    if split is not None and not any(row.split for row in rows):
        advice = "add one, or leave --split out: the predictions present choose the cases"
        raise ConfigurationError(
            Problem("E_SPLIT_MISSING", "the table has no `split` column to choose by", advice)
        )
    known = {row.case for row in rows}
    wanted = {row.case: row for row in rows if split is None or row.split == split}
    if split is not None:  # predictions of other splits are left alone
        predictions = {
            name: path for name, path in predictions.items() if name in wanted or name not in known
        }
        if not predictions:
            message = f"no prediction belongs to a case of the split {split!r}"
            raise NothingFound(Problem("E_NOTHING_TO_SCORE", message, "check --split"))
    for needed in (column, *beside):
        having = {name: row for name, row in wanted.items() if needed in row.cells}
        lacking = {name: path for name, path in predictions.items() if name in wanted}
        _check_cells(lacking, having, needed, reference=needed == column)
        _check_subset(predictions, having, needed, unpaired=needed == column)
    groups = words_of(whole, group_column, predictions) if group_column else {}
    cases = tuple(
        Case(
            name,
            path,
            with_choice(wanted[name].cells[column], choice),
            wanted[name].cells[mask_column] if mask_column else None,
            wanted[name].patient,
            wanted[name].cells[region_column] if region_column else None,
            groups.get(name, ""),
        )
        for name, path in predictions.items()
    )
    missing = tuple(
        name for name, row in wanted.items() if name not in predictions and column in row.cells
    )
    source = f"column {mask_column}" if mask_column else OUTLINE
    return Matched(cases, missing, source, f"column {region_column}" if region_column else "")


def _is_one(path: Path, found: Mapping[str, Path]) -> bool:
    """Tell whether a path names one volume: a file, or a folder that is one DICOM series."""
    return path.is_file() or (len(found) == 1 and is_dicom(next(iter(found.values()))))


def volumes_by_name(path: Path, role: str, *, choice: Choice = _NO_CHOICE) -> dict[str, Path]:
    """Return a file's or a folder's volumes by their names less the extension.

    A DICOM series is named by a hash (see `Found`); its path carries what `choice` says. Of a
    folder of predictions, volumes that belong to another answer are left out (an anomaly's mask).

    Raises:
        NothingFound: where there is none.
        ConfigurationError: E_DUPLICATE_CASE where two files differ by their extension only;
            E_CASE_NAME where a folder's file names cannot be case ids. A single file of such a
            name is called `case`.
    """
    try:
        volumes = _listed(path, choice)
    except NothingFound as error:
        if any(problem.code == "E_NO_SERIES" for problem in error.problems):
            raise error.at(column=role) from None
        volumes = []
    if role == "prediction" and path.is_dir():
        volumes = [volume for volume in volumes if not belongs_to_another(volume.path)]
    if not volumes:
        message = f"there is no {role} volume at the given place"
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", message, f"check --{role}"))
    found: dict[str, Path] = {}
    twice = []
    unusable = []
    for number, volume in enumerate(volumes, start=1):
        name = volume.name
        each = volume.path
        if not CASE_ID.fullmatch(name):
            if path.is_file():
                return {"case": each}
            unusable.append(f"#{number}")
        twice += [name] if name in found else []
        found[name] = each
    if unusable:
        message = f"names of {role} files that cannot be case ids: {listed(unusable)} by name"
        advice = (
            "rename them with A-Z a-z 0-9 . _ - only; a report must not repeat a patient's name"
        )
        raise ConfigurationError(Problem("E_CASE_NAME", message, advice))
    if twice:
        message = f"{role} volumes of one name: {listed(twice)}"
        advice = "keep one file for each case"
        raise ConfigurationError(Problem("E_DUPLICATE_CASE", message, advice))
    return found


def _listed(path: Path, choice: Choice) -> list[Found]:
    """List the volumes of one side; a series is chosen where there are several."""
    try:
        return list_volumes(path, choice)
    except NothingFound:
        every = list_volumes(path, replace(choice, series=""))
        if len(every) != 1:
            raise
        return every


def listed(names: Iterable[str]) -> str:
    """Return names as text, the first twenty of a longer list."""
    everything = list(names)
    text = ", ".join(everything[:LISTED])
    more = len(everything) - LISTED
    return f"{text} and {more} more" if more > 0 else text


def _check_cells(
    predictions: Mapping[str, object],
    having: Mapping[str, object],
    column: str,
    *,
    reference: bool,
) -> None:
    """Refuse predictions whose rows have nothing in a column."""
    lacking = [name for name in predictions if name not in having]
    if not lacking:
        return
    message = f"the table's cells of the column {column} are empty for {listed(lacking)}"
    advice = "fill them, or take these predictions out of the folder"
    if reference:
        advice += (
            "; a healthy case of --profile anomaly needs a volume that is 0 everywhere; "
            "two sets without pairs are compared by --profile distribution --features RUN"
        )
    raise ConfigurationError(Problem("E_UNMATCHED", message, advice))


def _check_subset(
    predictions: Mapping[str, object],
    others: Mapping[str, object],
    role: str,
    *,
    unpaired: bool = False,
) -> None:
    """Refuse predictions that lack a partner, naming the partners that are left as well.

    `unpaired`: whether the partner is the reference, without which sets can still be compared.
    """
    lacking = [name for name in predictions if name not in others]
    if not lacking:
        return
    spare = [name for name in others if name not in predictions]
    message = f"predictions without a {role}: {listed(lacking)}"
    if spare:
        message += f"; without a prediction: {listed(spare)}"
    advice = "give both files of a case the same name (less the extension), or remove the strays"
    if unpaired:
        advice += "; two sets without pairs are compared by --profile distribution --features RUN"
    raise ConfigurationError(Problem("E_UNMATCHED", message, advice))
