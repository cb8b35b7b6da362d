import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import AXIAL, CT, OBLIQUE, ORIGIN, SPACING, affine_of, make_slices
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from medgen.dicom.frames import Frame, Instance
from medgen.dicom.geometry import Arrangement, arrange, position_groups

PLANE = (4, 3)


def frames_at(
    positions: Any, *, directions: NDArray[Any] = AXIAL, spacing: Any = SPACING
) -> list[Frame]:
    places = np.asarray(positions, dtype=np.float64)
    headers, _ = make_slices(
        CT,
        shape=(*PLANE, len(places)),
        positions=places,
        directions=directions,
        spacing=spacing,
    )
    return frames_of_headers(headers)


def frames_of_headers(headers: list[Dataset]) -> list[Frame]:
    order = np.random.default_rng(1).permutation(len(headers))
    return [Frame(Instance(Path("x"), headers[i]), 0, headers[i]) for i in order]


def at_heights(heights: Any, shift: Any = (0.0, 0.0)) -> list[Frame]:
    """Return axial frames at heights, each moved by `shift` for every millimetre of height."""
    return frames_at([np.add(ORIGIN, (shift[0] * z, shift[1] * z, z)) for z in heights])


def arranged(frames: list[Frame], **how: bool) -> Arrangement:
    arrangement, problems = arrange(frames, **how)
    assert problems == []
    assert arrangement is not None
    return arrangement


def codes(frames: list[Frame], **how: bool) -> list[str]:
    arrangement, problems = arrange(frames, **how)
    assert (arrangement is None) == bool(problems)
    return [problem.code for problem in problems]


angles = st.tuples(*[st.floats(-180, 180)] * 3)
spacings = st.tuples(*[st.floats(0.2, 12.0)] * 3)
origins = st.tuples(*[st.floats(-900, 900)] * 3)


@settings(max_examples=60)
@given(angles, spacings, origins, st.integers(2, 12))
def test_the_affine_places_every_voxel(
    turn: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...], count: int
) -> None:
    directions = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    headers, truth = make_slices(
        CT, shape=(*PLANE, count), spacing=spacing, directions=directions, origin=origin
    )
    found = arranged(frames_of_headers(headers))
    assert found.shape == (*PLANE, count)
    assert found.straight
    np.testing.assert_allclose(found.affine, truth.affine, atol=1e-6)
    heights = [
        float(directions[:, 2] @ np.array(f.header.ImagePositionPatient, float))
        for f in found.frames
    ]
    assert heights == sorted(heights)


def test_slices_run_along_the_normal_however_they_were_acquired() -> None:
    headers, truth = make_slices(CT, shape=(*PLANE, 5), directions=OBLIQUE * (1, 1, -1))
    found = arranged(frames_of_headers(headers))
    assert np.linalg.det(found.affine[:3, :3]) > 0
    last = truth.affine @ (0, 0, 4, 1)
    np.testing.assert_allclose(found.affine[:3, 3], last[:3], atol=1e-9)
    np.testing.assert_allclose(found.affine[:3, 2], -truth.affine[:3, 2], atol=1e-9)


def test_rounding_of_positions_and_cosines_is_accepted() -> None:
    chance = np.random.default_rng(2)
    heights = np.arange(20) * 2.5
    places = np.array([np.add(ORIGIN, (0, 0, z)) for z in heights])
    frames = frames_at(places + chance.uniform(-3e-3, 3e-3, places.shape))
    for frame in frames:
        cosines = np.array([1, 0, 0, 0, 1, 0]) + chance.uniform(-1e-5, 1e-5, 6)
        frame.header.ImageOrientationPatient = [f"{one:.9f}" for one in cosines]
    found = arranged(frames)
    assert found.straight
    ends = [np.array([x, y, z, 1.0]) for x in (0, 3) for y in (0, 2) for z in (0, 19)]
    expected = affine_of(AXIAL, SPACING)
    for end in ends:
        assert np.linalg.norm((found.affine - expected) @ end) < 0.01


def test_three_thin_slices_with_rounded_positions_are_not_tilted() -> None:
    frames = frames_at(np.add(ORIGIN, [(0, 0, 0), (0.003, 0, 1), (0.004, 0.004, 2)]))
    assert codes(frames) == []


@pytest.mark.parametrize(
    ("heights", "expected", "said"),
    [
        ([0, 3, 6, 12, 15], ["E_NONUNIFORM_SPACING"], "usually 3 mm, as if 1 slice was missing"),
        ([0, 3, 9, 15, 18, 21, 24], ["E_NONUNIFORM_SPACING"], "as if 2 slices were missing"),
        ([0, 3, 6, 9.2, 12.2], ["E_NONUNIFORM_SPACING"], "from 3 to 3.2 mm"),
        ([0, 3, 6, 9.04, 12], [], ""),
        ([0, 10, 20, 30.09, 40], [], ""),  # 1 % of 10 mm
        ([0, 0.1, 0.2, 0.24, 0.34], ["E_NONUNIFORM_SPACING"], ""),  # thin slices are held to less
        (np.cumsum([0.5] * 60 + [0.54] * 60), ["E_NONUNIFORM_SPACING"], "stray by"),
        ([0, 3, 6, 6.005, 9], ["E_DUPLICATE_SLICE"], "1 of 5 images"),
        ([0, 3, 6, 6, 12], ["E_DUPLICATE_SLICE", "E_NONUNIFORM_SPACING"], ""),
        ([5, 5], ["E_DUPLICATE_SLICE"], ""),
        ([5], ["E_TOO_FEW_SLICES"], "a single image"),
        ([], ["E_TOO_FEW_SLICES"], "no image"),
    ],
)
def test_gaps(heights: Any, expected: list[str], said: str) -> None:
    frames = at_heights(heights) if len(heights) else []
    assert codes(frames) == expected
    assert said in " ".join(problem.message for problem in arrange(frames)[1])


