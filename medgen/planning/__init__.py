"""Planning: what a cohort and a machine's memory suggest for a configuration, and what to doubt."""

from medgen.planning.budget import Budget, budget_of
from medgen.planning.footprint import Footprint, footprint
from medgen.planning.plan import Plan, plan

__all__ = ["Budget", "Footprint", "Plan", "budget_of", "footprint", "plan"]
