"""One anomaly map against the lesions of its reference: scores by voxels, facts by its sidecar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.calibration import oriented
from medgen.config.anomaly import CASE_SCORES
from medgen.data.pairing import check_frames_of_reference
from medgen.evaluation.anomaly_profile import PROFILE
from medgen.evaluation.anomaly_sidecars import MASK, AnomalyFacts, read_anomaly
from medgen.evaluation.matching import Case
from medgen.evaluation.placing import on_grid
from medgen.evaluation.reach import covered
from medgen.evaluation.scoring import Scored, pseudonym
from medgen.evaluation.sidecars import Sidecar, read_sidecar
from medgen.metrics.anomaly import Ranking, rank
from medgen.problems import MedgenError, Problem, Refusal
from medgen.volumes import Grid, Volume, open_volume

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
MUCH = 0.5
"""The share of scored voxels from which a reference hardly shows a lesion."""


@dataclass(frozen=True, eq=False)
class Maps:
    """A case's volumes (X, Y, Z) on the reference's grid."""

    residual: Floats
    """The map as it was written, signed."""
    depth: Floats
    """The same by its direction, at least 0: what is ranked."""
    lesion: Mask
    scored: Mask
    """Where voxels count."""
    mask: Mask | None
    """What convert marked, if it did."""
    grid: Grid
    facts: AnomalyFacts
    healthy: bool
    digests: Mapping[str, str]
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AnomalyCase:
    """What is kept of a case for the figures over all of them: its voxels, sorted."""

    scored: Scored
    healthy: bool
    group: str
    facts: AnomalyFacts
    lesion: Floats
    """The map's numbers in the lesion, rising."""
    tissue: Floats
    """And elsewhere in the scored region."""
    overlap: tuple[int, int] | None
    """Voxels of the mask in the lesion, and elsewhere; None without a mask."""

    @property
    def ranking(self) -> Ranking:
        """Return how the lesion's voxels rank among the case's others."""
        return rank(self.lesion, self.tissue)


def score_maps(
    case: Case, *, match_grid: bool = False, nan_to: float | None = None
) -> tuple[Scored, AnomalyCase | None]:
    """Score one case, or say why not; a failed case keeps no voxels."""
    patient = pseudonym(case.patient) if case.patient else case.name
    try:
        maps = load_maps(case, match_grid=match_grid, nan_to=nan_to)
    except MedgenError as error:
        return Scored(case.name, patient, problems=error.at(case=case.name).problems), None
    lesion = np.sort(maps.depth[maps.lesion & maps.scored])
    tissue = np.sort(maps.depth[maps.scored & ~maps.lesion])
    overlap = None
    if maps.mask is not None:
        inside = maps.mask & maps.scored
        hits = int(np.count_nonzero(inside & maps.lesion))
        overlap = hits, int(np.count_nonzero(inside)) - hits
    scores = _scores(rank(lesion, tissue), overlap, maps)
    scored = Scored(
        case.name,
        patient,
        {name: scores[name] for name in PROFILE.columns},
        read_sidecar(case.prediction).seen_in_training,
        maps.remarks,
        maps.digests,
        unit=PROFILE.unit,
    )
    kept = AnomalyCase(scored, maps.healthy, case.group, maps.facts, lesion, tissue, overlap)
    return scored, kept


def _scores(ranking: Ranking, overlap: tuple[int, int] | None, maps: Maps) -> dict[str, float]:
    """Return the profile's columns; what a case cannot have is NaN."""
    voxel_ml = maps.grid.voxel_mm3 / 1000.0
    hits, alarms = (math.nan, math.nan) if overlap is None else overlap
    sick = ranking.positives > 0
    return {
        "voxel_average_precision": ranking.average_precision,
        "voxel_auroc": ranking.auroc,
        "dice": 2.0 * hits / (hits + alarms + ranking.positives) if sick else math.nan,
        "recall": hits / ranking.positives if sick else math.nan,
        "false_positive_ml": alarms * voxel_ml,
        "oracle_dice": ranking.oracle_dice[0],
        "prevalence": ranking.chance,
        "lesion_ml": ranking.positives * voxel_ml,
        "mask_ml": (hits + alarms) * voxel_ml,
        **{name: maps.facts.scores.get(name, math.nan) for name in CASE_SCORES},
        "p": maps.facts.p,
    }


