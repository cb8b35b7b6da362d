"""A trained model as conversion needs it: read from, and written to, `RUN/model/`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgen import __version__
from medgen.calibration import Calibration
from medgen.config import Config, parse_config
from medgen.data import Classes, Fed, Preprocessing
from medgen.files import replacing, sha256_of_file, sha256_of_json, write_json, write_text
from medgen.method import Method
from medgen.problems import ConfigurationError, NothingFound, Problem
from medgen.runs.assembly import assemble
from medgen.runs.calibration import calibration_of
from medgen.runs.folder import RunFolder
from medgen.runs.statistics import Statistics


@dataclass(frozen=True)
class Model:
    """A method with its best weights, and everything that turns volumes into its answers."""

    method: Method
    preprocessing: Preprocessing
    config: Config
    weights_digest: str
    config_digest: str
    statistics: Statistics
    weights_record: Mapping[str, Any]
    """Step and validation score at which the weights were taken."""
    split: Mapping[str, tuple[str, ...]]
    """Case ids by split; empty where only `model/` was handed over."""
    answer: str
    """Which of the method's answers is asked for; preprocessing and roles go its way."""
    upstream: Model | None = None
    """In a chain, the stage whose answers this one is fed."""
    calibration: Calibration | None = None
    """Of a method that scores anomalies, what its healthy cases look like to these weights."""

    @property
    def seen(self) -> frozenset[str]:
        """SHA-256 of every source file that training, validation or calibration read."""
        return self.statistics.seen

    @property
    def patch(self) -> tuple[int, int, int]:
        """The training patch in voxels."""
        return self.config.train.patch

    def facing(self, name: str | None) -> Model:
        """Return the model with another of its method's answers asked for; None keeps this one.

        Raises:
            ConfigurationError: E_ANSWER, the method has no such answer.
        """
        known = self.method.answers
        if name is None or name == self.answer:
            return self
        if name not in known:
            message, advice = f"there is no answer {name!r}", f"known: {', '.join(known)}"
            raise ConfigurationError(Problem("E_ANSWER", message, advice))
        now, wanted = known[self.answer], known[name]
        if (now.source, now.target) == (wanted.source, wanted.target):
            return replace(self, answer=name)
        turned = self.config.roles.turned()
        return replace(
            self,
            answer=name,
            config=self.config.model_copy(update={"roles": turned}),
            preprocessing=replace(
                self.preprocessing,
                roles=turned,
                decoded=self.statistics.decoded.get(wanted.target, {}),
            ),
        )


def preprocessing_of(
    config: Config,
    cohort: Mapping[str, tuple[float, float]],
    decoded: Mapping[str, tuple[float, float]] | None = None,
    *,
    kind: str = "image",
) -> Preprocessing:
    """Return the run's preprocessing, the same for training, validation and conversion.

    `cohort` and `decoded` are the ranges of `Statistics`, the latter of the answer's target; `kind`
    is what the method answers with.
    """
    fed = None
    if config.fed_column is not None and config.roles.target and config.chain:
        like, replaces = config.roles.target.columns[0], config.chain.feed == "replace"
        fed = Fed(config.fed_column, like, replaces)
    return Preprocessing(
        fed=fed,
        roles=config.roles,
        settings=config.preprocessing,
        intensity=config.intensity,
        interpolation=config.convert.interpolation,
        classes=Classes.of(config.labels),
        cohort=cohort,
        decoded=decoded or {},
        decodes_target=kind == "image",
        inside_mask=kind == "anomaly" and config.roles.mask != "auto",
    )


def config_digest(config: Config) -> str:
    """Return the SHA-256 of a complete configuration."""
    return sha256_of_json(config.as_json())


def write_config(folder: RunFolder, config: Config) -> None:
    """Write the complete configuration."""
    header = f"# medgen {__version__}; complete, with every default; research use only\n"
    write_text(folder.config, header + yaml.safe_dump(config.as_json(), sort_keys=False))


def write_statistics(folder: RunFolder, statistics: Statistics) -> None:
    """Write what was measured on the training cases."""
    write_json(folder.statistics, statistics.as_json())


def answering_state(method: Method) -> dict[str, Tensor]:
    """Return the tensors of the answering players, contiguous and on the CPU."""
    return {
        f"{player}.{name}": tensor.detach().to("cpu", copy=True).contiguous()
        for player, module in method.players().items()
        if player in method.answering
        for name, tensor in module.state_dict().items()
    }


def write_weights(
    folder: RunFolder, method: Method, record: Mapping[str, Any], *, path: Path | None = None
) -> None:
    """Write the answering players' weights atomically; `record` says where they are from.

    They become the run's model, or go to another `path`.
    """
    with replacing(path or folder.weights) as temporary:
        save_file(answering_state(method), temporary, {"medgen": json.dumps(dict(record))})


