"""What the pages show: tables, plots and the pictures of chosen cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgen.evaluation.matching import Case
from medgen.evaluation.pooling import Pool
from medgen.evaluation.scoring import Scored, load
from medgen.evaluation.summary import spreads
from medgen.metrics import Profile
from medgen.problems import MedgenError
from medgen.report import Panel, preview, render, to_ras
from medgen.report.agreement import bland_altman, error_histogram, errors_by_value
from medgen.report.figures import HU_WINDOW, round_up
from medgen.report.html import number
from medgen.report.strips import Strip, strips

WORST, MIDDLE, BEST = 16, 4, 4
CAPTIONED = 4


@dataclass(frozen=True)
class Picture:
    """One case's cuts, and why it was chosen."""

    case: str
    caption: str
    png: bytes


def evaluation_page(
    profile: Profile,
    results: Sequence[Scored],
    summary: Mapping[str, Any],
    pool: Pool,
    cases: Mapping[str, Case],
    *,
    match_grid: bool,
    nan_to: float | None,
) -> str:
    """Return the report as one self-contained page; cases stand worst first."""
    scored = [result for result in results if not result.failed]
    headline = [result for result in scored if result.seen_in_training is not True] or scored
    ranked = worst_first(profile, scored)
    pictures = []
    for result, reason in chosen(ranked):
        picture = _picture(
            profile, cases[result.case], result, reason, pool, match_grid=match_grid, nan_to=nan_to
        )
        pictures += [picture] if picture is not None else []
    context = {
        "profile": profile,
        "summary": summary,
        "ranked": ranked,
        "failed": [result for result in results if result.failed],
        "remarks": _gathered(scored),
        "strips": strips(_strips(profile, headline)),
        "histogram": error_histogram(pool.agreement()),
        "by_value": errors_by_value(pool.by_value()),
        "agreement": bland_altman(pool.agreement()),
        "pictures": pictures,
        "total": len(scored),
    }
    return render("evaluation", context)


def worst_first(profile: Profile, results: Sequence[Scored]) -> list[Scored]:
    """Order cases by the profile's leading score, the worst first, NaN before all."""
    leading = profile.details[0]

    def badness(result: Scored) -> tuple[float, str]:
        value = result.scores[leading.name]
        if np.isnan(value):
            return -np.inf, result.case
        value = abs(value) if leading.better == "zero" else value
        return (value if leading.better == "higher" else -value), result.case

    return sorted(results, key=badness)


def chosen(ranked: Sequence[Scored]) -> list[tuple[Scored, str]]:
    """Choose the cases to picture: all of few, else the worst, some in the middle, the best."""
    count = len(ranked)
    if count <= WORST + MIDDLE + BEST:
        return [(result, f"{place} of {count}") for place, result in enumerate(ranked, 1)]
    start = max(WORST, count // 2 - MIDDLE // 2)
    places = [*range(WORST), *range(start, start + MIDDLE), *range(count - BEST, count)]
    return [(ranked[place], f"{place + 1} of {count}") for place in dict.fromkeys(places)]


def _picture(
    profile: Profile,
    case: Case,
    result: Scored,
    reason: str,
    pool: Pool,
    *,
    match_grid: bool,
    nan_to: float | None,
) -> Picture | None:
    """Read a case again and draw reference, prediction and difference through the mask's centre."""
    try:
        triplet = load(case, profile, match_grid=match_grid, nan_to=nan_to)
    except MedgenError:  # it could be read a moment ago; the scores stand without a picture
        return None
    reference, spacing = to_ras(triplet.reference, triplet.grid)
    prediction, _ = to_ras(triplet.prediction, triplet.grid)
    mask, _ = to_ras(triplet.mask, triplet.grid)
    limit = round_up(pool.limit())
    if profile.unit == "HU":
        window = HU_WINDOW
    else:
        inside = reference[mask]
        low, high = (float(end) for end in np.percentile(inside, (0.5, 99.5)))
        window = (low, high)
        limit = round_up(limit / 100 * float(np.ptp(inside)))
    difference = np.asarray(prediction, np.float32) - np.asarray(reference, np.float32)
    png = preview(
        [
            Panel("reference", reference, "image", profile.unit, window),
            Panel("prediction", prediction, "image", profile.unit, window),
            Panel(
                "prediction − reference", difference, "difference", profile.unit, (-limit, limit)
            ),
        ],
        spacing_mm=spacing,
        mask=mask,
        panel_inches=3.1,
    )
    scores = ", ".join(
        f"{column.name} {number(result.scores[column.name])} {column.unit}".strip()
        for column in profile.details[:CAPTIONED]
    )
    return Picture(result.case, f"{reason}, worst first by {profile.columns[0]}: {scores}", png)


def _strips(profile: Profile, results: Sequence[Scored]) -> list[Strip]:
    found = spreads(profile, results)
    return [
        Strip(
            column.name,
            column.unit,
            [result.scores[column.name] for result in results],
            found[column.name].interval,
        )
        for column in profile.details
    ]


def _gathered(results: Sequence[Scored]) -> list[tuple[str, list[str]]]:
    """Return each remark once, with the cases that it concerns."""
    cases: dict[str, list[str]] = {}
    for result in results:
        for remark in result.remarks:
            cases.setdefault(remark, []).append(result.case)
    return list(cases.items())
