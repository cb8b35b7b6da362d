"""Small cases that several tests look at, made once per worker."""

from collections.abc import Callable
from functools import lru_cache

import pytest

from medgen.phantom import Case, CaseSettings, simulate

SMALL = (32, 40, 32)
Make = Callable[..., Case]


@lru_cache(maxsize=16)
def _made(seed: int, index: int, settings: CaseSettings) -> Case:
    return simulate(seed, index, settings)


@pytest.fixture(scope="session")
def make() -> Make:
    """Return a function that makes a small case, or hands out the one made before."""

    def make(seed: int = 0, index: int = 0, **settings: object) -> Case:
        return _made(seed, index, CaseSettings(**{"size": SMALL, **settings}))  # type: ignore[arg-type]

    return make
