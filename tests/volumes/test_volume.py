import numpy as np
import pytest

from medgen.volumes import Grid, Volume

GRID = Grid((2, 3, 4), np.eye(4))


def test_data_fills_its_grid() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 5\) on a grid of shape \(2, 3, 4\)"):
        Volume(np.zeros((2, 3, 5)), GRID)


def test_with_data_keeps_place_and_unit_but_not_the_digest() -> None:
    volume = Volume(np.zeros(GRID.shape), GRID, unit="HU", digest="abc")
    other = volume.with_data(np.ones(GRID.shape))
    assert (other.unit, other.digest, other.data.max()) == ("HU", "", 1)
    assert other.grid is GRID
    assert volume.with_data(np.ones(GRID.shape), unit="SUV").unit == "SUV"
