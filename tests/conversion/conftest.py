"""Methods that are easy to reason about, and the converters around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from medgen.config import ConvertConfig, PreprocessingConfig, Roles
from medgen.conversion import Converter
from medgen.conversion.monitor import Monitor
from medgen.conversion.uncertainty import Sampling
from medgen.data import Classes, Preprocessing
from medgen.method import Answer, Batch, Clock, Losses, Method, Minimize, OptimizerSpec

MR_WINDOW = {"scale": "window", "low": 0.0, "high": 1000.0, "unit": "arbitrary", "background": 0.0}
HU_WINDOW = {"scale": "window", "low": -1024.0, "high": 3000.0, "unit": "HU"}


class Simple(Method):
    """A method without players that answers by a function of the windows."""

    answering: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, function: Callable[[Tensor], Tensor] = lambda windows: windows) -> None:
        super().__init__()
        self.function = function
        self.seen: list[tuple[int, ...]] = []

    @property
    def reads(self) -> tuple[frozenset[str], ...]:
        return (frozenset({"source", "target"}),)

    @property
    def answers(self) -> Mapping[str, Answer]:
        return {
            "forward": Answer("image", "source", "target"),
            "areas": Answer("labels", "source", "label"),
            "anomaly": Answer("anomaly", "source", "source"),
        }

    def players(self) -> dict[str, nn.Module]:
        return {}

    def optimizers(self) -> Mapping[str, OptimizerSpec]:
        return {}

    def train_step(self, batch: Batch, minimize: Minimize, clock: Clock) -> Losses:
        return {}

    def infer(self, source: Tensor, answer: str = "forward") -> Tensor:
        self.seen.append(tuple(source.shape))
        return self.function(source)


def make_converter(
    function: Callable[[Tensor], Tensor] = lambda windows: windows,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.0),
    crop: str = "none",
    target: Mapping[str, Any] = MR_WINDOW,
    source: Mapping[str, Any] = MR_WINDOW,
    labels: Mapping[str, tuple[int, ...]] | None = None,
    patch: tuple[int, int, int] = (16, 16, 16),
    margin: int = 0,
    divisor: int = 1,
    precision: Any = "fp32",
    answer: str | None = None,
    monitor: Monitor | None = None,
    lists_lesions: bool = False,
    uncertainty: Sampling | None = None,
    members: Sequence[Converter] = (),
    **convert: Any,
) -> Converter:
    """Make a converter from column `mr` to column `ct` around a function."""
    method = Simple(function).eval()
    method.margin, method.divisor = margin, divisor
    settings = ConvertConfig.model_validate({"overlap_voxels": 4, **convert})
    roles = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "intensity": {"mr": source, "ct": target},
    }
    preprocessing = Preprocessing(
        roles=Roles.model_validate(roles["roles"]),
        settings=PreprocessingConfig.model_validate({"spacing_mm": spacing_mm, "crop": crop}),
        intensity=_scales(roles["intensity"]),
        interpolation=settings.interpolation,
        classes=Classes.of(labels or {}),
    )
    return Converter(
        method,
        preprocessing,
        settings,
        device=torch.device("cpu"),
        precision=precision,
        patch=patch,
        answer=answer,
        monitor=monitor,
        lists_lesions=lists_lesions,
        uncertainty=uncertainty,
        members=members,
    )


def _scales(intensity: Mapping[str, Any]) -> Any:
    from pydantic import TypeAdapter

    from medgen.config import Scale

    return {column: TypeAdapter(Scale).validate_python(raw) for column, raw in intensity.items()}


@pytest.fixture
def converter_of() -> Callable[..., Converter]:
    """Return the factory of converters."""
    return make_converter
