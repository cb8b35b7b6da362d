"""The verb evaluate: score every case on its own, summarise, and write the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.evaluation.confusion import Confusions
from medgen.evaluation.labelling import Labelling, find_labelling
from medgen.evaluation.matching import Matched
from medgen.evaluation.pages import evaluation_page
from medgen.evaluation.pooling import Pool
from medgen.evaluation.scoring import Scored, load, score_case
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
    `seen_in_training` stay out of the headline. A profile of labels is extended by the classes
    that the references hold, which takes a first reading of them.

    Raises:
        NothingFound: there is no case.
        ConfigurationError: E_EXISTS where the output holds a report and `overwrite` is off.
        Refusal: every case failed; nothing is written.
    """
    if not matched.cases:
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", "there is no case to score"))
    refuse_existing(output, (SCORES, SUMMARY, REPORT), overwrite=overwrite)
    labelling = Labelling()
    if profile.kind == "labels":
        labelling = find_labelling(matched.cases, nan_to=nan_to)
        profile = profile.for_labels(labelling.classes)
    how: Any = {"match_grid": match_grid, "nan_to": nan_to, "labelling": labelling}
    results: list[Scored] = []
    pools = {"unseen": _pool(profile), "seen": _pool(profile)}
    for case in matched.cases:
        scored, triplet = score_case(case, profile, **how)
        if triplet is not None:
            pools["seen" if scored.seen_in_training is True else "unseen"].add(triplet)
        results.append(scored)
        on_case(scored)
    if all(result.failed for result in results):
        raise Refusal(problem for result in results for problem in result.problems)
    summary = summary_json(
        profile,
        results,
        {**_facts(matched, profile, labelling), "match_grid": match_grid, "nan_to": nan_to},
    )
    cases = {case.name: case for case in matched.cases}
    pool = pools["unseen"] if len(pools["unseen"]) else pools["seen"]
    page = evaluation_page(
        profile, results, summary, pool, lambda name: load(cases[name], profile, **how)
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


def _facts(matched: Matched, profile: Profile, labelling: Labelling) -> dict[str, Any]:
    """Return what the summary says of the cases as they came."""
    facts: dict[str, Any] = {
        "mask": matched.scored_in(profile),
        "patients_known": all(case.patient is not None for case in matched.cases),
        "references_without_prediction": list(matched.without_prediction),
    }
    return facts | ({"labels": labelling.as_json()} if profile.kind == "labels" else {})


def _pool(profile: Profile) -> Pool | Confusions:
    """Return what gathers the voxels' errors: of values, or of classes."""
    return Confusions(profile.classes) if profile.kind == "labels" else Pool(profile.unit)
