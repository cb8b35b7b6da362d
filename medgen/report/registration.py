"""What a registration did, in one picture: checkerboards and contours, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_multiotsu

from medgen.report.sheet import FAINT, INK, OUTLINE, Look, Sheet, to_png
from medgen.report.slices import NORMAL, PLANES, Cut, Plane, around, centre_of, cut

SQUARE_MM = 22.0
MARGIN_MM = 10.0
PANEL_INCHES = 2.6
UNSEEN = "#2a3f55"
FIXED_COLOUR, MOVED_COLOUR, TISSUE = "#e8ecef", "#ffb070", "#5cc8ff"

_GREY = LinearSegmentedColormap.from_list("grey", ["#000000", "#ffffff"]).with_extremes(bad=UNSEEN)
_TWO = LinearSegmentedColormap.from_list(
    "two", [(0.0, "#000000"), (0.5, FIXED_COLOUR), (0.5, "#000000"), (1.0, MOVED_COLOUR)]
).with_extremes(bad=UNSEEN)
"""Lower half: the fixed image in grey; upper half: the moving one, tinted."""


@dataclass(frozen=True, eq=False)
class Laid:
    """The moving image on the fixed grid: values (X, Y, Z) and where it shows anything."""

    values: NDArray[Any]
    seen: NDArray[np.bool_]


def registration_sheet(
    fixed: NDArray[Any],
    before: Laid,
    after: Laid,
    body: NDArray[np.bool_],
    *,
    spacing_mm: Sequence[float],
    names: tuple[str, str],
    verdict: str,
) -> bytes:
    """Draw three planes as checkerboards and as contours, before and after; return PNG bytes.

    All volumes are RAS (X, Y, Z) on the fixed grid; `body` is the fixed image's outline, `names`
    are the fixed and the moving column's. The contours are the fixed image's, on the moving one.
    What the moving image does not show is dark blue, never black.
    """
    shown = body & after.seen
    box = around(shown if shown.any() else body, spacing_mm, MARGIN_MM)
    still, outline = _grey(fixed[box], body[box]), body[box]
    tissue, level = _tissue(still, outline, spacing_mm)
    laid = [
        Laid(_grey(part.values[box], part.seen[box] & body[box]), part.seen[box])
        for part in (before, after)
    ]
    at = centre_of(shown[box] if shown.any() else outline)
    rows = [_row(still, laid, outline, tissue, spacing_mm, plane, at) for plane in PLANES]
    sheet = Sheet(
        [cuts for cuts, _, _ in rows], PANEL_INCHES, f"{names[1]} to {names[0]}: {verdict}"
    )
    looks = [Look(0.0, 2.0, _TWO, "")] * 2 + [Look(0.0, 1.0, _GREY, "")] * 2
    heads = ("before", "after", f"{names[1]} before", f"{names[1]} after")
    for column, (look, head) in enumerate(zip(looks, heads, strict=True)):
        sheet.head(column, head)
        for row, (_, edge, inner) in enumerate(rows):
            sheet.picture(row, column, look, None, hide=False)
            if column >= 2:
                sheet.contour(row, column, edge.pixels, 0.5, colour=OUTLINE)
                sheet.contour(row, column, inner.pixels, level, colour=TISSUE)
    sheet.legend(
        [
            (f"grey squares: {names[0]}", INK),
            (f"tinted squares: {names[1]}", MOVED_COLOUR),
            (f"lines: outline of {names[0]}", OUTLINE),
            (f"and its tissue on {names[1]}", TISSUE),
            ("dark blue: not in view", FAINT),
        ]
    )
    return to_png(sheet.figure)


def _row(
    still: NDArray[Any],
    laid: Sequence[Laid],
    outline: NDArray[np.bool_],
    tissue: NDArray[np.float32],
    spacing_mm: Sequence[float],
    plane: Plane,
    at: tuple[int, int, int],
) -> tuple[list[Cut], Cut, Cut]:
    """Return a plane's four pictures, and the two fields whose contours are drawn."""
    index = at[NORMAL[plane]]

    def through(volume: NDArray[Any]) -> Cut:
        return cut(volume, spacing_mm, plane, index)

    ours = through(still)
    boards, plains = [], []
    for part in laid:
        theirs, seen = through(part.values), through(part.seen).pixels
        plain = np.where(seen, theirs.pixels, np.nan)
        squares = _squares(ours, seen.shape)
        board = np.where(squares, 0.999 * ours.pixels, 1.001 + 0.999 * plain)
        boards.append(theirs._replace(pixels=board))
        plains.append(theirs._replace(pixels=plain))
    edge = through(outline.astype(np.float32))
    return [*boards, *plains], edge, through(tissue)


def _squares(found: Cut, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a checkerboard whose squares are about as large in every plane."""
    height, width = shape
    down = (np.arange(height) + 0.5) * found.height_mm / height // SQUARE_MM
    across = (np.arange(width) + 0.5) * found.width_mm / width // SQUARE_MM
    return np.asarray((down[:, None] + across[None]) % 2 == 0)


def _grey(values: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale values to [0, 1] by the percentiles of what lies inside, its median near the middle.

    Two modalities are then about as bright, whatever fat or bone does to their range.
    """
    known = values[inside] if inside.any() else values
    low, middle, high = (float(value) for value in np.percentile(known, (0.5, 50, 99.5)))
    width = high - low if high > low else 1.0
    share = min(max((middle - low) / width, 0.05), 0.95)
    gamma = min(max(np.log(0.45) / np.log(share), 0.4), 2.0)
    scaled = np.clip((np.asarray(values, np.float32) - low) / width, 0, 1)
    return np.asarray(scaled**gamma, dtype=np.float32)


def _tissue(
    still: NDArray[np.float32], outline: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> tuple[NDArray[np.float32], float]:
    """Return a smoothed image and the level that parts its darkest third of tissue from the rest.

    In a T1 the level runs around the brain and the ventricles, in a CT around bone.
    """
    smooth = ndimage.gaussian_filter(still, [1.0 / float(spacing) for spacing in spacing_mm])
    values = smooth[outline]
    if values.size < 64 or not np.ptp(values) > 1e-3:
        return smooth, np.inf
    level = float(threshold_multiotsu(values, classes=3, nbins=128)[0])  # type: ignore[no-untyped-call]
    # Beyond the body the image is air, and its border is drawn already.
    return np.where(outline, smooth, np.float32(np.nan)), level
