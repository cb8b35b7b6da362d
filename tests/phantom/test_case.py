import hashlib
import json

import numpy as np
import pytest

from medgen.phantom import CaseSettings, simulate
from medgen.phantom.geometry import draw_placement
from medgen.phantom.randomness import Streams

COLUMNS = {"t1", "t2", "pd", "flair", "ct", "pet_low", "pet_full", "body", "tissue", "regions"}


def _hashes(case):
    return {
        column: hashlib.sha256(np.ascontiguousarray(volume.data).tobytes()).hexdigest()
        for column, volume in case.volumes.items()
    }


def test_the_same_seed_gives_the_same_bits(make):
    again = simulate(0, 0, CaseSettings(size=(32, 40, 32)))
    assert _hashes(again) == _hashes(make())


def test_seed_and_person_matter(make):
    first = _hashes(make())
    for other in (make(seed=1), make(index=1)):
        shared = {column for column, digest in _hashes(other).items() if digest == first[column]}
        assert shared == set()


def test_columns_units_and_grids(make):
    case = make()
    assert set(case.volumes) == COLUMNS
    assert {case.volumes[column].unit for column in ("t1", "t2", "pd", "flair")} == {"arbitrary"}
    assert case.volumes["ct"].unit == "HU"
    assert {case.volumes[column].unit for column in ("pet_low", "pet_full")} == {"SUV"}
    for volume in case.volumes.values():
        assert volume.data.shape == (32, 40, 32)
        assert np.isfinite(volume.data).all()
        np.testing.assert_allclose(volume.grid.spacing_mm, [6.0, 5.6, 6.0])


def test_tissue_labels_are_what_fills_most_of_a_voxel(make):
    case = make()
    tissue, t1 = case.volumes["tissue"], case.volumes["t1"].data
    assert tissue.unit == "label"
    assert set(np.unique(tissue.data)) == {0, 1, 2, 3}
    assert not tissue.data[~(case.volumes["body"].data > 0)].any()
    csf, grey, white = (float(t1[tissue.data == label].mean()) for label in (1, 2, 3))
    assert csf < grey < white, "as T1 shows them"


def test_regions_are_the_tissues_and_hot_spots_over_them(make):
    case = make()
    regions, tissue = case.volumes["regions"], case.volumes["tissue"].data
    assert (regions.unit, regions.data.dtype) == ("label", np.uint8)
    np.testing.assert_array_equal(regions.data[regions.data != 4], tissue[regions.data != 4])
    assert 4 in make(size=(24, 28, 24)).volumes["regions"].data, "though no voxel is half full"


def test_the_truth_is_json_and_records_what_images_hide(make):
    truth = json.loads(json.dumps(dict(make().truth), allow_nan=False))
    assert 3.0 < truth["ct"]["ct_noise_floor_hu"] < truth["ct"]["ct_tissue_floor_hu"]
    assert 0.49 < truth["misregistration"]["mean_mm"] < 1.01
    assert truth["mr"]["t1"]["flip_degrees"] > 0
    assert 0.2 <= truth["mr"]["flair"]["bias"] <= 0.4
    assert truth["pet"]["dose_fraction"] == 0.1
    assert {"centre_mm", "radius_mm", "suv"} == set(truth["pet"]["hot_spots"][0])


def test_misregistration_moves_the_ct_alone_and_can_be_left_out(make):
    moved, still = make(), make(aligned=True)
    assert still.truth["misregistration"]["mean_mm"] == 0.0
    np.testing.assert_array_equal(moved.volumes["t1"].data, still.volumes["t1"].data)
    assert np.abs(moved.volumes["ct"].data - still.volumes["ct"].data).mean() > 1.0


@pytest.mark.parametrize("index", range(5))
def test_misregistration_is_rigid_and_as_large_as_it_says(index):
    motion = draw_placement(Streams(0, index), (32, 40, 32), False, False).misregistration
    turn = motion.matrix[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert motion.mean_mm + 1e-6 >= 0.5
    assert motion.mean_mm <= 1.0 + 1e-6


def test_oblique_grids_are_tilted_unequal_and_the_cts_own(make):
    case = make(oblique=True)
    mr, ct = case.volumes["t1"].grid, case.volumes["ct"].grid
    assert not mr.same_as(ct)
    assert np.ptp(mr.spacing_mm) > 0.5
    tilt = np.abs(mr.affine[:3, :3] / mr.spacing_mm)
    assert (tilt.max(axis=0) < 0.9999).any()
    assert case.volumes["body"].grid.same_as(mr)


def test_oblique_and_straight_see_the_same_head(make):
    """The head's volume does not depend on the grid; the field of view cuts the neck a little."""
    straight, oblique = make(), make(oblique=True)
    litres = [
        case.volumes["body"].data.sum() * np.prod(case.volumes["body"].grid.spacing_mm) / 1e6
        for case in (straight, oblique)
    ]
    assert litres[1] == pytest.approx(litres[0], rel=0.06)
    assert 3.0 < litres[0] < 5.5


def test_some_oblique_grids_are_left_handed_and_some_are_not():
    signs = {
        float(
            np.sign(
                np.linalg.det(draw_placement(Streams(0, i), (32, 40, 32), True, True).mr.affine)
            )
        )
        for i in range(12)
    }
    assert signs == {-1.0, 1.0}


def test_ct_and_mr_overlap_in_world_space(make):
    case = make(oblique=True)
    grid, ct = case.volumes["body"].grid, case.volumes["ct"]
    inside = np.argwhere(case.volumes["body"].data > 0)
    at = np.rint(ct.grid.to_index(grid.to_world(inside))).astype(int)
    within = ((at >= 0) & (at < ct.data.shape)).all(axis=1)
    values = ct.data[tuple(at[within].T)]
    assert (values > -600).mean() > 0.88


def test_hot_spots_show_in_pet_and_nowhere_else(make):
    case = make(index=4)
    for spot in case.truth["pet"]["hot_spots"]:
        grid = case.volumes["pet_full"].grid
        at = np.rint(grid.to_index(np.array(spot["centre_mm"]))).astype(int)
        assert ((at >= 0) & (at < grid.shape)).all()
    assert case.volumes["pet_full"].data.max() > 5.0
