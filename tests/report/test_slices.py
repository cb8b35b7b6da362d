import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.report import to_ras
from medgen.report.slices import around, centre_of, cut
from medgen.volumes import Grid

SHAPE = (3, 4, 5)


@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    spacing=st.tuples(*[st.floats(0.5, 5.0)] * 3),
)
def test_to_ras_turns_every_axis_order_and_handedness(
    order: list[int], signs: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    """Voxels that hold their own world coordinates must rise along each RAS axis."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, world in enumerate(order):
        affine[world, axis] = signs[axis] * spacing[axis]
    affine[:3, 3] = (7, -3, 11)
    grid = Grid(SHAPE, affine)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1)
    for world, values in enumerate(np.moveaxis(grid.to_world(index), -1, 0)):
        turned, found = to_ras(values, grid)
        steps = np.diff(turned, axis=world)
        np.testing.assert_allclose(steps, found[world])
        assert found[world] == pytest.approx(spacing[order.index(world)])


def test_cuts_hang_as_radiologists_expect() -> None:
    right, front, top = np.zeros((3, 6, 7, 8))
    right[-1], front[:, -1], top[:, :, -1] = 1, 1, 1
    spacing = (1.0, 2.0, 3.0)
    axial = cut(right, spacing, "axial", 4)
    assert axial.pixels[:, 0].all()  # the patient's right on the left
    assert (axial.left, axial.right) == ("R", "L")
    assert (axial.width_mm, axial.height_mm) == (6.0, 14.0)
    assert cut(front, spacing, "axial", 4).pixels[0].all()  # front up
    assert cut(top, spacing, "coronal", 3).pixels[0].all()  # head up
    sagittal = cut(front, spacing, "sagittal", 3)
    assert sagittal.pixels[:, 0].all()  # facing left
    assert (sagittal.left, sagittal.right) == ("A", "P")
    assert sagittal.pixels.shape == (8, 7)
    assert (sagittal.width_mm, sagittal.height_mm) == (14.0, 24.0)


def test_the_centre_is_the_masks_centre_of_mass() -> None:
    mask = np.zeros((9, 9, 9))
    mask[1:4, 5:8, 7] = 1
    assert centre_of(mask) == (2, 6, 7)
    assert centre_of(np.zeros((4, 6, 8))) == (2, 3, 4)


def test_the_box_around_a_mask_keeps_a_margin_inside_the_volume() -> None:
    mask = np.zeros((20, 20, 20))
    mask[1, 10:12, 10] = 1
    assert around(mask, (1.0, 2.0, 4.0), 4.0) == (slice(0, 6), slice(8, 14), slice(9, 12))
    assert around(mask * 0, (1.0, 1.0, 1.0), 4.0) == (slice(None),) * 3


def test_every_plane_has_its_index() -> None:
    volume = np.arange(24).reshape(2, 3, 4)
    for plane, axis in (("sagittal", 0), ("coronal", 1), ("axial", 2)):
        for index in range(volume.shape[axis]):
            found = cut(volume, (1, 1, 1), plane, index).pixels  # type: ignore[arg-type]
            assert set(found.ravel()) == set(np.take(volume, index, axis).ravel())
    assert len(list(itertools.chain(volume))) == 2
