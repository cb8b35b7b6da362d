from __future__ import annotations

import numpy as np
import pytest

from medgen.config import PreprocessingConfig
from medgen.data.frame import crop_box, crop_grid, frame_of
from medgen.data.masks import bounding_box
from medgen.volumes import resample


@pytest.mark.parametrize("spacing", [2.0, 3.0])
def test_the_crop_is_the_body_and_its_margin(volumes, spacing):
    volume = volumes()["mr"]
    options = {"spacing_mm": (spacing,) * 3, "crop_margin_mm": 4.0}
    whole = frame_of("mr", volume, unit="arbitrary", settings=PreprocessingConfig(crop="none"))
    settings = PreprocessingConfig(**options)
    frame = frame_of("mr", volume, unit="arbitrary", settings=settings)
    assert whole.grid.shape == (40, 44, 36)
    margin = int(np.ceil(4.0 / spacing))
    for part, count in zip(bounding_box(frame.body), frame.grid.shape, strict=True):
        assert part.start == margin
        assert count - part.stop == margin
    assert frame.values.shape == frame.body.shape == frame.grid.shape
    again = resample(volume.data, volume.grid, frame.grid)
    np.testing.assert_allclose(frame.values, again, atol=1e-3)


def test_a_margin_ends_at_the_border(volumes):
    volume = volumes()["mr"]
    settings = PreprocessingConfig(crop_margin_mm=500.0)
    frame = frame_of("mr", volume, unit="arbitrary", settings=settings)
    assert frame.grid.shape == volume.grid.shape


def test_a_cropped_grid_keeps_its_place(volumes):
    grid = volumes()["mr"].grid
    mask = np.zeros(grid.shape, dtype=bool)
    mask[10, 12, 14] = True
    box = crop_box(mask, grid, PreprocessingConfig(crop_margin_mm=2.0))
    cropped = crop_grid(grid, box)
    assert cropped.shape == (3, 3, 3)
    np.testing.assert_allclose(cropped.to_world([1, 1, 1]), grid.to_world([10, 12, 14]))
