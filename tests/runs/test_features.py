"""A frozen segmenter's features of another training's images, and every reason to refuse it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medgen.config import Config, parse_config
from medgen.data import Codec
from medgen.problems import ConfigurationError, NothingFound
from medgen.runs import (
    RunFolder,
    Statistics,
    assemble,
    load_model,
    write_config,
    write_statistics,
    write_weights,
)
from medgen.runs.features import Lent, lend_features

CPU = torch.device("cpu")
WIDE = {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"}
NARROW = {"scale": "window", "low": -200, "high": 600, "unit": "HU"}
COHORT = {"scale": "cohort"}
UNET = {"name": "unet", "channels": [4, 8], "features": 3, "residual_units": 1}


def segmenter(scale: Any = NARROW, method: str = "segmenter", **changed: Any) -> Config:
    raw: dict[str, Any] = {
        "roles": {"source": ["ct"], "target": ["mr"], "label": ["tissue"]},
        "labels": {"grey": 1, "white": 2},
        "intensity": {"ct": scale, "mr": COHORT},
        "method": method,
        "methods": {"segmenter": {"network": UNET}, "regression": {"generator": UNET}},
        "train": {"patch": [16, 16, 16], "validate": {"profile": "segmentation"}},
        **changed,
    }
    return parse_config(raw)


def borrower(scale: Any = WIDE, **changed: Any) -> Config:
    raw: dict[str, Any] = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "intensity": {"mr": {"scale": "percentile"}, "ct": scale},
        "method": "regression",
        "methods": {"regression": {"generator": UNET}},
        "train": {"patch": [16, 16, 16]},
        **changed,
    }
    return parse_config(raw)


def write_run(folder: Path, config: Config, cohort: Any = None) -> Path:
    run = RunFolder(folder)
    torch.manual_seed(5)
    write_config(run, config)
    write_statistics(run, Statistics(cohort or {"mr": (0.0, 9.0)}))
    write_weights(run, assemble(config)[0], {"step": 3})
    return folder


@pytest.fixture
def lend(tmp_path: Path) -> Any:
    def lent(theirs: Config, ours: Config, theirs_in: Any = None, ours_in: Any = None) -> Lent:
        return lend_features(write_run(tmp_path, theirs, theirs_in), ours, ours_in or {}, CPU)

    return lent


def codes(error: pytest.ExceptionInfo[ConfigurationError]) -> list[str]:
    return [problem.code for problem in error.value.problems]


def image(low: float, high: float) -> np.ndarray:
    return np.random.default_rng(3).uniform(low, high, (1, 1, 16, 16, 16))


def test_a_window_is_carried_to_the_window_that_the_segmenter_learned(
    lend: Any, tmp_path: Path
) -> None:
    lent = lend(segmenter(), borrower())
    physical = image(-900, 2500)  # far beyond the segmenter's window on both sides
    ours, theirs = Codec(-1024, 3000, True, "HU", 0), Codec(-200, 600, True, "HU", 0)
    model = load_model(tmp_path, device=CPU)
    with torch.no_grad():
        expected = model.method.features(torch.from_numpy(theirs.encode(physical)))
        found = lent.extractor(torch.from_numpy(ours.encode(physical)))
    assert [level.shape[1] for level in found] == [3]
    assert lent.weights_digest == model.weights_digest
    for level, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(level, wanted, rtol=1e-3, atol=1e-4)


def test_cohort_scales_are_carried_by_their_fitted_ranges_unclipped(
    lend: Any, tmp_path: Path
) -> None:
    lent = lend(segmenter(COHORT), borrower(COHORT), {"ct": (10, 90)}, {"ct": (-5, 300)})
    physical = image(-50, 400)
    model = load_model(tmp_path, device=CPU)
    encoded = {
        ends: torch.from_numpy(Codec(*ends, False, "", 0).encode(physical))
        for ends in ((10, 90), (-5, 300))
    }
    with torch.no_grad():
        [expected] = model.method.features(encoded[10, 90])
        [found] = lent.extractor(encoded[-5, 300])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_every_channel_has_a_line_of_its_own(lend: Any, tmp_path: Path) -> None:
    roles = {"source": ["a", "b"], "label": ["tissue"]}
    scales = {"a": NARROW, "b": COHORT}
    theirs = segmenter(roles=roles, intensity=scales)
    ours = borrower(
        roles={"source": ["mr"], "target": ["a", "b"]},
        intensity={"mr": {"scale": "percentile"}, "a": WIDE, "b": COHORT},
    )
    lent = lend(theirs, ours, {"b": (0, 4)}, {"b": (0, 8)})
    physical = np.concatenate([image(-100, 500), image(0, 8)], axis=1)
    lines = {"ours": ((-1024, 3000), (0, 8)), "theirs": ((-200, 600), (0, 4))}
    encoded = {
        whose: torch.from_numpy(
            np.concatenate(
                [Codec(*ends, False, "", 0).encode(physical[:, [k]]) for k, ends in enumerate(two)],
                axis=1,
            )
        )
        for whose, two in lines.items()
    }
    with torch.no_grad():
        [expected] = load_model(tmp_path, device=CPU).method.features(encoded["theirs"])
        [found] = lent.extractor(encoded["ours"])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_gradients_reach_the_image_but_not_beyond_the_segmenters_window(lend: Any) -> None:
    lent = lend(segmenter(), borrower())
    physical = image(-100, 500)
    physical[..., :4] = 2000
    encoded = torch.from_numpy(Codec(-1024, 3000, True, "HU", 0).encode(physical))
    encoded.requires_grad_()
    sum(level.square().mean() for level in lent.extractor(encoded)).backward()
    assert encoded.grad is not None
    assert (encoded.grad[..., :4] == 0).all()
    assert (encoded.grad[..., 4:] != 0).float().mean() > 0.9


def test_nothing_of_the_segmenter_is_trained_or_kept_in_a_graph(lend: Any) -> None:
    lent = lend(segmenter(), borrower())
    plain = torch.rand(1, 1, 16, 16, 16)
    before = lent.extractor(plain)[0]
    assert not before.requires_grad, "no parameter of the segmenter wants a gradient"
    watched = plain.clone().requires_grad_()
    lent.extractor(watched)[0].sum().backward()
    torch.testing.assert_close(lent.extractor(plain)[0], before, rtol=0, atol=0)


def test_dropout_is_off(lend: Any) -> None:
    network = {**UNET, "dropout": 0.9}
    lent = lend(segmenter(methods={"segmenter": {"network": network}}), borrower())
    plain = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(lent.extractor(plain), lent.extractor(plain), rtol=0, atol=0)


def test_a_method_that_borrows_owns_and_copies_nothing_of_it(lend: Any) -> None:
    lent = lend(segmenter(), borrower())
    method, _ = assemble(borrower())
    names = set(method.state_dict())
    method.feature_extractor = lent.extractor
    assert set(method.state_dict()) == names
    assert set(method.players()) == {"generator"}
    copied = copy.deepcopy(method)
    assert copied.feature_extractor is lent.extractor
    copied.to(torch.float64).requires_grad_(True)
    plain = torch.rand(1, 1, 16, 16, 16)
    assert lent.extractor(plain)[0].dtype == torch.float32
    assert not lent.extractor(plain)[0].requires_grad


def test_it_runs_under_the_autocast_that_is_on(lend: Any) -> None:
    lent = lend(segmenter(), borrower())
    plain = torch.rand(1, 1, 16, 16, 16).to(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16):
        low = lent.extractor(plain)[0]
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), lent.extractor(plain)[0], rtol=0.1, atol=0.1)


def test_another_method_is_refused(lend: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        lend(segmenter(method="regression", train={"patch": [16] * 3}), borrower())
    assert codes(error) == ["E_FEATURES_METHOD"]
    assert "'regression', and features are a segmenter's" in str(error.value)
    assert "segmenter" in error.value.problems[0].advice


def test_a_network_whose_features_lack_a_margin_is_refused(lend: Any) -> None:
    deep = {"segmenter": {"network": {"name": "deep_medic", "channels": [4, 4], "hidden": [4]}}}
    theirs = segmenter(methods=deep, train={"patch": [6, 6, 6]})
    with pytest.raises(ConfigurationError, match=r"'deep_medic', .* lack 6 voxels") as error:
        lend(theirs, borrower())
    assert codes(error) == ["E_FEATURES_NETWORK"], "and nothing of the patch besides"


def test_a_segmenter_of_other_columns_is_refused(lend: Any) -> None:
    roles = {"source": ["mr"], "label": ["tissue"]}
    with pytest.raises(ConfigurationError) as error:
        lend(segmenter(roles=roles), borrower())
    assert codes(error) == ["E_FEATURES_COLUMNS"]
    assert "reads [mr], and the target is [ct]" in str(error.value)


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        ({"scale": "percentile"}, COHORT, "the run's scale is 'percentile'"),
        (COHORT, {"scale": "shared", "with": "mr"}, "the configuration's is 'shared'"),
        (COHORT, WIDE, "the run's unit is arbitrary, and the configuration's HU"),
        ({**WIDE, "unit": "SUV"}, WIDE, "the run's unit is SUV, and the configuration's HU"),
    ],
)
def test_encodings_without_a_line_between_them_are_refused(
    lend: Any, theirs: Any, ours: Any, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as error:
        lend(segmenter(theirs), borrower(ours), {"ct": (0, 1)}, {"ct": (0, 1)})
    assert codes(error) == ["E_FEATURES_SCALE"]
    assert error.value.problems[0].column == "ct"


def test_units_are_compared_without_regard_to_case(lend: Any) -> None:
    lend(segmenter({**NARROW, "unit": "hu"}), borrower())


@pytest.mark.parametrize(("spacing", "refused"), [(2.015, False), (2.03, True)])
def test_voxels_may_differ_by_one_percent(lend: Any, spacing: float, refused: bool) -> None:
    ours = borrower(preprocessing={"spacing_mm": [2.0, 2.0, spacing]})
    if not refused:
        lend(segmenter(), ours)
        return
    with pytest.raises(ConfigurationError, match=r"2 x 2 x 2 mm, .* 2 x 2 x 2\.03 mm") as error:
        lend(segmenter(), ours)
    assert codes(error) == ["E_FEATURES_SPACING"]


DEEP = {**UNET, "channels": [4, 4, 4, 4]}


@pytest.mark.parametrize(
    ("patch", "network"), [([16, 16, 22], DEEP), ([16, 16, 8], DEEP), ([32, 32, 20], DEEP)]
)
def test_a_patch_that_the_segmenter_does_not_take_is_refused(
    lend: Any, patch: list[int], network: Any
) -> None:
    theirs = segmenter(
        methods={"segmenter": {"network": network}},
        train={"patch": [24, 24, 24], "validate": {"profile": "segmentation"}},
    )
    with pytest.raises(ConfigurationError, match="multiples of 8 from 16 on") as error:
        lend(theirs, borrower(train={"patch": patch}))
    assert codes(error) == ["E_FEATURES_PATCH"]


def test_all_that_is_wrong_is_said_at_once(lend: Any) -> None:
    theirs = segmenter({**NARROW, "unit": "SUV"}, preprocessing={"spacing_mm": [1, 1, 1]})
    ours = borrower(
        WIDE,
        roles={"source": ["mr"], "target": ["ct", "pet"]},
        intensity={"mr": {"scale": "percentile"}, "ct": WIDE, "pet": WIDE},
        train={"patch": [9, 8, 8]},
    )
    with pytest.raises(ConfigurationError) as error:
        lend(theirs, ours)
    ends = ("COLUMNS", "SCALE", "SPACING", "PATCH")
    assert codes(error) == [f"E_FEATURES_{end}" for end in ends]


def test_a_folder_that_is_no_run_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_RUN_MISSING"):
        lend_features(tmp_path, borrower(), {}, CPU)


@pytest.mark.gpu
def test_on_cuda_it_equals_the_cpu(lend: Any, tmp_path: Path) -> None:
    plain = torch.rand(1, 1, 16, 16, 16)
    expected = lend(segmenter(), borrower()).extractor(plain)[0]
    lent = lend_features(tmp_path, borrower(), {}, torch.device("cuda"))
    found = lent.extractor(plain.cuda().contiguous(memory_format=torch.channels_last_3d))[0]
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-2, atol=1e-2)
