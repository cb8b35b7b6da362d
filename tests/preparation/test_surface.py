import numpy as np
import pytest

from medgen.preparation.surface import Levels, filled, settle, sphere


def test_the_sphere_is_closed_and_turns_outwards() -> None:
    points, faces = sphere(2)
    assert (len(points), len(faces)) == (162, 320)
    assert np.allclose(np.linalg.norm(points, axis=1), 1)
    a, b, c = (points[faces[:, k]] for k in range(3))
    volumes = (np.cross(a, b) * c).sum(axis=1) / 6
    assert (volumes > 0).all()
    assert volumes.sum() == pytest.approx(4 / 3 * np.pi, rel=0.05)
    assert len(points) - 1.5 * len(faces) + len(faces) == 2  # Euler: no hole, no seam


def test_a_filled_sphere_has_its_volume() -> None:
    points, faces = sphere(3)
    spacing = np.array([1.0, 2.0, 1.5])
    mask = filled(points * 17 + 20.0, faces, (40, 20, 27), spacing)
    assert mask.sum() * 3.0 == pytest.approx(4 / 3 * np.pi * 17**3, rel=0.05)


def test_the_surface_settles_on_a_bright_ball_in_a_dark_shell() -> None:
    spacing = np.array([4.0, 4.0, 4.0])
    places = np.stack(np.meshgrid(*[np.arange(40) * 4.0 - 78] * 3, indexing="ij"), -1)
    radius = np.linalg.norm(places / [1.0, 1.15, 0.9], axis=-1)
    values = np.where(radius < 55, 100.0, np.where(radius < 66, 5.0, 80.0)).astype(np.float32)
    points, faces = settle(
        values,
        spacing_mm=spacing,
        centre_mm=np.array([78.0, 84.0, 74.0]),
        radius_mm=70.0,
        levels=Levels(0.0, 10.0, 100.0),
        contrast=0.5,
        iterations=250,
    )
    mask, truth = filled(points, faces, values.shape, spacing), radius < 55
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.93
