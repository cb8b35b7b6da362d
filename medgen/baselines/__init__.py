"""The trivial answers that every learned one has to beat.

All are fitted on training cases only and answer on the case's own grid. Images: by intensity in
the target's unit, whatever it is; by place in Hounsfield units. Both are medians, since the median
is the constant with the least mean absolute error. Lesions: by a threshold of intensity.
"""

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.answering import write_answers, write_lesions
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.pairs import Pair, open_pair
from medgen.baselines.threshold import IntensityThreshold, Marked

__all__ = [
    "AlignedMedian",
    "IntensityMedian",
    "IntensityThreshold",
    "Marked",
    "Pair",
    "open_pair",
    "write_answers",
    "write_lesions",
]
