"""Simulated heads: anatomy, MR, CT and PET from physics, in memory or as a cohort on disk.

`simulate` makes one case in memory; `write_cohort` makes many with their table; `noise_floors`
tells what no prediction of a cohort's CT can beat.
"""

from medgen.phantom.case import Case, CaseSettings, simulate
from medgen.phantom.cohort import (
    CohortSettings,
    Plan,
    noise_floors,
    plan_cohort,
    write_cohort,
)

__all__ = [
    "Case",
    "CaseSettings",
    "CohortSettings",
    "Plan",
    "noise_floors",
    "plan_cohort",
    "simulate",
    "write_cohort",
]
