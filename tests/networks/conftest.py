"""Memory full of NaN: what a kernel reads without having written shows at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def poison() -> Callable[[], None]:
    """Return a function that leaves NaN in memory that the next tensors are likely to get."""

    def fill() -> None:
        blocks = [torch.full((2**n,), float("nan")) for n in range(6, 21) for _ in range(8)]
        del blocks

    return fill
