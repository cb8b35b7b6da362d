"""Files to scores to a report, and the paired comparison of two reports; no network in sight."""

from medgen.evaluation.comparison import compare
from medgen.evaluation.evaluation import Evaluation, evaluate
from medgen.evaluation.matching import Case, Matched, match_paths, match_table
from medgen.evaluation.scoring import Scored, score_case

__all__ = [
    "Case",
    "Evaluation",
    "Matched",
    "Scored",
    "compare",
    "evaluate",
    "match_paths",
    "match_table",
    "score_case",
]
