import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.planning.footprint import Sizes
from medgen.planning.generators import BOTTOM
from medgen.planning.shapes import GRAIN, patches, smallest_patch

extents = st.tuples(*(st.floats(20.0, 300.0) for _ in range(3)))


@given(extent=extents, halvings=st.integers(1, 5), bottom=st.sampled_from([1, BOTTOM]))
def test_patches_grow_in_multiples_and_never_beyond_the_body(
    extent: tuple[float, float, float], halvings: int, bottom: int
) -> None:
    """Be it a network that ends at one voxel or at several."""
    divisor = 2**halvings
    step, shortest = max(divisor, GRAIN), max(bottom * divisor, GRAIN)
    ladder = patches(extent, Sizes(divisor, divisor, None), shortest=shortest)
    if any((length + 1) // step * step < shortest for length in extent):
        assert ladder == []
        return
    assert ladder[0] == (shortest,) * 3
    for smaller, larger in itertools.pairwise(ladder):
        assert sum(larger) - sum(smaller) == step
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))
    for patch in ladder:
        assert all(length % divisor == 0 for length in patch)
        assert all(n <= length + 1 for n, length in zip(patch, extent, strict=True))
    assert all(n + step > length for n, length in zip(ladder[-1], extent, strict=True))


def test_patches_follow_the_shape_of_the_body() -> None:
    ladder = patches((80.0, 160.0, 80.0), Sizes(8, 24, None), shortest=32)
    x, y, z = ladder[len(ladder) * 2 // 3]
    assert y > 1.5 * x
    assert x - z in (0, 8)
    assert ladder[-1] == (80, 160, 80)


def test_a_discriminator_may_ask_for_more_than_the_body_has() -> None:
    sizes = Sizes(8, 40, None)
    assert patches((34.0, 90.0, 34.0), sizes, shortest=32)[-1] == (40, 88, 40)
    assert smallest_patch(sizes) == (40, 40, 40)


def test_without_a_depth_the_smallest_patch_is_the_first() -> None:
    assert patches((30.0, 30.0, 30.0), Sizes(4, 10, None), shortest=None)[0] == (12, 12, 12)


def test_a_network_of_any_size_gets_patches_in_steps_of_a_few_voxels() -> None:
    ladder = patches((30.0, 41.0, 30.0), Sizes(1, 3, None), shortest=None)
    assert ladder[0] == (4, 4, 4)
    assert ladder[-1] == (28, 40, 28)
    assert len(ladder) == 1 + 6 + 9 + 6


@pytest.mark.parametrize("shortest", [None, 32])
def test_a_fixed_window_is_the_only_patch(shortest: int | None) -> None:
    sizes = Sizes(1, 1, (128, 128, 128))
    assert patches((50.0, 60.0, 70.0), sizes, shortest=shortest) == [(128, 128, 128)]
    assert smallest_patch(sizes) == (128, 128, 128)
