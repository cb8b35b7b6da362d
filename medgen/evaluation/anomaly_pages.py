"""What the page of the profile `anomaly` shows: curves, scores, and the cases that went wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from medgen.evaluation.anomaly_cases import AnomalyCase, Maps
from medgen.evaluation.anomaly_profile import OF_MAPS, PROFILE
from medgen.evaluation.anomaly_summary import case_ranking, leading_score, pooled
from medgen.evaluation.pages import Picture, gathered
from medgen.evaluation.scoring import Scored
from medgen.problems import MedgenError
from medgen.report import render, to_ras
from medgen.report.findings import map_sheet
from medgen.report.html import number
from medgen.report.ranking import ranking_figure, score_figure

PICTURED = 6
"""So many of the worst misses, and so many of the worst false alarms."""


def anomaly_page(
    results: Sequence[Scored],
    counted: Sequence[AnomalyCase],
    summary: Mapping[str, Any],
    again: Callable[[str], Maps],
) -> str:
    """Return the report as one self-contained page.

    `counted` are the cases that the figures rest on; `again` reads a case's volumes once more, by
    its name, for its picture.
    """
    name = leading_score(counted)
    whole = pooled(counted)
    context: dict[str, Any] = {
        "profile": PROFILE,
        "summary": summary,
        "found": summary["anomaly"],
        "ranked": [result for result in results if not result.failed],
        "in_table": [*OF_MAPS, *([PROFILE.column(name)] if name else []), PROFILE.column("p")],
        "failed": [result for result in results if result.failed],
        "remarks": gathered([result for result in results if not result.failed]),
        "voxel_curves": ranking_figure(whole, "voxels") if whole.positives else None,
        "case_curves": None,
        "scores_figure": None,
        "misses": list(_pictures(worst_misses(counted, name), name, again)),
        "false_alarms": list(_pictures(worst_alarms(counted, name), name, again)),
    }
    if name:
        ranking = case_ranking(counted, name)
        if ranking.positives and ranking.negatives:
            context["case_curves"] = ranking_figure(ranking, "cases")
        context["scores_figure"] = _scores_figure(counted, name)
    return render("anomaly", context)


def worst_misses(cases: Sequence[AnomalyCase], name: str) -> list[AnomalyCase]:
    """Return anomalous cases, the least unusual first: by score, or else by average precision."""
    sick = [case for case in cases if not case.healthy]
    return sorted(sick, key=lambda case: _rank(case, name, "voxel_average_precision"))[:PICTURED]


def worst_alarms(cases: Sequence[AnomalyCase], name: str) -> list[AnomalyCase]:
    """Return healthy cases, the most unusual first: by score, or else by what the mask holds."""
    healthy = [case for case in cases if case.healthy]
    ranked = sorted(healthy, key=lambda case: _rank(case, name, "false_positive_ml"), reverse=True)
    return ranked[:PICTURED]


def _rank(case: AnomalyCase, name: str, otherwise: str) -> float:
    value = case.facts.scores.get(name, case.scored.scores[otherwise])
    return -math.inf if math.isnan(value) else value


def _scores_figure(cases: Sequence[AnomalyCase], name: str) -> bytes:
    scored = [case for case in cases if name in case.facts.scores]
    values = {
        side: [case.facts.scores[name] for case in scored if case.healthy == healthy]
        for side, healthy in (("healthy", True), ("anomalous", False))
    }
    thresholds = {case.facts.case_threshold for case in scored}
    known = sorted(value for value in thresholds if math.isfinite(value))
    return score_figure(values, known, name)


def _pictures(
    cases: Sequence[AnomalyCase], name: str, again: Callable[[str], Maps]
) -> Iterator[Picture]:
    """Read cases again, one by one, and draw them."""
    for case in cases:
        try:
            png = picture(again(case.scored.case))
        except MedgenError:  # it could be read a moment ago; the scores stand without a picture
            continue
        yield Picture(case.scored.case, _caption(case, name), png)


def _caption(case: AnomalyCase, name: str) -> str:
    scores = case.scored.scores
    said = [case.group] if case.group else []
    if name:
        called = {True: ", called unusual", False: ", not called unusual", None: ""}
        said.append(f"{name} {number(scores[name])}{called[case.facts.unusual]}")
    if not case.healthy:
        said.append(f"lesion {number(scores['lesion_ml'])} ml")
        precision, chance = scores["voxel_average_precision"], scores["prevalence"]
        said.append(f"voxel average precision {number(precision)} (chance {number(chance)})")
    if case.overlap is not None:
        said.append(f"marked outside of lesions {number(scores['false_positive_ml'])} ml")
    return "; ".join(said)


def picture(maps: Maps) -> bytes:
    """Draw a case's map with its lesion and what is marked, through where most of that lies."""
    residual, spacing = to_ras(maps.residual, maps.grid)
    scored, _ = to_ras(maps.scored, maps.grid)
    lesion, _ = to_ras(maps.lesion, maps.grid)
    outlines = {"reference": lesion}
    if maps.mask is not None:
        marked, _ = to_ras(maps.mask & maps.scored, maps.grid)
        outlines["mask"] = marked
    aim = lesion
    if maps.healthy:
        depth, _ = to_ras(np.where(maps.scored, maps.depth, np.float32(0.0)), maps.grid)
        aim = outlines.get("mask", lesion)
        if not aim.any():
            aim = depth >= max(float(np.quantile(depth[scored], 0.999)), 1e-30)
    return map_sheet(residual, outlines, region=scored, aim=aim, spacing_mm=spacing)
