"""An answer as DICOM: derived from the series that its source came from, or from a template."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import medgen
from medgen.config import BACKGROUND
from medgen.conversion.anomaly_decoder import MASKED, Z_MAP
from medgen.conversion.decoding import UNIT_OF_LABELS
from medgen.conversion.provenance import Provenance
from medgen.conversion.stages import Converted
from medgen.conversion.uncertainty import DEVIATION
from medgen.dicom import SeriesFacts
from medgen.method import Answer
from medgen.problems import Problem, Refusal
from medgen.volumes import ARBITRARY, Grid, Volume, resample

if TYPE_CHECKING:
    from medgen.dicom.derived import Derivation, WrittenSeries

SAME_PLACE_MM = 0.05
QUANTITIES: Mapping[str | None, str] = {
    None: "residual",
    Z_MAP: "residual z-score",
    DEVIATION: "standard deviation",
}
"""What the maps of an anomaly answer hold, and those beside any answer."""
_PATIENT = ("PatientID", "PatientName")
_PLACE = (*_PATIENT, "StudyInstanceUID", "FrameOfReferenceUID")
SAME_VOXELS = 0.99
"""The correlation from which a volume is a series converted, with its values rounded or scaled."""
OWN_VOXELS = 0.9
"""And below which it is none that was denoised or evened out: two heads on one grid stay below."""


def origin_of(volumes: Mapping[str, Volume], template: SeriesFacts | None) -> SeriesFacts | None:
    """Return the series that an answer is derived from: the template, else the first source's."""
    first = next(iter(volumes.values()))
    return template if template is not None else first.series


def others_of(
    volumes: Mapping[str, Volume], template: SeriesFacts | None
) -> tuple[SeriesFacts, ...]:
    """Return the series of all sources but the first; none where a template stands for them."""
    if template is not None:
        return ()
    _, *others = volumes.values()
    return tuple(volume.series for volume in others if volume.series is not None)


def derived_problems(
    volumes: Mapping[str, Volume], answer: Answer, *, unit: str, template: SeriesFacts | None
) -> list[Problem]:
    """Return what keeps an answer from being written as DICOM, before any of it is computed."""
    from medgen.dicom.derived import check_derivable, differ

    origin = origin_of(volumes, template)
    if origin is None:
        message = "the source is no DICOM series: no patient, study or frame to derive one from"
        advice = "name the series it was made from by --dicom-template, or leave dicom out"
        return [Problem("E_DICOM_SOURCE", message, advice)]
    form = _form(answer, unit)
    if form is None:
        message = f"an image in {unit!r} has no place in DICOM"
        advice = "the units are HU, Bq/ml, SUV and arbitrary; or leave dicom out"
        return [Problem("E_DICOM_TARGET", message, advice)]
    others = others_of(volumes, template)
    problems = list(check_derivable(origin, unit_or_kind=form, others=others))
    source = next(iter(volumes.values()))
    series = [volume.series for volume in volumes.values() if volume.series is not None]
    if any(differ(origin, one, _PATIENT) for one in series if template is None):
        message = "the sources are of different patients: PatientID or PatientName differs"
        problems.append(Problem("E_NO_IDENTITY", message, "check the case's series"))
    if template is not None and any(differ(template, one, _PLACE) for one in series):
        message = "--dicom-template names another patient, study or frame than the source's own"
        advice = "leave the template out: the source is DICOM and says whose it is"
        problems.append(Problem("E_DICOM_TEMPLATE", message, advice))
    if template is not None and not source.grid.same_voxels_as(
        Grid(template.shape, template.affine), SAME_PLACE_MM
    ):
        message = "the source does not lie on the grid of the series that --dicom-template names"
        advice = "name the series that this volume was converted from"
        problems.append(Problem("E_DICOM_GRID", message, advice))
    return problems


def template_problems(volumes: Mapping[str, Volume], template: Volume | None) -> list[Problem]:
    """Refuse a source that is not an image of the template's series, though it lies in its place.

    Two patients scanned alike lie on one grid: the place alone does not tell whose image it is.
    """
    alike = _likeness(volumes, template)
    if alike >= OWN_VOXELS:
        return []
    message = (
        "the source is not the series that --dicom-template names: "
        f"their voxels' correlation is {alike:.2f}, the least allowed {OWN_VOXELS}"
    )
    advice = "name the series that this volume was converted from, or leave dicom out"
    return [Problem("E_DICOM_TEMPLATE", message, advice)]


