"""Uneven coil brightness of MR, evened out by N4.

N. J. Tustison et al., "N4ITK: improved N3 bias correction", IEEE TMI 29:1310-1320, 2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from medgen.data.masks import Mask
from medgen.volumes import Grid, ras_permutation, resample, working_grid

sitk: Any = SimpleITK
"""SimpleITK says it is typed, but its methods are not."""

FITTED_AT_MM = 4.0
"""The field is smooth, so it is fitted on a thinned copy."""

ITERATIONS = (50, 50, 30)
SMALLEST = 1e-3
"""Share of the brightest value below which a voxel is too dark for its logarithm to mean much."""


def evened(values: NDArray[Any], grid: Grid, body: Mask) -> NDArray[np.float32]:
    """Return an MR volume (X, Y, Z) divided by its bias field, fitted inside the body.

    The field has the mean logarithm 0 inside the body, so the overall brightness stays. Air is
    divided by the field's continuation. Negative values stay as they are.
    """
    native = grid.spacing_mm[list(ras_permutation(grid.affine)[0])]
    coarse = working_grid(grid, [max(FITTED_AT_MM, float(spacing)) for spacing in native])
    floor = SMALLEST * float(values.max())
    thin = np.maximum(resample(values, grid, coarse), floor)
    inside = resample(body.astype(np.uint8), grid, coarse, order=0) > 0
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations(ITERATIONS)
    n4.SetNumberOfThreads(1)  # the same input gives the same answer
    n4.Execute(_image(thin, coarse), _image(inside.astype(np.uint8), coarse))
    reference = sitk.Image([int(n) for n in coarse.shape], sitk.sitkFloat32)
    reference.SetSpacing(coarse.spacing_mm.tolist())
    field = np.ascontiguousarray(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(reference)).T)
    field -= float(field[inside].mean())
    gain = np.exp(resample(field, coarse, grid))
    even = np.asarray(values, dtype=np.float32) / gain
    return np.where(values > 0, even, values).astype(np.float32)


def _image(values: NDArray[Any], grid: Grid) -> Any:
    """Return an image whose place does not matter, only its spacing."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
    image.SetSpacing(grid.spacing_mm.tolist())
    return image
