import numpy as np
import pytest

from medgen.phantom.lesions import Lesions, Mass, draw_lesions
from medgen.phantom.randomness import Streams, smooth_field

SIZE = (32, 40, 32)
FAR_MM = 8.0
"""Beyond the blur of every scanner."""


def _mass(**changes):
    settings = {
        "centre_mm": (30.0, -10.0, 25.0),
        "radius_mm": 12.0,
        "push": 0.7,
        "conspicuity": 1.0,
        "oedema_mm": 4.0,
        "core": 0.0,
        "shape": smooth_field(Streams(0, 0)("shape"), correlation_mm=8.0),
    }
    return Mass(**{**settings, **changes})


def _line(start, end, count=400):
    t = np.linspace(0.0, 1.0, count, dtype=np.float32)
    return [a + t * (b - a) for a, b in zip(start, end, strict=True)]


def test_mass_effect_never_folds_space():
    lesions = Lesions(mass=_mass(push=0.7))
    x, y, z = _line((30.0, -10.0, 25.0), (30.0, -70.0, 25.0))
    before = lesions.displace(x, y, z)[1]
    assert (np.diff(before) < 0).all()  # still in order along the line


def test_mass_effect_ends_at_its_reach_exactly():
    lesions = Lesions(mass=_mass())
    x, y, z = _line((-60.0, -10.0, 25.0), (-20.0, -10.0, 25.0))
    for moved, still in zip(lesions.displace(x, y, z), (x, y, z), strict=True):
        np.testing.assert_array_equal(moved, still)


def test_mass_effect_leaves_the_skull_alone():
    lesions = Lesions(mass=_mass(centre_mm=(45.0, -16.0, 20.0)))
    x, y, z = (np.array([value], np.float32) for value in (70.0, -16.0, 20.0))
    np.testing.assert_array_equal(lesions.displace(x, y, z)[0], x)


@pytest.mark.parametrize(
    ("kind", "spots", "mass"),
    [
        ("none", False, False),
        ("white-matter", True, False),
        ("mass", False, True),
        ("mixed",) + (True,) * 2,
    ],
)
def test_kinds(kind, spots, mass):
    drawn = draw_lesions(Streams(0, 0), kind)
    assert (len(drawn.spots) > 0) == spots
    assert (drawn.mass is not None) == mass
    assert len(drawn.mimics) > 0


def test_some_masses_are_iso_intense_and_some_are_not():
    shares = {draw_lesions(Streams(0, i), "mass").mass.conspicuity for i in range(20)}
    assert 0.0 in shares
    assert 1.0 in shares


@pytest.mark.parametrize("kind", ["white-matter", "mass"])
def test_a_lesion_case_has_a_mask_and_its_twin_has_an_empty_one(make, kind):
    ill = make(index=1, size=SIZE, lesions=kind)
    twin = make(index=1, size=SIZE, lesions=kind, healthy_twin=True)
    assert ill.volumes["lesion"].data.sum() > 3
    assert twin.volumes["lesion"].data.sum() == 0


def _reach(case, twin):
    """Return where the two may differ: around lesions in the mask, or within a mass's reach."""
    from medgen.phantom.case import CaseSettings  # the head as `simulate` draws it
    from medgen.phantom.geometry import draw_placement
    from medgen.phantom.points import draw_pose

    settings = CaseSettings(**case.truth["settings"])
    streams = Streams(case.truth["seed"], case.truth["person"])
    grid = draw_placement(streams, settings.size, False, True).mr
    lesions = draw_lesions(streams, settings.lesions)
    points = draw_pose(streams).points(grid.shape, grid.affine, None)
    near = np.zeros(grid.shape, bool)
    rounds = [(spot.centre_mm, max(spot.radii_mm) + spot.edge_mm) for spot in lesions.spots]
    rounds += [(lesions.mass.centre_mm, lesions.mass.reach_mm)] if lesions.mass else []
    for centre, radius in rounds:
        offsets = [axis - c for axis, c in zip((points.x, points.y, points.z), centre, strict=True)]
        near |= np.sqrt(sum(offset**2 for offset in offsets)) < radius + 3.0 * FAR_MM
    return near


@pytest.mark.parametrize("kind", ["white-matter", "mass"])
def test_a_twin_is_identical_away_from_the_lesion(make, kind):
    ill = make(index=1, size=SIZE, lesions=kind)
    twin = make(index=1, size=SIZE, lesions=kind, healthy_twin=True)
    near = _reach(ill, twin)
    assert (~near).mean() > 0.1
    for column in ("t1", "t2", "pd", "flair", "ct", "body"):
        a, b = ill.volumes[column].data, twin.volumes[column].data
        np.testing.assert_array_equal(a[~near], b[~near])
    assert not np.array_equal(ill.volumes["flair"].data, twin.volumes["flair"].data)
    untouched = ~near.any(axis=(0, 1))
    full = [case.volumes["pet_full"].data[:, :, untouched] for case in (ill, twin)]
    np.testing.assert_array_equal(*full)


def test_both_scanners_see_the_same_lesions(make):
    one = make(index=1, size=SIZE, lesions="white-matter", scanner="one")
    two = make(index=1, size=SIZE, lesions="white-matter", scanner="two")
    np.testing.assert_array_equal(one.volumes["lesion"].data, two.volumes["lesion"].data)
    assert not np.array_equal(one.volumes["flair"].data, two.volumes["flair"].data)
