"""What is told of an answer without its truth."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.stats import wasserstein_distance

from medgen.conversion import Converter
from medgen.conversion.monitor import Judgement, Monitor
from medgen.data import Codec, regions_of, with_rim
from medgen.data.domain import Domain, face_of, fit_domain
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume

SHAPE = (24, 24, 24)
SPACING = (2.0, 2.0, 2.0)
GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))
CT = Codec(-1024.0, 3000.0, True, "HU", -1024.0)
MR = Codec(0.0, 1000.0, False, "arbitrary", 0.0)


def body_of(size: float = 0.6) -> np.ndarray:
    axes = np.ix_(*(np.linspace(-1, 1, count) for count in SHAPE))
    return np.asarray(sum((axis / size) ** 2 for axis in axes) < 1)


REGIONS = regions_of(body_of(), spacing_mm=SPACING)


def head(seed: int = 0, size: float = 0.6) -> np.ndarray:
    """Return an encoded head: a bright core in grey tissue, with air at the bottom of the scale."""
    rng = np.random.default_rng(seed)
    image = np.full(SHAPE, -1.0)
    image[body_of(size)] = 0.2
    image[body_of(size / 2)] = 0.7
    noisy = image + np.where(body_of(size), rng.normal(0, 0.1, SHAPE), 0.0)
    return noisy.astype(np.float32)


def domain_of(*images: np.ndarray) -> Domain:
    return fit_domain([face_of(image, REGIONS) for image in images])


DOMAIN = domain_of(*(head(seed) for seed in range(3)))


def judge(answer: np.ndarray, codec: Codec = MR, domain: Domain = DOMAIN) -> Judgement:
    found = answer.astype(np.float32)
    return Monitor(domain).judge(found, REGIONS, codec=codec)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def edges(image: np.ndarray) -> np.ndarray:
    return np.sqrt(sum(part**2 for part in np.gradient(image)))


def test_an_answer_like_the_domain_raises_no_doubt() -> None:
    verdict = judge(head(9))
    assert verdict.contrast == pytest.approx(1.0, abs=0.02)
    assert verdict.spread == pytest.approx(1.0, abs=0.05)
    assert verdict.outline_dice > 0.9
    assert verdict.doubt < 0.2
    assert (verdict.findings, verdict.faults) == ((), ())


def test_an_inverted_answer_is_found_by_its_sign_where_unsigned_measures_see_nothing() -> None:
    right = head(9)
    inverted = -right
    assert correlation(edges(right), edges(inverted)) == pytest.approx(1.0)
    bins = np.histogram2d(right.ravel(), inverted.ravel(), bins=16)[0] / right.size
    known = bins[bins > 0]
    alone = np.histogram(right, bins=16)[0] / right.size
    alone = alone[alone > 0]
    # Mutual information is all that there is to share: the inverted image tells the right one.
    information = (known * np.log(known)).sum() - 2 * (alone * np.log(alone)).sum()
    assert information == pytest.approx(-(alone * np.log(alone)).sum(), rel=0.05)

    verdict = judge(inverted)
    assert verdict.contrast == pytest.approx(-1.0, abs=0.02)
    assert verdict.faults[0] == "inverted contrast"
    assert verdict.doubt > 2.0 > judge(right).doubt
    assert f"{verdict.contrast:.2f} times" in verdict.findings[0].reason
    assert verdict.findings[0].verdict == "fail"


@pytest.mark.parametrize("codec", [CT, MR])
def test_the_histogram_distance_is_scipy_s_in_the_answer_s_unit(codec: Codec) -> None:
    answer = 0.5 * head(9) - 0.3
    rimmed = with_rim(body_of(), spacing_mm=SPACING)
    inside = ndimage.distance_transform_edt(rimmed, sampling=SPACING) > 7.0
    pooled = np.concatenate([head(seed)[inside] for seed in range(3)])
    expected = wasserstein_distance(codec.decode(pooled), codec.decode(answer[inside]))
    assert judge(answer, codec).histogram_distance == pytest.approx(expected, rel=0.01)


def test_a_constant_answer_at_the_median_has_one_and_what_its_outline_lacks() -> None:
    verdict = judge(np.full(SHAPE, DOMAIN.median))
    assert verdict.contrast == 0.0
    assert verdict.spread == pytest.approx(0.0, abs=1e-9)
    assert verdict.outline_dice == 0.0  # no body stands out of it
    # Its histogram, its outline, its contrast, and layers that it has none of.
    assert verdict.doubt == pytest.approx(1.0 + 1.0 + 1.0 + 1.0, abs=1e-5)
    # With the background right, the constant's own share is left, and that it has no layers.
    flat = np.where(with_rim(body_of(), spacing_mm=SPACING), DOMAIN.median, -1.0)
    shaped = judge(flat)
    assert shaped.contrast > 0
    assert shaped.doubt == pytest.approx(2.0 + (1.0 - shaped.outline_dice), abs=1e-5)


def test_a_nearly_constant_answer_is_called_so_however_far_the_domain_s_cases_are_apart() -> None:
    """A scale of the cohort leaves each case its own brightness: no histogram is strange there."""
    wide = domain_of(*(np.where(body_of(), head(k) + 0.4 * k, head(k)) for k in range(3)))
    right = head(9)
    right[body_of()] += 0.4
    assert judge(right, domain=wide).faults == ()
    noise = 0.05 * np.random.default_rng(0).standard_normal(SHAPE)
    flat = np.where(with_rim(body_of(), spacing_mm=SPACING), wide.median + noise, -1.0)
    verdict = judge(flat, domain=wide)
    assert verdict.spread < 0.25
    assert verdict.faults[0] == "nearly constant"
    assert "strange intensities" not in verdict.faults
    assert f"vary {verdict.spread:.2f} times" in verdict.findings[0].reason


def test_the_outline_is_the_source_s_or_somebody_else_s() -> None:
    smaller = judge(head(9, size=0.4))
    assert smaller.outline_dice < 0.8
    assert "changed outline" in smaller.faults
    assert any("below 0.8" in found.reason for found in smaller.findings)


def test_a_pale_answer_is_called_so() -> None:
    verdict = judge(0.3 * (head(9) + 1.0) - 1.0)
    assert verdict.contrast == pytest.approx(0.3, abs=0.02)
    assert verdict.faults[0] == "weak contrast"


def test_a_histogram_is_strange_beside_what_the_domain_s_own_cases_are_apart() -> None:
    shifted = head(9)
    shifted[body_of()] += 0.3
    assert "strange intensities" in judge(shifted).faults
    wide = domain_of(*(np.where(body_of(), head(k) + 0.2 * k, head(k)) for k in range(3)))
    assert "strange intensities" not in judge(shifted, domain=wide).faults


def test_a_domain_of_one_case_judges_its_like_mildly() -> None:
    assert judge(head(9), domain=domain_of(head(0))).faults == ()


@settings(max_examples=20, deadline=None)
@given(st.floats(0.2, 4.0), st.floats(-1.0, 1.0))
def test_contrast_knows_no_scale(slope: float, offset: float) -> None:
    turned = domain_of(*(slope * head(seed) + offset for seed in range(3)))
    found = judge(slope * head(9) + offset, domain=turned)
    plain = judge(head(9))
    assert found.contrast == pytest.approx(plain.contrast, abs=1e-3)
    assert found.spread == pytest.approx(plain.spread, abs=1e-3)
    assert found.histogram_distance == pytest.approx(slope * plain.histogram_distance, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(st.floats(1.0, 5000.0), st.floats(-1000.0, 1000.0))
def test_doubt_knows_no_unit(width: float, low: float) -> None:
    other = judge(head(9), Codec(low, low + width, False, "arbitrary", low))
    plain = judge(head(9))
    assert other.doubt == pytest.approx(plain.doubt, abs=1e-3)
    assert other.histogram_distance == pytest.approx(
        plain.histogram_distance * width / 1000.0, rel=1e-6
    )


def test_without_background_in_view_contrast_is_not_known_and_not_held_against_it() -> None:
    whole = np.ones(SHAPE, dtype=np.bool_)
    verdict = Monitor(DOMAIN).judge(head(9), regions_of(whole, spacing_mm=SPACING), codec=MR)
    assert math.isnan(verdict.contrast)
    assert not {"inverted contrast", "weak contrast"} & set(verdict.faults)
    assert json.loads(json.dumps(verdict.as_json(), allow_nan=False))["contrast"] is None


@pytest.fixture
def monitored(converter_of: Callable[..., Converter]) -> Callable[..., Converter]:
    def make(function: Callable[[torch.Tensor], torch.Tensor], **options: Any) -> Converter:
        made = converter_of(function, **options)
        made.monitor = Monitor(DOMAIN)
        return made

    return make


def source() -> dict[str, Volume]:
    return {"mr": Volume(MR.decode(head(9)).astype(np.float32), GRID)}


def test_a_method_that_inverts_is_told_by_its_conversion(
    monitored: Callable[..., Converter],
) -> None:
    right = monitored(lambda windows: windows)(source())
    wrong = monitored(lambda windows: -windows)(source())
    assert right.facts["monitor"]["contrast"] > 0.8
    assert right.facts["monitor"]["faults"] == []
    assert wrong.facts["monitor"]["contrast"] < 0
    assert wrong.trust is not None
    assert wrong.trust.verdict == "fail"
    assert wrong.trust.reasons[0].startswith("inverted contrast")
    assert wrong.facts["warnings"] == []
    # What is shown has its background filled in, and would look half right.
    assert (wrong.volume.data[0, 0] == 0).all()


def test_an_answer_that_is_not_finite_is_still_refused_by_decoding(
    monitored: Callable[..., Converter],
) -> None:
    with pytest.raises(Refusal, match="E_ANSWER_NOT_FINITE"):
        monitored(lambda windows: windows * float("nan"))(source())


def test_contrast_that_is_inverted_inside_alone_is_told_by_its_layers() -> None:
    """Air is right and so is the outline: body against background says nothing of tissues."""
    turned = head(9)
    inside = body_of()
    turned[inside] = 0.9 - turned[inside]  # the core becomes the rind's grey, the rind the core's
    verdict = judge(turned)
    assert verdict.contrast > 0.5
    assert verdict.outline_dice > 0.8
    assert verdict.layers < -0.9
    assert "other layers" in verdict.faults
    assert judge(head(9)).layers > 0.95


def test_a_bright_layer_at_another_depth_is_told_though_the_histogram_is_right() -> None:
    """Scalp painted as skull: as much bone as there should be, and all of it too far out."""

    def ring(start: float) -> np.ndarray:
        deep = ndimage.distance_transform_edt(body_of(), sampling=SPACING)
        image = np.where(body_of(), 0.0, -1.0)
        volume = np.argsort(np.where(deep > start, deep, np.inf), axis=None)[:1200]
        image.ravel()[volume] = 0.8
        return image.astype(np.float32)

    domain = domain_of(ring(5.0))
    right, wrong = (judge(ring(start), domain=domain) for start in (5.0, 0.0))
    assert right.layers > 0.99
    assert wrong.layers < 0.5
    assert wrong.doubt > right.doubt + 0.5


@given(st.floats(0.1, 5.0), st.floats(-2.0, 2.0))
@settings(max_examples=15, deadline=None)
def test_layers_do_not_change_with_scale_and_level(gain: float, offset: float) -> None:
    image = head(4)
    known = judge(image).layers
    assert judge(gain * image + offset).layers == pytest.approx(known, abs=1e-4)


def test_of_a_domain_without_layers_none_are_asked_for() -> None:
    """A run from before they were measured."""
    old = Domain.from_json({k: v for k, v in DOMAIN.as_json().items() if k != "layers"})
    verdict = judge(head(9), domain=old)
    assert math.isnan(verdict.layers)
    assert verdict.as_json()["layers"] is None
    assert verdict.doubt < 0.2


def test_where_no_air_is_in_view_an_inversion_cannot_be_told_and_that_is_said() -> None:
    verdict = Monitor(DOMAIN).judge(
        head(9), regions_of(np.ones(SHAPE, bool), spacing_mm=SPACING), codec=MR
    )
    assert math.isnan(verdict.contrast)
    assert "no background" in verdict.faults
    assert verdict.doubt > 1.0


def test_an_outline_is_held_against_the_training_targets_own() -> None:
    """CT and MR of one patient do not agree on a neck: then answers need not."""
    smaller = head(9, size=0.4)
    overlap = judge(smaller).outline_dice
    for least, doubted in ((None, True), (overlap + 0.2, True), (overlap + 0.05, False)):
        found = Monitor(DOMAIN, least_overlap=least).judge(smaller, REGIONS, codec=MR)
        assert ("changed outline" in found.faults) is doubted


def test_where_most_was_never_learned_histogram_and_outline_say_nothing() -> None:
    strange = head(9, size=0.4)
    strange[body_of(0.4)] += 0.5
    wanted = {"strange intensities", "changed outline"}
    assert wanted <= set(judge(strange).faults)
    found = Monitor(DOMAIN, learned=0.6).judge(strange, REGIONS, codec=MR)
    assert not wanted & set(found.faults)
    assert found.outline_dice == judge(strange).outline_dice
