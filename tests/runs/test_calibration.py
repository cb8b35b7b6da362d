"""The calibration in a run's model: what decides it, and what it says without one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.calibration import Calibration, fit_calibration
from medgen.config import Config, parse_config
from medgen.method import Answer
from medgen.problems import ConfigurationError
from medgen.runs import RunFolder, measuring_digest, standing_calibration, write_calibration
from medgen.runs.calibration import calibration_facts, calibration_lines, calibration_of

ANOMALY = {"forward": Answer("anomaly", "source", "source")}
WEIGHTS = hashlib.sha256(b"weights").hexdigest()


def config(anomaly: dict[str, Any] | None = None, **convert: Any) -> Config:
    return parse_config(
        {
            "roles": {"source": ["t1"]},
            "intensity": {"t1": {"scale": "percentile"}},
            "method": "vae",
            "convert": {"anomaly": anomaly or {}, **convert},
        }
    )


def calibrated(settings: Config, count: int = 19) -> Calibration:
    rng = np.random.default_rng(0)
    return fit_calibration(
        [rng.normal(0, 1, 100) for _ in range(count)],
        [{"map_top": float(number)} for number in range(count)],
        direction="both",
        patients=count,
        weights_digest=WEIGHTS,
        settings_digest=measuring_digest(settings),
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run")
    found.model.mkdir(parents=True)
    found.weights.write_bytes(b"weights")
    return found


def test_what_measures_decides_the_digest_and_what_is_applied_does_not() -> None:
    plain = measuring_digest(config())
    for applied in (
        {"score": "window_max"},
        {"case_false_positives": 0.1},
        {"voxel_false_positives": 0.01},
        {"minimum_ml": 1.0},
    ):
        assert measuring_digest(config(applied)) == plain, applied
    for measured in ({"direction": "negative"}, {"median_voxels": 3}, {"erode_mm": 2.0}):
        assert measuring_digest(config(measured)) != plain, measured
    assert measuring_digest(config(overlap_voxels=4)) != plain
    assert measuring_digest(config(interpolation="spline")) == plain


def test_what_prepares_a_volume_decides_the_digest() -> None:
    plain = config()
    coarser = plain.preprocessing.model_copy(update={"spacing_mm": (3.0, 3.0, 3.0)})
    scaled = parse_config({**plain.as_json(), "intensity": {"t1": {"scale": "z_score"}}})
    masked = plain.roles.model_copy(update={"mask": "brain"})
    others = (
        plain.model_copy(update={"preprocessing": coarser}),
        scaled,
        plain.model_copy(update={"roles": masked}),
    )
    assert len({measuring_digest(one) for one in (plain, *others)}) == 4


def test_a_calibration_is_refused_with_other_weights_or_settings(folder: RunFolder) -> None:
    settings = config()
    assert calibration_of(folder, settings, WEIGHTS) is None
    written = calibrated(settings)
    write_calibration(folder, written)
    assert calibration_of(folder, settings, WEIGHTS) == written
    with pytest.raises(ConfigurationError, match=r"E_CALIBRATION_STALE.* weights .* --resume"):
        calibration_of(folder, settings, "f" * 64)
    with pytest.raises(ConfigurationError, match=r"E_CALIBRATION_STALE.* settings"):
        calibration_of(folder, config({"erode_mm": 1.0}), WEIGHTS)
    assert standing_calibration(folder, settings, "f" * 64) is None
    assert standing_calibration(folder, settings, None) is None
    folder.calibration.write_text("[1]", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="E_RUN_DAMAGED"):
        calibration_of(folder, settings, WEIGHTS)


def test_the_card_says_what_the_thresholds_promise_or_that_there_are_none(
    folder: RunFolder,
) -> None:
    settings = config({"case_false_positives": 0.1})
    assert calibration_lines(folder, settings, {"forward": Answer("image", "source", "x")}) == []
    assert "None" in "\n".join(calibration_lines(folder, settings, ANOMALY))
    write_calibration(folder, calibrated(settings))
    text = "\n".join(calibration_lines(folder, settings, ANOMALY))
    assert "19 cases of 19 patients" in text
    assert "from 0.05 up" in text
    assert "`map_top` is above 17, as of at most 0.1 of healthy cases" in text
    assert "z above" in text


def test_shares_finer_than_the_cases_are_told_as_none(folder: RunFolder) -> None:
    settings = config({"case_false_positives": 0.001, "voxel_false_positives": 1e-6})
    write_calibration(folder, calibrated(settings))
    facts = calibration_facts(folder, settings, WEIGHTS)
    assert facts is not None
    assert facts["case_threshold"] is None
    assert facts["voxel_threshold_z"] is None
    text = "\n".join(calibration_lines(folder, settings, ANOMALY))
    assert "No mask: 1e-06" in text
    assert "No case can be called unusual: 0.001" in text
