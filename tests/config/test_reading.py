import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model

from medgen.config import (
    AnomalyConfig,
    Strict,
    parse_config,
    read_config,
    shipped_configs,
    validate_block,
)
from medgen.problems import ConfigurationError, Exit, Problem

CONFIGS = sorted(shipped_configs())


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(shipped_configs()["mr_to_ct"], encoding="utf-8")
    return path


def refused(path: Path, *overrides: str) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        read_config(path, overrides)
    assert caught.value.exit_code == Exit.USAGE
    for problem in caught.value.problems:
        assert str(path.parent) not in str(problem)
    return list(caught.value.problems)


def only(path: Path, *overrides: str) -> Problem:
    (problem,) = refused(path, *overrides)
    return problem


@pytest.mark.parametrize("name", CONFIGS)
def test_a_shipped_configuration_is_valid_and_opens_with_its_command(
    name: str, tmp_path: Path
) -> None:
    text = shipped_configs()[name]
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    config = read_config(path)
    command = f"# medgen train {name}.yaml --data cases.csv --run runs/{name}"
    assert text.splitlines()[0] == command
    assert config.method in config.methods


def test_the_teaching_configuration_names_every_key(written: Path) -> None:
    """What mr_to_ct.yaml writes out is all there is but labels, so a reader sees every key."""
    given_keys = _keys(yaml.safe_load(written.read_text(encoding="utf-8")))
    assert _keys(read_config(written).as_json()) - given_keys <= {
        "chain",  # written as a comment
        "intensity.mr.unit",
        "convert.anomaly",  # of methods that score anomalies alone
        *(f"convert.anomaly.{key}" for key in AnomalyConfig.model_fields),
        "convert.keep_largest",
        "convert.lesions",
        "convert.minimum_ml",
        "labels",
        "train.validate.best_by.penalties",
        "train.validate.keep_all",
        "roles.label",
        "train.foreground",
        "roles.source.columns",
        "roles.source.where",
        "roles.target.columns",
        "roles.target.where",
        "intensity.ct.background",
    }


def test_both_configurations_are_shipped() -> None:
    assert {"mr_to_ct", "cbct_to_ct"} <= set(CONFIGS)


def test_a_byte_order_mark_is_no_key(written: Path) -> None:
    written.write_bytes(b"\xef\xbb\xbf" + written.read_bytes())
    assert read_config(written).method == "conditional_gan"


@pytest.mark.parametrize(
    ("assignment", "steps"),
    [("train.steps=5", 5), ("train.steps=2e3", 2000), ("train={steps: 7}", 7)],
)
def test_set_changes_one_key(written: Path, assignment: str, steps: int) -> None:
    assert read_config(written, [assignment]).train.steps == steps


def test_set_reaches_into_a_block_that_the_file_leaves_out_or_empty(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(
        "roles: {source: [mr]}\nintensity: {mr: {scale: percentile}}\nmethod: vae\nconvert:\n",
        encoding="utf-8",
    )
    config = read_config(path, ["train.validate.every_steps=3", "convert.padding=reflect"])
    assert config.train.validate_.every_steps == 3
    assert config.convert.padding == "reflect"


def test_a_later_set_wins(written: Path) -> None:
    assert read_config(written, ["train.seed=1", "train.seed=2"]).train.seed == 2


def test_every_bad_set_is_listed(written: Path) -> None:
    found = refused(
        written, "steps", "=3", "train..steps=3", "train.steps.x=3", "train=[", "a={b: 1, b: 2}"
    )
    assert [problem.code for problem in found] == ["E_SET"] * 6


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    problem = only(tmp_path / "none.yaml")
    assert problem.code == "E_CONFIG_MISSING"
    assert "medgen init" in problem.advice


def test_a_folder_or_binary_file_is_unreadable(tmp_path: Path) -> None:
    assert only(tmp_path).code == "E_CONFIG_UNREADABLE"
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert only(path).code == "E_CONFIG_UNREADABLE"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is not a block of keys"),
        ("- mr_to_ct", "the file is not a block of keys"),
        ("method: a\nmethod: b", "the key 'method' stands twice in one block at line 2"),
        ("method: [a", "at line"),
        ("method: !!python/name:os.system", "at line 1"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    problem = only(path)
    assert problem.code == "E_CONFIG_YAML"
    assert message in problem.message


def test_a_key_that_stands_twice_is_to_be_removed_once(written: Path) -> None:
    assert only(written, "train={steps: 1, steps: 2}").advice == "remove one of the two"
    written.write_text("method: a\nmethod: b", encoding="utf-8")
    assert only(written).advice == "remove one of the two"
    written.write_text("method: [a", encoding="utf-8")
    assert only(written).advice == "check the indentation there"


@pytest.mark.parametrize(
    ("assignment", "key", "close", "known"),
    [
        ("methodd=x", "methodd", "method", "roles"),
        ("train.stepz=1", "train.stepz", "steps", "validate"),
        ("train.validate.every=1", "train.validate.every", "every_steps", "profile"),
        ("train.validate.best_by.nam=mae", "train.validate.best_by.nam", "name", "mode"),
        ("intensity.ct.lo=5", "intensity.ct.lo", "low", "background"),
        ("intensity.mr.lw=5", "intensity.mr.lw", "low", "scale"),
        ("roles.source={column: [mr]}", "roles.source.column", "columns", "where"),
        ("train.augment.flip=[0]", "train.augment.flip", "flip_axes", "rotate_degrees"),
    ],
)
def test_an_unknown_key_is_named_with_the_known_ones(
    written: Path, assignment: str, key: str, close: str, known: str
) -> None:
    problem = next(p for p in refused(written, assignment) if "unknown" in p.message)
    assert problem.code == "E_CONFIG_KEY"
    assert problem.message == f"unknown key {key!r}"
    assert f"did you mean {close!r}?" in problem.advice
    assert known in problem.advice.partition("known here: ")[2].split(", ")


def test_the_known_keys_are_those_of_the_chosen_scale(written: Path) -> None:
    problem = only(written, "intensity.mr.background=0")
    assert problem.advice == "known here: high, low, scale, unit"


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("intensity.ct.low=abc", "intensity.ct.low: should be a number"),
        ("intensity.ct={low: 1}", "key 'intensity.ct.scale' is missing"),
        ("intensity.ct={scale: windw}", "intensity.ct.scale: 'windw' is not known"),
        ("intensity.ct={scale: window, low: 1, high: 2}", "key 'intensity.ct.unit' is missing"),
        ("intensity.pet={scale: shared}", "key 'intensity.pet.with' is missing"),
        ("intensity.ct=3", "intensity.ct: should be a block of keys, not 3"),
        ("intensity=[ct]", "intensity: should be a block of keys, not ['ct']"),
        ("train=", "train: should be a block of keys, not nothing"),
        ("roles.source=mr", "roles.source: should be a block of keys, not 'mr'"),
        ("method=", "method: should be text, not nothing"),
        ("train.patch=64", "train.patch: should be a list, not 64"),
        ("train.steps=2.5", "train.steps: should be a whole number"),
        ("convert.window=[1, 2, 3, 4]", "convert.window: should be 'auto', not [1, 2, 3, 4]; or"),
        ("convert.window=big", "convert.window: should be 'auto', not 'big'; or should be a list"),
        ("convert.fill_outside_body=maybe", "convert.fill_outside_body: should be true or false"),
        ("methods.regression=3", "methods.regression: should be a block of keys, not 3"),
    ],
)
def test_a_refused_value_is_named_once_and_by_the_users_key(
    written: Path, assignment: str, message: str
) -> None:
    assert only(written, assignment).message.startswith(message)


