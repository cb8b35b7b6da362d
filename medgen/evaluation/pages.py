"""What the pages show: tables, plots and the pictures of chosen cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medgen.evaluation.class_pages import class_context, drawn, label_picture
from medgen.evaluation.confusion import Confusions
from medgen.evaluation.pooling import Pool
from medgen.evaluation.region_pages import drawn as drawn_of_regions
from medgen.evaluation.region_pages import region_context
from medgen.evaluation.scoring import Scored, Triplet
from medgen.metrics import Column, Profile
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
    pool: Pool | Confusions,
    again: Callable[[str], Triplet],
) -> str:
    """Return the report as one self-contained page; cases stand worst first.

    `again` reads a case's volumes once more, by its name, for its picture.
    """
    scored = [result for result in results if not result.failed]
    headline = [result for result in scored if result.seen_in_training is not True] or scored
    ranked = worst_first(profile, scored)
    found = summary["headline"] or summary["seen_in_training"]
    shown = drawn_of_regions(profile) if isinstance(pool, Pool) else drawn(profile, found)
    context = {
        "profile": profile,
        "summary": summary,
        "ranked": ranked,
        "failed": [result for result in results if result.failed],
        "remarks": gathered(scored),
        "strips": strips(_strips(shown, headline, found)),
        "total": len(scored),
    }
    if isinstance(pool, Pool):
        draw = partial(image_picture, profile, pool)
        context["pictures"] = list(_pictures(profile, ranked, again, draw))
        context |= {
            "histogram": error_histogram(pool.agreement()),
            "by_value": errors_by_value(pool.by_value()),
            "agreement": bland_altman(pool.agreement()),
            "means": profile.overall,
        }
        if profile.regions:
            context |= region_context(profile, found)
        return render("evaluation", context)
    draw = partial(label_picture, profile)
    context["pictures"] = list(_pictures(profile, ranked, again, draw))
    return render("segmentation", context | class_context(profile, found, pool))


def worst_first(profile: Profile, results: Sequence[Scored]) -> list[Scored]:
    """Order cases by the profile's leading score, the worst first.

    An image that has no score stands before all; a case without a label, rightly left empty,
    stands last.
    """
    leading = profile.details[0]
    unscored = -np.inf if profile.kind == "image" else np.inf

    def badness(result: Scored) -> tuple[float, str]:
        value = result.scores[leading.name]
        if np.isnan(value):
            return unscored, result.case
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


def _pictures(
    profile: Profile,
    ranked: Sequence[Scored],
    again: Callable[[str], Triplet],
    draw: Callable[[Triplet], bytes],
) -> Iterator[Picture]:
    """Read chosen cases again, one by one, and draw them."""
    for result, reason in chosen(ranked):
        try:
            png = draw(again(result.case))
        except MedgenError:  # it could be read a moment ago; the scores stand without a picture
            continue
        scores = ", ".join(
            f"{column.name} {number(result.scores[column.name])} {column.unit}".strip()
            for column in profile.details[:CAPTIONED]
        )
        caption = f"{reason}, worst first by {profile.columns[0]}: {scores}"
        yield Picture(result.case, caption, png)


def image_picture(profile: Profile, pool: Pool, triplet: Triplet) -> bytes:
    """Draw reference, prediction and difference through the mask's centre."""
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
    return preview(
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


def _strips(
    columns: Sequence[Column], results: Sequence[Scored], found: Mapping[str, Any]
) -> list[Strip]:
    """Return the strips of some scores; `found` are their statistics."""
    strips = []
    for column in columns:
        low, high = found["scores"][column.name]["ci95"]
        ends = (math.nan, math.nan) if low is None else (low, high)
        values = [result.scores[column.name] for result in results]
        strips.append(Strip(column.name, column.unit, values, ends))
    return strips


def gathered(results: Sequence[Scored]) -> list[tuple[str, list[str]]]:
    """Return each remark once, with the cases that it concerns."""
    cases: dict[str, list[str]] = {}
    for result in results:
        for remark in result.remarks:
            cases.setdefault(remark, []).append(result.case)
    return list(cases.items())
