"""The page to leaf through a cohort: failures first, every registration with its picture."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

import medgen
from medgen.preparation.record import Record, Result
from medgen.preparation.request import MASKS_PICTURE, Request
from medgen.report import render

INDEX = "index.html"
ORDER = ("failed", "doubtful", "ok")
MEASURES = (
    ("outline_dice", "outlines overlap", "Dice"),
    ("edge_distance_mm", "edges apart", "mm"),
    ("edge_parallel", "edges parallel", "(chance: 0.33)"),
    ("mutual_information", "mutual information", "nats"),
)
NUMBERS = (
    ("moved_mm", "moved", "mm"),
    ("turned_degrees", "turned", "°"),
    ("spread_mm", "starts disagree by", "mm"),
    ("seen", "body in view", "share"),
    ("deformed_mm", "deformed by at most", "mm"),
    ("folded", "folded", "share"),
)


@dataclass(frozen=True)
class Sheet:
    """One case on the page: where it stands among the others, and what became of its columns."""

    record: Record
    place: int
    moved: tuple[Result, ...]
    others: tuple[Result, ...]
    masks: str
    """The picture of the masks; empty where there is none."""


def index_page(request: Request, records: Sequence[Record]) -> str:
    """Return the page; its pictures are the files beside it, in the cases' folders."""
    ranked = sorted(records, key=lambda record: ORDER.index(record.verdict))
    sheets = []
    for place, record in enumerate(ranked, 1):
        moved = tuple(result for result in record.results if result.kind == "moved")
        others = tuple(result for result in record.results if result.kind != "moved")
        masks = MASKS_PICTURE if MASKS_PICTURE in record.files else ""
        sheets.append(Sheet(record, place, moved, others, masks))
    counts = {name: sum(record.verdict == name for record in records) for name in ORDER}
    context = {
        "request": request,
        "sheets": sheets,
        "counts": counts,
        "measures": MEASURES,
        "numbers": NUMBERS,
        "versions": _versions(),
    }
    return render("preparation", context)


def _versions() -> dict[str, str]:
    found = {"medgen": medgen.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in ("numpy", "SimpleITK")}
