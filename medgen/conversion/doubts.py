"""What makes a case's answer less trustworthy, by its geometry alone."""

from __future__ import annotations

from medgen.conversion.trust import Finding, Trust
from medgen.data import PreparedSource

BODY_FRACTIONS = (0.02, 0.95)
"""Shares of the field of view between which a body outline is credible."""

COARSE = 2.0
"""A native spacing this many times the run's deserves a warning."""


def doubts_of(prepared: PreparedSource, body_fraction: float, *, spacing_known: bool) -> Trust:
    """Return what about this case makes its answer less trustworthy.

    With `spacing_known` the spacing has been held against the training cases', which tells more.
    """
    doubts = []
    least, most = BODY_FRACTIONS
    if not least <= body_fraction <= most:
        reason = f"the body outline fills {body_fraction:.1%} of the field of view"
        doubts.append(Finding("body_fraction", "warn", reason))
    native = float(prepared.native.spacing_mm.max())
    run = float(prepared.grid.spacing_mm.max())
    if native > COARSE * run and not spacing_known:
        reason = f"voxels are up to {native:.2f} mm apart; the run works at {run:.2f} mm"
        doubts.append(Finding("spacing", "warn", reason))
    return Trust(tuple(doubts), {"body_fraction": body_fraction})
