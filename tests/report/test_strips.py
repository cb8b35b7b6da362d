import math

import numpy as np
import pytest

from medgen.report.strips import Strip, paired, strips


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [1.0, math.nan, math.inf], [math.nan]])
def test_strips_take_any_number_of_scores_and_cases(count: int, values: list[float]) -> None:
    scores = [Strip(f"score_{i}", "HU", values, (math.nan, math.nan)) for i in range(count)]
    assert strips(scores).startswith(b"\x89PNG")


def test_paired_differences() -> None:
    scores = [Strip("mae", "HU", list(np.linspace(-5, 1, 12)), (-4.0, -1.0))]
    assert paired(scores, {"mae": "second − first"}).startswith(b"\x89PNG")
