"""From a configuration to a method: strict, with the paper's optimizers."""

from __future__ import annotations

from typing import Any

import pytest

from medgen.config import parse_config, shipped_configs
from medgen.method import OptimizerSpec
from medgen.methods import METHODS
from medgen.problems import ConfigurationError
from medgen.runs import assemble, completed, setting_of


def config(method: str = "conditional_gan", target_scale: str = "window", **blocks: Any) -> Any:
    scales = {
        "window": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
        "cohort": {"scale": "cohort"},
    }
    return parse_config(
        {
            "roles": {"source": ["t1", "t2"], "target": ["ct"], "label": ["lesion"]},
            "labels": {"core": [1, 3], "rim": 2},
            "intensity": {
                "t1": {"scale": "percentile"},
                "t2": {"scale": "percentile"},
                "ct": scales[target_scale],
            },
            "method": method,
            "methods": blocks,
        }
    )


def test_channels_and_head_follow_the_data() -> None:
    setting = setting_of(config())
    assert (setting.source_channels, setting.target_channels, setting.head) == (2, 1, "tanh")
    assert setting_of(config(target_scale="cohort")).head == "linear"
    assert setting.classes == 3, "two classes and the background"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_a_block_takes_its_own_defaults(method: str) -> None:
    # CycleGAN's identity term wants as many source as target channels; here there are two.
    given = {"cycle_gan": {"lambda_identity": 0.0}} if method == "cycle_gan" else {}
    raw = config(method, **given).as_json()
    if method == "adapted_segmenter":  # whose domains are alike, and whose blocks are of three
        raw["roles"]["target"] = raw["roles"]["source"]
        raw["train"]["patch"] = [9, 9, 9]
    built, specs = assemble(parse_config(raw))
    assert type(built) is METHODS[method]
    assert specs == dict(built.optimizers())


def test_optimizers_are_overridden_key_by_key() -> None:
    built, specs = assemble(
        config(conditional_gan={"optimizers": {"generator": {"learning_rate": 0.001}}})
    )
    paper = built.optimizers()
    assert specs["generator"] == OptimizerSpec(
        paper["generator"].name, 0.001, paper["generator"].betas, paper["generator"].weight_decay
    )
    assert specs["discriminator"] == paper["discriminator"]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ({"conditional_gan": {"lamda_l1": 3}}, r"unknown key 'methods\.conditional_gan\.lamda_l1'"),
        ({"conditional_gan": {"generator": {"chanels": [4]}}}, "chanels"),
        ({"conditional_gan": {"adversarial": "wasserstein"}}, "adversarial"),
        ({"conditional_gan": {"optimizers": {"critic": {}}}}, "the players are"),
        ({"regression": {"nonsense": 1}}, "nonsense"),
        ({"unheard_of": {}}, "unheard_of"),
    ],
)
def test_mistakes_are_named_also_in_unused_blocks(blocks: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        assemble(config(**blocks))


def test_an_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="conditional_gan"):
        assemble(config("cycle_gun"))


def test_a_missing_role_is_named() -> None:
    raw = config().as_json()
    raw["roles"]["target"] = None
    with pytest.raises(ConfigurationError, match="target"):
        assemble(parse_config(raw))


@pytest.mark.parametrize(
    ("scale", "measured"), [("percentile", "percentiles"), ("z_score", "z-scores")]
)
@pytest.mark.parametrize("method", ["regression", "cycle_gan"])
def test_a_scale_that_no_answer_can_be_decoded_by_is_refused(
    method: str, scale: str, measured: str
) -> None:
    """A segmenter's answers are decoded by classes: it takes any scale of a target."""
    raw = config(method, cycle_gan={"lambda_identity": 0.0}).as_json()
    raw["intensity"]["ct"] = {"scale": scale}
    with pytest.raises(ConfigurationError) as caught:
        assemble(parse_config(raw))
    assert [(problem.message, problem.advice) for problem in caught.value.problems] == [
        (
            f"intensity.ct: a target has no {measured} at conversion",
            "use scale: window, cohort or shared",
        )
    ]
    assemble(parse_config({**raw, "method": "segmenter"}))


@pytest.mark.parametrize("scale", ["percentile", "z_score"])
def test_a_target_that_is_only_read_may_be_measured_on_its_own_volumes(scale: str) -> None:
    raw = config("adapted_segmenter").as_json()
    raw["roles"]["source"] = {"columns": ["flair", "t2"], "where": {"site": "one"}}
    raw["roles"]["target"] = {"columns": ["flair", "pd"], "where": {"site": "two"}}
    raw["intensity"] = {column: {"scale": scale} for column in ("flair", "t2", "pd")}
    raw["train"]["patch"] = [48, 48, 48]
    method, _ = assemble(parse_config(raw))
    assert {answer.kind for answer in method.answers.values()} == {"labels"}
    with pytest.raises(ConfigurationError, match=r"intensity\.pd: a target has no"):
        assemble(parse_config({**raw, "method": "conditional_gan"}))


def test_an_unpaired_answer_is_not_decoded_by_z_scores() -> None:
    raw = config("cycle_gan", cycle_gan={"lambda_identity": 0.0}).as_json()
    raw["intensity"]["t2"] = {"scale": "z_score"}
    with pytest.raises(
        ConfigurationError, match=r"intensity\.t2: method 'cycle_gan' answers in it"
    ):
        assemble(parse_config(raw))
    assemble(parse_config({**raw, "method": "regression"}))


@pytest.mark.parametrize("name", shipped_configs())
def test_every_shipped_configuration_builds_its_methods(name: str) -> None:
    import yaml

    raw = yaml.safe_load(shipped_configs()[name])
    for method in raw["methods"]:
        assemble(parse_config({**raw, "method": method}))


def test_a_completed_configuration_writes_every_option_out() -> None:
    given = config(conditional_gan={"optimizers": {"generator": {"learning_rate": 0.001}}})
    complete = completed(given)
    block = complete.as_json()["methods"]["conditional_gan"]
    assert block["lambda_l1"] == 100.0
    assert block["generator"]["channels"] == [32, 64, 128, 256]
    assert block["optimizers"] == {"generator": {"learning_rate": 0.001}}
    assert completed(parse_config(complete.as_json())) == complete
    assert assemble(complete)[1] == assemble(given)[1]


@pytest.mark.parametrize("size", [36, 60, 66])
def test_a_patch_that_the_networks_cannot_take_is_refused_at_once(size: int) -> None:
    raw = config().as_json()
    raw["train"]["patch"] = [64, 64, size]
    with pytest.raises(ConfigurationError, match="multiples of 8 from 40 on"):
        assemble(parse_config(raw))


def test_a_window_that_the_networks_cannot_take_is_refused_at_once() -> None:
    raw = config().as_json()
    raw["convert"]["window"] = [8, 8, 8]
    with pytest.raises(ConfigurationError, match=r"convert\.window"):
        assemble(parse_config(raw))
