import math

import pytest
from jinja2 import UndefinedError

from medgen.report import data_uri, render
from medgen.report.html import number


def test_a_picture_becomes_a_data_uri() -> None:
    assert data_uri(b"\x89PNG") == "data:image/png;base64,iVBORw=="


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (12.3456, "12.35"),
        (-0.012345, "−0.01235"),
        (123456.0, "123456"),
        (1e-9, "1.000e−09"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "–"),
        (None, "–"),
        (1234567.0, "1.235e+06"),
    ],
)
def test_numbers_read_well(value: float | None, expected: str) -> None:
    assert number(value) == expected


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("evaluation", {})
