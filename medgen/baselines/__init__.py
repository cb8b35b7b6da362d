"""The trivial answers that every learned one has to beat.

All are fitted on training cases only and answer on the case's own grid. Images: by intensity in
the target's unit, whatever it is; by place in Hounsfield units. Both are medians, since the median
is the constant with the least mean absolute error. Lesions: by a threshold of intensity. Anomalies:
by the distance from the brain's own mean, and from healthy people's at the same place.
"""

from medgen.baselines.aligned_median import AlignedMedian
from medgen.baselines.anomaly_maps import write_anomaly_maps
from medgen.baselines.answering import write_answers, write_lesions
from medgen.baselines.intensity_median import IntensityMedian
from medgen.baselines.intensity_z import IntensityZ
from medgen.baselines.pairs import Pair, open_pair
from medgen.baselines.threshold import IntensityThreshold, Marked
from medgen.baselines.voxel_z import Healthy, VoxelZ

__all__ = [
    "AlignedMedian",
    "Healthy",
    "IntensityMedian",
    "IntensityThreshold",
    "IntensityZ",
    "Marked",
    "Pair",
    "VoxelZ",
    "open_pair",
    "write_anomaly_maps",
    "write_answers",
    "write_lesions",
]
