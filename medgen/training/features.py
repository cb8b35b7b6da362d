"""Whether a training gets the frozen features that its losses compare, and no others."""

from __future__ import annotations

from pathlib import Path

from medgen.config import Config
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem


def check_features(config: Config, method: Method, features: Path | None) -> None:
    """Refuse a method without the features that its losses need, and features that nobody needs.

    Raises:
        ConfigurationError: E_FEATURES_MISSING, E_FEATURES_UNUSED.
    """
    if method.needs_features and features is None:
        message = f"lambda_features of {config.method!r} compares images by a segmenter's features"
        advice = "train a segmenter on the target's column and name its run by --features RUN"
        raise ConfigurationError(Problem("E_FEATURES_MISSING", message, advice))
    if features is not None and not method.needs_features:
        message = f"--features is given, but no loss of {config.method!r} uses it"
        advice = f"set methods.{config.method}.lambda_features above 0, or leave --features out"
        raise ConfigurationError(Problem("E_FEATURES_UNUSED", message, advice))
