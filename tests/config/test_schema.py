from typing import Any

import pytest

from medgen.config import Config, Role, parse_config
from medgen.problems import ConfigurationError


def plain(**changes: Any) -> dict[str, Any]:
    config = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "intensity": {
            "mr": {"scale": "percentile"},
            "ct": {"scale": "window", "low": -1024, "high": 3000, "unit": "HU"},
        },
        "method": "regression",
    }
    return config | changes


def problems(**changes: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse_config(plain(**changes))
    return [problem.message for problem in caught.value.problems]


def test_a_short_configuration_has_every_default() -> None:
    config = parse_config(plain())
    assert config.roles.mask == "auto"
    assert config.preprocessing.spacing_mm == (2.0, 2.0, 2.0)
    assert config.train.validate_.best_by.name == "mae"
    assert config.convert.window == "auto"


def test_the_json_form_is_complete_and_reads_back() -> None:
    config = parse_config(plain())
    written = config.as_json()
    assert written["train"]["validate"]["every_steps"] == 1000
    assert parse_config(written) == config


def test_a_shared_scale_reads_back_by_its_alias() -> None:
    intensity = {"low": {"scale": "percentile"}, "full": {"scale": "shared", "with": "low"}}
    roles = {"source": ["low"], "target": ["full"]}
    config = parse_config(plain(roles=roles, intensity=intensity))
    assert parse_config(config.as_json()) == config


def test_a_role_is_a_list_or_columns_with_a_condition() -> None:
    assert Role.model_validate(["t1", "flair"]).columns == ("t1", "flair")
    role = Role.model_validate({"columns": ["ct"], "where": {"site": "B"}})
    assert role.where == {"site": "B"}


def test_roles_name_each_column_once() -> None:
    roles = {"source": ["t1", "t2"], "target": ["t2"], "label": ["lesion"], "mask": "body"}
    scales = {name: {"scale": "window", "low": 0, "high": 1, "unit": "1"} for name in ("t1", "t2")}
    config = parse_config(plain(roles=roles, intensity=scales, labels={"lesion": 1}))
    assert config.roles.columns() == ("t1", "t2", "lesion", "body")


LABEL = {"roles": {"source": ["mr"], "target": ["ct"], "label": ["seg"]}}


def test_labels_take_one_value_or_several() -> None:
    config = parse_config(plain(**LABEL, labels={"core": 4, "rim": [1, 2], "background": [9]}))
    assert config.labels == {"core": (4,), "rim": (1, 2), "background": (9,)}
    assert parse_config(config.as_json()) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"lesion": 1}}, "there is no label role"),
        ({**LABEL, "labels": {"left_eye": 1}}, "'left_eye' has a side, and axis 0 is mirrored"),
        ({"convert": {"keep_largest": ["liver"]}}, "keep_largest: 'liver' is not one of"),
        ({"convert": {"lesions": ["liver"]}}, "convert.lesions: 'liver' is not one of"),
        ({"convert": {"minimum_ml": {"liver": 1}}}, "convert.minimum_ml: 'liver' is not one of"),
        (
            {**LABEL, "labels": {"one": 1}, "convert": {"minimum_ml": {"one": 0}}},
            "convert.minimum_ml.one: should be greater than 0, not 0",
        ),
        (
            {**LABEL, "labels": {"one": 1}, "convert": {"minimum_ml": 0.5}},
            "convert.minimum_ml: should be a block of keys, not 0.5",
        ),
        ({**LABEL}, "labels: name the classes of the label column"),
        ({**LABEL, "labels": {"background": [3]}}, "labels: name the classes"),
        ({**LABEL, "labels": {"lesion": 0}}, "0 is the background"),
        ({**LABEL, "labels": {"one": 1, "two": [2, 1]}}, "value 1 belongs to one and two"),
        ({**LABEL, "labels": {"one": 1, "background": [1]}}, "value 1 belongs to one and back"),
        ({**LABEL, "labels": {"one": 256}}, "less than or equal to 255|at most 255"),
        ({**LABEL, "labels": {"one": True}}, "labels.one"),
        ({**LABEL, "labels": {"../one": 1}}, "labels"),
        (
            {"roles": {**LABEL["roles"], "label": ["a", "b"]}, "labels": {"one": 1}},
            "roles.label: give one column",
        ),
    ],
)
def test_labels_that_cannot_be_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_config(plain(**changes))


