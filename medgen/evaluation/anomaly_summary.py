"""Figures over anomaly cases: who is unusual, where, and how much is marked in the healthy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from medgen.config.anomaly import CASE_SCORES
from medgen.evaluation.anomaly_cases import AnomalyCase
from medgen.evaluation.ranking_intervals import ranking_intervals
from medgen.evaluation.statistics import LEVEL, number, spread
from medgen.metrics.anomaly import Ranking, rank, rank_labelled
from medgen.metrics.delong import delong_interval

Cases = Sequence[AnomalyCase]
OF_LESIONS = ("voxel_average_precision", "voxel_auroc", "dice", "recall", "oracle_dice")
OVER_LESIONS = (*OF_LESIONS, "prevalence", "false_positive_ml")


def anomaly_json(cases: Cases) -> dict[str, Any]:
    """Return every figure over cases as JSON; what cannot be had is null."""
    name = leading_score(cases)
    healthy = [case for case in cases if case.healthy]
    return {
        "healthy": len(healthy),
        "anomalous": len(cases) - len(healthy),
        "score": name or None,
        "cases": case_level(cases, name) if name else None,
        "by_score": {each: case_level(cases, each) for each in CASE_SCORES if _having(cases, each)},
        "threshold": at_threshold(cases),
        "voxels": voxel_level(cases),
        "on_healthy": on_healthy(healthy),
        "groups": by_group(cases, name),
        "level": LEVEL,
    }


def leading_score(cases: Cases) -> str:
    """Return the score that all sidecars name for the case; empty where they do not agree."""
    names = {case.facts.score for case in cases if case.facts.score}
    return names.pop() if len(names) == 1 else ""


def pooled(cases: Cases) -> Ranking:
    """Return how the lesions' voxels rank among all others, of all cases together."""
    everything = [case.lesion for case in cases]
    lesion = np.concatenate(everything) if everything else np.zeros(0, np.float32)
    return rank(lesion, [case.tissue for case in cases])


def case_ranking(cases: Cases, name: str) -> Ranking:
    """Return how anomalous cases rank among healthy ones by a score that they all have."""
    having = _having(cases, name)
    scores = np.array([case.facts.scores[name] for case in having], np.float64)
    return rank_labelled(scores, np.array([not case.healthy for case in having], np.bool_))


def case_level(cases: Cases, name: str) -> dict[str, Any]:
    """Return the areas of a case score with their intervals, over the cases that have it."""
    having = _having(cases, name)
    ranking = case_ranking(having, name)
    scores = [case.facts.scores[name] for case in having]
    positive = [not case.healthy for case in having]
    patients = [case.scored.patient for case in having]
    intervals = ranking_intervals(scores, positive, patients)
    sick, healthy = ([case for case in having if case.healthy == side] for side in (False, True))
    sides = [np.array([case.facts.scores[name] for case in side]) for side in (sick, healthy)]
    owners = [case.scored.patient for case in sick], [case.scored.patient for case in healthy]
    both = ranking.positives and ranking.negatives
    return {
        "healthy": ranking.negatives,
        "anomalous": ranking.positives,
        "patients": len(set(patients)),
        "without_score": len(cases) - len(having),
        "auroc": {
            "value": number(ranking.auroc),
            "delong95": _ends(delong_interval(sides[0], sides[1], owners)),
            "bootstrap95": _ends(intervals.auroc),
        },
        "average_precision": {
            "value": number(ranking.average_precision if both else math.nan),
            "bootstrap95": _ends(intervals.average_precision),
            "chance": number(ranking.chance),
        },
    }


def at_threshold(cases: Cases) -> dict[str, Any] | None:
    """Return sensitivity and specificity at the calibrated threshold; None where there is none."""
    judged = [case for case in cases if case.facts.unusual is not None]
    if not judged:
        return None
    right = {
        "sensitivity": [case.facts.unusual is True for case in judged if not case.healthy],
        "specificity": [case.facts.unusual is False for case in judged if case.healthy],
    }
    thresholds = sorted({t for case in judged if math.isfinite(t := case.facts.case_threshold)})
    return {
        "thresholds": thresholds,
        "not_judged": len(cases) - len(judged),
        **{name: _share(found) for name, found in right.items()},
    }


