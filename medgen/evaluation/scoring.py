"""One case: its three volumes onto one grid, and its scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.masks import outline
from medgen.evaluation.matching import Case
from medgen.metrics import Profile
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import Grid, Volume, field_of_view, open_volume, resample, volume_name

LEAST_COVERED = 0.95
_MATCH = "give --match-grid to resample it onto the reference's grid"


@dataclass(frozen=True)
class Sidecar:
    """What a conversion noted beside its answer."""

    seen_in_training: bool | None = None
    unit: str | None = None
    output_digest: str | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Triplet:
    """A prediction, its reference and the mask to score in (X, Y, Z), on the reference's grid."""

    prediction: NDArray[Any]
    reference: NDArray[Any]
    mask: NDArray[np.bool_]
    grid: Grid
    digests: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scored:
    """What came of a case: scores by column, or the problems that kept it from being scored."""

    case: str
    patient: str
    scores: Mapping[str, float] = field(default_factory=dict)
    seen_in_training: bool | None = None
    remarks: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the case has problems instead of scores."""
        return bool(self.problems)


def score_case(
    case: Case, profile: Profile, *, match_grid: bool = False, nan_to: float | None = None
) -> tuple[Scored, Triplet | None]:
    """Score one case, or say why not; a failed case has no volumes."""
    patient = pseudonym(case.patient) if case.patient else case.name
    try:
        sidecar = read_sidecar(case.prediction)
        triplet = load(case, profile, match_grid=match_grid, nan_to=nan_to)
        measured = profile.measure(
            triplet.prediction,
            triplet.reference,
            triplet.mask,
        )
    except MedgenError as error:
        problems = error.at(case=case.name).problems
        return Scored(case.name, patient, problems=problems), None
    remarks = (*sidecar.remarks, *_doubts(sidecar, profile, triplet), *triplet.remarks)
    scored = Scored(
        case.name,
        patient,
        measured.scores,
        sidecar.seen_in_training,
        (*remarks, *measured.remarks),
        triplet.digests,
    )
    return scored, triplet


def pseudonym(patient: str) -> str:
    """Return eight hexadecimal digits that stand for a patient in every report.

    Tables name patients by what a hospital has, record numbers and names among them. The digits
    group one patient's cases, in two reports alike; they are no protection against somebody who
    can guess the identifier.
    """
    return hashlib.sha256(patient.casefold().encode()).hexdigest()[:8]


def read_sidecar(prediction: Path) -> Sidecar:
    """Read NAME.json beside a prediction: whether training saw the case, and the unit."""
    path = prediction.with_name(f"{volume_name(prediction)}.json")
    if not path.is_file():
        return Sidecar()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        return Sidecar(remarks=("the sidecar beside the prediction is not a JSON object",))
    seen, unit, digest = (content.get(key) for key in ("seen_in_training", "unit", "output_digest"))
    return Sidecar(
        seen if isinstance(seen, bool) else None,
        unit if isinstance(unit, str) else None,
        digest if isinstance(digest, str) else None,
    )


def load(
    case: Case, profile: Profile, *, match_grid: bool = False, nan_to: float | None = None
) -> Triplet:
    """Read a case's volumes onto the reference's grid.

    Raises:
        Refusal: the gate's, E_GRID_MISMATCH, E_GRID_COVERAGE, E_EMPTY_MASK or E_EMPTY_BODY.
    """
    reference = _open(case.reference, "reference", nan_to)
    prediction = _open(case.prediction, "prediction", nan_to)
    volumes = {"prediction": prediction, "reference": reference}
    remarks: list[str] = []
    predicted = _on_grid(prediction, reference.grid, "prediction", match_grid, remarks)
    if case.mask is not None:
        volumes["mask"] = _open(case.mask, "mask", nan_to)
        binary = volumes["mask"].with_data((volumes["mask"].data > 0).astype(np.uint8))
        # Beyond its own field of view a mask says nothing, whatever lies at its edge.
        placed = _on_grid(binary, reference.grid, "mask", match_grid, remarks, order=0, outside=0.0)
        mask = placed > 0
    else:
        spacing = reference.grid.spacing_mm
        mask = outline(reference.data, unit=profile.unit, spacing_mm=spacing.tolist())
    if not mask.any():
        advice = "check that the mask belongs to this case and is above 0 inside"
        raise Refusal(Problem("E_EMPTY_MASK", "the mask holds no voxel", advice, column="mask"))
    mask = _covered(mask, prediction.grid, reference.grid, remarks)
    digests = {role: volume.digest for role, volume in volumes.items() if volume.digest}
    return Triplet(predicted, reference.data, mask, reference.grid, digests, tuple(remarks))


def _open(path: Path, role: str, nan_to: float | None) -> Volume:
    """Open a volume; its problems name the role."""
    try:
        return open_volume(path, nan_to=nan_to)
    except MedgenError as error:
        raise error.at(column=role) from None


def _on_grid(
    volume: Volume,
    grid: Grid,
    role: str,
    match: bool,
    remarks: list[str],
    *,
    order: int = 1,
    outside: float | None = None,
) -> NDArray[Any]:
    """Return a volume's values on the reference's grid: as they are, resampled, or refused."""
    if volume.grid.same_as(grid):
        return volume.data
    difference = f"{describe(volume.grid)} against the reference's {describe(grid)}"
    if volume.grid.shape == grid.shape:
        gap = np.linalg.norm(volume.grid.corners() - grid.corners(), axis=1).max()
        difference += f", corners up to {gap:.3g} mm apart"
    if not match:
        message = f"the {role} lies on another grid: {difference}"
        raise Refusal(Problem("E_GRID_MISMATCH", message, _MATCH, column=role))
    remarks.append(f"the {role} was resampled onto the reference's grid: {difference}")
    return resample(volume.data, volume.grid, grid, order=order, outside=outside)


def _covered(
    mask: NDArray[np.bool_], predicted: Grid, grid: Grid, remarks: list[str]
) -> NDArray[np.bool_]:
    """Take voxels that the prediction does not reach out of the mask; refuse if they are many."""
    if predicted.same_as(grid):
        return mask
    reached = mask & field_of_view(predicted, grid)
    share = np.count_nonzero(reached) / np.count_nonzero(mask)
    if share < LEAST_COVERED:
        message = f"the prediction reaches only {share:.0%} of the mask"
        advice = "convert the whole field of view, or give a mask that the prediction covers"
        raise Refusal(Problem("E_GRID_COVERAGE", message, advice, column="prediction"))
    if share < 1.0:
        remarks.append(f"{1 - share:.2%} of the mask lies beyond the prediction and is not scored")
    return reached


def _doubts(sidecar: Sidecar, profile: Profile, triplet: Triplet) -> list[str]:
    """Return remarks where the sidecar or a unit does not seem to fit."""
    remarks = []
    if sidecar.output_digest not in (None, triplet.digests.get("prediction")):
        remarks.append("the sidecar describes another file than the prediction beside it")
    if profile.unit != "HU":
        return remarks
    if sidecar.unit is not None and sidecar.unit.upper() != "HU":
        remarks.append(
            f"the prediction's sidecar names another unit than HU, which {profile.name} scores"
        )
    for role, values in (("reference", triplet.reference), ("prediction", triplet.prediction)):
        if float(values.min()) >= 0:
            remarks.append(f"the {role} has no value below 0: it may not be in HU")
    return remarks


def describe(grid: Grid) -> str:
    """Return a grid's shape and spacing in words."""
    shape = "x".join(map(str, grid.shape))
    spacing = "x".join(f"{value:.4g}" for value in grid.spacing_mm)
    return f"{shape} voxels of {spacing} mm"
