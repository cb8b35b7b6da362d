"""What a model says of its answers, on its card and by `info`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from medgen.config import Config, parse_config
from medgen.data import Domain
from medgen.method import Answer
from medgen.runs import RunFolder, Statistics, assemble, describe, write_config, write_statistics
from medgen.runs.card import card
from medgen.runs.model import write_weights
from medgen.runs.ways import answer_facts, answer_lines, failures, title, unlabelled

ADAPTED = {
    "forward": Answer("labels", "source", "label"),
    "target": Answer("labels", "target", "label"),
}
BOTH_WAYS = {
    "forward": Answer("image", "source", "target"),
    "backward": Answer("image", "target", "source"),
}
SEGMENTER = {"forward": Answer("labels", "source", "label")}
COUNTS = {"train_cases": 38, "train_source_cases": 20, "train_target_cases": 18}
DOMAIN = Domain((-1.0, 1.0), 0.5, 0.1)


def config(**roles: Any) -> Config:
    columns = ("flair", "t2", "pd")
    return parse_config(
        {
            "roles": {
                "source": {"columns": ["flair", "t2"], "where": {"site": "one"}},
                "target": {"columns": ["flair", "pd"], "where": {"site": "two"}},
                "label": ["lesion"],
                **roles,
            },
            "labels": {"lesion": [1]},
            "intensity": {column: {"scale": "percentile"} for column in columns},
            "method": "adapted_segmenter",
            "methods": {
                "adapted_segmenter": {
                    "network": {"name": "unet", "channels": [2, 4], "residual_units": 0},
                    "discriminator": {"channels": 2, "layers": 1},
                }
            },
            "train": {"patch": [16, 16, 16], "augment": {"flip_axes": []}},
        }
    )


@pytest.mark.parametrize(
    ("answers", "names"), [(ADAPTED, ("target",)), (BOTH_WAYS, ()), (SEGMENTER, ())]
)
def test_labels_of_another_domain_than_the_first_were_never_learned(
    answers: Mapping[str, Answer], names: tuple[str, ...]
) -> None:
    assert unlabelled(answers) == names


def test_the_card_of_an_adapted_model_says_whose_labels_it_learned_and_whose_not(
    tmp_path: Path,
) -> None:
    text = card(RunFolder(tmp_path), config(), Statistics(counts=COUNTS), ADAPTED)
    assert text.startswith("# Model card: flair, t2 to lesion\n")
    assert (
        "- Answers: `forward` (flair, t2 of site one to lesion), `target` (flair, pd of site two "
        "to lesion); `medgen convert --direction` chooses\n"
        "- Learned from labels of flair, t2 of site one (20 training cases); of flair, pd of site "
        "two (18 training cases) images alone were read: no label of theirs, and no answer was "
        "compared with one\n"
    ) in text
    assert "Scores of `forward` alone; of `target` no truth was read." in text
    assert "Score some labelled cases before relying on them" in text
    assert "without pairs" not in text


def test_the_card_of_a_model_without_pairs_says_that_it_saw_none() -> None:
    statistics = Statistics(counts=COUNTS, domains={"target": DOMAIN})
    unpaired = config(source=["t2"], target={"columns": ["pd"], "where": {"site": "two"}})
    assert answer_lines(unpaired, statistics, BOTH_WAYS) == [
        "- Answers: `forward` (t2 to pd of site two), `backward` (pd of site two to t2); "
        "`medgen convert --direction` chooses",
        "- Trained without pairs on 20 t2 and 18 pd of site two cases: the images of the two sides "
        "need not be of the same patients, and no answer was ever compared with its truth",
    ]
    (line,) = failures(statistics, BOTH_WAYS)
    assert "may be made up" in line


def test_the_card_of_a_model_with_one_answer_speaks_of_no_directions(tmp_path: Path) -> None:
    text = card(RunFolder(tmp_path), config(), Statistics(counts=COUNTS), SEGMENTER)
    assert "--direction" not in text
    assert "alone" not in text
    paired = {"forward": Answer("image", "source", "target")}
    assert title(config(), paired) == "flair, t2 to flair, pd, lesion"


def test_the_answers_are_plain_facts() -> None:
    assert answer_facts(config(), ADAPTED) == {
        "forward": {
            "kind": "labels",
            "reads": ["flair", "t2"],
            "where": {"site": "one"},
            "gives": ["lesion"],
        },
        "target": {
            "kind": "labels",
            "reads": ["flair", "pd"],
            "where": {"site": "two"},
            "gives": ["lesion"],
        },
    }


def test_a_run_is_described_with_its_answers_and_its_own_figures(tmp_path: Path) -> None:
    folder, settings = RunFolder(tmp_path), config()
    torch.manual_seed(0)
    method, _ = assemble(settings)
    write_config(folder, settings)
    write_statistics(folder, Statistics(counts=COUNTS))
    scores = {"dice": [0.5, 0.7], "diagnose.domain_advantage": [0.25]}
    write_weights(folder, method, {"step": 3, "scores": scores})
    folder.record.write_text("{}", encoding="utf-8")
    facts = describe(tmp_path)
    assert facts["answers"] == answer_facts(settings, ADAPTED)
    assert facts["unlabelled"] == ["target"]
    assert facts["data"]["train_target_cases"] == 18
    text = card(folder, settings, Statistics(counts=COUNTS), method.answers)
    assert "| dice | 0.6 |" in text
    assert "- `domain_advantage`: 0.25" in text
