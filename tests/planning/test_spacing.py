import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.planning.spacing import COARSEST_MM, SEEN, coarsened, resolved, share_seen
from medgen.problems import NothingFound

HEAD = (160.0, 200.0, 180.0)


def with_target(sound: Any, spacing: tuple[float, float, float]) -> Any:
    return {"mr": sound["mr"], "ct": replace(sound["ct"], spacing_mm=spacing)}


def test_the_target_decides_by_its_median_per_axis(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    spacings = [(0.9, 1.0, 1.5), (1.0, 1.0, 2.0), (1.4, 1.0, 9.0)]
    cases = [
        facts(f"t{k}", columns=with_target(sound, spacing)) for k, spacing in enumerate(spacings)
    ]
    outlier = facts("v", split="validation", columns=with_target(sound, (7.0, 7.0, 7.0)))
    found = resolved(config(), surveyed(*cases, outlier, outlier, outlier, validation=0))
    assert found.spacing_mm == found.median_mm == (1.0, 1.0, 2.0)
    assert (found.column, found.flattened) == ("ct", False)


def test_flat_voxels_are_made_less_flat(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    case = facts("a", columns=with_target(sound, (0.5, 0.5, 6.0)))
    found = resolved(config(), surveyed(case))
    assert found.spacing_mm == (0.5, 0.5, 1.5)
    assert found.median_mm == (0.5, 0.5, 6.0)
    assert found.flattened


def test_an_empty_column_is_nothing_to_measure(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    with pytest.raises(NothingFound, match="E_COLUMN_EMPTY"):
        resolved(config(), surveyed(facts("a", columns={"mr": sound["mr"]})))


def test_a_patch_that_sees_enough_leaves_the_spacing() -> None:
    assert coarsened((2.0, 2.0, 2.0), HEAD, 64**3) == (2.0, 2.0, 2.0)


def test_a_small_patch_asks_for_a_coarser_grid() -> None:
    assert coarsened((1.0, 1.0, 1.0), HEAD, 64**3) == (1.45, 1.45, 1.45)


def test_the_finest_axes_are_coarsened_first() -> None:
    x, y, z = coarsened((0.5, 0.5, 1.5), HEAD, 100**3)
    assert x == y > 0.5
    assert z == 1.5


@given(
    spacing=st.tuples(*(st.floats(0.4, 6.0) for _ in range(3))),
    voxels=st.integers(16**3, 200**3),
    more=st.integers(0, 200**3),
)
def test_more_voxels_never_coarsen(
    spacing: tuple[float, float, float], voxels: int, more: int
) -> None:
    coarse, fine = coarsened(spacing, HEAD, voxels), coarsened(spacing, HEAD, voxels + more)
    assert all(a >= b for a, b in zip(coarse, fine, strict=True))
    assert all(a >= b * 0.9999 for a, b in zip(fine, spacing, strict=True))
    if max(coarse) < COARSEST_MM:
        body = math.prod(mm / step for mm, step in zip(HEAD, coarse, strict=True))
        assert voxels >= 0.999 * SEEN * body


def test_the_share_that_a_patch_sees() -> None:
    assert share_seen((2.0, 2.0, 2.0), HEAD, (80, 50, 90)) == pytest.approx(0.5)
    assert share_seen((2.0, 2.0, 2.0), HEAD, (200, 200, 200)) == 1.0