def _share(right: Sequence[bool]) -> dict[str, Any]:
    """Return a share of cases with Wilson's interval."""
    if not right:
        return {"value": None, "cases": 0, "of": 0, "wilson95": [None, None]}
    found = stats.binomtest(sum(right), len(right)).proportion_ci(LEVEL, method="wilson")
    return {
        "value": sum(right) / len(right),
        "cases": sum(right),
        "of": len(right),
        "wilson95": [float(found.low), float(found.high)],
    }


def voxel_level(cases: Cases) -> dict[str, Any]:
    """Return the figures of voxels: pooled over all cases, and as means over anomalous ones."""
    sick = [case for case in cases if not case.healthy]
    return {
        "pooled": _pooled_json(cases),
        "mean_over_anomalous": {name: _spread(sick, name) for name in OVER_LESIONS},
    }


def _pooled_json(cases: Cases) -> dict[str, Any]:
    ranking = pooled(cases)
    oracle, threshold = ranking.oracle_dice
    return {
        "lesion_voxels": ranking.positives,
        "other_voxels": ranking.negatives,
        "average_precision": number(ranking.average_precision),
        "chance": number(ranking.chance),
        "auroc": number(ranking.auroc),
        "dice": number(_pooled_dice(cases)),
        "oracle_dice": number(oracle),
        "oracle_threshold": number(threshold),
    }


def _pooled_dice(cases: Cases) -> float:
    """Return the Dice of all masks as one; NaN where a case has none, or there is no lesion."""
    overlaps = [case.overlap for case in cases]
    known = [overlap for overlap in overlaps if overlap is not None]
    lesion = sum(len(case.lesion) for case in cases)
    if len(known) < len(overlaps) or not lesion:
        return math.nan
    hits, alarms = sum(hits for hits, _ in known), sum(alarms for _, alarms in known)
    return 2.0 * hits / (hits + alarms + lesion)


def on_healthy(healthy: Cases) -> dict[str, Any] | None:
    """Return what the mask holds of healthy cases; None where none of them has a mask."""
    marked = [case for case in healthy if case.overlap is not None]
    if not marked:
        return None
    voxels = sum(len(case.tissue) for case in marked)
    alarms = sum(case.overlap[1] for case in marked if case.overlap is not None)
    return {
        "cases": len(marked),
        "false_positive_ml": _spread(marked, "false_positive_ml"),
        "share_of_voxels": alarms / voxels if voxels else None,
        "without_any": sum(case.overlap == (0, 0) for case in marked),
    }


def by_group(cases: Cases, name: str) -> dict[str, Any]:
    """Return each group's figures: its anomalous cases against all healthy ones, and its voxels."""
    healthy = [case for case in cases if case.healthy]
    sick: dict[str, list[AnomalyCase]] = {}
    for case in cases:
        if case.group and not case.healthy:
            sick.setdefault(case.group, []).append(case)
    return {
        group: {
            "anomalous": len(mine),
            "patients": len({case.scored.patient for case in mine}),
            "cases": case_level([*healthy, *mine], name) if name else None,
            "threshold": at_threshold(mine),
            "lesion_ml": _spread(mine, "lesion_ml"),
            **voxel_level(mine),
        }
        for group, mine in sorted(sick.items())
    }


def _having(cases: Cases, name: str) -> list[AnomalyCase]:
    return [case for case in cases if name in case.facts.scores]


def _spread(cases: Cases, column: str) -> Mapping[str, object]:
    values = [case.scored.scores[column] for case in cases]
    return spread(values, [case.scored.patient for case in cases]).as_json()


def _ends(interval: tuple[float, float]) -> list[float | None]:
    return [number(end) for end in interval]
