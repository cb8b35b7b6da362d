"""Known maps are found again, on any grid; what cannot be registered is refused with a code."""

import math
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from medgen.problems import Refusal
from medgen.registration import Registration, register

Array = NDArray[Any]

SHAPE = (48, 56, 44)
SPACING_MM = 4.0
CORNERS = np.array([[x, y, z, 1] for x in (0, 47) for y in (0, 55) for z in (0, 43)], float).T

SKULL = ((0, 0, 0), (76, 92, 72))
BRAIN = ((0, 0, 0), (66, 82, 62))
PARTS = [
    ((12, 20, 4), (10, 26, 14), 0.25),
    ((-14, 18, 6), (9, 24, 12), 0.25),
    ((0, -48, -34), (38, 22, 20), 0.85),
    ((0, 96, -16), (14, 18, 22), 0.7),
    ((34, 58, -30), (12, 12, 12), 0.2),
    ((-34, 58, -30), (12, 12, 12), 0.2),
    ((30, -30, 30), (12, 16, 10), 0.4),
]


def ellipsoid(points: Array, centre: tuple[float, ...], radii: tuple[float, ...]) -> Array:
    """Return a soft ellipsoid (1 inside, 0 outside) at points (3, ...)."""
    shape = (3,) + (1,) * (points.ndim - 1)
    scaled = (points - np.reshape(centre, shape)) / np.reshape(radii, shape)
    distance = (np.sqrt((scaled**2).sum(0)) - 1) * min(radii)
    return np.asarray(1 / (1 + np.exp(np.clip(distance, -40, 40))))


def head(affine: Array, world_to_head: Array, *, inverted: bool = False) -> Array:
    """Draw a head with a skull, a brain and asymmetric parts on a grid of `SHAPE`."""
    index = np.indices(SHAPE).reshape(3, -1)
    matrix = world_to_head @ affine
    points = matrix[:3, :3] @ index + matrix[:3, 3:]
    image = 0.5 * ellipsoid(points, *SKULL)
    image += (0.65 - image) * ellipsoid(points, *BRAIN)
    for centre, radii, value in PARTS:
        image += (value - image) * ellipsoid(points, centre, radii)
    if inverted:  # another modality: other values for the same parts, no air-tissue inversion
        image = np.where(image > 0.05, 1.2 - image, image)
    return image.reshape(SHAPE)


def grid(rotation: Array | None = None, spacing: tuple[float, ...] = (SPACING_MM,) * 3) -> Array:
    """Return the affine of a grid centred on the world's origin."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if rotation is None else rotation) * spacing
    affine[:3, 3] = -affine[:3, :3] @ (np.array(SHAPE) - 1) / 2
    return affine


def turned(degrees: tuple[float, ...]) -> Array:
    """Return a rotation about x, then y, then z."""
    x, y, z = np.radians(degrees)
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_y = [[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_z) @ np.array(about_y) @ np.array(about_x)


def known_map(*, scaling: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Array:
    """Return a map from the fixed head's world to the moving head's."""
    matrix = np.eye(4)
    matrix[:3, :3] = turned((6, -5, 9)) * scaling
    matrix[:3, 3] = (9, -14, 11)
    return matrix


def corner_error_mm(found: Registration, moving_affine: Array, truth: Array) -> float:
    """Return how far the moving grid's farthest corner ends from where it belongs."""
    world = moving_affine @ CORNERS
    away = (found.matrix @ world - np.linalg.inv(truth) @ world)[:3]
    return float(np.linalg.norm(away, axis=0).max())


def test_an_affine_map_between_two_contrasts_is_found_to_less_than_a_voxel() -> None:
    truth, affine = known_map(scaling=(1.06, 0.94, 1.08)), grid()
    moving = head(affine, np.linalg.inv(truth), inverted=True)
    found = register(moving, affine, head(affine, np.eye(4)), affine)
    assert corner_error_mm(found, affine, truth) < SPACING_MM
    assert found.score > found.start_score > 0


def test_a_rigid_map_keeps_size_and_shape() -> None:
    truth, affine = known_map(), grid()
    moving = head(affine, np.linalg.inv(truth))
    found = register(moving, affine, head(affine, np.eye(4)), affine, transform="rigid")
    assert corner_error_mm(found, affine, truth) < SPACING_MM
    linear = found.matrix[:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-9)


def test_oblique_left_handed_and_anisotropic_grids_are_placed_by_their_affines() -> None:
    truth = known_map(scaling=(1.05, 0.97, 1.0))
    oblique = grid(turned((12, 20, -15)) * (1, -1, 1), (3.8, 3.6, 5.0))
    moving = head(oblique, np.linalg.inv(truth))
    fixed = np.transpose(head(grid(), np.eye(4)), (2, 0, 1))
    fixed_affine = grid()[:, [2, 0, 1, 3]]
    found = register(moving, oblique, fixed, fixed_affine)
    assert corner_error_mm(found, oblique, truth) < SPACING_MM


