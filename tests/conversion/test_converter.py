from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from medgen.data.masks import within
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume

HU = {"scale": "window", "low": -1024.0, "high": 3000.0, "unit": "HU"}


def ball(
    shape: tuple[int, int, int] = (40, 36, 32),
    *,
    spacing: tuple[float, float, float] = (2.0, 2.0, 2.0),
    fraction: float = 0.75,
) -> Volume:
    """Return a bright, smoothly varying ellipsoid in a dark field with faint noise."""
    rng = np.random.default_rng(0)
    axes = [np.linspace(-1, 1, count) for count in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    inside = x**2 + y**2 + z**2 < fraction**2
    values = np.where(inside, 500 + 200 * x + 100 * np.sin(5 * y), 0) + rng.uniform(0, 20, shape)
    return Volume(values.astype(np.float32), Grid(shape, np.diag([*spacing, 1.0])), digest="d" * 64)


def body_of(volume: Volume) -> NDArray[np.bool_]:
    return np.asarray(volume.data > 100)


def test_an_identity_returns_the_volume_everywhere(converter_of: Any) -> None:
    volume = ball()
    converted = converter_of(fill_outside_body=False)({"mr": volume})
    assert converted.volume.grid.same_as(volume.grid)
    np.testing.assert_allclose(converted.volume.data, volume.data, atol=1e-3)
    assert converted.volume.unit == "arbitrary"
    assert converted.volume.digest == ""


def test_the_source_is_left_alone(converter_of: Any) -> None:
    volume = ball()
    before = volume.data.copy()
    converter_of(lambda windows: windows.mul_(2))({"mr": volume})
    np.testing.assert_array_equal(volume.data, before)


def test_the_targets_scale_decodes(converter_of: Any) -> None:
    converted = converter_of(lambda windows: torch.zeros_like(windows), target=HU)({"mr": ball()})
    assert converted.volume.unit == "HU"
    centre = converted.volume.data[20, 18, 16]
    assert centre == pytest.approx((3000 - 1024) / 2)


def test_outside_the_body_is_background(converter_of: Any) -> None:
    volume = ball()
    converted = converter_of(lambda windows: torch.zeros_like(windows), target=HU)({"mr": volume})
    far = ~within(body_of(volume), spacing_mm=volume.grid.spacing_mm, radius_mm=12.0)
    assert far.any()
    assert (converted.volume.data[far] == -1024).all()
    near = within(body_of(volume), spacing_mm=volume.grid.spacing_mm, radius_mm=2.0)
    assert (converted.volume.data[near] > 900).all(), "the rim is kept"


def test_outside_a_crop_is_background(converter_of: Any) -> None:
    converted = converter_of(crop="mask", fill_outside_body=False, target=HU)(
        {"mr": ball((60, 60, 60), fraction=0.4)}
    )
    assert (converted.volume.data[:4] == -1024).all()


def test_coarse_and_fine_native_grids_come_back_on_their_own(converter_of: Any) -> None:
    for spacing in [(1.0, 1.5, 4.0), (3.0, 2.0, 2.5)]:
        volume = ball((30, 40, 24), spacing=spacing)
        converted = converter_of(fill_outside_body=False)({"mr": volume})
        assert converted.volume.grid.same_as(volume.grid)
        inside = body_of(volume)
        inside &= ~within(~inside, spacing_mm=volume.grid.spacing_mm, radius_mm=6.0)
        error = np.abs(converted.volume.data - volume.data)[inside]
        assert error.mean() < 20, "smoothing of the noise only"


@pytest.mark.parametrize("interpolation", ["linear", "spline"])
def test_values_stay_inside_a_window(converter_of: Any, interpolation: str) -> None:
    def steps(windows: torch.Tensor) -> torch.Tensor:
        return torch.where(windows > 0.1, 1.0, -1.0)

    converter = converter_of(
        steps, target=HU, spacing_mm=(3.0, 3.0, 3.0), interpolation=interpolation
    )
    converted = converter({"mr": ball()})
    assert converted.volume.data.min() >= -1024
    assert converted.volume.data.max() <= 3000
    assert converted.facts["clipped_voxels"] == 0


def test_clipping_is_counted_inside_the_body(converter_of: Any) -> None:
    converter = converter_of(lambda windows: torch.full_like(windows, 1.5), target=HU)
    converted = converter({"mr": ball()})
    assert converted.volume.data.max() == 3000
    kept = converted.facts["clipped_voxels"]
    assert 0.1 * converted.volume.data.size < kept < converted.volume.data.size


def test_a_linear_scale_is_not_clipped(converter_of: Any) -> None:
    scale = {"scale": "percentile", "low": 1.0, "high": 99.0}
    shared = {"scale": "shared", "with": "mr"}
    converter = converter_of(lambda windows: windows * 2, source=scale, target=shared)
    converted = converter({"mr": ball()})
    assert converted.volume.data.max() > ball().data.max() * 1.2
    assert converted.facts["clipped_voxels"] == 0


@pytest.mark.parametrize("divisor", [1, 4])
def test_windows_with_a_margin_equal_the_whole(converter_of: Any, divisor: int) -> None:
    kernel = torch.rand((1, 1, 5, 5, 5), generator=torch.Generator().manual_seed(0)) / 125

    def blur(windows: torch.Tensor) -> torch.Tensor:
        return F.conv3d(windows, kernel)

    arguments = {"margin": 2, "divisor": divisor, "fill_outside_body": False}
    tiled = converter_of(blur, patch=(12, 12, 12), **arguments)({"mr": ball()})
    whole = converter_of(blur, patch=(64, 64, 64), **arguments)({"mr": ball()})
    assert tiled.facts["windows"] > 12
    assert whole.facts["windows"] == 1
    np.testing.assert_allclose(tiled.volume.data, whole.volume.data, atol=1e-2)


def test_facts_are_plain_and_complete(converter_of: Any) -> None:
    import json

    facts = converter_of()({"mr": ball((100, 36, 32))}).facts
    json.dumps(dict(facts), allow_nan=False)
    assert facts["windows"] > 0
    assert set(facts["seconds"]) == {"prepare", "infer", "restore"}
    assert facts["warnings"] == []
    assert facts["spacing_mm"] == facts["run_spacing_mm"] == [2.0, 2.0, 2.0]
    assert facts["answer"] == "forward"


def test_windows_of_air_are_skipped(converter_of: Any) -> None:
    converter = converter_of(patch=(12, 12, 12), overlap_voxels=0)
    facts = converter({"mr": ball((96, 96, 96), fraction=0.3)}).facts
    assert facts["windows"] + facts["windows_skipped"] < 8**3 / 10, "laid over the body's box"
    facts = converter({"mr": ball((96, 96, 96), fraction=0.95)}).facts
    assert facts["windows_skipped"] >= 8, "those in the corners of the box"
    assert len(converter.method.seen) == 27 + facts["windows"]


def test_no_window_is_skipped_where_the_outside_is_not_filled(converter_of: Any) -> None:
    def middle(windows: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(windows)

    converter = converter_of(
        middle, patch=(12, 12, 12), overlap_voxels=0, fill_outside_body=False, target=HU
    )
    converted = converter({"mr": ball((96, 96, 96), fraction=0.3)})
    assert converted.facts["windows_skipped"] == 0
    np.testing.assert_allclose(converted.volume.data, (3000 - 1024) / 2, atol=0.01)


def test_thick_slices_and_odd_outlines_are_doubted(converter_of: Any) -> None:
    volume = ball((40, 36, 24), spacing=(2.0, 2.0, 5.0))
    thick = converter_of()({"mr": volume})
    assert any("5.00 mm apart" in reason for reason in thick.trust.reasons)
    odd = converter_of()({"mr": ball((96, 96, 96), fraction=0.25)})
    assert any("of the field of view" in reason for reason in odd.trust.reasons)
    assert thick.trust.verdict == odd.trust.verdict == "warn"
    assert thick.facts["warnings"] == odd.facts["warnings"] == []


def test_bf16_costs_precision_but_nothing_else(converter_of: Any) -> None:
    layer = torch.nn.Conv3d(1, 1, 1, bias=False).requires_grad_(False)
    layer.weight.fill_(1.0)
    exact = converter_of(layer)({"mr": ball()})
    rounded = converter_of(layer, precision="bf16")({"mr": ball()})
    assert rounded.volume.data.dtype == np.float32
    difference = np.abs(exact.volume.data - rounded.volume.data)
    assert 0 < difference.max() < 5


def test_a_latent_search_may_switch_gradients_on(converter_of: Any) -> None:
    def search(windows: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            latent = torch.zeros_like(windows, requires_grad=True)
            ((latent - windows) ** 2).sum().backward()
            assert latent.grad is not None
            return (latent - 0.5 * latent.grad).detach()

    volume = ball()
    converted = converter_of(search, fill_outside_body=False)({"mr": volume})
    np.testing.assert_allclose(converted.volume.data, volume.data, atol=1e-2)


def test_an_answer_that_is_not_finite_is_refused(converter_of: Any) -> None:
    with pytest.raises(Refusal, match="E_ANSWER_NOT_FINITE"):
        converter_of(lambda windows: windows / 0)({"mr": ball()})


def test_unknown_and_other_answers_are_refused(converter_of: Any) -> None:
    with pytest.raises(ConfigurationError, match="known: forward, areas"):
        converter_of(answer="backward")({"mr": ball()})
    with pytest.raises(ConfigurationError, match="neither an image of one column nor a label map"):
        converter_of(answer="areas")({"mr": ball()})


def test_a_method_in_training_mode_is_an_error(converter_of: Any) -> None:
    converter = converter_of()
    converter.method.train()
    with pytest.raises(ValueError, match="training mode"):
        converter({"mr": ball()})


def anomaly_converter(
    converter_of: Any, *, located: bool = False, mask: str = "auto", **convert: Any
) -> Any:
    """Return a converter whose method expects 0.25 everywhere, and scores by the mean residual."""
    seen: list[torch.Tensor] = []

    def function(windows: torch.Tensor) -> torch.Tensor:
        seen.append(windows.clone())
        residual = windows[:, :1] - 0.25
        score = residual.abs().mean(dim=(1, 2, 3, 4), keepdim=True)
        return torch.cat([residual, score.expand_as(residual)], dim=1)

    made = converter_of(function, answer="anomaly", **convert)
    made.method.located = located
    made.preprocessing = replace(
        made.preprocessing,
        roles=made.preprocessing.roles.model_copy(update={"mask": mask}),
        decodes_target=False,
        inside_mask=mask != "auto",
    )
    return made, seen


def test_an_anomaly_is_what_is_not_expected_in_the_sources_unit(converter_of: Any) -> None:
    volume = ball()
    made, _ = anomaly_converter(converter_of)
    converted = made({"mr": volume})
    # The window 0 to 1000 encodes 0.25 as 625.
    body = body_of(volume)
    assert np.allclose(converted.volume.data[body], (volume.data - 625)[body], atol=0.5)
    assert converted.volume.unit == "arbitrary"
    assert converted.facts["kind"] == "anomaly"
    assert made.beside == ()
    assert not converted.beside


def test_the_calibration_sees_what_conversion_makes(converter_of: Any) -> None:
    volume = ball()
    made, _ = anomaly_converter(converter_of)
    found, converted = made.anomaly_of({"mr": volume}), made({"mr": volume})
    assert found.scores == converted.facts["anomaly"]["scores"]
    assert np.allclose(found.residual * 500, converted.volume.data, atol=0.5)


def test_a_located_method_is_told_where_its_windows_lie(converter_of: Any) -> None:
    made, seen = anomaly_converter(converter_of, located=True)
    made({"mr": ball()})
    windows = torch.cat(seen)
    assert windows.shape[1] == 4
    assert windows[:, 1:].amin() == -1, "windows are laid over the body"
    assert windows[:, 1:].amax() >= 1
    middles = windows[:, 1:].mean(dim=(2, 3, 4))
    assert len({tuple(middle) for middle in middles.round(decimals=3).tolist()}) == len(windows)
    steps = windows[:, 1, 1:].sub(windows[:, 1, :-1])
    assert (steps >= 0).all()  # left to right, and still at a padded border


def test_windows_are_batched_where_the_method_asks(converter_of: Any) -> None:
    made, seen = anomaly_converter(converter_of)
    made({"mr": ball()})
    made.method.windows_at_once = 4
    alone = len(seen)
    made({"mr": ball()})
    assert max(len(windows) for windows in seen[alone:]) == 4
    assert len(seen) - alone < alone


def test_a_mask_column_is_the_body(converter_of: Any) -> None:
    volume = ball()
    mask = np.zeros(volume.grid.shape, dtype=np.uint8)
    mask[16:24, 14:22, 12:20] = 1
    made, _ = anomaly_converter(converter_of, mask="brain")
    converted = made({"mr": volume, "brain": Volume(mask, volume.grid, unit="label")})
    assert not converted.volume.data[mask == 0].any()
    assert np.allclose(converted.volume.data[mask > 0], (volume.data - 625)[mask > 0], atol=0.5)
    with pytest.raises(Refusal, match="no image in this column"):
        made({"mr": volume})
