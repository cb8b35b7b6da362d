from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.config import parse_config, shipped_configs
from medgen.config.plain_yaml import load_plain
from medgen.planning.editing import MARK, Change, edited, given_by, set_values

COMMAND = "# medgen train new.yaml --data cases.csv --run runs/x"
SUMMARY = ["for 3 cases.", "a line that is so long that it has to be broken in two " * 3]


def changes(method: str, option: str = "generator") -> list[Change]:
    block = ("methods", method, option)
    return [
        Change(("preprocessing", "spacing_mm"), [1.5, 1.5, 3.0], "the median"),
        Change((*block, "channels"), [16, 32, 64], "three levels"),
        Change((*block, "features"), 8, "half"),
        Change(("train", "patch"), [48, 64, 48], "the body, at this spacing, " * 9),
        Change(("train", "batch_size"), 3, "it fits"),
        Change(("convert", "window"), "auto", "the patch"),
        Change(("convert", "overlap_voxels"), 12, "a quarter"),
    ]


def read(text: str) -> dict[str, Any]:
    return parse_config(load_plain(text)).as_json()


def own_lines(text: str) -> list[str]:
    """Return the user's lines: without reasons and the command."""
    return [line for line in text.split("\n")[1:] if not line.strip().startswith(MARK)]


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_configuration_keeps_every_comment_but_those_of_replaced_values(
    name: str,
) -> None:
    given_text = shipped_configs()[name]
    raw = load_plain(given_text)
    option = "network" if raw["method"] == "segmenter" else "generator"
    wanted = changes(raw["method"], option)
    text = edited(given_text, wanted, command=COMMAND, summary=SUMMARY)
    assert text.startswith(f"{COMMAND}\n{MARK}for 3 cases.\n")
    assert read(text) == parse_config(set_values(raw, wanted)).as_json()
    replaced = tuple(f"{change.path[-1]}:" for change in wanted)
    comments = [
        line.partition("#")[2]
        for line in given_text.split("\n")[1:]
        if "#" in line and not line.lstrip().startswith(replaced)
    ]
    assert [comment for comment in comments if comment not in text] == []
    assert all(len(line) <= 100 for line in text.split("\n") if line.strip().startswith(MARK))


def test_planning_again_replaces_the_reasons() -> None:
    text = shipped_configs()["mr_to_ct"]
    once = edited(text, changes("regression"), command=COMMAND, summary=SUMMARY)
    twice = edited(once, changes("regression"), command=COMMAND, summary=SUMMARY)
    assert twice == once


def test_only_the_changed_lines_differ() -> None:
    text = shipped_configs()["mr_to_ct"]
    before, after = (
        own_lines(text),
        own_lines(edited(text, changes("regression"), command=COMMAND, summary=[])),
    )
    differing = [new for old, new in zip(before, after, strict=True) if old != new]
    keys = ["spacing_mm", "channels", "batch_size", "patch", "overlap_voxels"]
    assert [any(key in line for line in differing) for key in keys] == [True] * len(keys)
    assert len(differing) == len(keys)


MINIMAL = """\
roles: {source: [mr], target: [ct]}
intensity:
  mr: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}  # mine
method: regression
"""


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL,
        MINIMAL + "methods:\n",
        MINIMAL + "methods:\n  regression:\n",
        MINIMAL + "methods: {}\n",
        MINIMAL + "methods: {regression: {mask_loss: false}}\ntrain: {steps: 5,}\n",
        MINIMAL
        + "methods:\n  regression:\n    generator:\n      channels:\n      - 4\n      - 8\n",
        MINIMAL + "train:\n  # first\n  steps: 5   # five\n  # last\n\nconvert:\n  padding: edge",
        MINIMAL + "train:\n    patch:\n    steps: 7\n",
        MINIMAL + "train: {patch: [16,\n  16, 16], steps: 7}  # here\n",
        "\n" + MINIMAL + "\n\n# the end",
        yaml.safe_dump(load_plain(MINIMAL), default_flow_style=True),
        "# medgen train old.yaml --data x.csv --run runs/x\n" + MINIMAL,
    ],
)
def test_whatever_the_layout_the_values_are_those_meant(text: str) -> None:
    wanted = changes("regression")
    result = edited(text, wanted, command=COMMAND, summary=SUMMARY)
    assert read(result) == parse_config(set_values(load_plain(text), wanted)).as_json()
    assert result.split("\n")[0] == COMMAND
    assert result.count("medgen train") == 1
    for change in wanted:
        assert change.reason.split()[0] in result


