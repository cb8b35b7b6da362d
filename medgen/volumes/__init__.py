"""Volumes: the one gate in, grids and resampling, and the one way out."""

from medgen.limits import Limits
from medgen.volumes.digest import digest_of
from medgen.volumes.gate import open_volume
from medgen.volumes.grid import Grid, ras_permutation, working_grid
from medgen.volumes.listing import SUFFIXES, Found, list_volumes, volume_name
from medgen.volumes.measured import where_measured
from medgen.volumes.overlap import field_of_view, world_overlap
from medgen.volumes.resampling import resample
from medgen.volumes.separable import smoothed
from medgen.volumes.series import believing, in_unit, is_dicom, with_choice
from medgen.volumes.volume import ARBITRARY, Volume
from medgen.volumes.warping import warp, warped_field_of_view
from medgen.volumes.writing import Written, write_volume

__all__ = [
    "ARBITRARY",
    "SUFFIXES",
    "Found",
    "Grid",
    "Limits",
    "Volume",
    "Written",
    "believing",
    "digest_of",
    "field_of_view",
    "in_unit",
    "is_dicom",
    "list_volumes",
    "open_volume",
    "ras_permutation",
    "resample",
    "smoothed",
    "volume_name",
    "warp",
    "warped_field_of_view",
    "where_measured",
    "with_choice",
    "working_grid",
    "world_overlap",
    "write_volume",
]
