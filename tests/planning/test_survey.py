from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.data import assign_splits, read_table
from medgen.planning.facts import Survey
from medgen.planning.survey import survey
from medgen.problems import Refusal
from medgen.volumes import Volume, digest_of, open_volume, write_volume


def measured(table: Path, config: Any) -> Survey:
    rows = read_table(table, columns=config.roles.columns())
    return survey(config, rows, assign_splits(rows, config.split))


def change(folder: Path, name: str, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    path = folder / f"{name}.nii.gz"
    volume = open_volume(path)
    write_volume(path, Volume(edit(volume.data), volume.grid), dtype="float32")


def test_a_cohort_is_measured(make_cohort: Callable[..., Path], config: Callable[..., Any]) -> None:
    table = make_cohort(shape=(24, 28, 12), spacing=(6.0, 6.0, 12.0))
    settings = config(
        roles={"source": ["mr"], "target": ["ct"], "label": ["label"]}, labels={"middle": 1}
    )
    found = measured(table, settings)
    assert [case.case for case in found.cases] == ["a", "b", "c", "d"]
    assert [case.case for case in found.training] == ["a", "b", "c"]
    assert found.refused == []
    case = found.cases[0]
    assert case.columns["mr"].spacing_mm == pytest.approx((6.0, 6.0, 12.0))
    assert case.columns["ct"].field_mm == pytest.approx((144.0, 168.0, 144.0))
    assert case.columns["ct"].digest == digest_of(table.parent / "a_ct.nii.gz")
    assert case.columns["ct"].dark == pytest.approx(-1000, abs=30)
    low, middle, high = case.columns["ct"].body
    assert low < 0 < middle < 300 < high
    assert case.columns["mr"].overlap is None
    assert case.columns["ct"].overlap == pytest.approx(1.0, abs=0.1)
    assert case.columns["ct"].apart_mm == pytest.approx(0.0, abs=3.0)
    # Radius about 0.78 of the half field, and 10 mm of margin on each side.
    assert case.extent_mm == pytest.approx((132.0, 151.0, 137.0), abs=12.0)
    ball = 4 / 3 * np.pi * (0.3 * 0.78) ** 3 * 72 * 84 * 72
    assert case.class_mm3["middle"] == pytest.approx(ball, rel=0.5)
    assert -1 <= case.correlations["mr", "ct"] <= 1


def test_without_a_crop_the_whole_field_counts(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    found = measured(make_cohort(), config(preprocessing={"crop": "none"}))
    assert found.cases[0].extent_mm == pytest.approx((144.0, 168.0, 144.0), abs=3.0)


def test_a_drawn_mask_keeps_no_less_than_the_body(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    roles = {"source": ["mr"], "target": ["ct"], "mask": "label"}
    found = measured(make_cohort(), config(roles=roles, preprocessing={"crop_margin_mm": 0}))
    settings = config(preprocessing={"crop_margin_mm": 0})
    body = measured(make_cohort(), settings)
    assert found.cases[0].extent_mm == body.cases[0].extent_mm


def test_every_bad_case_is_listed_with_its_code(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    table = make_cohort()
    folder = table.parent
    (folder / "a_mr.nii.gz").write_bytes(b"no volume")
    (folder / "a_ct.nii.gz").write_bytes(b"")
    change(folder, "d_mr", np.zeros_like)
    found = measured(table, config())
    assert [case.case for case in found.cases] == ["b", "c"]
    places = [(problem.case, problem.column) for problem in found.refused]
    assert {("a", "mr"), ("a", "ct"), ("d", "mr")} <= set(places)
    assert {p.code for p in found.refused if p.case == "d"} == {"E_EMPTY_BODY"}


def test_with_no_training_case_left_all_problems_are_raised(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    table = make_cohort()
    for name in "abc":
        (table.parent / f"{name}_mr.nii.gz").write_bytes(b"")
    with pytest.raises(Refusal) as refused:
        measured(table, config())
    assert {problem.case for problem in refused.value.problems} == {"a", "b", "c"}


def test_a_pair_that_is_apart_is_measured_not_refused(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    table = make_cohort()
    change(table.parent, "b_ct", lambda data: np.roll(data, 8, axis=0))
    found = measured(table, config())
    assert found.refused == []
    facts = found.cases[1].columns["ct"]
    assert facts.overlap is not None
    assert facts.overlap < 0.8
    assert facts.apart_mm is not None
    assert facts.apart_mm > 10


def test_one_image_in_two_columns_correlates(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    table = make_cohort()
    mr = open_volume(table.parent / "c_mr.nii.gz")
    twice = Volume(2 * mr.data - 1000, mr.grid)
    write_volume(table.parent / "c_ct.nii.gz", twice, dtype="float32")
    found = measured(table, config())
    assert found.cases[2].correlations["mr", "ct"] == pytest.approx(1.0, abs=1e-4)
    assert found.cases[0].correlations["mr", "ct"] < 0.99


def test_a_label_is_measured_only_where_training_reads_it(
    make_cohort: Callable[..., Path], config: Callable[..., Any]
) -> None:
    """Adaptation promises not to open the labels of its target's rows, and plan keeps that."""
    table = make_cohort()
    lines = table.read_text().splitlines()
    sites = ("site", "one", "two", "one", "two")
    table.write_text("".join(f"{line},{site}\n" for line, site in zip(lines, sites, strict=True)))
    (table.parent / "b_label.nii.gz").write_bytes(b"no volume at all")
    change(table.parent, "d_label", lambda values: values + 0.5)
    roles = {
        "source": {"columns": ["mr"], "where": {"site": "one"}},
        "target": {"columns": ["ct"], "where": {"site": "two"}},
        "label": ["label"],
    }
    found = measured(table, config(roles=roles, labels={"middle": 1}))
    assert found.refused == []
    assert [bool(case.class_mm3) for case in found.cases] == [True, False, True, False]
    change(table.parent, "c_label", lambda values: values + 0.5)
    refused = measured(table, config(roles=roles, labels={"middle": 1})).refused
    assert [problem.case for problem in refused] == ["c"]
