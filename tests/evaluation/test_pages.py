import math

import pytest

from medgen.evaluation.pages import chosen, worst_first
from medgen.evaluation.scoring import Scored
from medgen.metrics import PROFILES


def scored(case: str, mae: float) -> Scored:
    return Scored(case, case, {"mae": mae})


def test_the_worst_comes_first_and_nan_before_all() -> None:
    results = [scored("a", 2.0), scored("b", 9.0), scored("c", math.nan), scored("d", 9.0)]
    assert [r.case for r in worst_first(PROFILES["hu"], results)] == ["c", "b", "d", "a"]


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (24, 24), (25, 24), (200, 24)])
def test_few_cases_are_all_pictured_and_of_many_the_ends_and_the_middle(
    count: int, expected: int
) -> None:
    ranked = [scored(f"{i}", float(-i)) for i in range(count)]
    found = chosen(ranked)
    assert len(found) == expected
    assert found[0] == (ranked[0], f"1 of {count}")
    assert found[-1] == (ranked[-1], f"{count} of {count}")
    assert len({result.case for result, _ in found}) == expected
