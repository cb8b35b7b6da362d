import numpy as np

from medgen.data.masks import body_mask
from medgen.preparation.bias import evened
from medgen.volumes import Grid


def test_a_smooth_bias_is_taken_away_and_brightness_stays() -> None:
    shape = (24, 26, 22)
    grid = Grid(shape, np.diag([-8.0, 8.0, 8.0, 1.0]))
    x, y, z = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij")
    head = x**2 + y**2 + z**2 < 1
    tissue = np.where(x**2 + y**2 + z**2 < 0.4, 300.0, 180.0)
    even = np.where(head, tissue, 1.0)
    biased = (even * np.exp(0.4 * x + 0.2 * y)).astype(np.float32)
    answer = evened(biased, grid, body_mask(biased, spacing_mm=grid.spacing_mm))
    inner = x**2 + y**2 + z**2 < 0.3

    def spread(values: np.ndarray) -> float:
        return float(values[inner].std() / values[inner].mean())

    assert spread(biased) > 0.1
    assert spread(answer) < 0.04
    assert abs(np.log(answer[head]).mean() - np.log(biased[head]).mean()) < 0.05
    assert answer.dtype == np.float32


def test_negative_values_stay() -> None:
    values = np.full((8, 8, 8), 100.0, np.float32)
    values[:2], values[0, 0, 0] = 1.0, -3.0
    grid = Grid((8, 8, 8), np.diag([8.0, 8.0, 8.0, 1.0]))
    assert evened(values, grid, values > 50)[0, 0, 0] == -3.0
