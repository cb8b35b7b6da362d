"""Losses are float32 whatever comes in; only float64 is wider."""

from __future__ import annotations

import pytest
import torch

from medgen.losses.precision import at_least_float32, without_autocast


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_what_is_narrower_is_widened(given: torch.dtype, expected: torch.dtype) -> None:
    assert at_least_float32(torch.zeros(2, dtype=given)).dtype == expected


def test_float32_is_not_copied() -> None:
    values = torch.zeros(2)
    assert at_least_float32(values) is values


def test_products_are_not_rounded_within_autocast() -> None:
    matrix = torch.full((2, 2), 1.0 + 2**-12)
    with torch.autocast("cpu", torch.bfloat16):
        assert (matrix @ matrix).dtype == torch.bfloat16
        with without_autocast(matrix):
            product = matrix @ matrix
        assert (matrix @ matrix).dtype == torch.bfloat16
    assert product.dtype == torch.float32
    assert (product > 2).all()
