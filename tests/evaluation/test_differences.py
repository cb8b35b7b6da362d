import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from medgen.evaluation.differences import signed_rank


def test_the_signed_rank_test_runs_over_patients() -> None:
    differences = list(np.random.default_rng(0).normal(1, 1, 12))
    patients = [str(i) for i in range(12)]
    assert signed_rank(differences, patients) == pytest.approx(wilcoxon(differences).pvalue)
    doubled = [d + e for d in differences for e in (-0.5, 0.5)]
    owners = [p for p in patients for _ in range(2)]
    assert signed_rank(doubled, owners) == pytest.approx(wilcoxon(differences).pvalue)
    assert signed_rank([0.0, 0.0], ["a", "b"]) == 1.0
    assert math.isnan(signed_rank([1.0, 2.0], ["a", "a"]))
