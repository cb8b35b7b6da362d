"""No answer with a hole in it is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medgen.problems import Problem, Refusal


def check_finite(values: NDArray[Any]) -> None:
    """Refuse values of an answer that are NaN or infinite.

    Raises:
        Refusal: E_ANSWER_NOT_FINITE, with their number.
    """
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        message = f"{wrong} of {values.size} values of the answer are not finite"
        advice = "check the run's validation scores; with train.precision bf16, try fp32"
        raise Refusal(Problem("E_ANSWER_NOT_FINITE", message, advice))
