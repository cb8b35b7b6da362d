import math

import pytest

from medgen.metrics.columns import Direction, improvement


@pytest.mark.parametrize(
    ("direction", "first", "second", "expected"),
    [
        ("lower", 2.0, 1.0, 1),
        ("lower", 1.0, 2.0, -1),
        ("higher", 1.0, 2.0, 1),
        ("zero", -3.0, 2.0, 1),
        ("zero", 2.0, -2.0, 0),
        ("higher", math.nan, 2.0, 0),
        ("higher", math.inf, math.inf, 0),
        ("higher", 1.0, math.inf, 1),
    ],
)
def test_improvement(direction: Direction, first: float, second: float, expected: int) -> None:
    assert improvement(direction, first, second) == expected
