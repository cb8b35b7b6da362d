"""The trivial answers that every learned translation has to beat.

Both are fitted on training cases only and answer on the case's own grid: by intensity in the
target's unit, whatever it is; by place in Hounsfield units. Both are medians, since the median is
the constant with the least mean absolute error.
"""

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.answering import write_answers
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.pairs import Pair, open_pair

__all__ = ["AlignedMedian", "IntensityMedian", "Pair", "open_pair", "write_answers"]