def test_a_configuration_does_not_change() -> None:
    config = parse_config(plain())
    with pytest.raises(ValueError, match="frozen"):
        config.method = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roles": {"source": ["mr", "mr"]}}, "roles.source: column 'mr' stands there twice"),
        ({"roles": {"source": []}}, "roles.source.columns: should have at least 1 values, not []"),
        (
            {"split": {"validation": 0.6, "test": 0.4}},
            "split: validation + test + calibrate leave no patient to train on",
        ),
        ({"train": {"steps": True}}, "train.steps: should be a number, not yes"),
        ({"train": {"gradient_clip": float("inf")}}, "train.gradient_clip: should be a finite"),
        ({"train": {"augment": {"flip_axes": [3]}}}, "train.augment.flip_axes.0: should be less"),
        ({"preprocessing": {"spacing_mm": [2, 2]}}, "preprocessing.spacing_mm: has too few values"),
        ({"preprocessing": {"spacing_mm": [2, 2, 0]}}, "preprocessing.spacing_mm.2: should be gr"),
    ],
)
def test_a_value_out_of_range_is_named(changes: dict[str, Any], message: str) -> None:
    assert [text[: len(message)] for text in problems(**changes)] == [message]


def test_every_scale_that_conversion_cannot_compute_is_listed() -> None:
    intensity = {
        "ct": {"scale": "percentile"},
        "pet": {"scale": "shared", "with": "ct"},
    }
    assert problems(roles={"source": ["mr"], "target": ["ct", "pet"]}, intensity=intensity) == [
        "intensity: column 'mr' has no scale",
        "intensity.pet: shares the scale of 'ct', which is not a source column (mr)",
    ]


def test_a_scale_is_not_shared_with_one_that_is_shared() -> None:
    intensity = {"a": {"scale": "shared", "with": "b"}, "b": {"scale": "shared", "with": "a"}}
    found = problems(roles={"source": ["a", "b"]}, intensity=intensity)
    assert found == [
        "intensity.a: shares with 'b', which has no own scale",
        "intensity.b: shares with 'a', which has no own scale",
    ]


def test_a_z_score_takes_how_many_deviations_reach_the_ends() -> None:
    config = parse_config(plain(intensity={**plain()["intensity"], "mr": {"scale": "z_score"}}))
    assert config.as_json()["intensity"]["mr"] == {
        "scale": "z_score",
        "deviations": 3.0,
        "unit": None,
    }
    for deviations in (0, -1, float("inf")):
        mr = {"scale": "z_score", "deviations": deviations}
        assert problems(intensity={**plain()["intensity"], "mr": mr})[0].startswith(
            "intensity.mr.deviations: "
        )


@pytest.mark.parametrize("scale", ["window", "percentile", "cohort"])
def test_low_is_below_high(scale: str) -> None:
    ct = {"scale": scale, "low": 50, "high": 20}
    if scale == "window":
        ct["unit"] = "HU"
    found = problems(intensity={**plain()["intensity"], "ct": ct})
    assert found == ["intensity.ct: low (50) must be below high (20)"]


def test_a_percentile_column_may_be_source_and_target() -> None:
    roles = {"source": ["mr"], "target": ["mr"]}
    assert isinstance(parse_config(plain(roles=roles)), Config)


def test_a_stage_of_a_chain_is_the_last_of_a_shorter_chain() -> None:
    config = parse_config(plain(chain={"stages": 3}))
    assert config.fed_column == "ct_stage_2"
    assert config.at_stage(2).fed_column == "ct_stage_1"
    assert config.at_stage(1).fed_column is None
    assert parse_config(plain()).fed_column is None
    assert parse_config(config.at_stage(2).as_json()) == config.at_stage(2)


def test_a_chain_feeds_one_target_column() -> None:
    without = {"roles": {"source": ["mr"], "label": ["seg"]}, "labels": {"lesion": 1}}
    assert "there are 0" in problems(chain={}, **without)[0]
    named = {"roles": {"source": ["mr", "ct_stage_1"], "target": ["ct"]}}
    scales = plain()["intensity"] | {"ct_stage_1": {"scale": "percentile"}}
    for stages in (2, 3):  # of three stages, the second is fed the first's answers
        found = problems(chain={"stages": stages}, intensity=scales, **named)
        assert "rename" in found[0]
