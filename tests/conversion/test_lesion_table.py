from __future__ import annotations

import csv
import io
import time

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import measure

from medgen.conversion.lesion_table import (
    COLUMNS,
    Lesion,
    measure_lesions,
    summary_of,
    table_of,
)

OBLIQUE = np.array(
    [[-0.9, 0.2, 0.1, 30.0], [0.15, 0.7, -0.3, -40.0], [0.1, 0.25, 1.9, 12.5], [0, 0, 0, 1]]
)
STRAIGHT = np.diag([0.5, 1.0, 2.0, 1.0])


def blobs(seed: int, shape: tuple[int, int, int] = (40, 32, 20)) -> NDArray[np.bool_]:
    """Return lesions of many shapes: noise, smoothed by taking the majority around."""
    rng = np.random.default_rng(seed)
    noise = rng.random(shape)
    noise = sum(np.roll(noise, shift, axis) for axis in range(3) for shift in (-1, 0, 1))
    return np.asarray(noise > np.quantile(noise, 0.97))


def measured(region: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[Lesion, ...]:
    probability = np.random.default_rng(9).random(region.shape, dtype=np.float32)
    return measure_lesions(region, probability, affine, name="lesion")


@pytest.mark.parametrize("affine", [OBLIQUE, STRAIGHT], ids=["oblique", "straight"])
def test_every_figure_is_that_of_scikit_image(affine: NDArray[np.float64]) -> None:
    region = blobs(0)
    found = measured(region, affine)
    probability = np.random.default_rng(9).random(region.shape, dtype=np.float32)
    numbers = measure.label(region, connectivity=3)
    expected = measure.regionprops(numbers, intensity_image=probability)
    expected.sort(key=lambda one: (-one.num_pixels, one.label))
    assert len(found) == len(expected) > 20
    assert len({one.num_pixels for one in expected}) > 5
    voxel_ml = abs(np.linalg.det(affine[:3, :3])) / 1000
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.voxels == theirs.num_pixels
        assert mine.volume_ml == pytest.approx(theirs.num_pixels * voxel_ml)
        centre = affine[:3, :3] @ theirs.centroid + affine[:3, 3]
        assert mine.centre_mm == pytest.approx(tuple(centre), abs=1e-6)
        assert mine.mean_probability == pytest.approx(theirs.intensity_mean, abs=1e-6)
        assert mine.max_probability == pytest.approx(theirs.intensity_max)


def test_the_extent_is_the_box_of_the_voxels_corners() -> None:
    region = blobs(1)
    numbers = measure.label(region, connectivity=3)
    corners = np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T
    boxes = set()
    for number in range(1, numbers.max() + 1):
        voxels = np.argwhere(numbers == number)
        points = (voxels[:, None] + corners).reshape(-1, 3) @ OBLIQUE[:3, :3].T
        boxes.add((len(voxels), *np.round(np.ptp(points, axis=0), 6)))
    assert {(one.voxels, *np.round(one.extent_mm, 6)) for one in measured(region, OBLIQUE)} == boxes


def test_the_centre_of_a_bent_part_may_lie_outside_it() -> None:
    region = np.zeros((11, 11, 5), bool)
    region[1:10, 1:10, 2] = True
    region[2:9, 2:9, 2] = False
    (ring,) = measured(region, STRAIGHT)
    assert ring.centre_mm == (2.5, 5.0, 4.0)
    assert ring.extent_mm == (4.5, 9.0, 2.0)
    assert not region[5, 5, 2]


def test_the_largest_comes_first_and_of_equals_the_first_in_the_array() -> None:
    region = np.zeros((20, 3, 3), bool)
    region[0, 0, 0] = region[4:7, 0, 0] = region[10, 0, 0] = region[14:16, 0, 0] = True
    found = measured(region, np.eye(4))
    assert [one.voxels for one in found] == [3, 2, 1, 1]
    assert [one.centre_mm[0] for one in found[2:]] == [0.0, 10.0]


def test_nothing_found_is_a_header_alone() -> None:
    assert measured(np.zeros((4, 4, 4), bool), np.eye(4)) == ()
    assert table_of(()) == "\t".join(COLUMNS) + "\n"
    zero = {"count": 0, "volume_ml": 0.0, "largest_ml": 0.0}
    assert summary_of((), ["lesion", "rim"]) == {"lesion": zero, "rim": zero}


def test_the_table_has_a_line_for_each_lesion() -> None:
    one = Lesion("core", 1.25, 1250, (-10.0, 20.125, 3.0), (4.0, 5.0, 6.0), 0.81234, 0.99996)
    two = Lesion("white matter", 0.000125, 1, (0.0, 0.0, 0.0), (0.5, 0.5, 0.5), 0.5, 0.5)
    text = table_of([one, two])
    assert text.endswith("\n")
    first, second = csv.DictReader(io.StringIO(text), delimiter="\t")
    assert first == {
        "lesion": "1",
        "class": "core",
        "volume_ml": "1.250000",
        "voxels": "1250",
        "x_ras_mm": "-10.00",
        "y_ras_mm": "20.12",
        "z_ras_mm": "3.00",
        "extent_x_mm": "4.00",
        "extent_y_mm": "5.00",
        "extent_z_mm": "6.00",
        "mean_probability": "0.8123",
        "max_probability": "1.0000",
    }
    assert (second["lesion"], second["class"]) == ("2", "white matter")
    assert second["volume_ml"] == "0.000125"
    summary = summary_of([one, two], ["core", "white matter"])
    assert summary["core"] == {"count": 1, "volume_ml": 1.25, "largest_ml": 1.25}


def test_two_thousand_lesions_take_no_longer_than_one() -> None:
    """No loop over the volume for each of them: that would take minutes instead of a second."""
    region = np.zeros((120, 120, 120), bool)
    region[::9, ::9, ::9] = region[1::9, ::9, ::9] = True
    region[:, :, 90:] = False
    start = time.process_time()
    found = measured(region, STRAIGHT)
    assert len(found) > 1900
    assert time.process_time() - start < 2.0
