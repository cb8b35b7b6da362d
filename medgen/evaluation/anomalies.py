"""The profile `anomaly`: maps against lesions, case by case and over all voxels, to a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medgen.evaluation.anomaly_cases import AnomalyCase, load_maps, score_maps
from medgen.evaluation.anomaly_pages import anomaly_page
from medgen.evaluation.anomaly_profile import PROFILE
from medgen.evaluation.anomaly_summary import anomaly_json
from medgen.evaluation.evaluation import Evaluation, refuse_existing
from medgen.evaluation.matching import EVERYWHERE, Matched
from medgen.evaluation.scoring import Scored
from medgen.evaluation.summary import REPORT, SCORES, SUMMARY, scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.problems import NothingFound, Problem, Refusal


def evaluate_maps(
    matched: Matched,
    output: Path,
    *,
    match_grid: bool = False,
    nan_to: float | None = None,
    overwrite: bool = False,
    on_case: Callable[[Scored], None] = lambda scored: None,
) -> Evaluation:
    """Score anomaly maps and write `scores.csv`, `summary.json` and `report.html` to `output`.

    A reference is above 0 in lesions, and a case without such a voxel is healthy. A case's score,
    its threshold and its mask are the sidecar's; a map without one is scored by voxels alone. Cases
    whose sidecar says `seen_in_training` stay out of every figure but their own rows, unless all
    are such. The scored voxels' numbers of all cases are held in memory, four bytes each.

    Raises:
        NothingFound: there is no case.
        ConfigurationError: E_EXISTS where the output holds a report and `overwrite` is off.
        Refusal: every case failed; nothing is written.
    """
    if not matched.cases:
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", "there is no case to score"))
    refuse_existing(output, (SCORES, SUMMARY, REPORT), overwrite=overwrite)
    how: Any = {"match_grid": match_grid, "nan_to": nan_to}
    results: list[Scored] = []
    kept: list[AnomalyCase] = []
    for case in matched.cases:
        scored, found = score_maps(case, **how)
        results.append(scored)
        kept += [] if found is None else [found]
        on_case(scored)
    if not kept:
        raise Refusal(problem for result in results for problem in result.problems)
    unseen = [case for case in kept if case.scored.seen_in_training is not True]
    counted = unseen or kept
    facts = {
        "anomaly": anomaly_json(counted),
        "mask": matched.scored_in(PROFILE),
        "patients_known": all(case.patient is not None for case in matched.cases),
        "references_without_prediction": list(matched.without_prediction),
        "remarks": _doubts(counted, matched.scored_in(PROFILE) == EVERYWHERE),
        **how,
    }
    summary = summary_json(PROFILE, results, facts)
    cases = {case.name: case for case in matched.cases}
    page = anomaly_page(results, counted, summary, lambda name: load_maps(cases[name], **how))
    write_text(output / SCORES, scores_csv(PROFILE, results))
    write_json(output / SUMMARY, summary)
    write_text(output / REPORT, page)
    return Evaluation(PROFILE, tuple(results), summary, output / REPORT)


def _doubts(cases: Sequence[AnomalyCase], whole_volume: bool) -> list[str]:
    """Return what makes the figures over these cases mean less than they seem to."""
    doubts = []
    if whole_volume:
        doubts.append(
            "no mask column: every voxel of the volumes counts, air and all, which makes the "
            "voxels' AUROC look better than inside the body"
        )
    sick = sum(not case.healthy for case in cases)
    if not sick or sick == len(cases):
        kind, side = ("healthy", "anomalous") if not sick else ("anomalous", "healthy")
        doubts.append(f"every case is {kind}: without {side} ones no case can be told from another")
    differing: Mapping[str, set[str]] = {
        "models": {case.facts.model for case in cases},
        "directions": {case.facts.direction for case in cases},
        "case scores": {case.facts.score for case in cases if case.facts.score},
    }
    for noun, found in differing.items():
        if len(found) > 1:
            doubts.append(f"the maps are of {len(found)} {noun}: their numbers are not comparable")
    without = sum(not case.facts.scores for case in cases)
    if 0 < without < len(cases):
        doubts.append(f"{without} of {len(cases)} cases have no score: they are in no case figure")
    unmarked = sum(case.overlap is None for case in cases)
    if unmarked:
        doubts.append(
            f"{unmarked} of {len(cases)} cases have no mask beside their map: without a "
            "calibration of the run there is no Dice and no false-positive volume of them"
        )
    return doubts
