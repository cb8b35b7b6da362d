"""Volumes cut to a mask column: what lies outside of it is nothing, in training and conversion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medgen.config import Scale, WindowScale
from medgen.data.channels import mask_column
from medgen.volumes import Volume


def stripped(
    volumes: Mapping[str, Volume], mask: str, intensity: Mapping[str, Scale]
) -> dict[str, Volume]:
    """Return the volumes with background wherever the column `mask` is not above zero.

    Of the columns in `intensity`, that is: the background of a window scale, its low end where it
    names none; else 0, which is air in MR and PET. Other columns, the mask's among them, stay as
    they are.

    Raises:
        Refusal: E_COLUMN_EMPTY, the case has no mask.
    """
    found = dict(volumes)
    for column in (name for name in volumes if name in intensity):
        volume, scale = volumes[column], intensity[column]
        inside = mask_column(volume.grid, volumes, mask)
        nothing = 0.0
        if isinstance(scale, WindowScale):
            nothing = scale.low if scale.background is None else scale.background
        data = np.where(inside, volume.data, np.asarray(nothing, dtype=volume.data.dtype))
        found[column] = volume.with_data(data)
    return found
