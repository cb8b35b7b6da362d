"""A volume's features: means over the body, whatever the windows; and every reason to refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medgen.config import parse_config
from medgen.conversion.features import VolumeExtractor, _separate, volume_extractor
from medgen.conversion.tiling import Axis
from medgen.data import outline
from medgen.problems import ConfigurationError, Refusal
from medgen.runs import (
    Model,
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.volumes import Grid, Volume

CPU = torch.device("cpu")
WINDOW = {"scale": "window", "low": -1000, "high": 1000, "unit": "HU"}
UNET = {"name": "unet", "channels": [4, 6, 8], "features": 3, "residual_units": 1}
Make = Callable[..., Model]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(scale: Any = WINDOW, method: str = "segmenter", **changed: Any) -> Model:
        raw: dict[str, Any] = {
            "roles": {"source": ["ct"], "target": ["mr"], "label": ["tissue"]},
            "labels": {"grey": 1, "white": 2},
            "preprocessing": {"spacing_mm": [4, 4, 4], "crop": "none"},
            "intensity": {"ct": scale, "mr": {"scale": "cohort"}},
            "method": method,
            "methods": {"segmenter": {"network": UNET}, "regression": {"generator": UNET}},
            "train": {"patch": [16, 16, 16], "validate": {"profile": "segmentation"}},
            "convert": {"overlap_voxels": 8},
            **changed,
        }
        config = parse_config(raw)
        run = RunFolder(tmp_path / "run")
        torch.manual_seed(5)
        write_config(run, config)
        write_statistics(run, Statistics({"mr": (0.0, 9.0), "ct": (-500.0, 900.0)}))
        write_weights(run, assemble(config)[0], {"step": 3})
        return load_model(run.path, device=CPU)

    return made


def head(shape: tuple[int, int, int] = (30, 34, 26), seed: int = 0) -> Volume:
    random = np.random.default_rng(seed)
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in shape], indexing="ij"))
    inside = np.sqrt((axes**2).sum(axis=0)) < 1
    values = np.where(inside, 40 + random.normal(0, 100, shape), -1000)
    return Volume(values.astype(np.float32), Grid(shape, np.diag([4.0, 4.0, 4.0, 1.0])))


def pointwise(extractor: VolumeExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the network by features of single voxels, at three levels."""

    def features(source: Tensor) -> tuple[Tensor, ...]:
        fine = torch.cat([source, source**2], dim=1)
        coarse = [torch.nn.functional.avg_pool3d(source, k) for k in (2, 4)]
        return fine, *coarse

    monkeypatch.setattr(extractor._method, "features", features)


