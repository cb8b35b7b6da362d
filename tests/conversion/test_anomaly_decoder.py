"""An anomaly answer on the native grid: the map, the z-map, the mask and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from medgen.calibration import Calibration, fit_calibration
from medgen.config import AnomalyConfig
from medgen.conversion.anomaly_decoder import AnomalyDecoder
from medgen.data import PreparedSource
from medgen.problems import ConfigurationError
from medgen.volumes import Grid, Volume

GAIN = 500.0
"""Of the converters' source window, 0 to 1000."""


def calibration(
    direction: Any = "both", *, location: float = 0.1, scale: float = 0.2
) -> Calibration:
    """Return one on residuals that are normal, and on 19 cases scored 1 to 19 by every name."""
    residuals = location + scale * norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    names = ("map_top", "map_mean", "window_max", "window_mean")
    scores = [dict.fromkeys(names, float(number)) for number in range(1, 20)]
    return fit_calibration(
        [residuals],
        scores,
        direction=direction,
        patients=19,
        weights_digest="w",
        settings_digest="s",
    )


@pytest.fixture
def prepared(converter_of: Any) -> PreparedSource:
    """Return a cube of 500 in air on voxels of 2 mm, as the run works."""
    return prepared_on(converter_of, spacing=2.0)


def prepared_on(converter_of: Any, *, spacing: float) -> PreparedSource:
    shape = tuple(round(48 / spacing) for _ in range(3))
    data = np.zeros(shape, dtype=np.float32)
    inner = slice(shape[0] // 6, -(shape[0] // 6))
    data[inner, inner, inner] = 500.0
    volume = Volume(data, Grid(shape, np.diag([spacing] * 3 + [1.0])))
    found: PreparedSource = converter_of().preprocessing.prepare_source({"mr": volume})
    return found


def decoder(
    converter_of: Any, prepared: PreparedSource, known: Calibration | None = None, **settings: Any
) -> AnomalyDecoder:
    return AnomalyDecoder(
        converter_of().preprocessing,
        prepared.source_codecs["mr"],
        AnomalyConfig.model_validate(settings),
        "mr",
        0,
        1,
        known,
    )


def answer(prepared: PreparedSource, residual: float = 0.1) -> np.ndarray:
    """Return a residual that is the same everywhere, and a window score of 7."""
    shape = prepared.body.shape
    return np.stack([np.full(shape, residual), np.full(shape, 7.0)]).astype(np.float32)


def test_the_map_is_in_source_units_without_an_offset(
    converter_of: Any, prepared: PreparedSource
) -> None:
    made = decoder(converter_of, prepared)
    decoded = made.decode(answer(prepared, -0.2), None, prepared)
    body = prepared.body_native
    assert np.allclose(decoded.data[body], -0.2 * GAIN, atol=1e-3)
    assert not decoded.data[~body].any()
    assert decoded.data.dtype == np.float32
    assert made.unit == "arbitrary"
    assert made.background.tolist() == [0.0, 0.0]


def test_without_a_calibration_nothing_is_called_unusual(
    converter_of: Any, prepared: PreparedSource
) -> None:
    decoded = decoder(converter_of, prepared).decode(answer(prepared), None, prepared)
    facts = decoded.facts["anomaly"]
    assert not decoded.beside
    assert facts["unusual"] is facts["case_threshold"] is facts["mask_ml"] is None
    assert (facts["p"], facts["calibration_cases"]) == ({}, 0)
    assert facts["scores"]["window_max"] == 7.0


@pytest.mark.parametrize(
    ("direction", "rate", "z"), [("both", 0.01, 2.576), ("positive", 0.05, 1.645)]
)
def test_z_and_mask_go_by_the_healthy_residuals(
    converter_of: Any, prepared: PreparedSource, direction: str, rate: float, z: float
) -> None:
    encoded = answer(prepared)
    encoded[0, 10:13, 10:13, 10:13] = 0.1 + 0.2 * (z + 0.05)
    encoded[0, 15:17, 15:17, 15:17] = 0.1 - 0.2 * (z + 0.05)
    made = decoder(
        converter_of,
        prepared,
        calibration(direction),
        direction=direction,
        voxel_false_positives=rate,
    )
    decoded = made.decode(encoded, None, prepared)
    z_map, mask = (decoded.beside[name] for name in ("z", "mask"))
    facts = decoded.facts["anomaly"]
    assert facts["voxel_threshold_z"] == pytest.approx(z, abs=0.01)
    assert (z_map.unit, mask.unit, mask.data.dtype) == ("z", "label", np.uint8)
    assert z_map.data[11, 11, 11] == pytest.approx(z + 0.05, abs=0.01)
    assert z_map.data[16, 16, 16] == pytest.approx(-z - 0.05, abs=0.01)
    assert z_map.data[8, 8, 8] == pytest.approx(0.0, abs=0.01)
    assert not z_map.data[~prepared.body_native].any()
    expected = 27 + (8 if direction == "both" else 0)
    assert mask.data.sum() == expected
    assert facts["mask_ml"] == pytest.approx(expected * 0.008)
    assert facts["direction"] == direction


def test_the_mask_is_cut_from_the_z_map_as_it_lies_natively(converter_of: Any) -> None:
    prepared = prepared_on(converter_of, spacing=1.5)
    encoded = answer(prepared)
    encoded[0, 8:12, 8:12, 8:12] = 2.0
    made = decoder(converter_of, prepared, calibration())
    decoded = made.decode(encoded, None, prepared)
    facts, z = decoded.facts["anomaly"], decoded.beside["z"].data
    assert z.shape == prepared.native.shape != prepared.grid.shape
    assert np.array_equal(decoded.beside["mask"].data, z > facts["voxel_threshold_z"])
    assert facts["mask_ml"] == pytest.approx(
        0.003375 * (z > facts["voxel_threshold_z"]).sum(), 1e-3
    )


def test_small_parts_of_the_mask_are_dropped(converter_of: Any, prepared: PreparedSource) -> None:
    encoded = answer(prepared)
    encoded[0, 10:13, 10:13, 10:13] = encoded[0, 16, 16, 16] = 2.0
    for minimum_ml, voxels, removed in ((0.0, 28, 0), (0.216, 27, 1), (0.3, 0, 2)):
        made = decoder(converter_of, prepared, calibration(), minimum_ml=minimum_ml)
        decoded = made.decode(encoded, None, prepared)
        assert decoded.beside["mask"].data.sum() == voxels
        assert decoded.facts["anomaly"]["removed_parts"] == removed
        assert decoded.beside["z"].data[16, 16, 16] > 4, "only the mask is cleaned"


@pytest.mark.parametrize(
    ("score", "p", "unusual"), [(18.0, 3 / 20, False), (19.0, 2 / 20, False), (19.5, 1 / 20, True)]
)
def test_a_case_is_unusual_where_its_p_is_at_most_the_rate(
    converter_of: Any, prepared: PreparedSource, score: float, p: float, unusual: bool
) -> None:
    encoded = answer(prepared)
    encoded[1] = score
    made = decoder(
        converter_of, prepared, calibration(), score="window_max", case_false_positives=0.05
    )
    facts = made.decode(encoded, None, prepared).facts["anomaly"]
    assert facts["p"]["window_max"] == pytest.approx(p)
    assert facts["unusual"] is unusual
    assert facts["case_threshold"] == 19.0
    assert (facts["calibration_cases"], facts["score"]) == (19, "window_max")


def test_a_rate_finer_than_the_cases_tell_is_refused(
    converter_of: Any, prepared: PreparedSource
) -> None:
    made = decoder(converter_of, prepared, calibration(), case_false_positives=0.01)
    with pytest.raises(ConfigurationError, match="E_CALIBRATION_RATE"):
        made.decode(answer(prepared), None, prepared)


def test_of_several_columns_one_is_mapped(converter_of: Any, prepared: PreparedSource) -> None:
    both = replace(prepared, source=np.concatenate([prepared.source, prepared.source + 1]))
    made = replace(decoder(converter_of, prepared), channel=1, channels=2, column="t2")
    shape = prepared.body.shape
    encoded = np.stack([np.full(shape, value) for value in (0.5, 0.2, 3.0)]).astype(np.float32)
    decoded = made.decode(encoded, None, both)
    assert decoded.data[prepared.body_native].max() == pytest.approx(0.2 * GAIN)
    assert decoded.facts["anomaly"]["column"] == "t2"
    assert len(made.background) == 3


def test_what_is_kept_beyond_the_body_changes_nothing(
    converter_of: Any, prepared: PreparedSource
) -> None:
    made = decoder(converter_of, prepared, calibration(), median_voxels=3)
    noise = torch.randn(prepared.body.shape, generator=torch.Generator().manual_seed(0)).numpy()
    one, other = answer(prepared), answer(prepared)
    one[0] += noise
    other[0] += np.where(prepared.body, noise, 5.0)
    first = made.decode(one, prepared.body, prepared)
    second = made.decode(other, None, prepared)
    assert np.array_equal(first.data, second.data)
    assert first.facts == second.facts
