import numpy as np
import pytest

from medgen.phantom.anatomy import draw_head
from medgen.phantom.geometry import draw_placement
from medgen.phantom.lesions import Lesions
from medgen.phantom.randomness import Streams
from medgen.phantom.tissues import Tissue, TissueMap

SIZE = (48, 56, 48)
LITRE_PER_VOXEL = (192 * 224 * 192) / np.prod(SIZE) / 1e6


@pytest.fixture(scope="module")
def heads() -> list[TissueMap]:
    made = []
    for index in range(3):
        streams = Streams(0, index)
        grid = draw_placement(streams, SIZE, False, True).mr
        made.append(draw_head(streams, Lesions()).on(grid.shape, grid.affine))
    return made


def test_hot_spots_are_a_region_over_the_tissues():
    """Of a small grid around each spot: a ball of the spot's size, a little shrunk by the pose."""
    persons = [draw_head(Streams(0, index), Lesions()) for index in range(3)]
    for head, spot in [(person, spot) for person in persons for spot in person.spots]:
        affine = np.diag([1.5, 1.5, 1.5, 1.0])
        affine[:3, 3] = head.pose.world(spot.centre_mm) - 1.5 * 9.5
        around = head.on((20, 20, 20), affine)
        hot = around.region_labels() == 4
        np.testing.assert_array_equal(hot, around.hot_share >= 0.5)
        rest = around.brain_labels()[~hot]
        np.testing.assert_array_equal(around.region_labels()[~hot], rest)
        ball = 4 / 3 * np.pi * spot.radius_mm**3 / 1.5**3
        assert 0.6 < hot.sum() / ball < 1.15


def test_fractions_fill_every_voxel(heads):
    for head in heads:
        assert head.fractions.min() >= -1e-5
        np.testing.assert_allclose(head.fractions.sum(axis=0), 1.0, atol=1e-4)


@pytest.mark.parametrize(
    ("tissues", "low", "high"),
    [
        ((Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY), 0.9, 1.6),  # a brain of 0.9 to 1.6 litres
        ((Tissue.CSF,), 0.12, 0.7),
        ((Tissue.DEEP_GREY,), 0.02, 0.09),
        ((Tissue.CORTICAL_BONE, Tissue.MARROW), 0.35, 1.1),
        ((Tissue.AIRWAY,), 0.03, 0.2),
        ((Tissue.VITREOUS,), 0.007, 0.02),
        ((Tissue.LENS,), 0.0001, 0.001),
        ((Tissue.SKIN,), 0.07, 0.3),
    ],
)
def test_tissues_have_human_volumes(heads, tissues, low, high):
    for head in heads:
        litres = head.share(*tissues)[head.body].sum() * LITRE_PER_VOXEL
        assert low < litres < high


def test_every_anatomical_tissue_is_there_and_no_lesion(heads):
    for head in heads:
        present = {tissue for tissue in Tissue if head.fractions[tissue].max() > 0.05}
        assert present == set(Tissue) - {
            Tissue.WHITE_MATTER_LESION,
            Tissue.MASS,
            Tissue.OEDEMA,
        }
        assert not head.lesion.any()


def test_the_body_holds_all_that_is_not_air(heads):
    for head in heads:
        solid = 1.0 - head.share(Tissue.AIR, Tissue.AIRWAY)
        assert (head.body[solid > 0.55]).mean() > 0.99
        assert head.share(Tissue.AIR)[head.body].mean() < 0.05


def test_heads_differ_beyond_their_pose(heads):
    white = [head.share(Tissue.WHITE) > 0.5 for head in heads]
    overlap = (white[0] & white[1]).sum() / (white[0] | white[1]).sum()
    assert overlap < 0.75


def test_left_and_right_differ(heads):
    for head in heads:
        grey = head.share(Tissue.GREY)
        assert np.abs(grey - grey[::-1]).mean() > 0.1 * grey.mean()


def test_a_finer_grid_shows_the_same_head():
    streams = Streams(5, 0)
    head = draw_head(streams, Lesions())
    coarse = draw_placement(streams, (32, 40, 32), False, True).mr
    fine = draw_placement(streams, (64, 80, 64), False, True).mr
    low = head.on(coarse.shape, coarse.affine).fractions
    high = head.on(fine.shape, fine.affine).fractions
    pooled = high.reshape(len(Tissue), 32, 2, 40, 2, 32, 2).mean(axis=(2, 4, 6))
    assert np.abs(pooled - low).mean() < 0.004


def test_cortex_is_folded(heads):
    """A smooth shell of cortex would hold far less grey matter, and no CSF below the surface."""
    for head in heads:
        grey = head.share(Tissue.GREY).sum()
        white = head.share(Tissue.WHITE).sum()
        assert 0.7 < grey / white < 2.2


def test_a_head_point_is_found_in_the_world_again():
    head = draw_head(Streams(2, 0), Lesions())
    for point in [(0.0, 0.0, 0.0), (40.0, -30.0, 25.0), (-30.0, 60.0, -40.0)]:
        affine = np.eye(4)
        affine[:3, 3] = head.pose.world(point)
        seen = head.pose.points((1, 1, 1), affine, None)
        found = [float(axis.ravel()[0]) for axis in (seen.x, seen.y, seen.z)]
        np.testing.assert_allclose(found, point, atol=0.05)
