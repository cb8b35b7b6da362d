import numpy as np
import pytest

from medgen.phantom import pet
from medgen.phantom.anatomy import draw_head
from medgen.phantom.geometry import draw_placement
from medgen.phantom.hot_spots import HotSpot, draw_hot_spots, settle
from medgen.phantom.lesions import Lesions
from medgen.phantom.randomness import Streams
from medgen.phantom.tissues import Tissue

SIZE = (48, 56, 48)
SPACING = np.full(3, 4.0)


@pytest.fixture(scope="module")
def patient():
    streams = Streams(0, 0)
    grid = draw_placement(streams, SIZE, False, True).mr
    tissues = draw_head(streams, Lesions()).on(grid.shape, grid.affine)
    return tissues, pet.activity(tissues, streams)


def _scan(patient, dose_fraction, case=0):
    tissues, uptake = patient
    return pet.scan(
        uptake, tissues, dose_fraction=dose_fraction, spacing_mm=SPACING, streams=Streams(0, case)
    )


def test_full_dose_shows_the_activity(patient):
    tissues, uptake = patient
    full = _scan(patient, 0.1).full
    brain = tissues.share(Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY) > 0.95
    assert full[brain].mean() == pytest.approx(uptake[brain].mean(), rel=0.08)
    assert np.corrcoef(full.ravel(), uptake.ravel())[0, 1] > 0.9


def test_low_dose_is_unbiased_and_noisier(patient):
    tissues, _ = patient
    brain = tissues.share(Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY) > 0.9
    scans = [_scan(patient, 0.1, case) for case in range(6)]
    low = np.stack([scan.low / scan.full[brain].mean() for scan in scans])
    full = np.stack([scan.full / scan.full[brain].mean() for scan in scans])
    assert low[:, brain].mean() == pytest.approx(full[:, brain].mean(), rel=0.01)
    ratio = low.std(axis=0)[brain].mean() / full.std(axis=0)[brain].mean()
    assert ratio == pytest.approx(np.sqrt(10), rel=0.25)


def test_nothing_is_clipped(patient):
    tissues, _ = patient
    scanned = _scan(patient, 0.05)
    outside = tissues.share(Tissue.AIR) > 0.99
    assert (scanned.low[outside] < 0).mean() > 0.2


def test_the_whole_dose_is_the_full_image(patient):
    scanned = _scan(patient, 1.0)
    np.testing.assert_array_equal(scanned.low, scanned.full)


def test_hot_spots_are_drawn_apart_and_small():
    spots = draw_hot_spots(Streams(0, 3))
    assert 1 <= len(spots) <= 3
    assert len({spot.centre_mm for spot in spots}) == len(spots)
    assert all(3 <= spot.radius_mm <= 6 and 6 <= spot.suv <= 15 for spot in spots)


def test_a_hot_spot_is_a_ball_of_uptake():
    head = draw_head(Streams(0, 0), Lesions())
    spot = HotSpot((26.0, -30.0, 30.0), 6.0, 10.0)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    affine[:3, 3] = head.pose.world(spot.centre_mm) - 12.0
    points = head.pose.points((24, 24, 24), affine, None)
    share, uptake = settle((spot,), points)
    # the head is smaller than its template by some percent
    assert 0.6 < share.sum() / (4 / 3 * np.pi * 6**3) < 1.1
    np.testing.assert_allclose(uptake, 10.0 * share, rtol=1e-6)
