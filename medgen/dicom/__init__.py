"""DICOM in and out: series read or refused with reasons, and derived series written.

The writers and `send` are imported from their own modules, since they load large libraries.
"""

from medgen.dicom.choice import Choice, split_choice
from medgen.dicom.frames import Frame, Instance, Series, SeriesFacts
from medgen.dicom.index import Index, IndexedSeries, index_tree
from medgen.dicom.reading import digest_of_series, read_series
from medgen.dicom.units import suv_factors

__all__ = [
    "Choice",
    "Frame",
    "Index",
    "IndexedSeries",
    "Instance",
    "Series",
    "SeriesFacts",
    "digest_of_series",
    "index_tree",
    "read_series",
    "split_choice",
    "suv_factors",
]
