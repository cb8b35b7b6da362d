"""A registration as files: JSON for programs, and what ITK, 3D Slicer and ANTs read.

ITK's world is LPS+, medgen's RAS+; ITK's transforms carry points of the fixed world to the moving
one, which is the way resampling goes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medgen.files import replacing, write_json
from medgen.preparation.aligning import Motion
from medgen.volumes import Grid

sitk: Any = SimpleITK
"""SimpleITK says it is typed, but its methods are not."""

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_transform(
    folder: Path, moving: str, fixed: str, motion: Motion, grid: Grid
) -> tuple[str, str]:
    """Write a transform twice and return both names: as JSON, and as ITK reads it.

    ITK's is `.tfm`, or for a deformable transform `_warp.nii.gz`: the whole way, affine part
    included, as a displacement (LPS+ mm) at each voxel of the fixed `grid`.
    """
    stem = f"{moving}_to_{fixed}"
    inverse = np.asarray(np.linalg.inv(motion.matrix), dtype=np.float64)
    if motion.displacement_mm is None:
        itk = f"{stem}.tfm"
        _write_linear(folder / itk, inverse)
    else:
        itk = f"{stem}_warp.nii.gz"
        _write_field(folder / itk, motion.displacement_mm, inverse, grid)
    description = {
        "from": moving,
        "to": fixed,
        "world": "RAS+ mm, as NIfTI; each image's own world",
        f"{moving}_to_{fixed}": motion.matrix.tolist(),
        f"{fixed}_to_{moving}": inverse.tolist(),
        "deformable": motion.displacement_mm is not None,
        "itk": itk,
        "itk_maps": f"points of {fixed} to points of {moving}, LPS+ mm",
    }
    if motion.displacement_mm is not None:
        description["note"] = "the matrices are the affine part only; the ITK file is all of it"
    write_json(folder / f"{stem}.json", description)
    return f"{stem}.json", itk


def _write_linear(path: Path, inverse: NDArray[np.float64]) -> None:
    matrix = LPS @ inverse @ LPS
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    with replacing(path) as temporary:
        sitk.WriteTransform(transform, str(temporary))


def _write_field(
    path: Path, displacement_mm: NDArray[np.float32], inverse: NDArray[np.float64], grid: Grid
) -> None:
    """Write where each fixed voxel's centre lies in the moving world, less where it is."""
    vectors = np.empty((*grid.shape[::-1], 3), dtype=np.float32)  # as SimpleITK has them: z, y, x
    across = np.stack(np.meshgrid(*map(np.arange, grid.shape[1:]), indexing="ij"), axis=-1)
    for plane in range(grid.shape[0]):  # one at a time: a whole grid of float64 takes gigabytes
        index = np.concatenate([np.full((*across.shape[:2], 1), plane), across], axis=-1)
        here = grid.to_world(index)
        there = (here + displacement_mm[plane]) @ inverse[:3, :3].T + inverse[:3, 3]
        vectors[:, :, plane] = np.swapaxes((there - here) * (-1.0, -1.0, 1.0), 0, 1)
    image = sitk.GetImageFromArray(vectors, isVector=True)
    lps = LPS @ grid.affine
    image.SetSpacing(grid.spacing_mm.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / grid.spacing_mm).ravel().tolist())
    with replacing(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
