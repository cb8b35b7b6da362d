"""Contact sheets of drawn images."""

import io

import numpy as np
import pytest
from PIL import Image

from medgen.report.drawn import (
    Window,
    drawn_at_most,
    neighbours_sheet,
    samples_sheet,
    walks_sheet,
)

SPACING = (2.0, 2.0, 4.0)
GREY = [Window(-1.0, 1.0, "encoded")]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("L")).astype(int)


def ramps(count: int, shape: tuple[int, ...] = (1, 8, 10, 6)) -> np.ndarray:
    return np.stack([np.full(shape, value) for value in np.linspace(-1, 1, count)])


def test_volumes_take_a_row_for_each_plane_and_slices_one() -> None:
    volumes = pixels(samples_sheet(ramps(3), GREY, spacing_mm=SPACING, title="three"))
    slices = pixels(samples_sheet(ramps(3, (1, 8, 10, 1)), GREY, spacing_mm=SPACING, title="three"))
    assert volumes.shape[1] == slices.shape[1]
    assert volumes.shape[0] > slices.shape[0] + 100


def test_no_more_is_drawn_than_a_sheet_holds() -> None:
    assert (drawn_at_most((1, 8, 8, 8)), drawn_at_most((1, 8, 8, 1))) == (8, 24)
    sheets = [
        samples_sheet(ramps(20)[:count], GREY, spacing_mm=SPACING, title="") for count in (8, 20)
    ]
    assert sheets[0] == sheets[1]
    ten = pixels(samples_sheet(ramps(10, (1, 8, 8, 1)), GREY, spacing_mm=SPACING, title=""))
    assert ten.shape[0] > 1.5 * ten.shape[1] / 8  # a second row, of two slices


def test_all_pictures_share_one_window() -> None:
    sheet = pixels(samples_sheet(ramps(3, (1, 8, 8, 1)), GREY, spacing_mm=SPACING, title=""))
    row = sheet[sheet.shape[0] // 2 - 20]
    thirds = [int(np.median(part)) for part in np.array_split(row, 3)]
    assert thirds[0] == 0
    assert thirds[1] == pytest.approx(128, abs=3)
    assert thirds[2] == 255


def test_every_channel_has_its_row_and_its_window() -> None:
    images = np.concatenate([ramps(3), 100 * ramps(3)], axis=1)
    windows = [*GREY, Window(-100.0, 100.0, "ct [HU]")]
    one = pixels(samples_sheet(ramps(3), GREY, spacing_mm=SPACING, title=""))
    two = pixels(samples_sheet(images, windows, spacing_mm=SPACING, title=""))
    assert two.shape[0] > one.shape[0] + 100


def test_neighbours_stand_below_their_samples() -> None:
    dark, bright = -np.ones((2, 1, 8, 8, 1)), np.ones((2, 1, 8, 8, 1))
    sheet = pixels(
        neighbours_sheet(dark, bright, ["1.0", "0.1"], GREY, spacing_mm=SPACING, title="")
    )
    column = sheet[:, sheet.shape[1] // 4 + 20]
    black, white = np.flatnonzero(column == 0), np.flatnonzero(column == 255)
    assert black.size > 50
    assert white.size > 50
    assert black.max() < white[:50].max()


def test_one_walk_is_drawn_in_all_planes_and_several_axially() -> None:
    one = pixels(walks_sheet([ramps(5)], GREY, spacing_mm=SPACING, title="walk"))
    two = pixels(walks_sheet([ramps(5)] * 2, GREY, spacing_mm=SPACING, title="walk"))
    assert one.shape[1] == two.shape[1]
    assert one.shape != two.shape