def test_worlds_that_share_nothing_are_brought_together() -> None:
    affine = grid()
    far = affine.copy()
    far[:3, 3] += (500, -300, 800)
    image = head(affine, np.eye(4))
    found = register(image, far, image, affine, transform="rigid")
    truth = np.eye(4)
    truth[:3, 3] = (500, -300, 800)
    assert corner_error_mm(found, far, truth) < 1.0


def test_the_same_input_gives_the_same_matrix_and_threads_are_put_back() -> None:
    affine = grid()
    fixed = head(affine, np.eye(4)).astype(np.float32)
    moving = ndimage.shift(fixed, (2, -1, 1), order=1)
    kept = fixed.copy(), moving.copy()
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(2)
    try:
        first, second = (
            register(moving, affine, fixed, affine, resolution_mm=8.0) for _ in range(2)
        )
        assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == 2
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    np.testing.assert_array_equal(first.matrix, second.matrix)
    assert first.score == second.score
    np.testing.assert_array_equal(fixed, kept[0])
    np.testing.assert_array_equal(moving, kept[1])


def refused(moving: NDArray[np.generic], affine: Array) -> list[tuple[str, str]]:
    fixed = head(grid(), np.eye(4))
    with pytest.raises(Refusal) as caught:
        register(moving, affine, fixed, grid())
    return [(problem.code, problem.message) for problem in caught.value.problems]


def test_what_is_no_image_is_refused() -> None:
    hole = head(grid(), np.eye(4))
    hole[3, 4, 5] = np.nan
    for values in (np.zeros(SHAPE), hole, np.ones((8, 8))):
        [(code, message)] = refused(values, grid())
        assert code == "E_REGISTRATION_INPUT"
        assert "moving" in message


def test_a_sheared_or_degenerate_affine_is_refused() -> None:
    sheared = grid()
    sheared[0, 1] += 0.5
    [(code, message)] = refused(head(grid(), np.eye(4)), sheared)
    assert code == "E_REGISTRATION_SHEAR"
    assert "cosine" in message
    flat = grid()
    flat[:3, 2] = 0
    [(code, _)] = refused(head(grid(), np.eye(4)), flat)
    assert code == "E_REGISTRATION_INPUT"


def test_both_images_problems_are_listed() -> None:
    with pytest.raises(Refusal) as caught:
        register(np.zeros(SHAPE), grid(), np.zeros(SHAPE), grid())
    assert len(caught.value.problems) == 2


def test_an_answer_that_stretches_beyond_belief_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("medgen.registration.linear.LARGEST_SCALING", 1.02)
    affine, truth = grid(), np.diag([1.1, 1.1, 1.1, 1.0])
    moving = head(affine, np.linalg.inv(truth))
    with pytest.raises(Refusal) as caught:
        register(moving, affine, head(affine, np.eye(4)), affine, resolution_mm=8.0)
    assert caught.value.problems[0].code == "E_REGISTRATION_FAILED"


def far_map(degrees: tuple[float, ...], shift: tuple[float, ...]) -> Array:
    """Return a map from the fixed head's world to the moving head's."""
    matrix = np.eye(4)
    matrix[:3, :3] = turned(degrees)
    matrix[:3, 3] = shift
    return matrix


def test_a_head_turned_by_thirty_degrees_and_far_away_is_found() -> None:
    truth, affine = far_map((20, -14, 17), (25, -20, 24)), grid()
    moving = head(affine, np.linalg.inv(truth), inverted=True)
    fixed = head(affine, np.eye(4))
    found = register(
        moving, affine, fixed, affine, transform="rigid", search=True, resolution_mm=6.0
    )
    assert corner_error_mm(found, affine, truth) < SPACING_MM
    assert found.spread_mm < SPACING_MM
    assert found.starts > 3
    assert found.score > found.start_score > 0


def test_an_axis_that_an_export_mislabelled_is_found_and_refined_by_twelve_parameters() -> None:
    affine = grid()
    image = head(affine, np.eye(4))
    mislabelled = grid(turned((90, 0, 180)))
    found = register(
        image, mislabelled, image, affine, transform="affine", search=True, resolution_mm=6.0
    )
    truth = mislabelled @ np.linalg.inv(affine)
    assert corner_error_mm(found, mislabelled, truth) < SPACING_MM


def test_one_start_has_no_spread() -> None:
    affine = grid()
    image = head(affine, np.eye(4))
    found = register(image, affine, image, affine, transform="rigid", resolution_mm=8.0)
    assert math.isnan(found.spread_mm)
    assert found.starts == 1


@pytest.mark.slow
def test_random_starts_are_found() -> None:
    affine = grid()
    fixed = head(affine, np.eye(4))
    generator = np.random.default_rng(7)
    for _ in range(6):
        angles = generator.uniform(-17, 17, 3)
        shift = generator.uniform(-23, 23, 3)
        truth = far_map(tuple(angles), tuple(shift))
        moving = head(affine, np.linalg.inv(truth), inverted=True)
        found = register(moving, affine, fixed, affine, transform="rigid", search=True)
        assert corner_error_mm(found, affine, truth) < SPACING_MM
