"""What makes a case's answer less trustworthy, by its geometry alone."""

from __future__ import annotations

from medgen.data import PreparedSource

BODY_FRACTIONS = (0.02, 0.95)
"""Shares of the field of view between which a body outline is credible."""

COARSE = 2.0
"""A native spacing this many times the run's deserves a warning."""


def doubts_of(prepared: PreparedSource, body_fraction: float) -> list[str]:
    """Return what about this case makes its answer less trustworthy."""
    doubts = []
    least, most = BODY_FRACTIONS
    if not least <= body_fraction <= most:
        doubts.append(f"the body outline fills {body_fraction:.1%} of the field of view")
    native = float(prepared.native.spacing_mm.max())
    run = float(prepared.grid.spacing_mm.max())
    if native > COARSE * run:
        doubts.append(f"voxels are up to {native:.2f} mm apart; the run works at {run:.2f} mm")
    return doubts
