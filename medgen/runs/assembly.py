"""From a configuration to a method: the only place where a method's name means a class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_type_hints

import numpy as np
from pydantic import BaseModel, Field, create_model

from medgen.config import (
    Config,
    OwnScale,
    Scale,
    SharedScale,
    Strict,
    WindowScale,
    ZScoreScale,
    validate_block,
)
from medgen.data import Classes, measure
from medgen.method import Head, Method, OptimizerSpec, Setting
from medgen.methods import METHODS
from medgen.networks import GeneratorBlock
from medgen.networks.patched import PatchedBlock
from medgen.problems import ConfigurationError, Problem


class OptimizerOverride(Strict):
    """What a configuration may change of the paper's optimizer; None keeps the paper's value."""

    name: Literal["adam", "adamw", "rmsprop"] | None = None
    learning_rate: float | None = Field(default=None, gt=0.0)
    betas: tuple[float, float] | None = None
    weight_decay: float | None = Field(default=None, ge=0.0)

    def applied_to(self, spec: OptimizerSpec) -> OptimizerSpec:
        """Return the paper's optimizer with these changes."""
        chosen = {k: v for k, v in self.model_dump().items() if v is not None}
        return OptimizerSpec(**{**vars(spec), **chosen})


def assemble(config: Config) -> tuple[Method, dict[str, OptimizerSpec]]:
    """Build the configured method and its players' optimizers.

    Every block under `methods` is validated, the unused ones too, so that switching the method
    later meets no surprise.

    Raises:
        ConfigurationError: an unknown method, option or player; a missing role; a patch or window
            that the networks do not take.
    """
    method, specs = build(config)
    _check_patch(config, method)
    return method, specs


def build(config: Config) -> tuple[Method, dict[str, OptimizerSpec]]:
    """Do what `assemble` does, but for the check that patch and window fit the networks.

    Raises:
        ConfigurationError: an unknown method, option or player; a missing role.
    """
    if config.method not in METHODS:
        raise ConfigurationError(_unknown(config.method, "method"))
    problems: list[Problem] = []
    options: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys([config.method, *config.methods]):
        try:
            options[name] = _validated(name, config)
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(problems)
    chosen = options[config.method]
    overrides = chosen.pop("optimizers")
    method = METHODS[config.method](setting_of(config), **chosen)
    _check_roles(config, method)
    return method, _optimizers(config.method, method, overrides)


def completed(config: Config) -> Config:
    """Return the configuration with every option of its methods written out.

    A run keeps this, so that a default changed in a later version leaves the run as it was.

    Raises:
        ConfigurationError: an unknown method or option.
    """
    names = dict.fromkeys([config.method, *config.methods])
    blocks = {
        name: _options(name, config).model_dump(mode="json", exclude_none=True) for name in names
    }
    return config.model_copy(update={"methods": blocks})


def options_of(config: Config) -> Mapping[str, Any]:
    """Return the chosen method's options, typed as its constructor takes them, by name.

    Raises:
        ConfigurationError: an unknown method or option.
    """
    return _validated(config.method, config)


def setting_of(config: Config) -> Setting:
    """Return what the data decides for the method: channels, and tanh only for window scales.

    Without a target role there is one target channel, which a method that reads no target ignores.
    """
    sources = config.roles.source.columns
    targets = config.roles.target.columns if config.roles.target else ()
    channels = len(sources)
    if config.fed_column is not None and config.chain is not None:
        channels = 1 if config.chain.feed == "replace" else channels + 1
    return Setting(
        source_channels=channels,
        target_channels=max(1, len(targets)),
        head=_head(config, targets),
        classes=Classes.of(config.labels).count,
        source_head=_head(config, sources),
        source_background=tuple(_background(config.intensity[c]) for c in sources),
        target_background=tuple(_background(config.intensity[c]) for c in targets),
    )


def _head(config: Config, columns: Sequence[str]) -> Head:
    """Return tanh where every column has a window, which bounds its encoded values."""
    bounded = columns and all(isinstance(config.intensity[c], WindowScale) for c in columns)
    return "tanh" if bounded else "linear"


def _background(scale: Scale) -> float:
    """Return what a column holds where nothing is, encoded.

    Scales that are measured begin at a low percentile of the body, or three deviations below its
    mean, which is near to nothing in MR and PET; where exactly depends on volumes.
    """
    if not isinstance(scale, WindowScale):
        return -1.0
    nothing = np.zeros((1, 1, 1), dtype=np.float32)
    codec = measure(scale, nothing, nothing > 0)
    return float(codec.encode(np.array(codec.background)))


def _unknown(name: str, what: str) -> Problem:
    return Problem("E_METHOD", f"{what} {name!r} is not known", f"known: {', '.join(METHODS)}")


def _validated(name: str, config: Config) -> dict[str, Any]:
    """Check one method's block against its constructor and return its typed options."""
    model = _options(name, config)
    return {field: getattr(model, field) for field in type(model).model_fields}


