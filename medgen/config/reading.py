"""From a YAML file and `--set` to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from medgen.config.explaining import explain
from medgen.config.plain_yaml import KeyTwiceError, load_plain
from medgen.config.schema import Config
from medgen.problems import ConfigurationError, Problem

Block = TypeVar("Block", bound=BaseModel)


def read_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML configuration and apply `KEY.SUBKEY=VALUE` overrides.

    Raises:
        ConfigurationError: the file is not YAML, or a key or value is refused; all are listed.
    """
    raw = _read_yaml(path)
    problems: list[Problem] = []
    for override in overrides:
        try:
            _override(raw, override)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    return parse_config(raw)


def parse_config(raw: Mapping[str, Any]) -> Config:
    """Validate a configuration given as plain values.

    Raises:
        ConfigurationError: with one problem for each key or value that is refused.
    """
    return validate_block(Config, raw)


def validate_block(model: type[Block], raw: Any, prefix: str = "") -> Block:
    """Validate plain values against a model.

    Raises:
        ConfigurationError: with one problem for each key or value that is refused; it names the
            key (after `prefix`) and, for an unknown one, the known ones.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise ConfigurationError(explain(model, error, prefix)) from None


def shipped_configs() -> dict[str, str]:
    """Return the texts of the example configurations, by name.

    In a wheel they lie inside the package; in a checkout beside it, in `configs/`.
    """
    folder = resources.files("medgen") / "configs"
    if not folder.is_dir():
        folder = Path(__file__).parents[2] / "configs"
    files = [f for f in folder.iterdir() if f.name.endswith(".yaml")] if folder.is_dir() else []
    texts = {f.name.removesuffix(".yaml"): f.read_text(encoding="utf-8") for f in files}
    return dict(sorted(texts.items()))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        raw = load_plain(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise _refuse(
            "E_CONFIG_MISSING",
            "the file does not exist",
            "`medgen init mr_to_ct --output my.yaml` writes one to edit",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise _refuse("E_CONFIG_UNREADABLE", f"cannot be read: {type(error).__name__}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "not valid YAML"
        twice = isinstance(error, KeyTwiceError)
        advice = "remove one of the two" if twice else "check the indentation there"
        raise _refuse("E_CONFIG_YAML", f"{what}{where}", advice) from None
    if not isinstance(raw, dict):
        raise _refuse("E_CONFIG_YAML", "the file is not a block of keys", "see `medgen init`")
    return raw


def _override(raw: dict[str, Any], assignment: str) -> None:
    """Set one dotted key in place."""
    key, equals, text = assignment.partition("=")
    *parents, last = key.split(".")
    if not equals or not all([*parents, last]):
        raise _refuse("E_SET", f"{assignment!r} is not KEY=VALUE", "write --set train.steps=2000")
    block: Any = raw
    for parent in parents:
        if block.get(parent) is None:
            block[parent] = {}
        block = block[parent]
        if not isinstance(block, dict):
            raise _refuse("E_SET", f"{key!r}: {parent!r} is a value, not a block of keys")
    try:
        block[last] = load_plain(text)
    except KeyTwiceError as error:
        advice = "remove one of the two"
        raise _refuse("E_SET", f"{key!r}: {error.problem}", advice) from None
    except yaml.YAMLError:
        raise _refuse(
            "E_SET", f"{key!r}: the value is not valid YAML", "put it in quotes"
        ) from None


def _refuse(code: str, message: str, advice: str = "") -> ConfigurationError:
    return ConfigurationError(Problem(code, f"configuration: {message}", advice))
