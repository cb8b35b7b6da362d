"""One case: its three volumes onto one grid, and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.data.masks import outline
from medgen.data.pairing import check_frames_of_reference
from medgen.dicom.frames import BECQUEREL, SUV
from medgen.evaluation.labelling import Labelling
from medgen.evaluation.matching import Case
from medgen.evaluation.reach import check_reach, covered
from medgen.evaluation.sidecars import Sidecar, read_sidecar
from medgen.metrics import Profile, whole_labels
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import ARBITRARY, Grid, Volume, in_unit, open_volume, resample

_PLAIN = Labelling()
_SCORED = ("prediction", "reference")
_MATCH = "give --match-grid to resample it onto the reference's grid"


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
    case: Case,
    profile: Profile,
    *,
    match_grid: bool = False,
    nan_to: float | None = None,
    labelling: Labelling = _PLAIN,
) -> tuple[Scored, Triplet | None]:
    """Score one case, or say why not; a failed case has no volumes."""
    patient = pseudonym(case.patient) if case.patient else case.name
    try:
        sidecar = read_sidecar(case.prediction)
        _check_kind(sidecar, profile)
        triplet = load(case, profile, match_grid=match_grid, nan_to=nan_to, labelling=labelling)
        measured = profile.measure(
            triplet.prediction,
            triplet.reference,
            triplet.mask,
            spacing_mm=triplet.grid.spacing_mm.tolist(),
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


def load(
    case: Case,
    profile: Profile,
    *,
    match_grid: bool = False,
    nan_to: float | None = None,
    labelling: Labelling = _PLAIN,
) -> Triplet:
    """Read a case's volumes onto the reference's grid.

    Label volumes keep their values: the nearest voxel's, and background beyond their field of
    view. Without a mask images are scored in the reference's outline, labels everywhere.

    Raises:
        Refusal: the gate's, E_FRAME_OF_REFERENCE, E_UNIT, E_GRID_MISMATCH, E_GRID_COVERAGE,
            E_EMPTY_MASK, E_EMPTY_BODY or E_LABEL_VALUES.
    """
    volumes = {role: _open(path, role, nan_to) for role, path in case.paths().items()}
    digests = {role: volume.digest for role, volume in volumes.items() if volume.digest}
    check_frames_of_reference(volumes)
    remarks: list[str] = []
    labels = profile.kind == "labels"
    if not labels:
        if profile.unit == ARBITRARY:
            volumes |= _in_one_unit(volumes, read_sidecar(case.prediction).unit)
        volumes |= {role: _measuring(volumes[role], role, profile.unit) for role in _SCORED}
    if labels:
        volumes |= _as_labels(volumes, labelling)
    prediction, reference = volumes["prediction"], volumes["reference"]
    grid = reference.grid
    look_up: dict[str, Any] = {"order": 0, "outside": 0.0} if labels else {}
    predicted = _on_grid(prediction, grid, "prediction", match_grid, remarks, **look_up)
    mask = _mask(volumes, profile, match_grid, remarks)
    if labels:
        check_reach(mask, prediction, reference, remarks)
    else:
        mask = covered(mask, prediction.grid, grid, remarks)
        mask = _less_padding(mask, reference, remarks)
    return Triplet(predicted, reference.data, mask, grid, digests, tuple(remarks))


def _mask(
    volumes: Mapping[str, Volume], profile: Profile, match: bool, remarks: list[str]
) -> NDArray[np.bool_]:
    """Return the mask to score in, on the reference's grid."""
    reference = volumes["reference"]
    if "mask" in volumes:
        binary = volumes["mask"].with_data((volumes["mask"].data > 0).astype(np.uint8))
        # Beyond its own field of view a mask says nothing, whatever lies at its edge.
        placed = _on_grid(binary, reference.grid, "mask", match, remarks, order=0, outside=0.0)
        mask = placed > 0
    elif profile.kind == "labels":
        return np.ones(reference.grid.shape, dtype=np.bool_)
    else:
        spacing = reference.grid.spacing_mm
        mask = outline(reference.data, unit=profile.unit, spacing_mm=spacing.tolist())
    if not mask.any():
        advice = "check that the mask belongs to this case and is above 0 inside"
        raise Refusal(Problem("E_EMPTY_MASK", "the mask holds no voxel", advice, column="mask"))
    return mask


