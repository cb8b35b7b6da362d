"""Layers of three axes that also run slices: windows one voxel deep, which they leave alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from medgen.networks.sizes import check_size
from medgen.problems import ConfigurationError, Problem

SpatialDims = Literal[2, 3]
"""2: windows are slices (X, Y, 1), and nothing is convolved, strided or scaled along the last
axis; 3: windows are volumes."""

Extent = tuple[int, int, int]


def extent(length: int, spatial_dims: SpatialDims, *, across: int) -> Extent:
    """Return a kernel's, stride's or padding's length along each axis: `across` in a slice."""
    return length, length, length if spatial_dims == 3 else across


def coarsest(
    network: str, window: Sequence[int], *, levels: int, spatial_dims: SpatialDims
) -> Extent:
    """Return the size of a window (X, Y, Z) that is halved `levels` times.

    At least two voxels are left along an axis that is halved, since the norm of a single voxel
    is none.

    Raises:
        ConfigurationError: E_PATCH_SIZE, a slice that is not one voxel deep, or an axis that is
            too short or no multiple of two to the power of `levels`.
    """
    factor = int(2**levels)
    if spatial_dims == 2 and window[2] != 1:
        message = (
            f"{network} with spatial_dims: 2 cannot take {' x '.join(map(str, window))} voxels: "
            f"slices are 1 voxel deep, not {window[2]}"
        )
        advice = f"set train.patch: [{window[0]}, {window[1]}, 1], or spatial_dims: 3"
        raise ConfigurationError(Problem("E_PATCH_SIZE", message, advice))
    check_size(network, window[:spatial_dims], minimum=2 * factor, divisor=factor)
    x, y, z = window
    return x // factor, y // factor, z // factor if spatial_dims == 3 else z
