import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation import match_paths
from medgen.evaluation.labelling import NAMED, NUMBERED, Labelling, find_labelling

CASES = ("c1", "c2", "c3", "c4")


def found(labelled: Path, *everywhere: object, **notes: object) -> Labelling:
    """Write the `labels` of all sidecars, or of some by case, and find the labelling."""
    for case, labels in (notes | {case: labels for labels in everywhere for case in CASES}).items():
        (labelled / f"prediction/{case}.json").write_text(json.dumps({"labels": labels}))
    return find_labelling(match_paths(labelled / "prediction", labelled / "reference").cases)


def test_classes_are_the_values_of_all_references(
    labelled: Path, write: Callable[..., Path]
) -> None:
    write("reference/c1.nii.gz", np.zeros((22, 20, 18)), dtype="uint8")
    write("reference/c2.nii.gz", np.full((22, 20, 18), 7), dtype="uint8")
    write("prediction/c2.nii.gz", np.full((22, 20, 18), 9), dtype="uint8")
    labelling = found(labelled)
    assert labelling.classes == {"label_1": 1, "label_2": 2, "label_7": 7}
    assert (labelling.source, labelling.remarks, labelling.becomes) == (NUMBERED, (), {})


def test_names_come_from_the_sidecars(labelled: Path) -> None:
    names = {"Outer shell": 1, "core": 2, "tumour": 5}
    labelling = found(labelled, names)
    assert labelling.classes == {"outer_shell": 1, "core": 2}
    assert (labelling.source, labelling.remarks) == (NAMED, ())


def test_values_without_a_name_keep_their_number(labelled: Path) -> None:
    labelling = found(labelled, {"core": 2})
    assert labelling.classes == {"label_1": 1, "core": 2}


def test_sidecars_without_labels_do_not_object(labelled: Path) -> None:
    (labelled / "prediction/c2.json").write_text('{"seen_in_training": false}')
    labelling = found(labelled, c1={"shell": 1, "core": 2})
    assert labelling.classes == {"shell": 1, "core": 2}
    assert "some predictions have no sidecar" in labelling.remarks[0]


def test_sidecars_that_differ_fall_back_to_numbers(labelled: Path) -> None:
    labelling = found(labelled, c1={"shell": 1, "core": 2}, c2={"shell": 2, "core": 1})
    assert labelling.classes == {"label_1": 1, "label_2": 2}
    assert "differently" in labelling.remarks[0]


@pytest.mark.parametrize(
    "labels",
    [
        ["shell"],
        {"shell": "1"},
        {"shell": True},
        {"shell": 1, "core": 1},
        {"shell": [1, 2], "core": 2},
        {"shell": []},
        {"shell": 0},
        {"shell": -1},
        {"shell": 1.5},
    ],
)
def test_labels_that_make_no_sense_fall_back_to_numbers(labelled: Path, labels: object) -> None:
    labelling = found(labelled, labels)
    assert labelling.classes == {"label_1": 1, "label_2": 2}
    assert "not names with label values" in labelling.remarks[0]


def test_several_values_of_a_class_are_merged_into_the_first(
    labelled: Path, write: Callable[..., Path]
) -> None:
    values = np.zeros((22, 20, 18))
    values[0, 0, :5] = [2, 41, 77, 80, 3]
    for case in CASES:
        write(f"reference/{case}.nii.gz", values, dtype="uint8")
    names = {"white": [2, 41, 42], "grey": 3, "background": [0, 77, 80]}
    labelling = found(labelled, names)
    assert labelling.classes == {"white": 2, "grey": 3}
    assert labelling.becomes == {41: 2, 42: 2, 77: 0, 80: 0}
    applied = labelling.applied(values.astype(np.int32))
    assert applied[0, 0, :5].tolist() == [2, 2, 0, 0, 3]
    assert labelling.as_json()["merged"] == {"41": 2, "42": 2, "77": 0, "80": 0}
    assert labelling.as_json()["in_references"] == [2, 3, 41, 77, 80]
    (remark,) = labelling.remarks
    assert "change what the references say" in remark
    assert remark.endswith("count 77, 80 as background; 41 as 2")


def test_merged_values_that_no_reference_holds_are_no_remark(labelled: Path) -> None:
    labelling = found(labelled, {"shell": [1, 9], "core": 2, "background": [0, 8]})
    assert labelling.becomes == {9: 1, 8: 0}
    assert labelling.remarks == ()


def test_a_reference_that_cannot_be_read_is_left_to_its_case(
    labelled: Path, write: Callable[..., Path]
) -> None:
    (labelled / "reference/c1.nii.gz").write_bytes(b"broken")
    write("reference/c2.nii.gz", np.full((22, 20, 18), 0.5))
    assert found(labelled).classes == {"label_1": 1, "label_2": 2}
