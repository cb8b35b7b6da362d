"""The resume state: one safetensors file, whole or absent, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from medgen.files import replacing
from medgen.method import Method
from medgen.problems import ConfigurationError, Problem
from medgen.training.average import Average
from medgen.training.players import Players


def save_state(
    path: Path, method: Method, average: Average, players: Players, record: Mapping[str, Any]
) -> None:
    """Write every tensor that the next step depends on, and the run's position as JSON.

    Batches and dropout are functions of (seed, step), so no random state needs keeping.
    """
    tensors = state_tensors(method, average, players)
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"medgen": json.dumps(dict(record))})


def state_tensors(method: Method, average: Average, players: Players) -> dict[str, Tensor]:
    """Return every tensor that the next step depends on, by name, on the CPU."""
    tensors = {f"method/{name}": t for name, t in _plain(method.state_dict()).items()}
    tensors |= {f"average/{name}": t for name, t in _plain(average.method.state_dict()).items()}
    return tensors | {f"optimizer/{name}": t for name, t in players.state().items()}


def take_tensors(
    tensors: Mapping[str, Tensor], method: Method, average: Average, players: Players
) -> None:
    """Take up what `state_tensors` returned."""
    method.load_state_dict(_part(tensors, "method/"))
    average.method.load_state_dict(_part(tensors, "average/"))
    players.load_state(_part(tensors, "optimizer/"))


def load_state(path: Path, method: Method, average: Average, players: Players) -> dict[str, Any]:
    """Restore what `save_state` wrote and return its record.

    Raises:
        ConfigurationError: the file is damaged or belongs to other networks.
    """
    try:
        with safe_open(path, "pt") as stored:
            record = json.loads((stored.metadata() or {})["medgen"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        take_tensors(tensors, method, average, players)
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError):
        problem = Problem(
            "E_RESUME_STATE",
            "the resume state is damaged or belongs to other networks",
            "start a new run; --from RUN keeps the weights learned so far",
        )
        raise ConfigurationError(problem) from None
    return dict(record)


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return plain contiguous CPU copies, free of any memory layout or shared storage."""
    return {name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
