"""What drawn values mean, by the scale of their column."""

from typing import Any

import numpy as np
import pytest

from medgen.config import parse_config
from medgen.data import Preprocessing
from medgen.generation import meaning_of
from medgen.runs import preprocessing_of

SCALES: dict[str, Any] = {
    "ct": {"scale": "window", "low": -1000, "high": 3000, "unit": "HU"},
    "t1": {"scale": "percentile", "low": 1, "high": 99},
    "t2": {"scale": "z_score", "deviations": 3.0},
    "pd": {"scale": "cohort", "low": 0.5, "high": 99.5},
    "t1_again": {"scale": "shared", "with": "t1"},
}


@pytest.fixture
def preprocessing() -> Preprocessing:
    raw = {"roles": {"source": list(SCALES)}, "intensity": SCALES, "method": "any"}
    return preprocessing_of(parse_config(raw), {"pd": (10.0, 30.0)})


@pytest.mark.parametrize(
    ("column", "unit", "ends", "words"),
    [
        ("ct", "HU", (-1000, 3000), "HU, within [-1000, 3000]"),
        ("pd", "arbitrary", (10, 30), "percentiles 0.5 and 99.5 are 10 and 30"),
        ("t1", "arbitrary", (0, 1), "0 and 1 are the percentiles 1 and 99 of a volume"),
        ("t1_again", "arbitrary", (0, 1), "0 and 1 are the percentiles 1 and 99 of a volume"),
        ("t2", "arbitrary", (-3, 3), "0 is the mean of a volume inside the body"),
    ],
)
def test_every_scale_says_what_its_values_are(
    preprocessing: Preprocessing, column: str, unit: str, ends: tuple[float, float], words: str
) -> None:
    found = meaning_of(preprocessing, column)
    assert found.codec.unit == unit
    assert words in found.scale
    np.testing.assert_allclose(found.codec.decode(np.array([-1.0, 1.0])), ends)
