"""Simulated heads: anatomy, MR, CT and PET from physics, in memory or as a cohort on disk.

And simulated doses: `thin` gives real full-dose PET the noise of fewer counts.

`simulate` makes one case in memory; `write_cohort` makes many with their table,
`write_two_scanners` those of two sites, and `write_anomalies` healthy ones to learn from and others
to find; `noise_floors` tells what no prediction of a cohort's CT
can beat.
"""

from medgen.phantom.anomalies import write_anomalies
from medgen.phantom.case import Case, CaseSettings, simulate
from medgen.phantom.cohort import (
    CohortSettings,
    Plan,
    noise_floors,
    plan_cohort,
    write_cohort,
)
from medgen.phantom.thinning import Thinning, thin
from medgen.phantom.two_scanners import write_two_scanners

__all__ = [
    "Case",
    "CaseSettings",
    "CohortSettings",
    "Plan",
    "Thinning",
    "noise_floors",
    "plan_cohort",
    "simulate",
    "thin",
    "write_anomalies",
    "write_cohort",
    "write_two_scanners",
]
