import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation import evaluate, match_paths, match_table
from medgen.evaluation.class_pages import FEW_CLASSES, drawn
from medgen.evaluation.pages import worst_first
from medgen.evaluation.scoring import Scored
from medgen.metrics import PROFILES
from medgen.problems import Exit

SEGMENTATION = PROFILES["segmentation"]


def test_a_cohort_of_labels_to_its_three_files(
    labelled: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (labelled / "reference/c3.nii.gz").write_bytes(b"broken")
    for case in ("c1", "c2", "c3", "c4"):
        path = labelled / f"prediction/{case}.json"
        path.write_text('{"labels": {"Shell <b>": 1, "core": 2}, "seen_in_training": false}')
    matched = match_table(labelled / "prediction", labelled / "cases.csv", column="label")
    found = evaluate(matched, SEGMENTATION, labelled / "report")
    assert found.exit_code == Exit.SOME_FAILED
    assert found.profile.classes == {"shell_b": 1, "core": 2}

    with (labelled / "report/scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0])[3:5] == ["dice", "hd95_mm"]
    assert {"dice_core", "hd95_mm_shell_b", "volume_ml_core"} < set(rows[0])
    assert float(rows[0]["dice"]) == pytest.approx(
        (float(rows[0]["dice_core"]) + float(rows[0]["dice_shell_b"])) / 2
    )
    assert rows[2]["problem"].startswith("E_")

    summary = json.loads((labelled / "report/summary.json").read_text())
    assert summary["profile"]["classes"] == {"shell_b": 1, "core": 2}
    assert summary["mask"] == "none: the whole volume counts"
    assert summary["labels"]["source"] == "named by the predictions' sidecars"
    assert summary["headline"]["scores"]["dice_core"]["cases"] == 3

    page = (labelled / "report/report.html").read_text()
    assert page.count("data:image/png;base64,") == 1 + 3  # the strips and a picture per case
    assert "By class" in page
    assert "as core" in page
    assert "<b>" not in page
    assert "Bland-Altman" not in page
    assert "outline of the reference" not in page
    assert page.index("<h3>c4") < page.index("<h3>c1")  # worst first
    assert str(labelled) not in page


def test_empty_references_make_a_report_too(labelled: Path, write: Callable[..., Path]) -> None:
    for case in ("c1", "c2", "c3", "c4"):
        write(f"reference/{case}.nii.gz", np.zeros((22, 20, 18)), dtype="uint8")
    write("prediction/c1.nii.gz", np.zeros((22, 20, 18)), dtype="uint8")
    matched = match_paths(labelled / "prediction", labelled / "reference")
    found = evaluate(matched, SEGMENTATION, labelled / "report")
    scores = found.summary["headline"]["scores"]
    assert (scores["dice"]["nan"], scores["dice"]["cases"], scores["dice"]["mean"]) == (1, 3, 0.0)
    assert scores["hd95_mm"]["infinite"] == 3
    page = (labelled / "report/report.html").read_text()
    assert "No reference holds a label" in page
    assert "both volumes are empty" in page


def test_a_rightly_empty_answer_is_not_the_worst() -> None:
    results = [Scored(name, name, {"dice": value}) for name, value in [("a", 0.9), ("b", 0.2)]]
    clear = Scored("clear", "clear", {"dice": float("nan")})
    ranked = worst_first(SEGMENTATION, [clear, *results])
    assert [result.case for result in ranked] == ["b", "a", "clear"]


def test_of_many_classes_the_worst_are_drawn() -> None:
    profile = SEGMENTATION.for_labels({f"r{value}": value for value in range(1, 31)})
    scores = {column: {"mean": None} for column in profile.columns}
    scores |= {f"dice_r{value}": {"mean": 1 - value / 100} for value in range(1, 31)}
    names = [column.name for column in drawn(profile, {"scores": scores})]
    assert names[:2] == ["dice", "hd95_mm"]
    assert "volume_ml" not in names
    assert [name for name in names if name.startswith("dice_")] == [
        f"dice_r{value}" for value in range(31 - FEW_CLASSES, 31)
    ]
    one = SEGMENTATION.for_labels({"lesion": 1})
    assert "dice_lesion" not in [column.name for column in drawn(one, {"scores": {}})]
