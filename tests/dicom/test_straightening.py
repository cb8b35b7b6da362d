from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, OBLIQUE, ORIGIN, SPACING, make_slices, world_of
from dicom_hard_geometry import missing_slice
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from medgen.dicom.choice import Choice
from medgen.dicom.frames import Frame, Instance
from medgen.dicom.geometry import Arrangement, arrange
from medgen.dicom.reading import read_series
from medgen.dicom.straightening import straight_grid, straighten, straightening_note
from medgen.problems import Refusal

PLANE = (9, 8)
SLOPES = np.array([1.5, -2.0, 0.7])


def stack(heights: Any, shift: Any = (0.0, 0.0)) -> tuple[Arrangement, NDArray[np.float64]]:
    """Return oblique slices at heights, tilted by `shift`, and where each voxel lies (RAS)."""
    offsets = [OBLIQUE @ (shift[0] * z, shift[1] * z, z) for z in heights]
    positions = np.add(ORIGIN, offsets)
    headers, _ = make_slices(
        CT, shape=(*PLANE, len(heights)), positions=positions, directions=OBLIQUE
    )
    frames = [Frame(Instance(Path("x"), one), 0, one) for one in headers]
    arrangement, problems = arrange(frames, straighten=True)
    assert arrangement is not None, problems
    in_plane = world_of(np.eye(4), (*PLANE, 1))[..., :2] * SPACING[:2] @ OBLIQUE[:, :2].T
    return arrangement, (in_plane + positions) * (-1, -1, 1)


heights = st.lists(st.floats(2.0, 4.0), min_size=2, max_size=7).map(
    lambda gaps: np.cumsum([0.0, 3.0, *gaps, 3.0, 3.0])
)
shifts = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))


@settings(max_examples=40)
@given(heights, shifts)
def test_a_ramp_stays_a_ramp(heights: Any, shift: Any) -> None:
    arrangement, places = stack(heights, shift)
    data = places @ SLOPES
    values, valid = straighten(data, None, arrangement, fill=-1e4)
    grid = straight_grid(arrangement)
    assert values.shape == grid.shape
    inside = np.ones(grid.shape, bool) if valid is None else valid
    expected = world_of(grid.affine, grid.shape) @ SLOPES
    np.testing.assert_allclose(values[inside], expected[inside], atol=2e-3)
    assert (values[~inside] == -1e4).all()
    # All voxels of the first and last slice are there, but for the rim that lies between voxels.
    assert inside[:, :, 0].sum() == PLANE[0] * PLANE[1]
    assert inside[:, :, -1].sum() >= (PLANE[0] - 1) * (PLANE[1] - 1)
    assert inside.sum() >= (PLANE[0] - 1) * (PLANE[1] - 1) * grid.shape[2]


@given(heights, shifts)
@settings(max_examples=40)
def test_the_grid_is_orthogonal_and_holds_all_slices(heights: Any, shift: Any) -> None:
    arrangement, places = stack(heights, shift)
    grid = straight_grid(arrangement)
    directions = grid.affine[:3, :3] / np.linalg.norm(grid.affine[:3, :3], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-9)
    homogeneous = np.concatenate([places, np.ones((*places.shape[:-1], 1))], axis=-1)
    indices = (homogeneous @ np.linalg.inv(grid.affine).T)[..., :3]
    assert indices.min() > -1e-6
    assert (indices.reshape(-1, 3).max(axis=0) < np.array(grid.shape) - 1 + 1e-6).all()


def test_gaps_are_filled_from_their_neighbours() -> None:
    arrangement, _ = stack([0, 3, 6, 12, 15])
    data = np.broadcast_to(np.array([10, 20, 30, 50, 60]), (*PLANE, 5)).astype(np.int16)
    values, valid = straighten(data, None, arrangement, fill=0)
    assert valid is None
    assert values[4, 4].tolist() == [10, 20, 30, 40, 50, 60]
    assert values.dtype == np.float32


@pytest.mark.parametrize(
    ("heights", "said"),
    [
        ([0, 3, 6, 12, 15], "1 of 6 slice positions is interpolated, where 1 slice is missing"),
        ([0, 3, 6, 15, 18, 21], "2 of 8 slice positions are interpolated, where 2 slices are miss"),
        ([0, 3.001, 5.999, 12, 15], "1 of 6 slice positions is interpolated, where 1 slice is"),
        ([0, 4, 8, 12, 19, 26], "gaps from 4 to 7 mm, usually 4 mm; 5 of 7"),
    ],
)
def test_the_note_says_how_much_is_new(heights: Any, said: str) -> None:
    arrangement, _ = stack(heights, shift=(0, np.tan(np.deg2rad(12.5))))
    note = straightening_note(arrangement)
    assert note.code == "W_STRAIGHTENED"
    assert "tilt 12.5 degrees" in note.message
    assert said in note.message


def test_the_note_of_straightening_counts_what_was_missing(tmp_path: Path) -> None:
    missing_slice(tmp_path)
    series = read_series(tmp_path, Choice(straighten=True))
    (note,) = series.notes
    assert "tilt 0 degrees, gaps from 2.5 to 5 mm, usually 2.5 mm" in note.message
    assert "1 of 10 slice positions is interpolated, where 1 slice is missing" in note.message


@pytest.mark.parametrize("damage", [b"", b"DICM"])
def test_a_file_that_cannot_be_read_is_the_missing_slice(tmp_path: Path, damage: bytes) -> None:
    missing_slice(tmp_path)
    (tmp_path / "lost.dcm").write_bytes(damage)
    with pytest.raises(Refusal, match="E_NONUNIFORM_SPACING") as caught:
        read_series(tmp_path)
    assert len(caught.value.problems) == 2
    assert "--straighten" not in str(caught.value)


def test_whole_shifts_copy_voxels() -> None:
    arrangement, _ = stack([0, 3, 6], shift=(SPACING[0] / 3, 0))
    data = np.random.default_rng(0).integers(-1000, 3000, (*PLANE, 3))
    values, valid = straighten(data, None, arrangement, fill=-1024)
    assert values.shape == (PLANE[0] + 2, PLANE[1], 3)
    assert valid is not None
    for index in range(3):
        np.testing.assert_allclose(values[index : index + PLANE[0], :, index], data[..., index])
        assert valid[:, :, index].sum() == PLANE[0] * PLANE[1]
    assert (values[~valid] == -1024).all()


def test_padding_does_not_leak() -> None:
    arrangement, places = stack([0, 3, 6, 12], shift=(0.1, 0.2))
    data = places @ SLOPES
    valid = np.ones(data.shape, bool)
    valid[3, 3, 1] = False
    data[3, 3, 1] = -1024
    values, measured = straighten(data, valid, arrangement, fill=-1024)
    assert measured is not None
    grid = straight_grid(arrangement)
    expected = world_of(grid.affine, grid.shape) @ SLOPES
    np.testing.assert_allclose(values[measured], expected[measured], atol=2e-3)
