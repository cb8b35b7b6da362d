import math

import numpy as np
import pytest

from medgen.metrics import dice
from medgen.metrics.overlap import threshold_dice


def test_dice_by_hand() -> None:
    first = np.array([1, 1, 1, 0, 0])
    second = np.array([0, 1, 1, 1, 0])
    assert dice(first, second) == pytest.approx(2 * 2 / 6)
    assert dice(first, first) == 1.0
    assert dice(first, 1 - first) == 0.0
    assert math.isnan(dice(first * 0, second * 0))


def test_threshold_dice_counts_inside_the_mask_and_includes_the_threshold() -> None:
    reference = np.array([[[150.0, 200.0, 100.0, 900.0]]])
    prediction = np.array([[[149.0, 150.0, 300.0, 900.0]]])
    mask = np.array([[[1, 1, 1, 0]]])
    assert threshold_dice(prediction, reference, mask, above=150) == pytest.approx(2 * 1 / 4)
