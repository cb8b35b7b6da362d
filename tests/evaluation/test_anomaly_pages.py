import dataclasses
from pathlib import Path

import pytest

from medgen.evaluation.anomaly_cases import AnomalyCase, score_maps
from medgen.evaluation.anomaly_pages import worst_alarms, worst_misses
from medgen.evaluation.matching import match_table


@pytest.fixture
def cases(anomalies: Path) -> list[AnomalyCase]:
    matched = match_table(anomalies / "maps", anomalies / "cases.csv", column="lesion")
    return [kept for case in matched.cases if (kept := score_maps(case)[1]) is not None]


def names(found: list[AnomalyCase]) -> list[str]:
    return [case.scored.case for case in found]


def test_misses_and_alarms_go_by_the_score(cases: list[AnomalyCase]) -> None:
    assert names(worst_misses(cases, "map_top")) == ["s1", "s2", "s3", "s4"]
    assert names(worst_alarms(cases, "map_top")) == ["h4", "h3", "h2", "h1"]
    assert names(worst_misses(cases, "map_mean")) == ["s4", "s3", "s2", "s1"]


def test_without_scores_they_go_by_voxels(cases: list[AnomalyCase]) -> None:
    bare = [
        dataclasses.replace(case, facts=dataclasses.replace(case.facts, scores={}))
        for case in cases
    ]
    precisions = {c.scored.case: c.scored.scores["voxel_average_precision"] for c in bare}
    misses = names(worst_misses(bare, ""))
    assert misses == sorted(misses, key=lambda name: precisions[name])
    volumes = {c.scored.case: c.scored.scores["false_positive_ml"] for c in bare}
    alarms = names(worst_alarms(bare, ""))
    assert [volumes[name] for name in alarms] == sorted(
        (volumes[name] for name in alarms), reverse=True
    )


def test_only_some_are_pictured(cases: list[AnomalyCase]) -> None:
    assert len(worst_misses(cases * 3, "map_top")) == 6