def test_a_number_where_text_is_meant_goes_into_quotes(written: Path) -> None:
    problem = only(written, "roles.target={columns: [ct], where: {site: 1}}")
    assert problem.message == "roles.target.where.site: should be text, not 1"
    assert problem.advice == "put it in quotes: '1'"


def test_all_problems_come_together(written: Path) -> None:
    found = refused(written, "train.stepz=1", "intensity.ct.low=x", "split.seed=yes")
    assert len(found) == 3


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), st.lists, max_leaves=5))
def test_any_value_in_any_place_is_accepted_or_a_problem(value: Any) -> None:
    raw = yaml.safe_load(shipped_configs()["mr_to_ct"])
    for block in (raw, raw["train"], raw["roles"], raw["intensity"], raw["intensity"]["ct"]):
        for key in list(block):
            kept, block[key] = block[key], value
            with contextlib.suppress(ConfigurationError):
                parse_config(raw)
            block[key] = kept


@dataclass(frozen=True)
class Net:
    channels: tuple[int, ...] = (8, 16)
    units: int = 2


def test_a_block_elsewhere_has_its_place_in_front() -> None:
    model = create_model("Options", __base__=Strict, generator=(Net, Net()), weight=(float, 1.0))
    assert validate_block(model, {"generator": {"units": 3}}).generator == Net(units=3)
    with pytest.raises(ConfigurationError) as caught:
        validate_block(model, {"wait": 1, "generator": {"units": "x"}}, "methods.regression")
    unit, weight = caught.value.problems
    assert unit.message.startswith("methods.regression.generator.units: should be a whole number")
    assert weight.message == "unknown key 'methods.regression.wait'"
    assert weight.advice == "did you mean 'weight'? known here: generator, weight"


def test_an_unknown_key_of_a_dataclass_is_refused_too() -> None:
    model = create_model("Options", __base__=Strict, generator=(Net, Field(default=Net())))
    with pytest.raises(ConfigurationError) as caught:
        validate_block(model, {"generator": {"unit": 3}})
    (problem,) = caught.value.problems
    assert problem.message == "unknown key 'generator.unit'"
    assert problem.advice == "did you mean 'units'? known here: channels, units"


class Plain(Strict):
    name: Literal["plain"] = "plain"
    units: int = 2


class Rich(Strict):
    name: Literal["rich"] = "rich"
    blocks: int = 3


def test_a_key_left_over_from_another_network_is_told_from_a_misspelt_one() -> None:
    union = Annotated[Plain | Rich, Field(discriminator="name")]
    model = create_model("Options", __base__=Strict, generator=(union, Plain()))
    for generator, advice in (
        (
            {"name": "rich", "units": 3},
            "known to network rich: blocks, name; the key is another network's, so set the whole "
            "block: --set 'methods.regression.generator={name: rich}'",
        ),
        ({"name": "rich", "block": 3}, "did you mean 'blocks'? known here: blocks, name"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            validate_block(model, {"generator": generator}, "methods.regression")
        (problem,) = caught.value.problems
        assert problem.code == "E_CONFIG_KEY"
        assert problem.advice == advice


def _keys(block: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    if isinstance(block, dict):
        for key, value in block.items():
            found |= {prefix + key} | _keys(value, f"{prefix}{key}.")
    return found
