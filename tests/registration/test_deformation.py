"""A known smooth deformation is found again; nothing is left behind; what is missing is named."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medgen.problems import ConfigurationError, Refusal
from medgen.registration import Deformation, deform, deformation

Array = NDArray[np.float64]

SHAPE = (40, 44, 36)
SPACING_MM = 3.0


def texture(seed: int = 0) -> Array:
    """Return smooth blobs in a ball, the same wherever they are looked up."""
    generator = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(generator.normal(size=SHAPE), 3.0)
    centre = (np.array(SHAPE) - 1) / 2
    away = np.sqrt((((np.indices(SHAPE).T - centre) / (centre - 4)) ** 2).sum(-1)).T
    ball = 1 / (1 + np.exp(np.clip((away - 1) * 20, -40, 40)))
    return np.asarray((2 + blobs / blobs.std()) * ball)


def bump(affine: Array, largest_mm: float) -> Array:
    """Return a smooth displacement (X, Y, Z, 3) in mm that ends before the border."""
    centre = (np.array(SHAPE) - 1) / 2
    away = (((np.indices(SHAPE).T - centre) / (centre / 2)) ** 2).sum(-1).T
    direction = np.array([0.6, -0.5, 0.62])
    return np.asarray(largest_mm * np.exp(-away)[..., None] * direction)


def moved_by(image: Array, affine: Array, displacement: Array) -> Array:
    """Return the fixed image: at p it shows what `image` shows at p + d(p)."""
    index = np.indices(SHAPE).astype(float)
    shift = displacement @ np.linalg.inv(affine[:3, :3]).T
    return np.asarray(
        ndimage.map_coordinates(image, index + np.moveaxis(shift, -1, 0), order=3, mode="nearest")
    )


def grid(*, oblique: bool) -> Array:
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    if oblique:
        angle = np.radians(25)
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        tilt = np.eye(4)
        tilt[1:3, 1:3] = [[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]
        affine = turn @ tilt @ affine @ np.diag([-1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-40.0, 25.0, 10.0)
    return affine


def found(tmp_path: Path, *, oblique: bool, start: Array) -> tuple[Deformation, Array]:
    affine, moving = grid(oblique=oblique), texture()
    truth = bump(affine, 7.0)
    fixed = moved_by(moving, affine, truth)
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        answer = deform(
            moving,
            np.linalg.inv(start) @ affine,
            np.where(fixed > 0.5, 1.1 * fixed.max() - fixed, fixed),
            affine,
            start=start,
            resolution_mm=3.0,
            iterations=80,
        )
    finally:
        os.chdir(before)
    return answer, truth


@pytest.mark.slow
def test_a_known_deformation_between_two_contrasts_is_found_on_an_oblique_grid(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start = np.eye(4)
    start[:3, 3] = (30, -12, 7)
    answer, truth = found(tmp_path, oblique=True, start=start)
    inside = np.linalg.norm(truth, axis=-1) > 4.0
    error = np.linalg.norm(answer.displacement_mm - truth, axis=-1)[inside]
    assert error.mean() < 0.35 * np.linalg.norm(truth, axis=-1)[inside].mean()
    assert answer.displacement_mm.shape == (*SHAPE, 3)
    assert answer.displacement_mm.dtype == np.float32
    assert answer.folded == 0.0
    longest = np.linalg.norm(answer.displacement_mm, axis=-1).max()
    assert answer.largest_mm == pytest.approx(longest, rel=1e-5)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_the_same_input_gives_the_same_deformation(tmp_path: Path) -> None:
    first, second = (found(tmp_path, oblique=False, start=np.eye(4))[0] for _ in range(2))
    np.testing.assert_array_equal(first.displacement_mm, second.displacement_mm)


def test_folded_counts_voxels_that_are_turned_inside_out() -> None:
    affine = grid(oblique=True)
    points = np.moveaxis(np.indices((6, 5, 4)), 0, -1) @ affine[:3, :3].T
    mirrored = (-2 * points).astype(np.float32)  # p + d = -p: determinant -1 everywhere
    assert deformation._folded(mirrored, affine) == 1.0
    assert deformation._folded(np.zeros_like(mirrored), affine) == 0.0
    half = mirrored.copy()
    half[3:] = half[2:3]
    assert 0.0 < deformation._folded(half, affine) < 1.0


def test_a_medgen_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "itk", None)
    with pytest.raises(ConfigurationError) as caught:
        deform(texture(), np.eye(4), texture(1), np.eye(4), start=np.eye(4))
    [problem] = caught.value.problems
    assert problem.code == "E_ITK_MISSING"
    assert "medgen[itk]" in problem.advice


def test_a_deformation_that_agrees_less_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.8, 0.5])
    monkeypatch.setattr(deformation, "_itk", lambda: None)
    monkeypatch.setattr(deformation, "_elastix", lambda *_: {})
    monkeypatch.setattr(deformation, "_information", lambda *_: next(values))
    with pytest.raises(Refusal) as caught:
        deform(texture(), np.eye(4), texture(1), np.eye(4), start=np.eye(4))
    [problem] = caught.value.problems
    assert problem.code == "E_REGISTRATION_FAILED"
    assert "0.80 to 0.50" in problem.message
