"""The configuration: strict, typed, values only.

An unknown key is an error that names the known ones; a key left out keeps the default written
in `schema.py` or, for a method, in its constructor. Nothing in a configuration is a path, a
class name or an expression.
"""

from medgen.config.anomaly import CASE_SCORES, AnomalyConfig, CaseScore
from medgen.config.reading import parse_config, read_config, shipped_configs, validate_block
from medgen.config.scales import (
    CohortScale,
    OwnScale,
    PercentileScale,
    Scale,
    SharedScale,
    WindowScale,
    ZScoreScale,
)
from medgen.config.schema import (
    BACKGROUND,
    Augmentation,
    BestBy,
    Chain,
    Config,
    ConvertConfig,
    PreprocessingConfig,
    Role,
    Roles,
    Split,
    TrainConfig,
    Validate,
)
from medgen.config.values import Fraction, Millimetres, Number, Percentile, Strict, Voxels, Whole

__all__ = [
    "BACKGROUND",
    "CASE_SCORES",
    "AnomalyConfig",
    "Augmentation",
    "BestBy",
    "CaseScore",
    "Chain",
    "CohortScale",
    "Config",
    "ConvertConfig",
    "Fraction",
    "Millimetres",
    "Number",
    "OwnScale",
    "Percentile",
    "PercentileScale",
    "PreprocessingConfig",
    "Role",
    "Roles",
    "Scale",
    "SharedScale",
    "Split",
    "Strict",
    "TrainConfig",
    "Validate",
    "Voxels",
    "Whole",
    "WindowScale",
    "ZScoreScale",
    "parse_config",
    "read_config",
    "shipped_configs",
    "validate_block",
]
