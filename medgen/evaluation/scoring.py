"""One case: its volumes onto one grid, and its scores."""

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
from medgen.evaluation.labelling import Labelling
from medgen.evaluation.matching import Case
from medgen.evaluation.placing import on_grid
from medgen.evaluation.reach import check_reach, covered
from medgen.evaluation.regions import placed_regions
from medgen.evaluation.sidecars import Sidecar, read_sidecar
from medgen.evaluation.units import SCORED, in_scored_units, unit_doubts
from medgen.metrics import Profile, whole_labels
from medgen.metrics.labels import Labels
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import Grid, Volume, field_of_view, open_volume

_PLAIN = Labelling()


@dataclass(frozen=True, eq=False)
class Triplet:
    """A prediction, its reference and the mask to score in (X, Y, Z), on the reference's grid.

    `regions` are label values on the same grid, where a map of them was given; `unit` is what both
    volumes are in, as far as headers and sidecars say.
    """

    prediction: NDArray[Any]
    reference: NDArray[Any]
    mask: NDArray[np.bool_]
    grid: Grid
    digests: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    regions: Labels | None = None
    unit: str = ""


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
    unit: str = ""
    """Of both volumes, as far as headers and sidecars say."""

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
            regions=triplet.regions,
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
        unit=triplet.unit,
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
        Refusal: the gate's, E_FRAME_OF_REFERENCE, E_UNIT, E_SUV, E_GRID_MISMATCH,
            E_GRID_COVERAGE, E_EMPTY_MASK, E_EMPTY_BODY or E_LABEL_VALUES.
    """
    volumes = {role: _open(path, role, nan_to) for role, path in case.paths().items()}
    digests = {role: volume.digest for role, volume in volumes.items() if volume.digest}
    check_frames_of_reference(volumes)
    remarks: list[str] = []
    labels = profile.kind == "labels"
    unit = profile.unit
    if labels:
        volumes |= _as_labels(volumes, labelling)
    else:
        pair, unit = in_scored_units(volumes, profile, read_sidecar(case.prediction).unit)
        volumes |= pair
    prediction, reference = volumes["prediction"], volumes["reference"]
    grid = reference.grid
    look_up: dict[str, Any] = {"order": 0, "outside": 0.0} if labels else {}
    predicted = on_grid(prediction, grid, "prediction", match_grid, remarks, **look_up)
    mask = _mask(volumes, profile, match_grid, remarks)
    if labels:
        check_reach(mask, prediction, reference, remarks)
    else:
        mask = covered(mask, prediction.grid, grid, remarks)
        mask = _less_padding(mask, reference, remarks)
    regions = None
    if "regions" in volumes:
        measured = _measured(prediction, reference)
        regions = placed_regions(volumes["regions"], grid, measured, match_grid, remarks)
    return Triplet(
        predicted, reference.data, mask, grid, digests, tuple(remarks), regions=regions, unit=unit
    )


def _mask(
    volumes: Mapping[str, Volume], profile: Profile, match: bool, remarks: list[str]
) -> NDArray[np.bool_]:
    """Return the mask to score in, on the reference's grid."""
    reference = volumes["reference"]
    if "mask" in volumes:
        binary = volumes["mask"].with_data((volumes["mask"].data > 0).astype(np.uint8))
        # Beyond its own field of view a mask says nothing, whatever lies at its edge.
        placed = on_grid(binary, reference.grid, "mask", match, remarks, order=0, outside=0.0)
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


def _measured(prediction: Volume, reference: Volume) -> NDArray[np.bool_]:
    """Return where both volumes hold what was measured or made, on the reference's grid."""
    reached = field_of_view(prediction.grid, reference.grid)
    return reached if reference.valid is None else reached & reference.valid


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


def _as_labels(volumes: Mapping[str, Volume], labelling: Labelling) -> dict[str, Volume]:
    """Return volumes of label values with the merged ones replaced; refuse all that are none."""
    found: dict[str, Volume] = {}
    problems: list[Problem] = []
    for role in SCORED:
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


def _check_kind(sidecar: Sidecar, profile: Profile) -> None:
    """Refuse label numbers where intensities are scored, and residuals where images are.

    An error of one class is no error of 1, and a residual is meant to be unlike its source.
    """
    if sidecar.kind == "anomaly":
        message = (
            f"the prediction is an anomaly map, and the profile {profile.name} does not score it"
        )
        advice = "evaluate with --profile anomaly, against a column of lesions"
        raise Refusal(Problem("E_PROFILE_KIND", message, advice, column="prediction"))
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
    volumes = (triplet.prediction, triplet.reference, triplet.mask)
    return remarks + unit_doubts(sidecar, profile, *volumes)
