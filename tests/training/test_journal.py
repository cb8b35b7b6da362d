from __future__ import annotations

import csv
from pathlib import Path

import torch

from medgen.runs import RunFolder
from medgen.training.journal import Journal, Means


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_loss_is_averaged_over_the_steps_that_have_it():
    means = Means()
    means.add({"critic": torch.tensor(2.0), "generator": torch.tensor(6.0)})
    means.add({"critic": torch.tensor(4.0)})
    means.add({"encoder": torch.tensor(1.0)})
    assert means.take() == {"critic": 3.0, "generator": 6.0, "encoder": 1.0}
    assert means.take() == {}


def test_a_later_stage_brings_columns_of_its_own(tmp_path: Path):
    folder = RunFolder(tmp_path)
    with Journal(folder, 0) as journal:
        journal.losses(10, {"critic": 1.0, "penalty": 2.0}, 1.0)
        journal.losses(20, {"penalty": 3.0, "critic": 0.5, "encoder": 4.0}, 1.0)
        journal.losses(30, {"encoder": 5.0}, 0.5)
    rows = rows_of(folder.losses)
    assert [row["critic"] for row in rows] == ["1.0", "0.5", ""]
    assert [row["penalty"] for row in rows] == ["2.0", "3.0", ""]
    assert [row["encoder"] for row in rows] == ["", "4.0", "5.0"]
    assert [row["step"] for row in rows] == ["10", "20", "30"]


def test_resuming_keeps_the_rows_of_every_stage(tmp_path: Path):
    folder = RunFolder(tmp_path)
    with Journal(folder, 0) as journal:
        journal.losses(10, {"critic": 1.0}, 1.0)
        journal.losses(20, {"encoder": 4.0}, 1.0)
        journal.losses(30, {"encoder": 5.0}, 1.0)
    with Journal(folder, 20) as journal:
        journal.losses(30, {"encoder": 6.0}, 1.0)
    rows = rows_of(folder.losses)
    assert [(row["step"], row["critic"], row["encoder"]) for row in rows] == [
        ("10", "1.0", ""),
        ("20", "", "4.0"),
        ("30", "", "6.0"),
    ]