def _options(name: str, config: Config) -> BaseModel:
    """Return a method's options, with what its networks leave to the patch decided."""
    if name not in METHODS:
        raise ConfigurationError(_unknown(name, "methods block"))
    block = config.methods.get(name) or {}
    model = validate_block(_options_model(METHODS[name]), block, f"methods.{name}")
    networks = {
        field: value.for_patch(config.train.patch)
        for field in type(model).model_fields
        if isinstance(value := getattr(model, field), GeneratorBlock | PatchedBlock)
    }
    return model.model_copy(update=networks)


def _options_model(method: type[Method]) -> type[BaseModel]:
    """Make a strict model of a constructor's keyword-only options; defaults live only there."""
    hints = get_type_hints(method.__init__, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], parameter.default)
        for name, parameter in inspect.signature(method.__init__).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    fields["optimizers"] = (dict[str, OptimizerOverride], {})
    return create_model(f"{method.__name__}Options", __base__=Strict, **fields)


def _optimizers(
    name: str, method: Method, overrides: Mapping[str, OptimizerOverride]
) -> dict[str, OptimizerSpec]:
    papers = dict(method.optimizers())
    problems = [
        Problem(
            "E_CONFIG_KEY",
            f"unknown key 'methods.{name}.optimizers.{player}'",
            f"the players are {', '.join(papers)}",
        )
        for player in overrides
        if player not in papers
    ]
    if problems:
        raise ConfigurationError(problems)
    none = OptimizerOverride()
    return {player: overrides.get(player, none).applied_to(spec) for player, spec in papers.items()}


def _check_patch(config: Config, method: Method) -> None:
    """Refuse a training patch or a window that the method's networks cannot take."""
    sizes = {"train.patch": config.train.patch}
    if config.convert.window != "auto":
        sizes["convert.window"] = config.convert.window
    least = -(-method.minimum_patch // method.divisor) * method.divisor
    problems = [
        Problem(
            "E_PATCH_SIZE",
            f"{key} {list(size)} does not fit the networks of {config.method!r}",
            f"take multiples of {method.divisor} from {least} on, or give the generator fewer "
            "levels or the discriminator fewer layers",
        )
        for key, size in sizes.items()
        if any(length % method.divisor or length < method.minimum_patch for length in size)
    ]
    if problems:
        raise ConfigurationError(problems)


def _check_roles(config: Config, method: Method) -> None:
    """Refuse a configuration without a role that the method reads."""
    keys = frozenset().union(*method.reads)
    missing = [
        role for role in ("target", "label") if role in keys and not getattr(config.roles, role)
    ]
    problems = [
        Problem(
            "E_CONFIG_ROLE",
            f"method {config.method!r} reads the role {role!r}, which `roles` leaves out",
            f"add `{role}: [COLUMN]` under roles",
        )
        for role in missing
    ]
    problems += _undecodable(config, method)
    if not all(method.pairs(answer) for answer in method.answers.values()):
        problems += _unpaired_problems(config)
    if problems:
        raise ConfigurationError(problems)


def _undecodable(config: Config, method: Method) -> Iterator[Problem]:
    """Find the columns whose scale has nothing to be measured on where an image answer needs it.

    A target that is only read, since the answers are labels, has a volume wherever it is read.
    """
    sources = config.roles.source.columns
    found: dict[str, str] = {}
    for answer in method.answers.values():
        role = getattr(config.roles, answer.target) if answer.kind == "image" else None
        for column in role.columns if role else ():
            scale = config.intensity[column]
            if isinstance(scale, OwnScale) and column not in sources:
                measured = "z-scores" if isinstance(scale, ZScoreScale) else "percentiles"
                found[column] = f"a target has no {measured} at conversion"
            elif isinstance(scale, ZScoreScale) and not method.pairs(answer):
                # The training cases' range would decode it, as of percentiles, which begin at air.
                found[column] = f"method {config.method!r} answers in it, and a z-score has no zero"
    for column, message in found.items():
        shared = "percentile" if column in sources else "shared"
        advice = f"use scale: window, cohort or {shared}"
        yield Problem("E_CONFIG_VALUE", f"intensity.{column}: {message}", advice)


def _unpaired_problems(config: Config) -> Iterator[Problem]:
    """Find what needs two images of one case, which unpaired training does not have."""
    for column in config.roles.target.columns if config.roles.target else ():
        scale = config.intensity[column]
        if isinstance(scale, SharedScale):
            message = (
                f"intensity.{column}: shares the scale of {scale.column!r}, which cases of the "
                "target's domain lack"
            )
            yield Problem("E_CONFIG_VALUE", message, "use scale: window or cohort")
    if config.fed_column is not None:
        message = f"chain: feeds the answers of {config.method!r} beside a source of the same case"
        advice = "leave chain out: an unpaired method has no such cases to learn from"
        yield Problem("E_CONFIG_VALUE", message, advice)
