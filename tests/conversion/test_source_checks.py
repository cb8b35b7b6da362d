"""Sources that are like the training cases', and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from medgen.conversion.source_checks import SourceCheck
from medgen.conversion.trust import Trust
from medgen.data import Codec, Look, Usual, fit_usual, regions_of
from medgen.data.look import look_of
from medgen.volumes import Grid, Volume

SHAPE = (40, 44, 36)
SPACING = (2.0, 2.0, 2.0)
CODEC = Codec(0.0, 1000.0, False, "arbitrary", 0.0)
Change = Callable[[np.ndarray, np.ndarray], np.ndarray]


def head(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a head with a dark rind, a bright core, and a neck that the field of view cuts."""
    draw = np.random.default_rng(seed)
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in SHAPE))
    size = draw.uniform(0.78, 0.85)
    far = np.sqrt(sum((axis / size) ** 2 for axis in axes))
    neck = (axes[0] ** 2 + axes[1] ** 2 < 0.2) & (axes[2] < 0)
    body = (far < 1) | neck
    image = np.where(far < 0.6, 0.6, np.where(body, -0.2, -1.0))
    image += body * (draw.normal(0, 0.05, SHAPE) + 0.2 * axes[1])
    return image.astype(np.float32), body


def look(
    image: np.ndarray,
    body: np.ndarray,
    *,
    spacing: Sequence[float] = SPACING,
    native: Sequence[float] = SPACING,
    unit: str = "arbitrary",
) -> Look:
    extent = np.multiply(image.shape, spacing)
    x, y, z = (max(1, round(mm / step)) for mm, step in zip(extent, native, strict=True))
    volume = Volume(np.zeros((x, y, z), np.float32), Grid((x, y, z), np.diag([*native, 1.0])))
    codec = replace(CODEC, unit=unit)
    regions = regions_of(body, spacing_mm=spacing)
    return look_of(image, body, regions, volume=volume, codec=codec)


USUAL = fit_usual([look(*head(seed)) for seed in range(6)])


def check(found: Look, *, usual: Usual = USUAL, **options: Any) -> Trust:
    how = {"fixed_scale": False, "reference": True, "run_spacing_mm": SPACING, **options}
    return SourceCheck("mr", found, usual, **how).trust()


def checks(trust: Trust) -> dict[str, str]:
    return {found.check: found.verdict for found in trust.findings}


@pytest.mark.parametrize("seed", range(20, 26))
def test_another_case_of_the_cohort_passes(seed: int) -> None:
    trust = check(look(*head(seed)))
    assert trust.findings == ()
    assert {"mr.histogram", "mr.layers", "mr.body", "mr.cut"} <= trust.measures.keys()


CHANGES: Mapping[str, tuple[Change, str]] = {
    "inverted inside": (lambda image, body: np.where(body, 0.2 - image, image), "layers"),
    "inverted whole": (lambda image, body: -image, "contrast"),
    "noise": (
        lambda image, body: image + np.random.default_rng(0).normal(0, 0.4, SHAPE),
        "grain_rougher",
    ),
    "other values": (lambda image, body: np.where(body, image + 0.8, image), "histogram"),
    "a gradient": (
        lambda image, body: image + body * np.linspace(-1, 1, SHAPE[2])[None, None],
        "arrangement",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_values_is_found_by_its_check(name: str) -> None:
    change, wanted = CHANGES[name]
    image, body = head(9)
    trust = check(look(change(image, body).astype(np.float32), body))
    assert wanted in checks(trust)
    assert all(found.reason.startswith("column mr: ") for found in trust.findings)


def test_a_head_upside_down_or_cut_is_found_by_its_outline() -> None:
    image, body = head(9)
    over = check(look(image[..., ::-1], body[..., ::-1]))
    assert checks(over)["cut"] == "warn"
    assert "superior" in "".join(over.reasons)
    half = check(look(image[: SHAPE[0] // 2], body[: SHAPE[0] // 2]))
    assert checks(half)["cut"] == "fail"
    assert checks(half)["body"] in ("warn", "fail")
    assert any("ends in the body, right: 100%" in reason for reason in half.reasons)


@pytest.mark.parametrize(
    ("native", "verdict"), [(2.0, None), (2.9, None), (3.5, "warn"), (6.0, "fail"), (0.5, None)]
)
def test_slices_are_coarser_than_the_training_cases_and_than_the_run(
    native: float, verdict: str | None
) -> None:
    """Finer ones are thinned out to the run's spacing, and nothing is lost."""
    trust = check(look(*head(9), native=(2.0, 2.0, native)))
    assert checks(trust).get("spacing_coarser") == verdict
    assert "spacing_finer" not in checks(trust)


def test_finer_than_the_training_cases_is_found_where_the_run_is_finer_too() -> None:
    thick = fit_usual([look(*head(seed), native=(2.0, 2.0, 6.0)) for seed in range(3)])
    trust = check(look(*head(9)), usual=thick)
    assert checks(trust)["spacing_finer"] == "warn"
    assert "inferior-superior" in "".join(trust.reasons)


def test_raw_values_count_where_the_scale_is_the_run_s_own() -> None:
    image, body = head(9)
    found = look(image, body)
    bright = replace(
        found,
        figures={**found.figures, "quantiles": tuple(9 * v for v in found.figures["quantiles"])},
    )
    assert check(bright, fixed_scale=False).verdict == "pass"
    assert checks(check(bright, fixed_scale=True))["values"] == "fail"


def test_headers_that_say_otherwise_are_found() -> None:
    found = look(*head(9))
    known = replace(USUAL, modalities=("MR",))
    assert checks(check(replace(found, modality="CT"), usual=known)) == {"modality": "fail"}
    for said, usual in (("MR", known), ("", known), ("CT", USUAL)):
        assert check(replace(found, modality=said), usual=usual).verdict == "pass"
    assert checks(check(replace(found, unit="SUV"))) == {"unit": "warn"}


def test_the_body_is_judged_on_the_column_that_lays_the_frame_alone() -> None:
    image, body = head(9)
    half = look(image[: SHAPE[0] // 2], body[: SHAPE[0] // 2])
    assert not {"cut", "body", "shape"} & checks(check(half, reference=False)).keys()


def test_a_run_of_one_case_judges_its_like_mildly() -> None:
    alone = fit_usual([look(*head(0))])
    assert check(look(*head(1)), usual=alone).verdict == "pass"