def load_maps(case: Case, *, match_grid: bool = False, nan_to: float | None = None) -> Maps:
    """Read a case's map, its reference and, where the sidecar vouches for it, convert's mask.

    Voxels count inside the case's mask, without one everywhere, and where the map reaches.

    Raises:
        Refusal: the gate's, E_FRAME_OF_REFERENCE, E_PROFILE_KIND, E_GRID_MISMATCH,
            E_GRID_COVERAGE or E_EMPTY_MASK.
    """
    sidecar = read_sidecar(case.prediction)
    if sidecar.unit == "label":
        message = f"the prediction holds labels, and the profile {PROFILE.name} ranks numbers"
        advice = "give the maps, or evaluate with --profile segmentation"
        raise Refusal(Problem("E_PROFILE_KIND", message, advice, column="prediction"))
    volumes = {role: _open(path, role, nan_to) for role, path in case.paths().items()}
    check_frames_of_reference(volumes)
    grid = volumes["reference"].grid
    remarks = list(sidecar.remarks)
    facts = _believed(case.prediction, volumes["prediction"], sidecar, remarks)
    residual = on_grid(volumes["prediction"], grid, "prediction", match_grid, remarks)
    residual = np.asarray(residual, np.float32)
    lesion = np.asarray(volumes["reference"].data > 0)
    scored = _scored(volumes, lesion, match_grid, remarks)
    marked = _marked(facts, grid, match_grid, remarks)
    return Maps(
        residual,
        np.maximum(oriented(residual, facts.direction), 0.0),
        lesion,
        scored,
        marked,
        grid,
        facts,
        not bool(lesion.any()),
        {role: volume.digest for role, volume in volumes.items() if volume.digest},
        tuple(remarks),
    )


def _believed(path: Path, volume: Volume, sidecar: Sidecar, remarks: list[str]) -> AnomalyFacts:
    """Return what the sidecar says of a map, unless it describes another file."""
    written = sidecar.output_digests
    if written and volume.digest not in written:
        remarks.append("the sidecar describes another file: only voxels are scored, by size")
        return AnomalyFacts()
    facts = read_anomaly(path)
    remarks += facts.remarks
    return facts


def _scored(volumes: Mapping[str, Volume], lesion: Mask, match: bool, remarks: list[str]) -> Mask:
    """Return where voxels count (X, Y, Z), and remark on a reference that does not fit there."""
    reference = volumes["reference"]
    grid = reference.grid
    scored = np.ones(grid.shape, dtype=np.bool_)
    if "mask" in volumes:
        binary = volumes["mask"].with_data((volumes["mask"].data > 0).astype(np.uint8))
        scored = on_grid(binary, grid, "mask", match, remarks, order=0, outside=0.0) > 0
    if reference.valid is not None:
        scored &= reference.valid
    if not scored.any():
        advice = "check that the mask belongs to this case and is above 0 inside"
        raise Refusal(Problem("E_EMPTY_MASK", "the mask holds no voxel", advice, column="mask"))
    scored = covered(scored, volumes["prediction"].grid, grid, remarks)
    sick, total = int(lesion.sum()), int(scored.sum())
    inside = int(np.count_nonzero(lesion & scored))
    if inside < sick:
        share = f"{1 - inside / sick:.2%}"
        remarks.append(f"{share} of the lesion lies outside the scored region and counts nowhere")
    if inside > MUCH * total:
        share = f"{inside / total:.0%}"
        remarks.append(f"the reference is above 0 in {share} of the scored voxels: is it a lesion?")
    return scored


def _marked(facts: AnomalyFacts, grid: Grid, match: bool, remarks: list[str]) -> Mask | None:
    """Return the mask that convert wrote (X, Y, Z), if the sidecar vouches for what is there."""
    if facts.mask is None:
        return None
    volume = _open(facts.mask, MASK, None)
    if volume.digest not in facts.mask_digests:
        remarks.append("the mask beside the map is not the one that its sidecar lists: left out")
        return None
    how: dict[str, Any] = {"order": 0, "outside": 0.0}
    return np.asarray(on_grid(volume, grid, MASK, match, remarks, **how) > 0)


def _open(path: Path, role: str, nan_to: float | None) -> Volume:
    try:
        return open_volume(path, nan_to=nan_to)
    except MedgenError as error:
        raise error.at(column=role) from None
