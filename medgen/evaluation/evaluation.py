"""The verb evaluate: score every case on its own, summarise, and write the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgen.evaluation.confusion import Confusions
from medgen.evaluation.distributions import FeatureSource, check_enough, members_of, paired_json
from medgen.evaluation.labelling import Labelling, find_labelling
from medgen.evaluation.matching import Matched
from medgen.evaluation.pages import evaluation_page
from medgen.evaluation.pooling import Pool
from medgen.evaluation.regions import Regions, check_regional, find_regions
from medgen.evaluation.scoring import Scored, load, score_case
from medgen.evaluation.summary import REPORT, SCORES, SUMMARY, scores_csv, summary_json
from medgen.evaluation.units import in_common_unit
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
    region_names: Mapping[str, int] | None = None,
    match_grid: bool = False,
    nan_to: float | None = None,
    overwrite: bool = False,
    every: bool = False,
    on_case: Callable[[Scored], None] = lambda scored: None,
    features: FeatureSource | None = None,
    on_volume: Callable[[str], None] = lambda name: None,
) -> Evaluation:
    """Score matched cases and write `scores.csv`, `summary.json` and `report.html` to `output`.

    A case that cannot be scored does not stop the others, but for `every`, which is for means that
    are to be compared with other means of the same cases. `match_grid` resamples predictions,
    masks and regions onto the reference's grid instead of refusing other grids; `nan_to` replaces
    NaN voxels instead of refusing them; `on_case` hears of each case as it is done. Cases whose
    sidecar says `seen_in_training` stay out of the headline. A profile of labels is extended by
    the classes that the references hold, one of PET by the regions that the maps hold (named by
    `region_names`), which takes a first reading of them. `features` of images are compared as two
    sets besides; `on_volume` hears of each volume whose features were taken.

    Raises:
        NothingFound: there is no case.
        ConfigurationError: E_EXISTS where the output holds a report and `overwrite` is off, or
            E_PROFILE_REGIONS where regions were given and the profile scores none.
        Refusal: every case failed, or one did and `every` is on; or E_KERNEL_CASES, `features` of
            fewer than two patients; nothing is written.
    """
    if not matched.cases:
        raise NothingFound(Problem("E_NOTHING_TO_SCORE", "there is no case to score"))
    refuse_existing(output, (SCORES, SUMMARY, REPORT), overwrite=overwrite)
    if features is not None:
        predictions = members_of(matched.cases, "prediction")
        check_enough(predictions, members_of(matched.cases, "reference"))
    profile, labelling, regions = _extended(matched, profile, region_names or {}, nan_to)
    how: Any = {"match_grid": match_grid, "nan_to": nan_to, "labelling": labelling}
    results: list[Scored] = []
    pools = {"unseen": _pool(profile), "seen": _pool(profile)}
    for case in matched.cases:
        scored, triplet = score_case(case, profile, **how)
        if triplet is not None:
            pools["seen" if scored.seen_in_training is True else "unseen"].add(triplet)
        results.append(scored)
        on_case(scored)
    if (any if every else all)(result.failed for result in results):
        raise Refusal(problem for result in results for problem in result.problems)
    shown, doubts = in_common_unit(profile, [r.unit for r in results if not r.failed])
    facts = {
        **_facts(matched, profile, labelling, regions),
        "remarks": [*regions.remarks, *doubts],
        "match_grid": match_grid,
        "nan_to": nan_to,
    }
    if features is not None:
        facts["distribution"] = paired_json(
            matched.cases, results, features, nan_to=nan_to, on_volume=on_volume
        )
    summary = summary_json(shown, results, facts)
    cases = {case.name: case for case in matched.cases}
    pool = pools["unseen"] if len(pools["unseen"]) else pools["seen"]
    page = evaluation_page(
        shown, results, summary, pool, lambda name: load(cases[name], profile, **how)
    )
    write_text(output / SCORES, scores_csv(shown, results))
    write_json(output / SUMMARY, summary)
    write_text(output / REPORT, page)
    return Evaluation(shown, tuple(results), summary, output / REPORT)


def _extended(
    matched: Matched, profile: Profile, region_names: Mapping[str, int], nan_to: float | None
) -> tuple[Profile, Labelling, Regions]:
    """Return the profile with the columns of the classes or regions that the cases hold."""
    if matched.region_source:
        check_regional(profile)
        regions = find_regions(matched, region_names, nan_to=nan_to)
        return profile.for_regions(regions.names), Labelling(), regions
    if profile.kind == "labels":
        labelling = find_labelling(matched.cases, nan_to=nan_to)
        return profile.for_labels(labelling.classes), labelling, Regions()
    return profile, Labelling(), Regions()


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


def _facts(
    matched: Matched, profile: Profile, labelling: Labelling, regions: Regions
) -> dict[str, Any]:
    """Return what the summary says of the cases as they came."""
    facts: dict[str, Any] = {
        "mask": matched.scored_in(profile),
        "patients_known": all(case.patient is not None for case in matched.cases),
        "references_without_prediction": list(matched.without_prediction),
    }
    if profile.kind == "labels":
        facts["labels"] = labelling.as_json()
    if matched.region_source:
        facts["regions"] = regions.as_json()
    return facts


def _pool(profile: Profile) -> Pool | Confusions:
    """Return what gathers the voxels' errors: of values, or of classes."""
    return Confusions(profile.classes) if profile.kind == "labels" else Pool(profile.unit)
