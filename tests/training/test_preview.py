"""What a picture of a validation shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medgen.training import preview as drawing
from medgen.volumes import Grid, Volume

GRID = Grid((4, 5, 6), np.eye(4))


def panels_of(monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, np.ndarray]:
    drawn: dict[str, np.ndarray] = {}

    def draw(panels: Any, **options: Any) -> bytes:
        drawn.update({panel[0]: np.asarray(panel[1]) for panel in panels})
        return b""

    monkeypatch.setattr(drawing, "preview", draw)
    drawing.picture(**given)
    return drawn


def test_a_residual_is_drawn_between_its_source_and_the_reconstruction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    values, residual = rng.uniform(50, 60, GRID.shape), rng.normal(0, 1, GRID.shape)
    coarse = Volume(np.full((2, 3, 3), 7.0), Grid((2, 3, 3), np.diag([2.0, 2.0, 2.0, 1.0])))
    answer, mask = Volume(residual, GRID), np.ones(GRID.shape, bool)
    for source in (Volume(values, GRID), coarse):
        shown = panels_of(
            monkeypatch, source=source, answer=answer, truth=residual * 0, mask=mask, kind="anomaly"
        )
        assert list(shown) == ["source", "source - residual", "residual"]
        np.testing.assert_allclose(
            shown["source"] - shown["source - residual"], shown["residual"], atol=1e-4
        )
    assert (shown["source"] == 7.0).all()  # whatever grid it came on


def test_a_coarser_run_shows_no_detail_that_it_did_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = Grid((8, 8, 8), np.eye(4))
    stripes = np.indices(grid.shape)[0] % 2 * 10.0
    answer, mask = Volume(np.zeros(grid.shape), grid), np.ones(grid.shape, bool)
    given = {"source": Volume(stripes, grid), "answer": answer, "truth": None, "mask": mask}
    fine = panels_of(monkeypatch, kind="anomaly", run_spacing_mm=(1.0, 1.0, 1.0), **given)
    coarse = panels_of(monkeypatch, kind="anomaly", run_spacing_mm=(4.0, 4.0, 4.0), **given)
    assert np.ptp(fine["source - residual"]) == pytest.approx(10)
    assert np.ptp(coarse["source - residual"]) < 3


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        ("image", ["source", "answer", "target", "answer - target"]),
        ("labels", ["source", "answer", "label"]),
    ],
)
def test_an_answer_is_drawn_beside_its_truth(
    monkeypatch: pytest.MonkeyPatch, kind: Any, titles: list[str]
) -> None:
    volume, mask = Volume(np.ones(GRID.shape), GRID), np.ones(GRID.shape, bool)
    given = {"source": volume, "answer": volume, "mask": mask, "kind": kind}
    assert list(panels_of(monkeypatch, truth=volume.data, **given)) == titles
    assert list(panels_of(monkeypatch, truth=None, **given)) == titles[:2]
