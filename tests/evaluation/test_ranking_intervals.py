import math

import numpy as np
import pytest

from medgen.evaluation.ranking_intervals import ranking_intervals
from medgen.metrics.anomaly import auroc, average_precision
from medgen.metrics.delong import delong_interval


def cohort(count: int, *, cases_each: int = 1) -> tuple[list[float], list[bool], list[str]]:
    random = np.random.default_rng(5)
    scores: list[float] = []
    positive: list[bool] = []
    patients: list[str] = []
    for number in range(count):
        sick = number % 2 == 0
        centre = random.normal(1.0 if sick else 0.0, 1)
        for _ in range(cases_each):
            scores.append(round(float(centre + random.normal(0, 0.1)), 1))
            positive.append(sick)
            patients.append(f"p{number}")
    return scores, positive, patients


def test_each_resample_is_the_figure_of_its_own_cases() -> None:
    """Redraw the patients case by case, and compare with the weights' arithmetic, ties and all."""
    scores, positive, patients = cohort(14, cases_each=2)
    found = ranking_intervals(scores, positive, patients, resamples=3000, seed=1)
    random = np.random.default_rng(99)
    areas, means = [], []
    owners = sorted(set(patients))
    for _ in range(3000):
        drawn = random.choice(owners, len(owners))
        chosen = [i for owner in drawn for i, mine in enumerate(patients) if mine == owner]
        values = np.array([scores[i] for i in chosen])
        hit = np.array([positive[i] for i in chosen])
        if hit.any() and not hit.all():
            areas.append(auroc(values, hit))
            means.append(average_precision(values, hit))
    everyone = np.array(scores), np.array(positive)
    for ends, values, figure in (
        (found.auroc, areas, auroc(*everyone)),
        (found.average_precision, means, average_precision(*everyone)),
    ):
        expected = np.quantile(values, [0.025, 0.975]) - np.mean(values) + figure
        assert ends == pytest.approx(np.clip(expected, 0, 1), abs=0.03)


def test_healthy_twins_do_not_lift_the_interval_above_its_figure() -> None:
    """A patient who is drawn twice meets its own healthy twin, whom it always beats."""
    random = np.random.default_rng(0)
    held = low = 0
    for _ in range(40):
        healthy = random.normal(0, 1, 6)
        scores = np.concatenate([healthy + 0.05, healthy])
        positive, patients = [True] * 6 + [False] * 6, [*"abcdef"] * 2
        found = ranking_intervals(scores.tolist(), positive, patients, resamples=300)
        figure = auroc(scores, np.array(positive))
        held += found.auroc[0] < figure - 0.02 and figure < found.auroc[1]
        low += found.average_precision[0] < average_precision(scores, np.array(positive)) - 0.02
    assert min(held, low) == 40


def test_one_case_each_agrees_with_delong_and_doubles_do_not_narrow_it() -> None:
    scores, positive, patients = cohort(120)
    found = ranking_intervals(scores, positive, patients, resamples=2000).auroc
    chosen = np.array(positive)
    known = delong_interval(np.array(scores)[chosen], np.array(scores)[~chosen])
    assert found == pytest.approx(known, abs=0.02)
    doubled = [each * 2 for each in (scores, positive, patients)]
    assert ranking_intervals(*doubled, resamples=2000).auroc == found  # type: ignore[arg-type]
    strangers = [f"{name} {index}" for index, name in enumerate(patients * 2)]
    narrow = ranking_intervals(scores * 2, positive * 2, strangers, resamples=2000).auroc
    assert np.ptp(narrow) < 0.8 * np.ptp(found)


def test_the_order_of_cases_and_the_names_of_patients_do_not_matter() -> None:
    scores, positive, patients = cohort(20, cases_each=2)
    found = ranking_intervals(scores, positive, patients, resamples=500)
    turned = [each[::-1] for each in (scores, positive, patients)]
    assert ranking_intervals(*turned, resamples=500) == found  # type: ignore[arg-type]
    renamed = [f"z{99 - int(name[1:])}" for name in patients]
    assert ranking_intervals(scores, positive, renamed, resamples=500) == found


@pytest.mark.parametrize(
    ("scores", "positive", "patients"),
    [
        ([3.0, 1.0, 2.0], [True, False, False], ["a", "b", "c"]),
        ([3.0, 4.0, 1.0, 2.0], [True, True, False, False], ["a", "a", "b", "c"]),
        ([3.0, 4.0, 1.0, 2.0], [True, True, False, False], ["a", "b", "c", "d"]),
    ],
    ids=["one positive", "one patient's positives", "perfect separation"],
)
def test_no_interval_is_better_than_a_wrong_one(
    scores: list[float], positive: list[bool], patients: list[str]
) -> None:
    found = ranking_intervals(scores, positive, patients, resamples=200)
    assert all(math.isnan(end) for ends in found for end in ends)
