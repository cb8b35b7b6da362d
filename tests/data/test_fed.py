"""The channel that a chain feeds has the target's own scale, in training as at conversion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medgen.data.fed import Fed
from medgen.problems import Refusal
from medgen.volumes import Volume

SCALES: dict[str, Any] = {
    "window": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
    "cohort": {"scale": "cohort"},
    "shared": {"scale": "shared", "with": "mr"},
}


def fed_way(config: Any, preprocessing: Any, scale: str, *, replaces: bool) -> Any:
    settings = config(
        intensity={"mr": {"scale": "percentile"}, "ct": SCALES[scale]},
        preprocessing={"crop": "none", "min_overlap": 0.0},
    )
    way = preprocessing(settings, {"ct": (-900.0, 1100.0)} if scale == "cohort" else {})
    return replace(way, fed=Fed("ct_stage_1", "ct", replaces))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("replaces", [True, False])
def test_training_and_conversion_see_the_same_channels(
    volumes: Any, config: Any, preprocessing: Any, scale: str, replaces: bool
) -> None:
    way = fed_way(config, preprocessing, scale, replaces=replaces)
    case = volumes()
    answer = case["ct"].with_data(case["ct"].data + np.float32(7.0))
    fed = {"mr": case["mr"], "ct_stage_1": answer}
    source = way.prepare_source(fed)
    trained = way.prepare_case({**fed, "ct": case["ct"]})
    np.testing.assert_array_equal(source.source, trained.arrays["source"])
    assert len(source.source) == (1 if replaces else 2)
    codec = source.target_codecs["ct"]
    np.testing.assert_allclose(source.source[-1], codec.encode(answer.data), atol=1e-6)
    assert trained.codecs["ct"] == codec
    np.testing.assert_allclose(
        (trained.arrays["source"][-1] - trained.arrays["target"][0])[source.body].mean(),
        7.0 / codec.gain,
        rtol=1e-3,
    )


def test_the_fed_channel_is_never_augmented(config: Any, preprocessing: Any) -> None:
    assert fed_way(config, preprocessing, "window", replaces=False).jitter == (True, False)
    assert fed_way(config, preprocessing, "window", replaces=True).jitter == (False,)


def test_the_answer_beyond_its_field_of_view_is_background(
    volumes: Any, config: Any, preprocessing: Any
) -> None:
    way = fed_way(config, preprocessing, "window", replaces=True)
    case = volumes()
    small = Volume(case["ct"].data[10:], case["ct"].grid.crop([10, 0, 0], [30, 44, 36]))
    source = way.prepare_source({"mr": case["mr"], "ct_stage_1": small}).source
    assert (source[0, :9] == -1.0).all()


def test_a_case_without_the_earlier_answer_is_refused(
    volumes: Any, config: Any, preprocessing: Any
) -> None:
    way = fed_way(config, preprocessing, "window", replaces=False)
    with pytest.raises(Refusal, match=r"E_COLUMN_EMPTY.*ct_stage_1"):
        way.prepare_source({"mr": volumes()["mr"]})


def test_other_settings_have_other_cache_entries(config: Any, preprocessing: Any) -> None:
    beside, instead = (
        fed_way(config, preprocessing, "window", replaces=r).as_json() for r in (False, True)
    )
    assert beside != instead
    alone = replace(fed_way(config, preprocessing, "window", replaces=True), fed=None).as_json()
    assert alone not in (beside, instead)
