"""Linear interpolation on a CUDA device, to rounding the same as the processor's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medgen.volumes.separable import Matrix

if TYPE_CHECKING:
    from torch import Tensor

_SLAB_VOXELS = 1 << 24
"""How many voxels are sampled at once: about thirty times as many bytes as they take."""


def along(
    values: NDArray[np.float32], matrices: Sequence[Matrix | None], *, device: str
) -> NDArray[np.float32]:
    """Multiply each axis of a volume by its matrix, as `separable.along` does."""
    import torch

    moved = torch.from_numpy(values).to(device)
    for axis, matrix in enumerate(matrices):
        if matrix is not None:
            moved = _product(matrix, moved, axis)
    answer: NDArray[np.float32] = moved.cpu().numpy()
    return answer


def sample(
    values: NDArray[np.float32],
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    *,
    device: str,
) -> NDArray[np.float32]:
    """Interpolate a volume on a grid turned anyhow, as `oblique.sample` does.

    `matrix` (4, 4) carries indices of the new grid to those of `values`.
    """
    import torch

    flat = torch.from_numpy(values).to(device).reshape(-1)
    answer = np.empty(shape, dtype=np.float32)
    step = max(1, _SLAB_VOXELS // (shape[1] * shape[2]))
    for start in range(0, shape[0], step):
        slab = range(start, min(start + step, shape[0]))
        answer[slab.start : slab.stop] = (
            _slab(flat, values.shape, matrix, shape, slab).cpu().numpy()
        )
    return answer


def _product(matrix: Matrix, values: Tensor, axis: int) -> Tensor:
    """Add up, weighted, the old voxels that each new one is made of.

    Not by a matrix product, which a CUDA device may be set to round to TF32.
    """
    import torch

    used = matrix != 0
    first = used.argmax(axis=1)
    reach = int((matrix.shape[1] - used[:, ::-1].argmax(axis=1) - first).max())
    lines = [1, 1, 1]
    lines[axis] = len(matrix)
    total = torch.zeros(
        [len(matrix) if i == axis else n for i, n in enumerate(values.shape)], device=values.device
    )
    for step in range(reach):
        place = np.minimum(first + step, matrix.shape[1] - 1)
        weight = np.where(first + step == place, matrix[np.arange(len(matrix)), place], 0)
        index, share = (torch.from_numpy(array).to(values.device) for array in (place, weight))
        total.addcmul_(values.index_select(axis, index), share.view(lines))
    return total


def _slab(
    flat: Tensor,
    old: tuple[int, ...],
    matrix: NDArray[np.float64],
    shape: tuple[int, int, int],
    slab: range,
) -> Tensor:
    """Return the new voxels whose first index lies in `slab`."""
    import torch

    def count(start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, dtype=torch.float64, device=flat.device)

    x, y, z = count(slab.start, slab.stop), count(0, shape[1]), count(0, shape[2])
    corner: Tensor | int = 0
    shares, strides = [], []
    for axis, size in enumerate(old):
        a, b, c, d = matrix[axis].tolist()
        place = ((a * x)[:, None] + b * y)[:, :, None] + (c * z + d)
        place = place.clamp_(0.0, size - 1.0)
        below = place.long().clamp_(max=max(size - 2, 0))
        shares.append((place - below).float())
        corner = corner * size + below
        strides.append(0 if size == 1 else int(np.prod(old[axis + 1 :])))
    corners: list[Tensor] = [
        flat[corner + (i * strides[0] + j * strides[1] + k * strides[2])]
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
    ]
    for share in reversed(shares):
        pairs = zip(corners[::2], corners[1::2], strict=True)
        corners = [low + (high - low) * share for low, high in pairs]
    return corners[0]
