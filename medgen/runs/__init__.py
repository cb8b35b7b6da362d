"""A run folder: the only package that knows the names inside it."""

from medgen.runs.assembly import assemble, build, completed, options_of, setting_of
from medgen.runs.calibration import (
    measuring_digest,
    standing_calibration,
    write_calibration,
)
from medgen.runs.card import write_card
from medgen.runs.description import DIAGNOSIS, MONITOR, describe
from medgen.runs.device import (
    Precision,
    choose_device,
    choose_precision,
    processor_bf16_units,
)
from medgen.runs.features import lend_features
from medgen.runs.folder import RunFolder
from medgen.runs.model import (
    Model,
    config_digest,
    load_model,
    preprocessing_of,
    read_run_files,
    read_weights,
    weights_digest,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.runs.statistics import Statistics

__all__ = [
    "DIAGNOSIS",
    "MONITOR",
    "Model",
    "Precision",
    "RunFolder",
    "Statistics",
    "assemble",
    "build",
    "choose_device",
    "choose_precision",
    "completed",
    "config_digest",
    "describe",
    "lend_features",
    "load_model",
    "measuring_digest",
    "options_of",
    "preprocessing_of",
    "processor_bf16_units",
    "read_run_files",
    "read_weights",
    "setting_of",
    "standing_calibration",
    "weights_digest",
    "write_calibration",
    "write_card",
    "write_config",
    "write_statistics",
    "write_weights",
]
