"""Data: the case table, preprocessing, intensity, masks, the cache and the batches."""

from medgen.data.batches import Batches, Group
from medgen.data.cache import Cache, open_cells
from medgen.data.classes import Classes
from medgen.data.cohort import fit_decoding, fit_statistics, prepare_cohort
from medgen.data.domain import Domain
from medgen.data.entries import CachedCase
from medgen.data.fed import Fed
from medgen.data.intensity import Codec, fit_cohort, measure
from medgen.data.look import Look, looks_at
from medgen.data.masks import body_mask, outline, with_rim
from medgen.data.prefetch import prefetch
from medgen.data.prepared import PreparedCase, PreparedSource
from medgen.data.preprocessing import KEYS, Preprocessing
from medgen.data.regions import Regions, regions_of
from medgen.data.rows import Row, Table
from medgen.data.spelling import same_spelling
from medgen.data.splits import assign_splits
from medgen.data.table import read_table
from medgen.data.usual import Usual, fit_usual

__all__ = [
    "KEYS",
    "Batches",
    "Cache",
    "CachedCase",
    "Classes",
    "Codec",
    "Domain",
    "Fed",
    "Group",
    "Look",
    "PreparedCase",
    "PreparedSource",
    "Preprocessing",
    "Regions",
    "Row",
    "Table",
    "Usual",
    "assign_splits",
    "body_mask",
    "fit_cohort",
    "fit_decoding",
    "fit_statistics",
    "fit_usual",
    "looks_at",
    "measure",
    "open_cells",
    "outline",
    "prefetch",
    "prepare_cohort",
    "read_table",
    "regions_of",
    "same_spelling",
    "with_rim",
]
