"""Each measure says what it should of a right, a displaced and an unrelated image."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medgen.registration import Agreement, agreement

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

SHAPE = (40, 44, 36)
SPACING_MM = np.array([2.0, 2.0, 2.5])
EVERYWHERE = np.ones(SHAPE, np.bool_)


def ball(shift: tuple[int, int, int] = (0, 0, 0)) -> Mask:
    centre = (np.array(SHAPE) - 1) / 2 + shift
    away = (((np.indices(SHAPE).T - centre) / (np.array(SHAPE) * 0.38)) ** 2).sum(-1).T
    return np.asarray(away < 1)


def tissue(seed: int, body: Mask) -> Array:
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 2.0)
    return np.asarray((3 + texture / texture.std()) * body)


def measured(
    moved: Array, outline: Mask, *, seen: Mask = EVERYWHERE, spacing: Array = SPACING_MM
) -> Agreement:
    return agreement(
        tissue(0, ball()),
        moved,
        spacing_mm=spacing,
        fixed_outline=ball(),
        moved_outline=outline,
        seen=seen,
    )


def other_contrast(image: Array) -> Array:
    return np.asarray(np.where(image > 0, 9 - image, 0))


def test_the_same_head_in_another_contrast_agrees() -> None:
    found = measured(other_contrast(tissue(0, ball())), ball())
    assert found.outline_dice == 1.0
    assert found.shared == 1.0
    assert found.edge_distance_mm < 1.0
    assert measured(tissue(0, ball()), ball()).edge_distance_mm == 0.0
    assert found.edge_parallel > 0.95
    assert found.mutual_information > 2.0
    assert found.normalised_information > 1.7


def test_a_known_shift_gives_the_dice_of_the_balls_and_the_distance_of_the_edges() -> None:
    image, outline = tissue(0, ball()), ball()
    shifted = measured(np.roll(image, 1, axis=0), np.roll(outline, 1, axis=0))
    overlap = (outline & np.roll(outline, 1, axis=0)).sum() / outline.sum()
    assert shifted.outline_dice == pytest.approx(overlap)
    assert 0.5 < shifted.edge_distance_mm <= 2.0  # one voxel, and shorter ways across
    farther = measured(np.roll(image, 3, axis=0), np.roll(outline, 3, axis=0))
    assert farther.edge_distance_mm > shifted.edge_distance_mm
    assert farther.edge_parallel < shifted.edge_parallel < 0.99
    assert farther.mutual_information < shifted.mutual_information


def test_distances_are_millimetres() -> None:
    image, outline = np.roll(tissue(0, ball()), 2, axis=1), np.roll(ball(), 2, axis=1)
    near = measured(image, outline, spacing=np.array([1.0, 1.0, 1.0]))
    far = measured(image, outline, spacing=np.array([4.0, 4.0, 4.0]))
    assert far.edge_distance_mm > 2.5 * near.edge_distance_mm


def test_an_unrelated_image_is_near_chance_in_the_same_outline() -> None:
    found = measured(tissue(7, ball()), ball())
    assert found.outline_dice == 1.0
    assert found.edge_parallel < 0.5
    assert found.mutual_information < 0.3


def test_what_only_one_image_sees_does_not_count() -> None:
    seen = np.zeros(SHAPE, np.bool_)
    seen[:, :, 12:26] = True  # a slab, as a short field of view
    image = other_contrast(tissue(0, ball()))
    found = measured(np.where(seen, image, 0), ball() & seen, seen=seen)
    assert found.outline_dice == 1.0
    assert found.shared == 1.0
    assert found.edge_parallel > 0.97
    blind = measured(np.where(seen, image, 0), ball() & seen)
    assert blind.outline_dice < 0.85


def test_images_that_share_nothing_have_no_measures() -> None:
    corner = np.zeros(SHAPE, np.bool_)
    corner[:3, :3, :3] = True
    found = measured(tissue(0, ball()), corner)
    assert found.outline_dice == 0.0
    assert found.shared == 0.0
    assert math.isnan(found.mutual_information)
    assert math.isnan(found.edge_distance_mm)
    nothing = measured(tissue(0, ball()), ball(), seen=np.zeros(SHAPE, np.bool_))
    assert nothing.outline_dice == 0.0


def test_a_common_region_of_one_slice_says_nothing() -> None:
    """Headers may overlap by a slice; that there is no gradient across it is no internal error."""
    seen = np.zeros(SHAPE, np.bool_)
    seen[:, :, 18] = True
    wide = np.ones(SHAPE, np.bool_)
    found = agreement(
        tissue(0, ball()),
        tissue(0, ball()),
        spacing_mm=SPACING_MM,
        fixed_outline=wide,
        moved_outline=wide,
        seen=seen,
    )
    assert found.outline_dice == 1.0
    assert math.isnan(found.edge_parallel)
    assert math.isnan(found.mutual_information)
