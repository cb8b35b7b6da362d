import math

import numpy as np
import pytest

from medgen.metrics import dice


def test_dice_by_hand() -> None:
    first = np.array([1, 1, 1, 0, 0])
    second = np.array([0, 1, 1, 1, 0])
    assert dice(first, second) == pytest.approx(2 * 2 / 6)
    assert dice(first, first) == 1.0
    assert dice(first, 1 - first) == 0.0
    assert math.isnan(dice(first * 0, second * 0))
