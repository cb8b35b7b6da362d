import numpy as np
import pytest

from medgen.phantom.anatomy import draw_head
from medgen.phantom.ct import FLOOR_HU, draw_attenuation, known_from_tissue, scan
from medgen.phantom.geometry import draw_placement
from medgen.phantom.lesions import Lesions
from medgen.phantom.randomness import Streams
from medgen.phantom.tissues import Tissue


@pytest.fixture(scope="module")
def scanned():
    streams = Streams(0, 0)
    grid = draw_placement(streams, (48, 56, 48), False, True).mr
    tissues = draw_head(streams, Lesions()).on(grid.shape, grid.affine)
    attenuation = draw_attenuation(streams)
    return (
        tissues,
        attenuation,
        scan(tissues, attenuation, spacing_mm=grid.spacing_mm, streams=streams),
    )


def test_tissues_have_their_hounsfield_values(scanned):
    tissues, attenuation, ct = scanned
    for tissue, tolerance in [(Tissue.WHITE, 5), (Tissue.AIR, 15), (Tissue.VITREOUS, 25)]:
        pure = tissues.fractions[tissue] > 0.999
        mean = float(ct.image[pure].mean())
        assert mean == pytest.approx(attenuation.hounsfield[tissue], abs=tolerance)


def test_bone_is_bright_and_nothing_is_below_the_floor(scanned):
    _, _, ct = scanned
    assert ct.image.max() > 900
    assert ct.image.min() >= FLOOR_HU


def test_the_noise_floor_is_the_mean_absolute_noise(scanned):
    tissues, attenuation, ct = scanned
    floor = ct.noise_floor(tissues.body)
    noise = (ct.image - ct.noise_free)[tissues.body]
    assert floor == pytest.approx(np.abs(noise).mean(), rel=1e-5)
    # Gaussian noise has a mean magnitude of 0.8 standard deviations
    assert floor == pytest.approx(np.sqrt(2 / np.pi) * noise.std(), rel=0.05)
    assert 0.4 * attenuation.noise_hu < floor < 1.2 * attenuation.noise_hu


def test_noise_is_stronger_in_the_middle_than_outside(scanned):
    tissues, _, ct = scanned
    noise = ct.image - ct.noise_free
    white = tissues.fractions[Tissue.WHITE] > 0.9
    outside = tissues.fractions[Tissue.AIR] > 0.999
    assert noise[white].std() > 1.3 * noise[outside & (ct.image > FLOOR_HU)].std()


def test_what_tissue_does_not_tell_is_more_than_noise(scanned):
    tissues, attenuation, ct = scanned
    known = known_from_tissue(tissues, attenuation, np.full(3, 4.0))
    hidden = np.abs(ct.image - known)[tissues.body].mean()
    assert ct.noise_floor(tissues.body) < hidden < 60


def test_bone_density_differs_between_persons():
    bone = [draw_attenuation(Streams(0, index)).bone_hu for index in range(12)]
    assert np.std(bone) > 40
