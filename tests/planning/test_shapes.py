import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.planning.footprint import Sizes
from medgen.planning.shapes import BOTTOM, patches, smallest_patch

extents = st.tuples(*(st.floats(20.0, 300.0) for _ in range(3)))


@given(extent=extents, halvings=st.integers(1, 5))
def test_patches_grow_in_multiples_and_never_beyond_the_body(
    extent: tuple[float, float, float], halvings: int
) -> None:
    step = 2**halvings
    ladder = patches(extent, Sizes(step, 3 * step, None), halvings=halvings)
    if min(extent) + 1 < BOTTOM * step:
        assert ladder == []
        return
    assert ladder[0] == (BOTTOM * step,) * 3
    for smaller, larger in itertools.pairwise(ladder):
        assert sum(larger) - sum(smaller) == step
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))
    for patch in ladder:
        assert all(length % step == 0 for length in patch)
        assert all(n <= length + 1 for n, length in zip(patch, extent, strict=True))
    assert all(n + step > length for n, length in zip(ladder[-1], extent, strict=True))


def test_patches_follow_the_shape_of_the_body() -> None:
    ladder = patches((80.0, 160.0, 80.0), Sizes(8, 24, None), halvings=3)
    x, y, z = ladder[len(ladder) * 2 // 3]
    assert y > 1.5 * x
    assert x - z in (0, 8)
    assert ladder[-1] == (80, 160, 80)


def test_a_discriminator_may_ask_for_more_than_the_body_has() -> None:
    sizes = Sizes(8, 40, None)
    assert patches((34.0, 90.0, 34.0), sizes, halvings=3)[-1] == (40, 88, 40)
    assert smallest_patch(sizes) == (40, 40, 40)


def test_without_a_unet_the_smallest_patch_is_the_first() -> None:
    assert patches((30.0, 30.0, 30.0), Sizes(4, 10, None), halvings=None)[0] == (12, 12, 12)


@pytest.mark.parametrize("halvings", [None, 3])
def test_a_fixed_window_is_the_only_patch(halvings: int | None) -> None:
    sizes = Sizes(1, 1, (128, 128, 128))
    assert patches((50.0, 60.0, 70.0), sizes, halvings=halvings) == [(128, 128, 128)]
    assert smallest_patch(sizes) == (128, 128, 128)
