"""The two files for machines: a row per case as CSV, and the summary as JSON."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import medgen
from medgen.evaluation.scoring import Scored
from medgen.evaluation.statistics import LEVEL, RESAMPLES, SEED, Spread, spread
from medgen.metrics import Profile

SCORES, SUMMARY, REPORT = "scores.csv", "summary.json", "report.html"
KIND = "medgen evaluation"
FORMAT = 1
LEADING = ("case", "patient", "seen_in_training")
TRAILING = ("problem",)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def scores_csv(profile: Profile, results: Sequence[Scored]) -> str:
    """Return a row per case: case, patient, seen_in_training, the scores, and a failure's code.

    NaN is written `nan`, infinity `inf`; a failed case has empty scores. Text that a spreadsheet
    would run as a formula gets a leading apostrophe.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*LEADING, *profile.columns, *TRAILING])
    for result in results:
        seen = "" if result.seen_in_training is None else str(result.seen_in_training).lower()
        scores = [_cell(result.scores.get(column)) for column in profile.columns]
        code = result.problems[0].code if result.problems else ""
        writer.writerow([inert(result.case), inert(result.patient), seen, *scores, code])
    return stream.getvalue()


def _cell(value: float | None) -> str:
    return "" if value is None else repr(float(value))


def inert(text: str) -> str:
    """Return text that a spreadsheet will not run."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def spreads(profile: Profile, results: Sequence[Scored]) -> dict[str, Spread]:
    """Return every score's spread over cases that were scored."""
    patients = [result.patient for result in results]
    return {
        column: spread([result.scores[column] for result in results], patients)
        for column in profile.columns
    }


def block(profile: Profile, results: Sequence[Scored]) -> dict[str, Any] | None:
    """Return the statistics of some cases as JSON, or None where there is none."""
    if not results:
        return None
    return {
        "cases": len(results),
        "patients": len({result.patient for result in results}),
        "scores": {name: found.as_json() for name, found in spreads(profile, results).items()},
    }


def summary_json(
    profile: Profile, results: Sequence[Scored], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the summary: the headline over cases unseen in training, the rest beside it.

    `facts` are the caller's own keys (where masks came from, what was resampled, ...).
    """
    scored = [result for result in results if not result.failed]
    unseen = [result for result in scored if result.seen_in_training is not True]
    seen = [result for result in scored if result.seen_in_training is True]
    return {
        "kind": KIND,
        "format": FORMAT,
        "profile": _profile_json(profile),
        "headline": block(profile, unseen),
        "seen_in_training": block(profile, seen),
        "cases": {result.case: _case_json(result) for result in results},
        "failed": [p.as_json() for result in results for p in result.problems],
        "bootstrap": {
            "resamples": RESAMPLES,
            "seed": SEED,
            "level": LEVEL,
            "unit": "patient",
            "statistic": "mean over cases",
        },
        "conventions": "Statistics rest on finite values; `nan` and `infinite` count the others, "
        "which are null here and nan or inf in scores.csv. Cases seen in training are left out "
        "of the headline.",
        "versions": versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "intended_use": "research use only; not a medical device",
        **facts,
    }


def _profile_json(profile: Profile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "title": profile.title,
        "unit": profile.unit,
        "scores": {
            column.name: {
                "unit": column.unit,
                "better": column.better,
                "definition": column.definition,
            }
            for column in profile.details
        },
        "notes": list(profile.notes),
        **({"classes": dict(profile.classes)} if profile.kind == "labels" else {}),
        **({"regions": dict(profile.regions)} if profile.regional else {}),
    }


def _case_json(result: Scored) -> dict[str, Any]:
    scores = {
        name: value if math.isfinite(value) else None for name, value in result.scores.items()
    }
    return {
        "patient": result.patient,
        "seen_in_training": result.seen_in_training,
        "scores": scores,
        "unit": result.unit,
        "remarks": list(result.remarks),
        "sha256": dict(result.digests),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computed the scores."""
    found = {"medgen": medgen.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "scipy")}