def template_doubts(volumes: Mapping[str, Volume], template: Volume | None) -> tuple[str, ...]:
    """Say where the source's voxels are not quite those of the template."""
    alike = _likeness(volumes, template)
    if alike >= SAME_VOXELS:
        return ()
    return (
        "the source's voxels are not those of the series that --dicom-template names "
        f"(correlation {alike:.2f}): make sure that both are of one patient",
    )


def _likeness(volumes: Mapping[str, Volume], template: Volume | None) -> float:
    """Return the correlation of the first source and the template; 1 where there is none."""
    source = next(iter(volumes.values()))
    if template is None:
        return 1.0
    there = resample(template.data, template.grid, source.grid, order=0)
    here = np.asarray(source.data, dtype=np.float32)
    if np.array_equal(here, there):
        return 1.0
    flat = not (np.ptp(here) and np.ptp(there))
    return 0.0 if flat else float(np.corrcoef(here.ravel(), there.ravel())[0, 1])


def write_dicom(
    folder: Path,
    converted: Converted,
    volumes: Mapping[str, Volume],
    provenance: Provenance,
    *,
    template: SeriesFacts | None,
    name: str | None = None,
) -> WrittenSeries:
    """Write an answer as a derived series: an image, a segmentation, or a parametric map.

    `name` names what is beside the answer, and is written instead of it.

    Raises:
        Refusal: see `write_image_series`, `write_segmentation` and `write_parametric_map`.
    """
    from medgen.dicom.derived import Derivation

    origin = origin_of(volumes, template)
    if origin is None:
        raise Refusal(Problem("E_DICOM_SOURCE", "the source is no DICOM series", "see convert"))
    others = others_of(volumes, template)
    facts = converted.facts
    volume = converted.volume if name is None else converted.beside[name]
    derivation = Derivation(
        model=provenance.method,
        version=medgen.__version__,
        weights_digest=provenance.weights_digest,
        settings_digest=provenance.settings_digest,
        description=f"computed from {_named(origin, *others)} by {provenance.method}",
        moment=datetime.now().astimezone(),
    )
    origins = _Origins(origin, derivation, others)
    if volume.unit == UNIT_OF_LABELS:
        names = _names(facts["labels"]) if name is None else {1: MASKED}
        return _write_labels(folder, volume, names, origins)
    if name == DEVIATION or facts.get("kind") == "anomaly":
        return _write_map(folder, volume, QUANTITIES[name], origins)
    from medgen.dicom.images import write_image_series

    return write_image_series(
        folder,
        volume.data,
        volume.grid.affine,
        unit=_spelled(volume.unit) or volume.unit,
        source=origin,
        derivation=derivation,
        others=others,
    )


class _Origins(NamedTuple):
    """What a derived series refers to."""

    source: SeriesFacts
    derivation: Derivation
    others: tuple[SeriesFacts, ...]


def _names(labels: Mapping[str, Any]) -> dict[int, str]:
    """Return the classes by value: of several values of a class the first is the one written."""
    values = {name: v[0] if isinstance(v, list) else v for name, v in labels.items()}
    return {int(v): str(name) for name, v in values.items() if name != BACKGROUND}


def _write_labels(
    folder: Path, volume: Volume, names: Mapping[int, str], origins: _Origins
) -> WrittenSeries:
    from medgen.dicom.segmentation import write_segmentation

    labels = volume.data.astype(np.uint8)
    return write_segmentation(folder, labels, volume.grid.affine, names=names, **origins._asdict())


def _write_map(folder: Path, volume: Volume, quantity: str, origins: _Origins) -> WrittenSeries:
    from medgen.dicom.parametric_map import write_parametric_map

    return write_parametric_map(
        folder,
        volume.data.astype(np.float32),
        volume.grid.affine,
        quantity=quantity,
        unit=_spelled(volume.unit) or "",
        **origins._asdict(),
    )


def _named(*series: SeriesFacts) -> str:
    """Return what an answer was computed from, such as "MR, MR and CT"."""
    *most, last = (one.modality or "images" for one in series)
    return f"{', '.join(most)} and {last}" if most else last


def _form(answer: Answer, unit: str) -> str | None:
    """Return what DICOM must hold: a unit's image, labels or a map; None where it cannot."""
    kinds = {"labels": "labels", "anomaly": "map"}
    return kinds.get(answer.kind) or _spelled(unit)


def _spelled(unit: str) -> str | None:
    """Return a unit as medgen.dicom spells it, whatever the configuration's case."""
    known = {one.casefold(): one for one in ("HU", "Bq/ml", "SUV", ARBITRARY)}
    return known.get(unit.casefold())
