import numpy as np
import pytest

from medgen.phantom.projections import ANGLES, parallel_camera


def _disc(size=40, pixel=4.0, radius=50.0, value=3.0):
    axis = (np.arange(size) - (size - 1) / 2) * pixel
    inside = np.hypot(axis[:, None], axis[None, :]) < radius
    return (value * inside)[:, :, None].astype(np.float32)


def test_projections_keep_the_total_activity():
    disc = _disc()
    camera = parallel_camera(40, 40, (4.0, 4.0))
    lines = camera.project(disc).reshape(ANGLES, camera.bins)
    np.testing.assert_allclose(lines.sum(axis=1) * 4.0, disc.sum() * 16.0, rtol=1e-4)


def test_the_line_through_the_middle_is_the_diameter():
    camera = parallel_camera(40, 40, (4.0, 4.0))
    lines = camera.project(_disc()).reshape(ANGLES, camera.bins)
    assert lines.max(axis=1).mean() == pytest.approx(3.0 * 100.0, rel=0.06)


@pytest.mark.parametrize("pixel", [(4.0, 4.0), (3.0, 4.0)])
def test_reconstruction_undoes_projection(pixel):
    disc = _disc()
    camera = parallel_camera(40, 40, pixel)
    again = camera.reconstruct(camera.project(disc), disc.shape)
    assert again[16:24, 16:24].mean() == pytest.approx(3.0, rel=0.02)
    assert np.abs(again[:4, :4]).mean() < 0.1
