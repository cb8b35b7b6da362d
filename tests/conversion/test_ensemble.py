from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from medgen.conversion import Ready
from medgen.conversion.uncertainty import Sampling
from medgen.problems import ConfigurationError
from medgen.volumes import Grid, Volume

HU = {"scale": "window", "low": -1000.0, "high": 3000.0, "unit": "HU"}
WIDE = {"scale": "window", "low": -2000.0, "high": 2000.0, "unit": "HU"}
SHAPE = (20, 18, 16)
WHOLE: dict[str, Any] = {"fill_outside_body": False, "target": HU}


def head() -> Volume:
    axes = np.meshgrid(*[np.linspace(-1.2, 1.2, count) for count in SHAPE], indexing="ij")
    values = np.where(sum(axis**2 for axis in axes) < 1, 600.0, 2.0)
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    return Volume(values.astype(np.float32), grid, digest="d" * 64)


def constant(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda windows: torch.full_like(windows, value)


def test_an_ensemble_answers_by_its_mean(converter_of: Any) -> None:
    members = [converter_of(constant(value), **WHOLE) for value in (0.0, 0.4)]
    converter = converter_of(constant(-0.1), members=members, **WHOLE)
    converted = converter({"mr": head()})
    np.testing.assert_allclose(converted.volume.data, 0.1 * 2000 + 1000, rtol=1e-5)
    assert converted.facts["members"] == 3
    assert (converter.beside, converted.beside) == ((), {})


def test_its_deviation_is_that_of_the_members(converter_of: Any) -> None:
    way = {**WHOLE, "uncertainty": Sampling((0,))}
    members = [converter_of(constant(value), **way) for value in (0.0, 0.4)]
    converted = converter_of(constant(-0.1), members=members, **way)({"mr": head()})
    expected = np.std([-0.1, 0.0, 0.4], ddof=1) * 2000
    np.testing.assert_allclose(converted.beside["std"].data, expected, rtol=1e-4)
    assert converted.facts["uncertainty"]["members"] == 3
    assert converted.facts["uncertainty"]["samples"] == 6


def test_the_doubt_between_members_adds_to_their_own(converter_of: Any) -> None:
    ramp = torch.linspace(-0.2, 0.2, 20)[:, None, None]
    way = {**WHOLE, "uncertainty": Sampling((0,)), "patch": (20, 20, 20)}

    def slanted(windows: torch.Tensor) -> torch.Tensor:
        return windows * 0.0 + ramp

    def level(windows: torch.Tensor) -> torch.Tensor:
        return windows * 0.0 + 0.1

    found = converter_of(slanted, members=[converter_of(level, **way)], **way)({"mr": head()})
    between = (ramp - 0.1) ** 2 / 2
    own = (2 * ramp) ** 2 / 2 / 2  # of two members, one of whom is certain
    expected = (between + own).sqrt().numpy() * 2000
    np.testing.assert_allclose(
        found.beside["std"].data, np.broadcast_to(expected, SHAPE), rtol=1e-3, atol=1e-2
    )


def test_members_of_other_scales_meet_in_physical_units(converter_of: Any) -> None:
    other = converter_of(constant(0.0), **{**WHOLE, "target": WIDE})  # 0 HU
    converter = converter_of(constant(0.0), members=[other], **WHOLE)  # 1000 HU
    converted = converter({"mr": head()})
    np.testing.assert_allclose(converted.volume.data, 500.0, rtol=1e-5)


def test_labels_are_the_likeliest_of_the_mean(converter_of: Any) -> None:
    def sure(*probabilities: float) -> Callable[[torch.Tensor], torch.Tensor]:
        shares = torch.tensor(probabilities)[None, :, None, None, None]
        return lambda windows: shares + windows * 0.0

    way = {**WHOLE, "labels": {"high": (3,), "low": (5,)}, "answer": "areas"}
    members = [converter_of(sure(0.5, 0.4, 0.1), **way), converter_of(sure(0.5, 0.4, 0.1), **way)]
    converter = converter_of(sure(0.0, 0.3, 0.7), members=members, **way)
    assert set(np.unique(converter({"mr": head()}).volume.data)) == {3}


def test_a_case_is_made_ready_once_for_members_that_are_alike(converter_of: Any) -> None:
    other = {**WHOLE, "source": {"scale": "percentile"}}
    members = [converter_of(**WHOLE), converter_of(**other)]
    ready = converter_of(members=members, **WHOLE).ready({"mr": head()})
    first, second = ready.members
    assert isinstance(first, Ready)
    assert isinstance(second, Ready)
    assert first.source is ready.source
    assert second.source is not ready.source


def test_all_that_differs_is_told(converter_of: Any) -> None:
    grey = {"scale": "cohort", "low": 1.0, "high": 99.0}
    member = converter_of(spacing_mm=(3.0, 2.0, 2.0), target=grey)
    with pytest.raises(ConfigurationError) as caught:
        converter_of(members=[converter_of(**WHOLE), member], **WHOLE)
    problems = caught.value.problems
    assert {problem.code for problem in problems} == {"E_ENSEMBLE"}
    assert [problem.message for problem in problems] == [
        "run 3 of the ensemble differs in the working grid: 3 x 2 x 2 mm, crop none, "
        "not 2 x 2 x 2 mm, crop none",
        "run 3 of the ensemble differs in the unit: arbitrary, not hu",
    ]


def test_members_of_other_classes_are_refused(converter_of: Any) -> None:
    way = {"answer": "areas"}
    member = converter_of(labels={"lesion": (2,)}, **way)
    with pytest.raises(ConfigurationError, match="the classes: lesion 2, not lesion 1"):
        converter_of(labels={"lesion": (1,)}, members=[member], **way)


def test_anomalies_have_no_ensemble(converter_of: Any) -> None:
    with pytest.raises(ConfigurationError, match="E_USAGE"):
        converter_of(answer="anomaly", members=[converter_of(answer="anomaly")])


def test_a_member_in_training_is_refused(converter_of: Any) -> None:
    member = converter_of(**WHOLE)
    converter = converter_of(members=[member], **WHOLE)
    ready = converter.ready({"mr": head()})
    member.method.train()
    with pytest.raises(ValueError, match="training"):
        converter.infer(ready)


def test_what_a_member_gives_up_for_want_of_memory_is_told(
    converter_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from medgen.conversion.windows import Windows

    real = Windows.__call__

    def spare(self: Windows, *arguments: Any, **named: Any) -> Any:
        return replace(real(self, *arguments, **named), spared=("went to the processor",))

    monkeypatch.setattr(Windows, "__call__", spare)
    converter = converter_of(members=[converter_of(**WHOLE)], **WHOLE)
    warnings = converter({"mr": head()}).facts["warnings"]
    assert warnings.count("went to the processor") == 1
