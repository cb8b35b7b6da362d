"""Windows that are halved: which fit, and what is said of those that do not."""

from __future__ import annotations

import pytest

from medgen.networks.slices import Extent, SpatialDims, coarsest, extent
from medgen.problems import ConfigurationError


@pytest.mark.parametrize(
    ("window", "dims", "expected"),
    [
        ((64, 64, 64), 3, (4, 4, 4)),
        ((32, 64, 48), 3, (2, 4, 3)),
        ((64, 32, 1), 2, (4, 2, 1)),
    ],
)
def test_the_coarsest_map(window: Extent, dims: SpatialDims, expected: Extent) -> None:
    assert coarsest("net", window, levels=4, spatial_dims=dims) == expected


@pytest.mark.parametrize(
    ("window", "dims", "said"),
    [
        ((40, 64, 64), 3, "at least 32 and a multiple of 16"),
        ((16, 64, 64), 3, "at least 32 and a multiple of 16"),
        ((64, 64, 1), 3, "at least 32 and a multiple of 16"),
        ((64, 40, 1), 2, "at least 32 and a multiple of 16"),
        ((64, 64, 64), 2, "1 voxel deep, not 64"),
    ],
)
def test_what_does_not_fit_is_refused(window: Extent, dims: SpatialDims, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        coarsest("net", window, levels=4, spatial_dims=dims)
    assert caught.value.problems[0].code == "E_PATCH_SIZE"


def test_nothing_happens_across_a_slice() -> None:
    assert extent(4, 3, across=1) == (4, 4, 4)
    assert extent(4, 2, across=1) == (4, 4, 1)
