"""The verb evaluate: score every case on its own, summarise, and write the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.evaluation.matching import Case, Matched
from medgen.evaluation.pages import evaluation_page
from medgen.evaluation.pooling import Pool
from medgen.evaluation.scoring import Scored, score_case
from medgen.evaluation.summary import REPORT, SCORES, SUMMARY, scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.metrics import Profile
from medgen.problems import ConfigurationError, Exit, NothingFound, Problem, Refusal


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found, and what it wrote."""

    profile: Profile
    results: tuple[Scored, ...]
    summary: dict[str, Any]
    report: Path

    @property
    def failed(self) -> tuple[Scored, ...]:
        """The cases that could not be scored."""
        return tuple(result for result in self.results if result.failed)

    @property
    def exit_code(self) -> Exit:
        """The exit code of the verb: 8 where some cases failed."""
        return Exit.SOME_FAILED if self.failed else Exit.OK


def evaluate(
    matched: Matched,
    profile: Profile,
    output: Path,
    *,
    match_grid: bool = False,
    nan_to: float | None = None,
    overwrite: bool = False,
    on_case: Callable[[Scored], None] = lambda scored: None,
) -> Evaluation:
    """Score matched cases and write `scores.csv`, `summary.json` and `report.html` to `output`.

    A case that cannot be scored does not stop the others. `match_grid` resamples predictions and
    masks onto the reference's grid instead of refusing other grids; `nan_to` replaces NaN voxels
    instead of refusing them; `on_case` hears of each case as it is done. Cases whose sidecar says
    `seen_in_training` stay out of the headline.

    Raises:
        NothingFound: there is no case.
        ConfigurationError: E_EXISTS where the output holds a report and `overwrite` is off.
        Refusal: every case failed; nothing is written.
    """
    if not matched.cases:
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", "there is no case to score"))
    refuse_existing(output, (SCORES, SUMMARY, REPORT), overwrite=overwrite)
    results: list[Scored] = []
    pools = {"unseen": Pool(profile.unit), "seen": Pool(profile.unit)}
    for case in matched.cases:
        scored, triplet = score_case(case, profile, match_grid=match_grid, nan_to=nan_to)
        if triplet is not None:
            pools["seen" if scored.seen_in_training is True else "unseen"].add(triplet)
        results.append(scored)
        on_case(scored)
    if all(result.failed for result in results):
        raise Refusal(problem for result in results for problem in result.problems)
    facts = {
        "mask": matched.mask_source,
        "patients_known": all(case.patient is not None for case in matched.cases),
        "match_grid": match_grid,
        "nan_to": nan_to,
        "references_without_prediction": list(matched.without_prediction),
    }
    summary = summary_json(profile, results, facts)
    pool = pools["unseen"] if len(pools["unseen"]) else pools["seen"]
    page = evaluation_page(
        profile,
        results,
        summary,
        pool,
        _by_name(matched.cases),
        match_grid=match_grid,
        nan_to=nan_to,
    )
    write_text(output / SCORES, scores_csv(profile, results))
    write_json(output / SUMMARY, summary)
    write_text(output / REPORT, page)
    return Evaluation(profile, tuple(results), summary, output / REPORT)


def refuse_existing(output: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse to write over earlier results unless `overwrite` is on."""
    if output.exists() and not output.is_dir():
        raise ConfigurationError(
            Problem("E_EXISTS", "--output is a file, not a folder", "name a folder")
        )
    existing = [name for name in names if (output / name).exists()]
    if existing and not overwrite:
        message = f"the output folder already holds {', '.join(existing)}"
        raise ConfigurationError(
            Problem("E_EXISTS", message, "choose another folder, or give --overwrite")
        )


def _by_name(cases: Sequence[Case]) -> dict[str, Case]:
    return {case.name: case for case in cases}
