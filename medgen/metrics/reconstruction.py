"""How well a method that scores anomalies reconstructs a case: what training watches of it.

The errors tell how far a training has come. They do not tell how well anomalies are found: a method
that reconstructs lesions as well as the rest has the smallest errors, and finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from medgen.metrics.columns import Column, Measured
from medgen.metrics.masked import Array, mae, rmse

SOURCE_UNIT = "the source's unit"

COLUMNS = (
    Column("mae", SOURCE_UNIT, "lower", "mean of |source - reconstruction| inside the mask"),
    Column("rmse", SOURCE_UNIT, "lower", "root mean square of source - reconstruction in the mask"),
)
NOTES = ("How well healthy cases are reconstructed says nothing of how well anomalies are found.",)


def measure(
    prediction: Array, reference: Array, mask: Array, spacing_mm: Sequence[float]
) -> Measured:
    """Score a reconstruction (X, Y, Z) against its source, or a residual against zero."""
    scores = {
        "mae": mae(prediction, reference, mask),
        "rmse": rmse(prediction, reference, mask),
    }
    return Measured(scores)
