import json
from pathlib import Path

import pytest

from medgen.evaluation import compare, match_table, score_case
from medgen.evaluation.labelling import Labelling, find_labelling
from medgen.evaluation.reading import read_report
from medgen.evaluation.summary import scores_csv, summary_json
from medgen.files import write_json, write_text
from medgen.metrics import PROFILES
from medgen.problems import ConfigurationError


def report(
    labelled: Path,
    name: str,
    classes: dict[str, int] | None = None,
    *,
    merged: dict[int, int] | None = None,
    held: tuple[int, ...] = (1, 2),
) -> Path:
    """Write a report's numbers as `evaluate` does, without its page."""
    matched = match_table(labelled / name, labelled / "cases.csv", column="label")
    chosen = classes if classes is not None else dict(find_labelling(matched.cases).classes)
    profile = PROFILES["segmentation"].for_labels(chosen)
    results = [score_case(case, profile)[0] for case in matched.cases]
    output = labelled / f"report_{name}"
    labelling = Labelling(chosen, merged or {}, held=held)
    facts = {"mask": "", "labels": labelling.as_json()}
    write_text(output / "scores.csv", scores_csv(profile, results))
    write_json(output / "summary.json", summary_json(profile, results, facts))
    return output


def test_two_segmentations_are_compared_by_class(labelled: Path) -> None:
    folders = report(labelled, "prediction"), report(labelled, "better")
    found = compare(*folders, labelled / "out")
    names = [each.column.name for each in found.differences]
    assert names[0] == "dice"
    assert {"dice_label_1", "hd95_mm_label_2"} < set(names)
    assert "volume_ml" not in names
    dice = found.summary["scores"]["dice_label_1"]
    assert dice["mean_difference"] > 0
    assert (dice["second_better"], dice["second_worse"]) == (4, 0)
    page = found.page.read_text()
    assert "hd95_mm_label_2" in page
    assert "The first 30 scores" not in page


def test_names_of_one_report_serve_for_both(labelled: Path) -> None:
    named = report(labelled, "better", {"shell": 1, "core": 2})
    numbered = report(labelled, "prediction")
    for first, second in ((named, numbered), (numbered, named)):
        found = compare(first, second, labelled / "out", overwrite=True)
        scores = found.summary["scores"]
        assert "dice_core" in scores
        assert "dice_label_2" not in scores
        assert scores["dice_core"]["mean_difference"] == pytest.approx(
            scores["dice_core"]["second_mean"] - scores["dice_core"]["first_mean"]
        )
        assert scores["dice_core"]["mean_difference"] * (1 if first == numbered else -1) > 0


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"shell": 1, "core": 2}, {"core": 1, "shell": 2}, "shell=1, core=2 against core=1"),
        ({"shell": 1, "core": 2}, {"shell": 1, "rim": 2}, "core=2 against rim=2"),
        ({"shell": 1, "core": 2}, {"core": 3, "shell": 1}, "core=2 against core=3"),
        ({"label_1": 1, "shell": 2}, {"shell": 1}, "shell=2 against shell=1"),
        ({"shell": 1}, {"core": 2}, "no class is in both: shell=1 against core=2"),
    ],
)
def test_other_classes_are_refused(
    labelled: Path, first: dict[str, int] | None, second: dict[str, int], named: str
) -> None:
    folders = report(labelled, "prediction", first), report(labelled, "better", second)
    with pytest.raises(ConfigurationError, match=rf"E_CLASS_MISMATCH.*{named}"):
        compare(*folders, labelled / "out")
    assert not (labelled / "out").exists()


@pytest.mark.parametrize(
    "classes", [None, [1], {"a": "1"}, {"a": 1, "b": 1}, {"A B": 1}, {"a": -1}, {"a": True}]
)
def test_a_report_whose_classes_were_damaged_is_refused(labelled: Path, classes: object) -> None:
    folder = report(labelled, "better")
    summary = json.loads((folder / "summary.json").read_text())
    summary["profile"]["classes"] = classes
    (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ConfigurationError, match=r"E_REPORT.*without the classes"):
        compare(folder, folder, labelled / "out")


def test_a_single_class_is_not_tested_twice(labelled: Path) -> None:
    folders = [report(labelled, name, {"shell": 1}) for name in ("prediction", "better")]
    found = compare(*folders, labelled / "out")
    assert [each.column.name for each in found.differences] == [
        *("dice", "hd95_mm", "volume_error_percent"),
        *("lesion_f1", "lesion_recall", "lesion_precision"),
    ]


@pytest.mark.parametrize("rare", ["first", "second"])
def test_a_class_of_one_report_is_left_out_of_the_comparison(labelled: Path, rare: str) -> None:
    both, one = {"shell": 1, "core": 2}, {"label_1": 1}
    chosen = (both, one) if rare == "first" else (one, both)
    folders = [
        report(labelled, name, classes)
        for name, classes in zip(("prediction", "better"), chosen, strict=True)
    ]
    found = compare(*folders, labelled / "out")
    (warning,) = [w for w in found.summary["warnings"] if "core" in w]
    assert f"only the {rare} report's references hold core=2" in warning
    common = [report(labelled, name, {"shell": 1}) for name in ("prediction", "better")]
    expected = compare(*common, labelled / "out", overwrite=True)
    assert not any("core" in w for w in expected.summary["warnings"])
    scores = found.summary["scores"]
    assert set(scores) == set(expected.summary["scores"])
    # what is predicted as core counts as unknown in the reports of one class, and here not at all
    shell = [read_report(folder, "one").cases for folder in common]
    means = [sum(e.scores["dice_shell"] for e in cases.values()) / 4 for cases in shell]
    dice = scores["dice"]
    assert [dice["first_mean"], dice["second_mean"]] == pytest.approx(means)


def test_references_that_were_merged_differently_are_refused(labelled: Path) -> None:
    folders = [
        report(labelled, name, {"tumor": 1}, merged={2: new})
        for name, new in (("prediction", 1), ("better", 0))
    ]
    expected = r"E_CLASS_MISMATCH.*2 as 1 and as background"
    with pytest.raises(ConfigurationError, match=expected):
        compare(*folders, labelled / "out")
    plain = report(labelled, "better", {"tumor": 1, "rim": 2})
    with pytest.raises(ConfigurationError, match=r"E_CLASS_MISMATCH.*2 as 1 and as 2"):
        compare(folders[0], plain, labelled / "out")
    assert not (labelled / "out").exists()
    alike = report(labelled, "better", {"tumor": 1}, merged={2: 1})
    compare(folders[0], alike, labelled / "out")


def test_merged_values_that_no_reference_holds_do_not_matter(labelled: Path) -> None:
    first = report(labelled, "prediction", {"shell": 1, "core": 2}, merged={9: 1})
    second = report(labelled, "better", {"shell": 1, "core": 2}, merged={9: 0})
    compare(first, second, labelled / "out")
    for folder in (first, second):  # unless it is not known which they hold
        summary = json.loads((folder / "summary.json").read_text())
        del summary["labels"]["in_references"]
        (folder / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(ConfigurationError, match="9 as 1 and as background"):
        compare(first, second, labelled / "out", overwrite=True)


@pytest.mark.parametrize(
    "labels",
    [[], {"merged": [1]}, {"merged": {"a": 1}}, {"merged": {}, "in_references": 3}],
)
def test_a_report_whose_merged_values_were_damaged_is_refused(
    labelled: Path, labels: object
) -> None:
    folder = report(labelled, "better")
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | {"labels": labels}))
    with pytest.raises(ConfigurationError, match=r"E_REPORT.*that were merged"):
        compare(folder, folder, labelled / "out")