@pytest.mark.parametrize("comment", ["# mine", "# five", "# first", "# last"])
def test_comments_around_new_keys_stay(comment: str) -> None:
    text = MINIMAL + "train:\n  # first\n  steps: 5   # five\n  # last\n\nconvert:\n  padding: edge"
    assert comment in edited(text, changes("regression"), command=COMMAND, summary=[])


def test_what_cannot_be_edited_is_written_anew_with_its_reasons() -> None:
    block = MINIMAL + "train:\n  patch:\n  - 16\n  - 16\n  - 16\n"
    result = edited(block, changes("regression"), command=COMMAND, summary=[])
    assert "# mine" not in result
    assert f"{MARK}train.patch: the body" in result


@settings(max_examples=25)
@given(
    indent=st.integers(1, 5),
    steps=st.integers(1, 99),
    after=st.sampled_from(["", "  # said", "   "]),
    blank=st.booleans(),
    order=st.permutations(["steps", "patch", "batch_size"]),
)
def test_block_layouts(indent: int, steps: int, after: str, blank: bool, order: list[str]) -> None:
    values = {"steps": str(steps), "patch": "[16, 16, 16]", "batch_size": "1"}
    lines = [f"{' ' * indent}{key}: {values[key]}{after}" for key in order]
    text = MINIMAL + "train:\n" + ("\n\n" if blank else "\n").join(lines) + "\n"
    result = edited(text, changes("regression"), command=COMMAND, summary=[])
    assert (
        read(result) == parse_config(set_values(load_plain(text), changes("regression"))).as_json()
    )
    assert result.count("# said") == min(1, text.count("# said"))  # that of `steps`
    assert "# mine" in result


def test_the_comment_of_a_value_goes_with_it() -> None:
    """On its own line; a line that has other keys too, and a value that stays, keep theirs."""
    text = MINIMAL + (
        "train:\n  # above\n  patch: [16, 16, 16]   # sixteen\n  batch_size: 3   # three\n"
        "convert: {overlap_voxels: 4, padding: edge}   # both\n"
    )
    result = edited(text, changes("regression"), command=COMMAND, summary=[])
    assert "patch: [48, 64, 48]\n" in result
    assert "sixteen" not in result
    for comment in ("# above", "# three", "# both", "# mine"):
        assert comment in result


def test_assignments_become_changes_of_their_own() -> None:
    given_text = MINIMAL + "train: {steps: 5}\n"
    planned = [Change(("train", "patch"), [16, 16, 16], "so")]
    assigned = [
        "train.steps=6",
        "train.steps=7",
        "train.patch=[8, 8, 8]",
        "intensity.ct.unit='a: b, #c'",
        "chain={stages: 2, folds: 3}",
        "chain.folds=1",
    ]
    found = given_by(assigned, planned)
    assert [".".join(change.path) for change in found] == [
        "train.steps",
        "intensity.ct.unit",
        "chain",
        "chain.folds",
    ]
    result = edited(given_text, [*found, *planned], command=COMMAND, summary=[])
    values = read(result)
    assert values["train"]["steps"] == 7
    assert values["train"]["patch"] == [16, 16, 16]
    assert values["intensity"]["ct"]["unit"] == "a: b, #c"
    assert (values["chain"]["stages"], values["chain"]["folds"]) == (2, 1)
    assert "# mine" in result
    assert "as given by --set" in result


BLOCK = """\
roles: {source: [mr], target: [ct]}
intensity:
  mr: {scale: percentile}
  ct: {scale: window, low: -1024, high: 3000, unit: HU}
methods:
  regression:
    generator:   # of the answer
      name: unet
      # why so few
      channels:
      - 4
      - 8
    # below
    mask_loss: false
method: regression
"""


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        MINIMAL,
        MINIMAL + "methods: {regression: {generator: {name: unet, dropout: 0.5}, x: 1}}\n",
        MINIMAL + "methods:\n  regression:\n    generator: {name: unet,\n      dropout: 0.5}\n",
        MINIMAL + "methods:\n  regression: {generator: {channels: [4, 8]}}   # said\n",
    ],
)
def test_a_network_is_exchanged_as_a_whole(text: str) -> None:
    block = {"name": "residual_encoder_unet", "channels": [4, 8], "blocks": [1, 1]}
    change = Change(("methods", "regression", "generator"), block, "it fits")
    result = edited(text, [change], command=COMMAND, summary=[])
    assert read(result) == parse_config(set_values(load_plain(text), [change])).as_json()
    assert "generator: {name: residual_encoder_unet, channels: [4, 8], blocks: [1, 1]}" in result
    assert "dropout" not in result
    comments = ("# of the answer", "# why so few", "# below", "# said", "# mine")
    assert all((comment in text) == (comment in result) for comment in comments)
