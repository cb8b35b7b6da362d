"""Files to scores to a report, and the paired comparison of two reports; no network in sight."""

from medgen.evaluation.anomalies import evaluate_maps
from medgen.evaluation.anomaly_profile import PROFILE as ANOMALY
from medgen.evaluation.comparison import compare
from medgen.evaluation.distributions import FeatureSource
from medgen.evaluation.evaluation import Evaluation, evaluate
from medgen.evaluation.matching import Case, Matched, match_paths, match_table
from medgen.evaluation.scoring import Scored, score_case
from medgen.evaluation.unpaired import Sets, evaluate_sets, gather_paths, gather_table

__all__ = [
    "ANOMALY",
    "Case",
    "Evaluation",
    "FeatureSource",
    "Matched",
    "Scored",
    "Sets",
    "compare",
    "evaluate",
    "evaluate_maps",
    "evaluate_sets",
    "gather_paths",
    "gather_table",
    "match_paths",
    "match_table",
    "score_case",
]