def read_weights(folder: RunFolder, method: Method) -> dict[str, Any]:
    """Load the answering players' weights into a method and return their record.

    Raises:
        ConfigurationError: no readable weights, or they fit another architecture.
    """
    if not folder.weights.is_file():
        problem = Problem(
            "E_RUN_UNFINISHED", "the run holds no weights yet", "let training reach a validation"
        )
        raise ConfigurationError(problem)
    try:
        with safe_open(folder.weights, "pt") as stored:
            record = json.loads((stored.metadata() or {}).get("medgen", "{}"))
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError):
        problem = Problem(
            "E_RUN_WEIGHTS", "weights.safetensors cannot be read", "copy the run again, or retrain"
        )
        raise ConfigurationError(problem) from None
    expected = {name: tensor.shape for name, tensor in answering_state(method).items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        problem = Problem(
            "E_RUN_WEIGHTS",
            "the weights do not fit the configured networks",
            "use the configuration that the weights were trained with",
        )
        raise ConfigurationError(problem)
    for player, module in method.players().items():
        prefix = f"{player}."
        own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        if player in method.answering:
            module.load_state_dict(own)
    return dict(record)


def load_model(run: Path, *, device: torch.device) -> Model:
    """Read a run's model, ready to answer.

    Raises:
        NothingFound: `run` is not a run folder.
        ConfigurationError: a part of it is damaged, or does not fit the others.
    """
    folder = RunFolder(run)
    config, statistics, split = read_run_files(folder)
    method, _ = assemble(config)
    record = read_weights(folder, method)
    upstream = _load_upstream(folder, config, device)
    digest = weights_digest(folder, config)
    assert digest is not None  # the weights have just been read
    name, wanted = next(iter(method.answers.items()))
    return Model(
        method=method.to(device).eval(),
        preprocessing=preprocessing_of(
            config, statistics.cohort, statistics.decoded.get(wanted.target), kind=wanted.kind
        ),
        config=config,
        weights_digest=digest,
        config_digest=config_digest(config),
        statistics=statistics,
        weights_record=record,
        split=split,
        answer=name,
        upstream=upstream,
        calibration=calibration_of(folder, config, digest) if wanted.kind == "anomaly" else None,
    )


def weights_digest(folder: RunFolder, config: Config) -> str | None:
    """Return the SHA-256 of a run's weights, in a chain of all its stages'; None where one lacks.

    It is what every answer's sidecar names.
    """
    if not folder.weights.is_file():
        return None
    digest = sha256_of_file(folder.weights)
    if config.fed_column is None or config.chain is None:
        return digest
    before = weights_digest(folder.upstream, config.at_stage(config.chain.stages - 1))
    return None if before is None else sha256_of_json([before, digest])


def _load_upstream(folder: RunFolder, config: Config, device: torch.device) -> Model | None:
    if config.fed_column is None:
        return None
    try:
        return load_model(folder.upstream.path, device=device)
    except NothingFound:
        message = "the run lacks the earlier stage of its chain"
        advice = "copy the whole folder model/ again, or go on with the training by --resume"
        raise ConfigurationError(Problem("E_RUN_UNFINISHED", message, advice)) from None


def read_run_files(folder: RunFolder) -> tuple[Config, Statistics, dict[str, tuple[str, ...]]]:
    """Read a run's configuration, statistics and, where it is here, its split.

    Raises:
        NothingFound: the folder is not a run.
        ConfigurationError: a part of it is damaged, or it is a chain before its last stage.
    """
    if not folder.config.is_file() and folder.chain.is_dir():
        at = len(list(folder.chain.glob("stage_*")))
        message = f"the run is a chain whose training stopped in stage {at}"
        advice = "go on with the training: the command that it began with, and --resume"
        raise ConfigurationError(Problem("E_RUN_UNFINISHED", message, advice))
    if not folder.config.is_file():
        advice = "give the folder of --run, which holds model/"
        problem = Problem("E_RUN_MISSING", "this is not a run folder", advice)
        raise NothingFound(problem)
    try:
        config = parse_config(yaml.safe_load(folder.config.read_text(encoding="utf-8")))
        statistics = Statistics.from_json(json.loads(folder.statistics.read_text(encoding="utf-8")))
        cases = folder.cases
        split = json.loads(cases.read_text(encoding="utf-8"))["split"] if cases.is_file() else {}
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        problem = Problem(
            "E_RUN_DAMAGED", "a file of the run cannot be read", "copy the run again, or retrain"
        )
        raise ConfigurationError(problem) from None
    return config, statistics, {name: tuple(ids) for name, ids in split.items()}
