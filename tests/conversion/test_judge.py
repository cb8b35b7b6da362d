"""A converter with a judge: what a case's facts and verdict say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from medgen.config import PercentileScale, SharedScale, WindowScale
from medgen.conversion import Converter
from medgen.conversion.judge import UNKNOWN, Judge, measured_anew
from medgen.data import Look, fit_usual, looks_at, regions_of
from medgen.volumes import Grid, Volume

SHAPE = (32, 36, 30)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))


def head(seed: int) -> dict[str, Volume]:
    draw = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in SHAPE))
    far = np.sqrt(sum((axis / 0.75) ** 2 for axis in axes))
    image = np.where(far < 0.6, 700.0, np.where(far < 1, 300.0, 0.0))
    image += (far < 1) * draw.normal(0, 30, SHAPE)
    return {"mr": Volume(image.astype(np.float32), GRID)}


@pytest.fixture
def judged(converter_of: Callable[..., Converter]) -> Converter:
    converter = converter_of(lambda windows: windows)
    looks: list[Look] = []
    for seed in range(4):
        prepared = converter.preprocessing.prepare_source(head(seed))
        regions = regions_of(prepared.body, spacing_mm=prepared.grid.spacing_mm)
        codecs = prepared.source_codecs
        looks += looks_at(("mr",), prepared.source, codecs, head(seed), prepared.body, regions)
    converter.judge = Judge({"mr": fit_usual(looks)})
    return converter


def checks(converted: Any) -> dict[str, str]:
    return {found.check: found.verdict for found in converted.trust.findings}


def test_a_case_of_the_cohort_passes_and_its_facts_say_so(judged: Converter) -> None:
    converted = judged(head(9))
    assert checks(converted) == {}
    facts = json.loads(json.dumps(converted.facts["trust"], allow_nan=False))
    assert facts["verdict"] == "pass"
    assert {"mr.histogram", "mr.layers", "mr.cut", "answer.seams"} <= facts["measures"].keys()


def test_another_modality_is_found_before_the_network_is_asked(judged: Converter) -> None:
    sound = head(9)["mr"]
    turned = sound.with_data(np.where(sound.data > 100, 1000 - sound.data, sound.data))
    ready: Any = judged.ready({"mr": turned})
    assert {found.check for found in ready.trust.findings} >= {"layers"}
    converted = judged.restore(judged.infer(ready))
    assert converted.trust.verdict != "pass"
    assert set(ready.trust.findings) <= set(converted.trust.findings)
    assert converted.facts["warnings"] == []


def test_a_run_that_recorded_nothing_says_so_once(judged: Converter) -> None:
    judged.judge = Judge()
    converted = judged(head(9))
    assert converted.trust is not None
    assert converted.trust.findings == (UNKNOWN,)
    assert converted.trust.verdict == "warn"


def test_without_a_judge_nothing_of_the_sort_is_looked_at(judged: Converter) -> None:
    judged.judge = None
    converted = judged(head(9))
    assert converted.trust is not None
    assert converted.trust.findings == ()
    assert "answer.seams" not in converted.trust.measures


def test_a_scale_is_measured_anew_or_it_is_the_run_s() -> None:
    scales: Any = {
        "mr": PercentileScale(scale="percentile"),
        "ct": WindowScale(scale="window", low=-1000, high=1000, unit="HU"),
        "like_mr": SharedScale(scale="shared", **{"with": "mr"}),
    }
    assert [measured_anew(column, scales) for column in scales] == [True, False, True]
