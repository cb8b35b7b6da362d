"""A cohort on disk: a folder per case, its truth beside its volumes, and the table of all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from medgen.files import locked, sha256_of_json, write_json, write_text
from medgen.phantom.case import Case, CaseSettings, simulate
from medgen.phantom.dicom import write_series
from medgen.phantom.headers import Visit
from medgen.phantom.lesions import LESION_KINDS
from medgen.phantom.pet import SUV_STEP
from medgen.phantom.scanners import SCANNERS
from medgen.problems import ConfigurationError, Problem
from medgen.volumes import Volume
from medgen.volumes.writing import write_volume

Format = Literal["nifti", "metaimage", "nrrd", "dicom"]
SUFFIX: Mapping[Format, str] = {
    "nifti": ".nii.gz",
    "metaimage": ".mha",
    "nrrd": ".nrrd",
    "dicom": "",
}
"""What a column's name ends with; a DICOM series is a folder, and its masks are NIfTI."""
_MASKS = ("body", "brain", "tissue", "regions", "lesion")
SCANNER_CHOICES = (*SCANNERS, "both")
TABLE = "cases.csv"
TRUTH = "truth.json"


@dataclass(frozen=True)
class CohortSettings:
    """What to make; `scanner` may be `both`, which alternates from person to person."""

    persons: int = 12
    seed: int = 0
    case: CaseSettings = field(default_factory=CaseSettings)
    format: Format = "nifti"


@dataclass(frozen=True)
class Plan:
    """One row of the table to be made."""

    case: str
    patient: str
    index: int
    settings: CaseSettings


def plan_cohort(settings: CohortSettings) -> tuple[Plan, ...]:
    """List the cases to make: one per person, and its healthy twin where lesions are asked for.

    A twin has its person's patient id, so no split separates them. Raises ConfigurationError
    that lists every setting that cannot be met.
    """
    problems = list(_problems(settings))
    if problems:
        raise ConfigurationError(problems)
    plans = []
    for index in range(settings.persons):
        of_person = settings.case
        if of_person.scanner == "both":
            of_person = replace(of_person, scanner=tuple(SCANNERS)[index % len(SCANNERS)])
        case, patient = f"head-{index:03d}", f"person-{index:03d}"
        plans.append(Plan(case, patient, index, of_person))
        if of_person.lesions != "none":
            twin = replace(of_person, healthy_twin=True)
            plans.append(Plan(f"{case}-healthy", patient, index, twin))
    return tuple(plans)


def write_cohort(
    settings: CohortSettings,
    folder: Path,
    *,
    overwrite: bool = False,
    on_case: Callable[[str], None] = lambda case: None,
) -> Path:
    """Make a cohort in a folder and return the path of its table, which is written last.

    Refuses with E_EXISTS where the folder holds a table already, unless `overwrite`; `on_case`
    is told the id of every case as it is finished.
    """
    plans = plan_cohort(settings)
    table = folder / TABLE
    if table.exists() and not overwrite:
        advice = "choose another --output, or give --overwrite"
        raise ConfigurationError(Problem("E_EXISTS", "the folder holds a cohort already", advice))
    with locked(folder):
        # Without its table, a cohort that was interrupted is seen to be incomplete.
        table.unlink(missing_ok=True)
        for plan in plans:
            write_case(simulate(settings.seed, plan.index, plan.settings), plan, folder, settings)
            on_case(plan.case)
        write_text(table, _table(plans, settings))
    return table


def write_case(case: Case, plan: Plan, folder: Path, settings: CohortSettings) -> None:
    """Write a case's volumes and its truth into a folder of its own."""
    place = folder / plan.case
    for column, volume in case.volumes.items():
        path = place / _name(column, settings.format)
        if column in _MASKS:
            write_volume(path, volume, dtype="uint8")
        elif settings.format == "dicom":
            write_series(path, volume, _visit(case, plan, settings.seed), column)
        elif volume.unit == "SUV":
            write_volume(path, _stepped(volume), dtype="float32")
        else:
            write_volume(path, volume, dtype="int16")
    write_json(place / TRUTH, dict(case.truth))


def noise_floors(table: Path, cases: Iterable[str]) -> dict[str, float]:
    """Return, per case, the MAE (HU, in the body) that no prediction of its CT can beat.

    `table` is the cohort's table. A case without a truth file, such as a real one, is left out,
    so the same call serves any table.
    """
    floors = {}
    for case in cases:
        path = table.parent / case / TRUTH
        if path.is_file():
            floors[case] = float(json.loads(path.read_text())["ct"]["ct_noise_floor_hu"])
    return floors


def _table(plans: tuple[Plan, ...], settings: CohortSettings) -> str:
    """Return the table as CSV text; `mr` and `t1` are the same file, `dose_fraction` is text."""
    columns = ["t1", "t2", "pd", "flair", "ct", "body", "tissue", "regions", "pet_low", "pet_full"]
    columns += ["lesion"] if settings.case.lesions != "none" else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "patient", "site", "mr", *columns, "dose_fraction"])
    for plan in plans:
        files = [f"{plan.case}/{_name(column, settings.format)}" for column in ("t1", *columns)]
        row = [plan.case, plan.patient, plan.settings.scanner, *files]
        writer.writerow([*row, f"{plan.settings.dose_fraction:g}"])
    return text.getvalue()


def _name(column: str, volume_format: Format) -> str:
    """Return the name of a column's file or folder."""
    masks_in: Format = "nifti" if volume_format == "dicom" else volume_format
    return f"{column}{SUFFIX[masks_in if column in _MASKS else volume_format]}"


def _visit(case: Case, plan: Plan, seed: int) -> Visit:
    """Return what the headers of a case depend on; other voxels have other UIDs."""
    return Visit(
        case=plan.case,
        patient=plan.patient,
        index=plan.index,
        recipe=sha256_of_json({"seed": seed, "settings": asdict(plan.settings)}),
        aligned=plan.settings.aligned,
        dose_fraction=plan.settings.dose_fraction,
        truth=case.truth,
    )


def _stepped(volume: Volume) -> Volume:
    return volume.with_data((np.rint(volume.data / SUV_STEP) * SUV_STEP).astype(np.float32))


def _problems(settings: CohortSettings) -> Iterator[Problem]:
    case = settings.case
    if settings.persons < 1:
        yield Problem("E_CASES", f"a cohort needs 1 case or more, got {settings.persons}")
    if settings.seed < 0:
        yield Problem("E_SEED", f"the seed must not be negative, got {settings.seed}")
    if any(not 16 <= n <= 512 for n in case.size):
        size = "x".join(map(str, case.size))
        yield Problem("E_SIZE", f"each axis takes 16 to 512 voxels, got {size}")
    if not 0.0 < case.dose_fraction <= 1.0:
        message = f"the dose is a fraction above 0 and up to 1, got {case.dose_fraction:g}"
        yield Problem("E_DOSE", message)
    if case.lesions not in LESION_KINDS:
        known = ", ".join(LESION_KINDS)
        yield Problem("E_LESIONS", f"no lesions {case.lesions!r}", f"known: {known}")
    if case.scanner not in SCANNER_CHOICES:
        known = ", ".join(SCANNER_CHOICES)
        yield Problem("E_SCANNER", f"no scanner {case.scanner!r}", f"known: {known}")
    if settings.format not in SUFFIX:
        yield Problem("E_FORMAT", f"no format {settings.format!r}", f"known: {', '.join(SUFFIX)}")