def test_the_ge_series_tells_of_tilt_and_of_gaps() -> None:
    frames = at_heights([0, 4, 8, 12, 19, 26, 33], shift=(0, np.tan(np.deg2rad(-20))))
    _, (tilt, gaps) = arrange(frames)
    assert tilt.code == "E_GANTRY_TILT"
    assert "20 degrees" in tilt.message
    assert gaps.code == "E_NONUNIFORM_SPACING"
    assert re.search("from 4 to 7 mm", gaps.message)
    assert "--straighten" in tilt.advice
    assert "--straighten" in gaps.advice


@pytest.mark.parametrize(("degrees", "tilted"), [(0.05, False), (0.2, True), (-15, True)])
def test_tilt(degrees: float, tilted: bool) -> None:
    shift = (np.tan(np.deg2rad(degrees)), 0)
    assert codes(at_heights(np.arange(40) * 2.5, shift)) == ["E_GANTRY_TILT"] * tilted


def test_a_slice_beside_the_others_is_refused_even_straightened() -> None:
    places = np.add(ORIGIN, [(0, 0, 0), (0, 0, 3), (2, 0, 6), (0, 0, 9)])
    assert codes(frames_at(places)) == ["E_NONUNIFORM_SPACING"]
    assert codes(frames_at(places), straighten=True) == ["E_NONUNIFORM_SPACING"]


@pytest.mark.parametrize(("widest", "expected"), [(9, []), (9.2, ["E_NONUNIFORM_SPACING"])])
def test_straightening_stops_where_a_part_is_missing(widest: float, expected: list[str]) -> None:
    frames = at_heights([0, 3, 6, 6 + widest, 9 + widest])
    assert codes(frames, straighten=True) == expected


def test_straightening_is_offered_only_where_it_would_work() -> None:
    wide, shift = at_heights([0, 3, 6, 9, 24], shift=(0.2, 0)), at_heights([0, 3, 6, 12])
    assert codes(wide) == ["E_GANTRY_TILT", "E_NONUNIFORM_SPACING"]
    assert not [one for one in arrange(wide)[1] if "--straighten" in str(one)]
    assert "--straighten" in arrange(shift)[1][0].advice
    beside = frames_at(np.add(ORIGIN, [(0, 0, 0), (0, 0, 3), (2, 0, 6), (0, 0, 12)]))
    assert not [one for one in arrange(beside)[1] if "--straighten" in str(one)]
    assert "--straighten does not mend" in str(arrange(beside, straighten=True)[1][0])


def test_a_gap_too_wide_to_straighten_says_so() -> None:
    frames = at_heights([0, 3, 6, 9, 24, 27])
    (plain,), (flagged,) = arrange(frames)[1], arrange(frames, straighten=True)[1]
    assert "--straighten does not fill gaps of more than 2 slices" in flagged.message
    assert "5 times the usual one" in flagged.message
    assert plain.message in flagged.message
    assert plain != flagged


def test_a_gap_beside_unread_files_is_mended_with_them() -> None:
    frames = at_heights([0, 3, 6, 12, 15])
    (problem,) = arrange(frames, incomplete=True)[1]
    assert "--straighten" not in problem.advice
    assert "cannot be read" in problem.advice


def test_what_is_to_be_straightened_keeps_its_places() -> None:
    found = arranged(at_heights([0, 3, 6, 12], shift=(0, 0.2)), straighten=True)
    assert not found.straight
    np.testing.assert_allclose(found.along_mm, [0, 3, 6, 12], atol=1e-9)
    np.testing.assert_allclose(found.shear, [0, 0.2], atol=1e-9)
    assert found.usual_gap_mm == pytest.approx(3)
    np.testing.assert_allclose(found.affine[:3, 2], [0, -0.8, 4], atol=1e-9)


def test_places_are_groups() -> None:
    frames = at_heights([0, 3, 0.004, 6, 3])
    groups = position_groups(frames)
    assert groups is not None
    heights = [float(frame.header.ImagePositionPatient[2]) - ORIGIN[2] for frame in frames]
    assert [round(3 * group) for group in groups.tolist()] == [round(one) for one in heights]


def test_places_without_positions_are_unknown() -> None:
    frames = at_heights([0, 3])
    del frames[0].header.ImagePositionPatient
    assert position_groups(frames) is None
