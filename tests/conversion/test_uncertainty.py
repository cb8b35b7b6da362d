from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from medgen.conversion import Converter, Outputs, Provenance, write_converted
from medgen.conversion.uncertainty import (
    UNTRAINED_FLIP,
    Running,
    Sampling,
    dropout_of,
    dropping,
    mirrored,
)
from medgen.files import sha256_of_file
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume, open_volume

HU = {"scale": "window", "low": -1000.0, "high": 3000.0, "unit": "HU"}
GAIN = 2000.0
SHAPE = (16, 16, 16)
WHOLE: dict[str, Any] = {"patch": SHAPE, "fill_outside_body": False, "target": HU}


def head(digest: str = "d" * 64) -> Volume:
    """Return a ball on a grid that one window covers."""
    axes = np.meshgrid(*[np.linspace(-1.2, 1.2, 16)] * 3, indexing="ij")
    values = np.where(sum(axis**2 for axis in axes) < 1, 600.0 + 100 * axes[0], 2.0)
    grid = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
    return Volume(values.astype(np.float32), grid, digest=digest)


def deviation(converter: Converter, volume: Volume | None = None) -> NDArray[np.float32]:
    return np.asarray(converter({"mr": volume or head()}).beside["std"].data)


def fail(windows: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("no memory")


def give_dropout(converter: Converter, p: float = 0.5) -> nn.Module:
    """Give a converter's method a network that is dropout alone."""
    layer = nn.Dropout(p).eval()
    method: Any = converter.method
    method.players = lambda: {"net": layer}
    method.answering = frozenset({"net"})
    method.function = layer
    return layer


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=2, max_size=9))
def test_a_running_variance_is_that_of_all_samples(samples: list[list[float]]) -> None:
    running = Running()
    for sample in samples:
        running.add(torch.tensor(sample, dtype=torch.float64))
    np.testing.assert_allclose(running.mean.numpy(), np.mean(samples, axis=0), atol=1e-9)
    np.testing.assert_allclose(running.variance.numpy(), np.var(samples, axis=0, ddof=1), atol=1e-6)


def test_one_sample_does_not_vary() -> None:
    running = Running()
    running.add(torch.ones(2))
    assert running.variance.tolist() == [0.0, 0.0]


def test_every_way_to_mirror_is_tried() -> None:
    assert Sampling((0,)).flips == ((0,),)
    assert Sampling((2, 0)).flips == ((0,), (2,), (0, 2))
    assert len(Sampling((0, 1, 2)).flips) == 7


def test_what_is_equivariant_is_certain(converter_of: Any) -> None:
    converter = converter_of(uncertainty=Sampling((0, 1, 2)), **WHOLE)
    assert converter.beside == ("std",)
    np.testing.assert_allclose(deviation(converter), 0.0, atol=1e-4)


def test_the_deviation_of_mirrored_answers_is_in_the_targets_unit(converter_of: Any) -> None:
    ramp = torch.linspace(-0.3, 0.3, 16)[:, None, None]

    def slanted(windows: torch.Tensor) -> torch.Tensor:
        return windows * 0.0 + ramp

    converter = converter_of(slanted, uncertainty=Sampling((0,)), **WHOLE)
    converted = converter({"mr": head()})
    std = converted.beside["std"]
    expected = np.abs(2 * ramp.numpy()) / np.sqrt(2) * GAIN  # of x and -x: |2 x| / sqrt(2)
    np.testing.assert_allclose(std.data, np.broadcast_to(expected, SHAPE), rtol=1e-4, atol=1e-2)
    assert (std.unit, std.grid) == ("HU", converted.volume.grid)
    told = converted.facts["uncertainty"]
    assert (told["samples"], told["flips"], told["dropout_passes"]) == (2, [[0]], 0)
    assert (told["members"], told["unit"]) == (1, "HU")
    assert 0 < told["mean"] < told["p95"] <= told["max"]


def test_the_answer_stays_what_it_is(converter_of: Any) -> None:
    def odd(windows: torch.Tensor) -> torch.Tensor:
        return windows.roll(1, dims=2)

    plain = converter_of(odd, **WHOLE)({"mr": head()})
    asked = converter_of(odd, uncertainty=Sampling((0, 1)), **WHOLE)({"mr": head()})
    np.testing.assert_array_equal(plain.volume.data, asked.volume.data)
    assert plain.beside == {}


def test_outside_the_body_nothing_is_uncertain(converter_of: Any) -> None:
    ramp = torch.linspace(-0.3, 0.3, 16)[:, None, None]
    options = {**WHOLE, "fill_outside_body": True}
    converter = converter_of(lambda w: w * 0.0 + ramp, uncertainty=Sampling((0,)), **options)
    assert deviation(converter)[0, 0, 0] == 0.0
    assert deviation(converter)[3, 8, 8] > 10.0


def test_what_a_window_ends_is_certain_there(converter_of: Any) -> None:
    ramp = torch.linspace(1.1, 1.9, 16)[:, None, None]
    converter = converter_of(lambda w: w * 0.0 + ramp, uncertainty=Sampling((0,)), **WHOLE)
    np.testing.assert_array_equal(deviation(converter), 0.0)


def test_dropout_is_seeded_by_the_case_and_leaves_no_trace(converter_of: Any) -> None:
    converter = converter_of(uncertainty=Sampling(), **WHOLE)
    layer = give_dropout(converter)
    before = torch.random.get_rng_state()
    first = deviation(converter)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not layer.training
    np.testing.assert_array_equal(deviation(converter), first)
    assert not np.array_equal(deviation(converter, head("e" * 64)), first)
    facts = converter({"mr": head()}).facts
    assert facts["uncertainty"]["dropout_passes"] == 8
    assert facts["uncertainty"]["samples"] == 9


