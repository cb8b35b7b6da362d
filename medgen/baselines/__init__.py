"""The trivial answers that every learned translation to CT has to beat.

Both are fitted on training cases only and answer in Hounsfield units on the case's own grid. Both
are medians, since the median is the constant with the least mean absolute error.
"""

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.answering import write_answers
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.pairs import Pair, open_pair

__all__ = ["AlignedMedian", "IntensityMedian", "Pair", "open_pair", "write_answers"]
