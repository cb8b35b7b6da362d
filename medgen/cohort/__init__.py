"""Many files: which cases, what is left to do, isolation, resuming, the manifest."""

from medgen.cohort.cases import Case, cases_of_input, cases_of_table, looks_like_one_case
from medgen.cohort.conversion import check_cohort, convert_cohort, provenance_of
from medgen.cohort.manifest import Entry, Manifest
from medgen.cohort.outcome import Options, Outcome, Result, Watch

__all__ = [
    "Case",
    "Entry",
    "Manifest",
    "Options",
    "Outcome",
    "Result",
    "Watch",
    "cases_of_input",
    "cases_of_table",
    "check_cohort",
    "convert_cohort",
    "looks_like_one_case",
    "provenance_of",
]
