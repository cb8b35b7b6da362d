from pathlib import Path

import numpy as np
import pytest

import medgen.preparation.brain as brain_module
from medgen.data.masks import body_mask, dice
from medgen.preparation.brain import brain_mask
from medgen.preparation.surface import sphere
from medgen.problems import Refusal
from medgen.volumes import Grid, open_volume


def head(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, Grid]:
    """Return a head of skin, dark skull and brain, stored P-S-R, and its brain."""
    shape = (56, 56, 48)
    affine = np.array([[0, 0, 4.0, -94], [-4.0, 0, 0, 110], [0, 4.0, 0, -110], [0, 0, 0, 1.0]])
    grid = Grid(shape, affine)
    points = grid.to_world(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1))
    radius = np.linalg.norm(points / (np.array([68.0, 82.0, 66.0]) * scale), axis=-1)
    inside = radius < 1
    skull = (radius >= 1) & (radius < 1.13)
    skin = (radius >= 1.13) & (radius < 1.27)
    values = np.select([inside, skull, skin], [110.0, 8.0, 140.0], 1.0)
    return values.astype(np.float32), inside, grid


def test_a_brain_is_found_in_any_orientation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brain_module, "CONTRASTS", (0.5,))  # one surface is enough here
    values, truth, grid = head()
    mask = brain_mask(values, grid, body_mask(values, spacing_mm=grid.spacing_mm))
    assert mask.shape == values.shape
    assert dice(mask, truth) > 0.93


def test_what_has_no_brains_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def small(*volume: object, centre_mm: np.ndarray, **options: object) -> object:
        points, faces = sphere(2)
        return centre_mm + 40 * points, faces

    monkeypatch.setattr(brain_module, "settle", small)
    values, _, grid = head()
    with pytest.raises(Refusal) as error:
        brain_mask(values, grid, body_mask(values, spacing_mm=grid.spacing_mm))
    assert error.value.problems[0].code == "E_BRAIN_IMPLAUSIBLE"
    assert "holds 274 ml" in error.value.problems[0].message


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        ([(1500, 0.85), (1400, 0.86), (1300, 0.85)], 0.5),
        ([(1900, 0.85), (1400, 0.86), (1300, 0.85)], 0.6),  # it leaked
        ([(1430, 0.85), (810, 0.76), (280, 0.71)], 0.5),  # the second one lost brain
        ([(2650, 0.89), (1540, 0.84), (1160, 0.86)], 0.7),  # too large, then it leaked
        ([(420, 0.13), (1860, 0.87), (1600, 0.88)], 0.6),  # it was lost
        ([(2500, 0.9), (2400, 0.9), (2300, 0.9)], None),
        ([(900, 0.3), (900, 0.4), (900, 0.5)], None),
    ],
)
def test_the_farthest_surface_that_has_not_leaked_is_chosen(
    monkeypatch: pytest.MonkeyPatch, found: list[tuple[float, float]], chosen: float | None
) -> None:
    def settled(values: object, spacing: object, start: object, contrast: float) -> object:
        size, solid = found[brain_module.CONTRASTS.index(contrast)]
        mask = np.full((2, 2, 2), contrast == chosen)
        return brain_module._Settled(mask, size, solid)

    monkeypatch.setattr(brain_module, "_settled", settled)
    values = np.zeros((2, 2, 2), np.float32)
    values[0] = 100.0
    body, spacing = np.ones((2, 2, 2), bool), np.full(3, 2.0)
    if chosen is None:
        with pytest.raises(Refusal, match="E_BRAIN_IMPLAUSIBLE"):
            brain_module._chosen(values, body, spacing)
    else:
        assert brain_module._chosen(values, body, spacing).mask.all()


def test_an_empty_head_is_refused() -> None:
    grid = Grid((20, 20, 20), np.diag([4.0, 4.0, 4.0, 1.0]))
    with pytest.raises(Refusal, match="E_BRAIN_IMPLAUSIBLE"):
        brain_mask(np.ones((20, 20, 20), np.float32), grid, np.ones((20, 20, 20), bool))


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(
    ("folders", "brain", "median", "least"),
    [
        # Every sixth from the fourth on: heads that the constants were not chosen on.
        ("heads/IXI*", "brain", 0.95, 0.86),
        ("t1_flair/subject*", "brain_on_t1", 0.91, 0.85),
    ],
)
def test_it_agrees_with_the_masks_of_real_heads(
    real_data: Path, folders: str, brain: str, median: float, least: float
) -> None:
    scores = []
    chosen = sorted(real_data.glob(folders))
    for folder in chosen[3::6] if len(chosen) > 20 else chosen:
        image = open_volume(folder / "t1.nii.gz")
        truth = open_volume(folder / f"{brain}.nii.gz").data > 0
        body = body_mask(image.data, spacing_mm=image.grid.spacing_mm)
        scores.append(dice(brain_mask(image.data, image.grid, body), truth))
    assert np.median(scores) > median
    assert min(scores) > least
