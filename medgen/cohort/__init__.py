"""Many files: which cases, what is left to do, isolation, resuming, the manifest."""

from medgen.cohort.asked import provenance_of
from medgen.cohort.cases import Case, cases_of_input, cases_of_table, looks_like_one_case
from medgen.cohort.checking import check_cohort
from medgen.cohort.conversion import convert_cohort
from medgen.cohort.executor import Executor
from medgen.cohort.manifest import Entry, Manifest
from medgen.cohort.outcome import Options, Outcome, Result, Watch
from medgen.cohort.parts import Part

__all__ = [
    "Case",
    "Entry",
    "Executor",
    "Manifest",
    "Options",
    "Outcome",
    "Part",
    "Result",
    "Watch",
    "cases_of_input",
    "cases_of_table",
    "check_cohort",
    "convert_cohort",
    "looks_like_one_case",
    "provenance_of",
]
