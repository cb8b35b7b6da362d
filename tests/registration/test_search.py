"""Starts lie apart and say what their transforms say; the score knows rest from displacement."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medgen.registration.climbing import fixed_to_moving
from medgen.registration.images import image_of, one_thread, thinned
from medgen.registration.search import APART_MM, Scene, starts

Array = NDArray[np.float64]

SHAPE = (40, 48, 36)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
AFFINE[:3, 3] = (-80, -96, -72)


def blobs() -> Array:
    """Return an ellipsoid with something in it."""
    texture = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=SHAPE), 2.0)
    centre = (np.array(SHAPE) - 1) / 2
    away = ((np.indices(SHAPE).T - centre) / (centre * 0.7)) ** 2
    return np.asarray((3 + texture / texture.std()) * (away.sum(-1).T < 1))


def test_starts_are_apart_begin_with_the_headers_and_keep_places_for_turns() -> None:
    image = blobs()
    with one_thread():
        still = thinned(image_of(image, AFFINE), 6.0)
        chosen = starts(still, still, upright=4, turned=2)
        scene = Scene.of(still, still, resolution_mm=8.0, step=2)
    matrices = [start.matrix() for start in chosen]
    np.testing.assert_allclose(matrices[0], np.eye(4))
    assert [start.turned for start in chosen].count(True) == 2
    assert len(chosen) == 6
    pairs = [(a, b) for i, a in enumerate(matrices) for b in matrices[:i]]
    assert min(scene.apart_mm(a, b) for a, b in pairs) >= APART_MM


def test_a_start_says_the_same_as_its_transform_into_the_straightened_world() -> None:
    with one_thread():
        still = thinned(image_of(blobs(), AFFINE), 8.0)
        chosen = starts(still, still, upright=3, turned=3)
    for start in chosen:
        matrix = start.matrix()
        np.testing.assert_allclose(np.linalg.det(matrix[:3, :3]), 1.0)
        np.testing.assert_allclose(
            start.whole(fixed_to_moving(start.transform())), matrix, atol=1e-6
        )
        straight = start.straightened(still)
        index = (3.0, 7.0, 5.0)
        world = np.array(still.TransformContinuousIndexToPhysicalPoint(index))
        turned_back = np.array(straight.TransformContinuousIndexToPhysicalPoint(index))
        np.testing.assert_allclose(start.turn @ turned_back, world, atol=1e-6)


def test_the_score_is_highest_at_rest_and_nothing_without_a_common_body() -> None:
    image = blobs()
    with one_thread():
        scene = Scene.of(*[image_of(image, AFFINE)] * 2, resolution_mm=4.0, step=1)
    away = np.eye(4)
    away[:3, 3] = (8, 0, 0)
    assert 0.7 < scene.score(np.eye(4)) <= 1.0
    assert 0 < scene.score(away) < 0.4
    away[:3, 3] = (0, 0, 150)
    assert scene.score(away) == 0.0
    away[:3, 3] = (3, 0, 4)
    assert scene.apart_mm(np.eye(4), away) == pytest.approx(5.0)