def test_the_deviation_of_dropout_is_that_of_its_distribution(converter_of: Any) -> None:
    converter = converter_of(uncertainty=Sampling(dropout_passes=60), **WHOLE)
    layer = give_dropout(converter, 0.5)
    converter.method.infer = lambda windows, answer: layer(windows * 0.0 + 0.4)
    # 0 or 0.8 with probability one half: a deviation of 0.4.
    assert deviation(converter).mean() == pytest.approx(0.4 * GAIN, rel=0.04)


def test_only_layers_that_answer_and_drop_count(converter_of: Any) -> None:
    method: Any = converter_of().method
    judge, idle = nn.Dropout(0.5), nn.Dropout(0.0)
    method.players = lambda: {"net": idle, "judge": judge}
    method.answering = frozenset({"net"})
    assert dropout_of(method) == ()


def test_dropout_ends_where_the_block_is_left(converter_of: Any) -> None:
    converter = converter_of(**WHOLE)
    layer = give_dropout(converter)
    with dropping(converter.method, 1, torch.device("cpu")):
        assert layer.training
        assert not converter.method.training
    assert not layer.training
    layer.forward = fail  # type: ignore[method-assign]
    with pytest.raises(RuntimeError), dropping(converter.method, 1, torch.device("cpu")):
        layer(torch.ones(1))
    assert not layer.training


def test_a_run_that_nothing_varies_is_mirrored_all_the_same_and_says_so(converter_of: Any) -> None:
    converter = converter_of(uncertainty=Sampling(), **WHOLE)
    facts = converter({"mr": head()}).facts
    assert facts["uncertainty"]["flips"] == [[0]]
    assert UNTRAINED_FLIP in facts["warnings"]
    converter = converter_of(uncertainty=Sampling((1,)), **WHOLE)
    assert UNTRAINED_FLIP not in converter({"mr": head()}).facts["warnings"]


def test_a_mirrored_body_has_its_other_side_there() -> None:
    source = np.random.default_rng(0).normal(size=(4, 3, 4, 5)).astype(np.float32)
    turned = mirrored(source, (1,), located=True)
    np.testing.assert_array_equal(turned[[0, 1, 3]], source[[0, 1, 3]][:, :, ::-1])
    np.testing.assert_array_equal(turned[2], -source[2][:, ::-1])
    np.testing.assert_array_equal(mirrored(source, (1,), located=False), source[:, :, ::-1])


def test_labels_are_uncertain_of_their_foreground(converter_of: Any) -> None:
    here = torch.linspace(0.1, 0.9, 16)[None, None, :, None, None]

    def probabilities(windows: torch.Tensor) -> torch.Tensor:
        background = windows * 0.0 + here
        return torch.cat([background, (1 - background) * 0.75, (1 - background) * 0.25], dim=1)

    options = {**WHOLE, "labels": {"high": (1,), "low": (2,)}, "answer": "areas"}
    converter = converter_of(probabilities, uncertainty=Sampling((0,)), **options)
    std = converter({"mr": head()}).beside["std"]
    expected = (here[0, 0] - here[0, 0].flip(0)).abs().numpy() / np.sqrt(2)
    np.testing.assert_allclose(std.data, np.broadcast_to(expected, SHAPE), atol=1e-5)
    assert std.unit == "probability"


def test_an_answer_that_is_mirrored_to_nothing_finite_is_refused(converter_of: Any) -> None:
    def fragile(windows: torch.Tensor) -> torch.Tensor:
        left, right = windows[:, :, :8].mean(), windows[:, :, 8:].mean()
        return windows if right > left else windows / 0

    converter = converter_of(fragile, uncertainty=Sampling((0,)), **WHOLE)
    with pytest.raises(Refusal, match="E_ANSWER_NOT_FINITE"):
        converter({"mr": head()})


def test_anomalies_have_their_own_measure(converter_of: Any) -> None:
    with pytest.raises(ConfigurationError, match="E_USAGE"):
        converter_of(answer="anomaly", uncertainty=Sampling())


def test_progress_counts_the_windows_of_all_answers(converter_of: Any) -> None:
    seen: list[float] = []
    converter = converter_of(patch=(8, 8, 8), uncertainty=Sampling((0, 1)))
    converter({"mr": head()}, progress=lambda done, total: seen.append(done / total))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert seen[0] < 0.25


def test_the_map_in_hu_is_not_rounded_and_vouched_for(converter_of: Any, tmp_path: Path) -> None:
    ramp = torch.linspace(-1e-4, 1e-4, 16)[:, None, None]
    converter = converter_of(lambda w: w * 0.0 + ramp, uncertainty=Sampling((0,)), **WHOLE)
    volumes = {"mr": head()}
    output = Outputs(tmp_path / "p1.nii.gz")
    provenance = Provenance("w" * 64, "c" * 64, "s" * 64)
    write_converted(converter(volumes), volumes, output, provenance)
    std = open_volume(tmp_path / "p1_std.nii.gz")
    assert open_volume(tmp_path / "p1.nii.gz").data.dtype == np.int16
    assert std.data.dtype == np.float32
    assert 0.0 < std.data.max() < 0.5
    sidecar = json.loads(output.sidecar.read_text())
    assert sidecar["beside"] == {"std": sha256_of_file(tmp_path / "p1_std.nii.gz")}
    assert sidecar["uncertainty"]["unit"] == "HU"