def _less_padding(
    mask: NDArray[np.bool_], reference: Volume, remarks: list[str]
) -> NDArray[np.bool_]:
    """Take the voxels that the reference's scanner padded out of the mask (X, Y, Z)."""
    if reference.valid is None or bool(reference.valid[mask].all()):
        return mask
    left = mask & reference.valid
    if not left.any():
        message = "the reference's scanner measured nothing inside the mask"
        advice = "check that the mask belongs to this case"
        raise Refusal(Problem("E_EMPTY_MASK", message, advice, column="mask"))
    share = 1.0 - int(left.sum()) / int(mask.sum())
    remarks.append(f"{share:.2%} of the mask was padded by the reference's scanner, not scored")
    return left


def _in_one_unit(volumes: Mapping[str, Volume], said: str | None) -> dict[str, Volume]:
    """Return PET in one unit where prediction and reference name two; refuse other pairs.

    `said` is the prediction's unit by its sidecar, for a file that names none itself.
    """
    prediction, reference = (volumes[role] for role in _SCORED)
    if said in (SUV, BECQUEREL) and prediction.unit == ARBITRARY:
        prediction = prediction.with_data(prediction.data, unit=said)
    units = (prediction.unit, reference.unit)
    if ARBITRARY in units or units[0] == units[1]:
        return {}
    try:
        pair = [in_unit(volume, SUV) for volume in (prediction, reference)]
    except Refusal as error:
        if any(problem.code != "E_UNIT" for problem in error.problems):
            raise
        message = f"the prediction is in {units[0]} and the reference in {units[1]}"
        raise Refusal(Problem("E_UNIT", message, "give both in one unit")) from None
    return dict(zip(_SCORED, pair, strict=True))


def _measuring(volume: Volume, role: str, unit: str) -> Volume:
    """Return a volume in the profile's unit, where its header names one; problems name the role."""
    try:
        return in_unit(volume, unit)
    except Refusal as error:
        raise error.at(column=role) from None


def _as_labels(volumes: Mapping[str, Volume], labelling: Labelling) -> dict[str, Volume]:
    """Return volumes of label values with the merged ones replaced; refuse all that are none."""
    found: dict[str, Volume] = {}
    problems: list[Problem] = []
    for role in ("prediction", "reference"):
        volume = volumes[role]
        try:
            values = labelling.applied(whole_labels(volume.data, role))
            found[role] = replace(volume, data=values)
        except Refusal as refusal:
            problems += refusal.problems
    if problems:
        raise Refusal(problems)
    return found


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
    if volume.grid.same_voxels_as(grid):  # stored in another order: nothing is interpolated
        return resample(volume.data, volume.grid, grid, order=0)
    difference = f"{describe(volume.grid)} against the reference's {describe(grid)}"
    if volume.grid.shape == grid.shape:
        gap = np.linalg.norm(volume.grid.corners() - grid.corners(), axis=1).max()
        difference += f", corners up to {gap:.3g} mm apart"
    if not match:
        message = f"the {role} lies on another grid: {difference}"
        raise Refusal(Problem("E_GRID_MISMATCH", message, _MATCH, column=role))
    remarks.append(f"the {role} was resampled onto the reference's grid: {difference}")
    return resample(volume.data, volume.grid, grid, order=order, outside=outside)


def _check_kind(sidecar: Sidecar, profile: Profile) -> None:
    """Refuse label numbers where intensities are scored: an error of one class is no error of 1."""
    if profile.kind == "image" and sidecar.unit == "label":
        message = f"the prediction holds labels, and the profile {profile.name} scores images"
        advice = "evaluate with --profile segmentation"
        raise Refusal(Problem("E_PROFILE_KIND", message, advice, column="prediction"))


def _doubts(sidecar: Sidecar, profile: Profile, triplet: Triplet) -> list[str]:
    """Return remarks where the sidecar or a unit does not seem to fit."""
    remarks = []
    written = sidecar.output_digests
    if written and triplet.digests.get("prediction") not in written:
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
