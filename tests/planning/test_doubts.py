from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from medgen.planning.doubts import class_voxel_doubts, doubts, patch_doubts
from medgen.problems import Problem


def found(survey: Any, config: Any) -> list[tuple[str, str | None, str | None]]:
    return [(d.code, d.case, d.column) for d in doubts(survey, config)]


def test_a_sound_cohort_raises_no_doubt(
    surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    assert found(surveyed(), config()) == []


@pytest.mark.parametrize(
    ("overlap", "apart_mm", "code"),
    [
        (0.3, 31.0, "W_PAIR_FAR"),
        (0.6, 31.0, "W_PAIR_NEAR_LIMIT"),
        (0.9, 31.0, "W_PAIR_APART"),
        (0.7, 3.0, None),
    ],
)
def test_pairs_far_apart_are_named(
    overlap: float,
    apart_mm: float,
    code: str | None,
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
    sound: Any,
) -> None:
    ct = replace(sound["ct"], overlap=overlap, apart_mm=apart_mm)
    cases = [facts(f"t{k}") for k in range(11)]
    cases.append(facts("far", columns={"mr": sound["mr"], "ct": ct}))
    problems = doubts(surveyed(*cases), config())
    assert [(d.code, d.case, d.column) for d in problems] == ([(code, "far", "ct")] if code else [])
    if code:
        assert "31 mm" in problems[0].message
        assert "medgen prepare" in problems[0].advice
    unmeasured = config(preprocessing={"min_overlap": 0.0})
    assert found(surveyed(*cases), unmeasured) == []
    # Training without pairs never compares two images of a case.
    assert found(surveyed(*cases), config(method="cycle_gan")) == []


def test_one_patient_under_two_spellings_in_two_splits(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    cases = [facts(f"t{k}") for k in range(10)]
    cases += [facts("one", patient="Pat-007"), facts("two", patient="PAT_7", split="test")]
    (problem,) = doubts(surveyed(*cases), config())
    assert (problem.code, problem.case) == ("W_LEAK_PATIENT", "one")
    assert "one, two" in problem.message
    assert "at" not in problem.message.casefold().split("pat")[1:2]
    assert "007" not in str(problem)  # a patient's id stays in the table
    same_split = [*cases[:-1], facts("two", patient="PAT_7")]
    assert found(surveyed(*same_split), config()) == []


@pytest.mark.parametrize(
    ("split", "patient", "code"),
    [("test", "y", "W_LEAK_FILE"), ("train", "y", "W_SAME_FILE"), ("train", "x", None)],
)
def test_one_file_in_two_cases(
    split: str,
    patient: str,
    code: str | None,
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
    sound: Any,
) -> None:
    mr = replace(sound["mr"], digest="abc")
    cases = [facts(f"t{k}") for k in range(10)]
    cases.append(facts("one", patient="x", columns={"mr": mr}))
    cases.append(facts("two", patient=patient, columns={"mr": mr}, split=split))
    assert found(surveyed(*cases), config()) == ([(code, "one", "mr")] if code else [])


def test_empty_labels_are_no_leak(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any], sound: Any
) -> None:
    """Healthy cases have the same file, of nothing."""
    empty = replace(sound["mr"], digest="abc", low=0.0, high=0.0)
    cases = [facts(f"t{k}") for k in range(10)]
    for case, split in (("one", "train"), ("two", "test")):
        columns = {"mr": sound["mr"], "lesion": empty}
        cases.append(facts(case, patient=case, columns=columns, split=split))
    codes = {code for code, _, _ in found(surveyed(*cases), config())}
    assert not codes & {"W_LEAK_FILE", "W_SAME_FILE"}


def test_fewer_cases_than_sense(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    cases = [facts(f"t{k}", patient=f"p{k // 2}") for k in range(12)]
    codes = [code for code, _, _ in found(surveyed(*cases, validation=2), config())]
    assert codes == ["W_FEW_TRAINING", "W_FEW_VALIDATION"]


def test_each_domain_of_a_training_without_pairs_counts_by_itself(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    cases = [facts(f"t{k}") for k in range(24)]
    names = [case.case for case in cases]
    domains = {"source": frozenset(names[:15]), "target": frozenset([*names[15:], "v0"])}
    (problem,) = doubts(surveyed(*cases), config(method="cycle_gan"), domains)
    assert problem.code == "W_FEW_TRAINING"
    assert problem.message == "9 patients with a target to train on, fewer than 10"
    enough = domains | {"target": frozenset(names[14:])}
    assert doubts(surveyed(*cases), config(method="cycle_gan"), enough) == []


def test_refused_cases_do_not_count(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    cases = [facts(f"t{k}") for k in range(10)]
    refused = [Problem("E_DAMAGED", "x", case="t3")]
    codes = [code for code, _, _ in found(surveyed(*cases, refused=refused), config())]
    assert codes == ["W_FEW_TRAINING"]


@pytest.mark.parametrize(
    "change", [{"spacing_mm": (2.0, 2.0, 5.0)}, {"field_mm": (192.0, 80.0, 192.0)}]
)
def test_a_grid_unlike_the_others(
    change: dict[str, Any],
    facts: Callable[..., Any],
    surveyed: Callable[..., Any],
    config: Callable[..., Any],
    sound: Any,
) -> None:
    cases = [facts(f"t{k}") for k in range(10)]
    odd = replace(sound["mr"], **change)
    cases.append(facts("odd", columns={"mr": odd, "ct": sound["ct"]}, split="validation"))
    assert found(surveyed(*cases), config()) == [("W_GRID_UNLIKE", "odd", "mr")]


def labelled(config: Callable[..., Any], **changes: Any) -> Any:
    return config(
        roles={"source": ["mr"], "label": ["label"]},
        labels={"lesion": 1, "cyst": 2},
        method="segmenter",
        **changes,
    )


def test_classes_that_are_absent_rare_or_tiny(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    volumes = [{"lesion": 30.0 * (k < 2), "cyst": 0.0} for k in range(10)]
    cases = [facts(f"t{k}", class_mm3=volume) for k, volume in enumerate(volumes)]
    # What only a validation case shows, nothing can learn.
    cases.append(facts("v", class_mm3={"lesion": 0.0, "cyst": 900.0}, split="validation"))
    survey = surveyed(*cases)
    problems = doubts(survey, labelled(config))
    assert [problem.code for problem in problems] == ["W_CLASS_RARE", "W_CLASS_ABSENT"]
    assert "'lesion'" in problems[0].message
    assert "'cyst'" in problems[1].message
    (tiny,) = class_voxel_doubts(survey, labelled(config))
    assert tiny.code == "W_CLASS_TINY"
    assert "3.8 voxels" in tiny.message
    fine = labelled(config, preprocessing={"spacing_mm": [1.0, 1.0, 1.0]})
    assert class_voxel_doubts(survey, fine) == []


def test_a_patch_larger_than_most_cases(
    facts: Callable[..., Any], surveyed: Callable[..., Any], config: Callable[..., Any]
) -> None:
    cases = [facts(f"t{k}", extent_mm=(100.0 + 10 * k, 200.0, 200.0)) for k in range(10)]
    assert patch_doubts(surveyed(*cases), config()) == []
    wide = config(train={"patch": [96, 64, 64]})
    (problem,) = patch_doubts(surveyed(*cases), wide)
    assert problem.code == "W_PATCH_LARGE"
    assert "8 of 10" in problem.message
