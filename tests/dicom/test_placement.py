import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from derived_sources import SIDES, facts_of, source_series, valid_slices
from hypothesis import given
from hypothesis import strategies as st

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.placement import place
from medgen.problems import Refusal

PERMUTATIONS = tuple(itertools.permutations(range(3)))


@functools.cache
def _source(side: str, shape: tuple[int, ...]) -> SeriesFacts:
    return source_series("MR", shape=shape, directions=SIDES[side])


def reordered(
    data: Any, affine: Any, axes: tuple[int, ...], flips: tuple[int, ...]
) -> tuple[Any, Any]:
    """Return the same volume with other axes: its axis i is axis axes[i] of the source."""
    matrix = np.eye(4)
    matrix[:3, :3] = 0
    for mine, theirs in enumerate(axes):
        matrix[theirs, mine] = -1 if mine in flips else 1
        if mine in flips:
            matrix[theirs, 3] = data.shape[theirs] - 1
    return np.flip(data.transpose(axes), flips), affine @ matrix


@given(
    axes=st.sampled_from(PERMUTATIONS),
    flips=st.sets(st.integers(0, 2)),
    side=st.sampled_from(sorted(SIDES)),
    shape=st.sampled_from([(6, 6, 6), (5, 6, 7)]),
)
def test_any_order_of_axes_is_found_by_the_affine(
    axes: tuple[int, ...], flips: set[int], side: str, shape: tuple[int, ...]
) -> None:
    source = _source(side, shape)
    data = np.arange(np.prod(shape)).reshape(shape)
    turned, affine = reordered(data, source.affine, axes, tuple(sorted(flips)))
    placement = place(turned.shape, affine, source)
    assert np.array_equal(placement.arrange(turned), data)
    assert placement.preserved
    assert [plane.frame for plane in placement.planes] == list(source.frames)


@pytest.mark.parametrize(
    ("numbers", "backwards"),
    [
        ((1, 2, 3, 4, 5), False),
        ((128, 127, 100, 9, -3), True),
        ((5, 4, 3, 2, None), False),
        ((5, 4, 4, 2, 1), False),
        ((5, 3, 4, 2, 1), False),
        ((None,) * 5, False),
    ],
)
def test_planes_are_in_the_order_of_the_image_numbers(
    numbers: tuple[int | None, ...], backwards: bool
) -> None:
    source = source_series("MR")
    for frame, number in zip(source.frames, numbers, strict=True):
        frame.header.InstanceNumber = number
    placement = place(source.shape, source.affine, source)
    assert placement.order == ((4, 3, 2, 1, 0) if backwards else (0, 1, 2, 3, 4))
    assert [plane.frame for plane in placement.planes] == list(source.frames)


@pytest.mark.parametrize("offset", [0.02, -0.02])
@pytest.mark.parametrize("axis", range(3))
def test_an_answer_beside_its_source_is_refused(axis: int, offset: float) -> None:
    source = source_series("MR")
    affine = source.affine.copy()
    affine[axis, 3] += offset
    with pytest.raises(Refusal, match=r"E_DICOM_GRID: .* 0.02 mm beside the source's"):
        place(source.shape, affine, source)
    affine[axis, 3] -= offset * 0.6
    assert place(source.shape, affine, source).preserved


def test_an_answer_of_another_spacing_is_refused() -> None:
    source = source_series("MR")
    affine = source.affine.copy()
    affine[:3, 0] *= 1.01
    with pytest.raises(Refusal, match=r"E_DICOM_GRID: .* 0.11 mm beside the source's"):
        place(source.shape, affine, source)


def test_an_answer_of_another_size_is_refused_with_both() -> None:
    source = source_series("MR")
    with pytest.raises(Refusal, match=r"it has 11 x 9 x 4 voxels, the source 11 x 9 x 5"):
        place((11, 9, 4), source.affine, source)


@pytest.mark.parametrize("factor", [0.4, 2.0, np.nan])
def test_an_answer_on_another_grid_is_refused(factor: float) -> None:
    source = source_series("MR")
    with pytest.raises(Refusal, match="E_DICOM_GRID"):
        place(source.shape, source.affine * factor, source)


def test_a_turned_answer_is_refused() -> None:
    source = source_series("MR", directions=SIDES["oblique"])
    axial = source_series("MR")
    with pytest.raises(Refusal, match=r"E_DICOM_GRID: .* its axes are not the source's"):
        place(source.shape, axial.affine, source)


def test_frames_that_are_not_in_the_order_of_the_affine_are_refused() -> None:
    source = source_series("MR")
    mixed = replace(source, frames=source.frames[::-1])
    with pytest.raises(Refusal, match="frame 1 of the source is not at its plane"):
        place(source.shape, source.affine, mixed)
    fewer = replace(source, frames=source.frames[:-1])
    with pytest.raises(Refusal, match="has 4 frames and 5 planes"):
        place(source.shape, source.affine, fewer)


def test_planes_keep_the_spelling_of_the_source() -> None:
    slices = valid_slices("MR")
    slices[1].SliceThickness = "2.30"
    slices[2].SliceThickness = None
    source = facts_of(slices)
    planes = place(source.shape, source.affine, source).planes
    assert [plane.thickness for plane in planes] == ["2.3", "2.30", None, "2.3", "2.3"]
    assert planes[3].position == [str(value) for value in slices[3].ImagePositionPatient]


def test_planes_of_a_straightened_source_follow_the_affine() -> None:
    source = source_series("MR", directions=SIDES["oblique"])
    affine = source.affine.copy()
    affine[:3, 2] /= 2
    straight = replace(source, affine=affine, shape=(11, 9, 9), straightened=True)
    placement = place(straight.shape, affine, straight)
    assert not placement.preserved
    assert len(placement.planes) == 9
    for index, plane in enumerate(placement.planes):
        corners = plane.corners(11, 9)
        for corner, indices in zip(corners, ((0, 0), (10, 0), (10, 8)), strict=True):
            expected = (affine @ (*indices, index, 1))[:3] * (-1, -1, 1)
            assert np.abs(corner - expected).max() < 1e-9
        assert plane.frame in (source.frames[index // 2], source.frames[(index + 1) // 2])
        assert max(map(len, (*plane.position, *plane.orientation, *plane.spacing))) <= 16
