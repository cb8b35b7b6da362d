"""The pictures of a case: each registration as it was judged, and all masks on the fixed image."""

from __future__ import annotations

from collections.abc import Mapping

from medgen.data.masks import Mask
from medgen.preparation.aligning import Aligned, Still
from medgen.report import to_ras
from medgen.report.masks import mask_sheet
from medgen.report.registration import Laid, registration_sheet


def picture_of(still: Still, aligned: Aligned, *, fixed: str, moving: str) -> bytes:
    """Draw a registration before and after, in three planes, and return PNG bytes."""
    grid = still.volume.grid
    values, spacing = to_ras(still.volume.data, grid)
    parts = [
        Laid(to_ras(placed.values, grid)[0], to_ras(placed.seen, grid)[0])
        for placed in (aligned.before, aligned.after)
    ]
    return registration_sheet(
        values,
        parts[0],
        parts[1],
        to_ras(still.body, grid)[0],
        spacing_mm=spacing,
        names=(fixed, moving),
        verdict="refused" if aligned.verdict.name == "failed" else aligned.verdict.name,
    )


def picture_of_masks(still: Still, masks: Mapping[str, Mask], *, fixed: str) -> bytes:
    """Draw the masks' outlines on the fixed image, and return PNG bytes."""
    grid = still.volume.grid
    values, spacing = to_ras(still.volume.data, grid)
    turned = {name: to_ras(mask, grid)[0] for name, mask in masks.items()}
    centre_on = "brain" if "brain" in masks else next(iter(masks))
    title = f"on {fixed}"
    return mask_sheet(values, turned, spacing_mm=spacing, centre_on=centre_on, title=title)
