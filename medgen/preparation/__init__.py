"""The verb prepare: a table of volumes to a table of registered, masked volumes on one grid."""

from medgen.preparation.preparation import Outcome, Watch, prepare_table
from medgen.preparation.record import Record, Result
from medgen.preparation.request import MASKS, TRANSFORMS, Request

__all__ = [
    "MASKS",
    "TRANSFORMS",
    "Outcome",
    "Record",
    "Request",
    "Result",
    "Watch",
    "prepare_table",
]
