import numpy as np
import pytest
from matplotlib.figure import Figure

from medgen.metrics.anomaly import rank
from medgen.report import ranking as drawing
from medgen.report.ranking import precision_points, ranking_figure, roc_points, score_figure

PNG = b"\x89PNG"


@pytest.mark.parametrize("count", [7, 5000])
def test_the_area_under_the_drawn_curves_is_the_area(count: int) -> None:
    random = np.random.default_rng(0)
    ranking = rank(random.normal(1, 1, count).round(1), random.normal(0, 1, 2 * count).round(1))
    false, true = roc_points(ranking)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.all(np.diff(false) >= 0)
    assert np.all(np.diff(true) >= 0)
    assert np.trapezoid(true, false) == pytest.approx(ranking.auroc, abs=1e-9)
    recall, precision = precision_points(ranking)
    area = float((np.diff(recall) * precision[1:]).sum())
    assert area == pytest.approx(ranking.average_precision, abs=1e-9)


def test_millions_of_numbers_are_thinned_without_moving_the_curve() -> None:
    random = np.random.default_rng(1)
    ranking = rank(random.normal(1, 1, 30_000), random.normal(0, 1, 30_000))
    false, true = roc_points(ranking)
    assert len(false) < 1300
    assert np.trapezoid(true, false) == pytest.approx(ranking.auroc, abs=1e-3)


def test_figures_are_drawn_also_of_little() -> None:
    assert ranking_figure(rank(np.array([1.0]), np.array([])), "voxels").startswith(PNG)
    for sides in ({"healthy": [1.0, 1.0], "anomalous": [1.0]}, {"healthy": [], "anomalous": [2.0]}):
        assert score_figure(sides, [1.5], "map_top").startswith(PNG)


@pytest.mark.parametrize("most", [1, 3, 40])
def test_cases_are_counted_in_whole_numbers(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []

    def kept(figure: Figure) -> bytes:
        seen.append(list(figure.axes[0].get_yticks()))
        return PNG

    monkeypatch.setattr(drawing, "to_png", kept)
    score_figure({"healthy": [1.0] * most, "anomalous": [2.0]}, [], "map_top")
    ((*_, last),) = seen
    assert seen[0][0] == 0
    assert last == int(1.05 * most)
    assert all(tick % 1 == 0 for tick in seen[0])