def test_features_are_means_over_the_body_whatever_the_windows(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = volume_extractor(make(), device=CPU)
    pointwise(extractor, monkeypatch)
    volume = head()
    body = outline(volume.data, unit="HU", spacing_mm=(4, 4, 4))
    encoded = np.clip(volume.data / 1000, -1, 1).astype(np.float64)
    found, windows = extractor(volume)
    assert found.shape == (4,)
    assert found[0] == pytest.approx(encoded[body].mean(), rel=1e-5)
    assert found[1] == pytest.approx((encoded[body] ** 2).mean(), rel=1e-5)
    # A coarser voxel counts by the share of it that is body, so air near the rim is in it.
    assert found[3] < found[2] < found[0]
    assert windows.shape[1] == 4


def test_a_window_is_its_own_body_and_no_two_have_a_voxel_in_common(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = volume_extractor(make(), device=CPU)
    pointwise(extractor, monkeypatch)
    volume = head((32, 16, 16))
    _, windows = extractor(volume)
    body = outline(volume.data, unit="HU", spacing_mm=(4, 4, 4))
    encoded = np.clip(volume.data / 1000, -1, 1)
    expected = [encoded[s][body[s]].mean() for s in (slice(0, 16), slice(16, 32))]
    assert windows[:, 0] == pytest.approx(expected, rel=1e-4)


def test_windows_of_little_body_are_left_out(make: Make) -> None:
    volume = head((32, 16, 16))
    values = volume.data.copy()
    values[18:] = -1000  # two slices in the second window
    extractor = volume_extractor(make(), device=CPU)
    assert len(extractor(volume)[1]) == 2
    found, windows = extractor(volume.with_data(values))
    assert len(windows) == 1
    assert np.isfinite(found).all()


def test_they_are_the_decoders_of_the_segmenter_and_the_same_again(make: Make) -> None:
    model = make()
    extractor = volume_extractor(model, device=CPU)
    found, windows = extractor(head((16, 16, 16)))
    assert found.shape == (3 + 4,)
    again, _ = extractor(head((16, 16, 16)))
    np.testing.assert_array_equal(found, again)
    np.testing.assert_allclose(windows, found[None], rtol=1e-6)  # a single window covers it
    prepared = model.preprocessing.prepare_source({"ct": head((16, 16, 16))})
    with torch.no_grad():
        finest = model.method.features(torch.from_numpy(prepared.source[None]))[0][0]
    expected = finest[:, torch.from_numpy(prepared.body)].double().mean(dim=1)
    np.testing.assert_allclose(found[:3], expected, rtol=1e-5)
    assert (extractor.column, extractor.unit) == ("ct", "HU")
    assert extractor.weights_digest == model.weights_digest
    assert not np.allclose(found, extractor(head((16, 16, 16), seed=3))[0])


def test_a_volume_is_measured_by_its_own_percentiles(make: Make) -> None:
    extractor = volume_extractor(make({"scale": "percentile"}), device=CPU, unit="HU")
    volume = head()
    brighter = volume.with_data(volume.data * 3 + 5000)
    # The outline is found on values, so it is the same here, and so is everything after it.
    np.testing.assert_allclose(extractor(brighter)[0], extractor(volume)[0], rtol=1e-3, atol=1e-4)


def test_what_the_segmenter_cannot_read_is_refused_as_conversion_would(make: Make) -> None:
    extractor = volume_extractor(make(), device=CPU)
    empty = head().with_data(np.full((30, 34, 26), -1000, np.float32))
    with pytest.raises(Refusal, match="E_EMPTY_BODY"):
        extractor(empty)
    with pytest.raises(Refusal, match="E_UNIT"):
        extractor(head().with_data(head().data, unit="SUV"))


def test_features_that_are_not_finite_are_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = volume_extractor(make(), device=CPU)
    monkeypatch.setattr(extractor._method, "features", lambda source: (source * np.nan,))
    with pytest.raises(Refusal, match="E_FEATURES_NONFINITE"):
        extractor(head())


@pytest.mark.parametrize(
    ("starts", "padded", "chosen"),
    [
        ((0,), 16, [0]),
        ((0, 8), 24, [0]),
        ((0, 8, 16), 32, [0, 2]),
        ((0, 4, 8), 24, [1]),
        ((0, 8, 16, 24), 40, [0, 2]),
        ((0, 10, 20, 30, 40), 56, [0, 2, 4]),
    ],
)
def test_windows_apart_are_as_many_as_there_can_be(
    starts: tuple[int, ...], padded: int, chosen: list[int]
) -> None:
    axis = Axis(length=padded, before=0, size=16, starts=starts)
    assert axis.padded == padded
    assert _separate(axis) == chosen


def refused(model: Model, **wanted: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as error:
        volume_extractor(model, device=CPU, **wanted)
    return error.value


def codes(error: ConfigurationError) -> list[str]:
    return [problem.code for problem in error.problems]


def test_a_network_whose_features_lack_a_margin_is_refused(make: Make) -> None:
    deep = {"segmenter": {"network": {"name": "deep_medic", "channels": [4, 4], "hidden": [4]}}}
    error = refused(make(methods=deep, train={"patch": [6, 6, 6]}))
    assert codes(error) == ["E_FEATURES_NETWORK"]
    assert "'deep_medic', whose features lack 6 voxels" in error.problems[0].message


def test_another_method_and_another_column_are_refused_at_once(make: Make) -> None:
    error = refused(make(method="regression", train={"patch": [16] * 3}), column="pet")
    assert codes(error) == ["E_FEATURES_METHOD", "E_FEATURES_COLUMNS"]
    assert "'regression', and features are a segmenter's" in str(error)
    assert "reads ct, and the volumes are pet" in str(error)
    assert "source: [pet]" in error.problems[1].advice


def test_a_segmenter_of_two_columns_is_refused(make: Make) -> None:
    roles = {"source": ["ct", "mr"], "label": ["tissue"]}
    error = refused(make(roles=roles))
    assert codes(error) == ["E_FEATURES_COLUMNS"]
    assert "reads 2 columns, [ct, mr]" in str(error)


@pytest.mark.parametrize(
    ("scale", "unit", "said"),
    [
        (WINDOW, "SUV or Bq/ml", "the run's unit is HU, and the volumes' SUV or Bq/ml"),
        (WINDOW, "arbitrary", "the run's unit is HU, and the volumes' arbitrary"),
        ({"scale": "cohort"}, "HU", "the run's unit is arbitrary, and the volumes' HU"),
        ({"scale": "percentile", "unit": "SUV"}, "HU", "the run's unit is SUV, and"),
    ],
)
def test_another_unit_is_refused(make: Make, scale: Any, unit: str, said: str) -> None:
    error = refused(make(scale), unit=unit)
    assert codes(error) == ["E_FEATURES_SCALE"]
    assert said in str(error)


@pytest.mark.parametrize("unit", ["SUV", "Bq/ml"])
def test_either_unit_of_pet_will_do(make: Make, unit: str) -> None:
    extractor = volume_extractor(make({**WINDOW, "unit": unit}), device=CPU, unit="SUV or Bq/ml")
    assert extractor.unit == unit


@pytest.mark.gpu
def test_on_cuda_they_equal_the_cpu(make: Make) -> None:
    expected = volume_extractor(make(), device=CPU)(head())
    model = make()
    model.method.cuda()
    found = volume_extractor(model, device=torch.device("cuda"))(head())
    np.testing.assert_allclose(found.volume, expected.volume, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found.windows, expected.windows, rtol=1e-2, atol=1e-2)
