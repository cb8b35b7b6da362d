"""Residual blocks that halve or double the grid, norms and rectifiers before the convolutions."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from medgen.networks.slices import SpatialDims, extent
from medgen.networks.small_maps import run_soundly

Norm = Literal["batch", "layer"]


def convolution(
    before: int, after: int, length: int, spatial_dims: SpatialDims, *, bias: bool = False
) -> nn.Conv3d:
    """Return a convolution that keeps the grid; `length` is odd, and 1 across a slice."""
    return nn.Conv3d(
        before,
        after,
        extent(length, spatial_dims, across=1),
        padding=extent(length // 2, spatial_dims, across=0),
        bias=bias,
    )


def norm(kind: Norm, features: int) -> nn.Module:
    """Return a norm: over the batch, or over all features and voxels of each sample."""
    return nn.BatchNorm3d(features) if kind == "batch" else nn.GroupNorm(1, features)


def initialise(network: nn.Module) -> None:
    """Draw the weights as He et al. (ICCV 2015), or Glorot and Bengio where no rectifier is near.

    Shortcuts, the only convolutions of one voxel, and dense layers are the latter; biases start
    at 0. Both uniformly, as Gulrajani et al., NeurIPS 2017, have it.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv3d | nn.Linear):
            if isinstance(layer, nn.Conv3d) and max(layer.kernel_size) > 1:
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class UpBlock(nn.Module):
    """Double the grid: batch norm, ReLU, nearest upsampling and convolution; once more without.

    Gulrajani et al., NeurIPS 2017, appendix F. The shortcut is convolved by one voxel before it is
    upsampled, which comes to the same as the other way round and costs an eighth. No biases: each
    would go on through the shortcuts to a batch norm, which takes it away.
    """

    def __init__(self, before: int, after: int, spatial_dims: SpatialDims) -> None:
        super().__init__()
        self.scale = nn.Upsample(scale_factor=_two(spatial_dims), mode="nearest")
        self.shortcut = convolution(before, after, 1, spatial_dims)
        self.norms = nn.ModuleList([norm("batch", before), norm("batch", after)])
        self.first = convolution(before, after, 3, spatial_dims)
        self.second = convolution(after, after, 3, spatial_dims)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, before, x, y, z) to (B, after, 2x, 2y, 2z)."""
        shortcut: Tensor = self.scale(self.shortcut(features))
        new = self.scale(self.norms[0](features).relu())
        new = _convolved(self.first, new)
        new = self.norms[1](new).relu()
        return shortcut + _convolved(self.second, new)


class DownBlock(nn.Module):
    """Halve the grid: norm, ReLU and convolution twice, then means of two voxels along each axis.

    The shortcut is averaged before its convolution, of one voxel, likewise.
    """

    def __init__(
        self, before: int, after: int, spatial_dims: SpatialDims, *, kind: Norm, bias: bool
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(_two(spatial_dims))
        self.shortcut = convolution(before, after, 1, spatial_dims)
        self.norms = nn.ModuleList([norm(kind, before), norm(kind, before)])
        self.first = convolution(before, before, 3, spatial_dims)
        self.second = convolution(before, after, 3, spatial_dims, bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, before, 2x, 2y, 2z) to (B, after, x, y, z)."""
        shortcut: Tensor = self.shortcut(self.pool(features))
        new = self.norms[0](features).relu()
        new = _convolved(self.first, new)
        new = self.norms[1](new).relu()
        pooled: Tensor = self.pool(_convolved(self.second, new))
        return shortcut + pooled


def _two(spatial_dims: SpatialDims) -> tuple[int, int, int]:
    return extent(2, spatial_dims, across=1)


def _convolved(layer: nn.Module, features: Tensor) -> Tensor:
    """Return a convolution of three voxels, which is sound from three on: see `small_maps`."""
    return run_soundly(layer, features, length=features.shape[2], sound_from=3)
