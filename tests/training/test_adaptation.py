"""Training that adapts: whose labels are read, what is diagnosed, and what picks the weights."""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from medgen.config import BestBy, parse_config
from medgen.data import Batches
from medgen.problems import ConfigurationError
from medgen.runs import RunFolder, assemble, describe, load_model
from medgen.training import Session, diagnosis, prepare_session, train
from medgen.training.scoring import check_profile
from medgen.training.validation import Scores

SPLITS = ["train", "train", "train", "validation", "validation"]
SITES = "ababa"
PENALISED = {"name": "dice", "mode": "max", "penalties": {"diagnose.domain_advantage": 0.5}}


def table_of(tiny: Path, folder: Path, labels: Mapping[str, str] | None = None) -> Path:
    """Write a table of the tiny cohort with two sites, of which both are validated."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["case,patient,split,site,mr,seg"]
    for index, split in enumerate(SPLITS):
        name, site = f"c{index}", SITES[index]
        label = (labels or {}).get(site, f"{tiny.parent}/{{case}}_seg.nii.gz").format(case=name)
        lines.append(f"{name},p{index},{split},{site},{tiny.parent / f'{name}_mr.nii.gz'},{label}")
    path = folder / "two_sites.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def adapted(make_config: Any, **validate: Any) -> Any:
    raw = make_config("adapted_segmenter").as_json()
    raw["train"]["validate"] |= validate
    return parse_config(raw)


def prepared(config: Any, data: Path, base: Path) -> Session:
    return prepare_session(config, data=data, cache=base / "cache", device="cpu")


def test_poisoning_the_targets_labels_leaves_every_weight_bit_identical(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    rubbish = tmp_path / "rubbish.nii.gz"
    rubbish.write_bytes(b"no volume at all")
    swapped = str(tiny_cohort.parent / "c1_ct.nii.gz")
    states = []
    poisons: dict[str, dict[str, str]] = {"as": {}, "is": {"b": swapped}, "no": {"b": str(rubbish)}}
    for name, labels in poisons.items():
        base = tmp_path / name
        data = table_of(tiny_cohort, base, labels)
        train(prepared(adapted(make_config, best_by=PENALISED), data, base), base / "run")
        folder = RunFolder(base / "run")
        states.append((load_file(folder.state), load_file(folder.weights)))
        known = json.loads(folder.cases.read_text())["digests"]
        assert set(known["c1"]) == {"mr"}  # not even fingerprinted
        assert set(known["c0"]) == {"mr", "seg"}
    for other in states[1:]:
        for first, second in zip(states[0], other, strict=True):
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first)


def test_poisoning_the_sources_labels_does_change_them(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    for case in ("c0", "c2", "c4"):
        image = nib.load(tiny_cohort.parent / f"{case}_seg.nii.gz")
        exchanged = np.array([0, 4, 0, 0, 1], dtype=np.int16)[np.asarray(image.dataobj, dtype=int)]
        nib.save(
            nib.Nifti1Image(exchanged, image.affine, image.header), tmp_path / f"{case}.nii.gz"
        )
    found = []
    for name, labels in {"as": {}, "is": {"a": f"{tmp_path}/{{case}}.nii.gz"}}.items():
        base = tmp_path / name
        data = table_of(tiny_cohort, base, labels)
        train(prepared(adapted(make_config), data, base), base / "run")
        found.append(load_file(RunFolder(base / "run").weights))
    assert any(not torch.equal(found[0][key], found[1][key]) for key in found[0])


def test_the_source_is_validated_and_both_domains_are_diagnosed(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = adapted(make_config, best_by=PENALISED, keep_all=True)
    session = prepared(config, table_of(tiny_cohort, tmp_path), tmp_path)
    assert [row.case for row in session.validated] == ["c4"]
    assert [len(each.group.cases) for each in session.examined] == [1, 1]
    counts = session.statistics.counts
    assert (counts["train_source_cases"], counts["train_target_cases"]) == (2, 1)
    outcome = train(session, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    rows = list(csv.DictReader(folder.diagnosis.read_text().splitlines()))
    assert [row["step"] for row in rows] == ["3", "6"]
    dice = {
        r["step"]: float(r["dice"])
        for r in csv.DictReader(folder.validation.read_text().splitlines())
    }
    worth = {
        row["step"]: dice[row["step"]] - 0.5 * float(row["diagnose.domain_advantage"])
        for row in rows
    }
    assert outcome.best == pytest.approx(max(worth.values()))
    assert outcome.best_step == int(max(worth, key=lambda step: worth[step]))
    assert outcome.best_by == "dice - 0.5 diagnose.domain_advantage"
    best = describe(tmp_path / "run")["best"]
    assert set(best["diagnosis"]) == {"domain_advantage", "discriminator_advantage"}
    assert "diagnose" not in " ".join(best["validation"])
    kept = sorted(path.name for path in folder.training.glob("weights_step_*"))
    assert kept == ["weights_step_0000003.safetensors", "weights_step_0000006.safetensors"]
    chosen = load_file(folder.weights_at(outcome.best_step or 0))
    assert all(torch.equal(chosen[k], v) for k, v in load_file(folder.weights).items())
    state = load_file(folder.state)
    lent = [key for key in state if key.startswith("average/discriminator.")]
    assert any("running_var" in key for key in lent)  # as it was judged with, not as it began
    assert all(torch.equal(state[k], state[k.replace("average", "method", 1)]) for k in lent)
    with safe_open(folder.weights_at(3), "pt") as stored:
        assert json.loads(stored.metadata()["medgen"])["step"] == 3


def test_the_other_answer_reads_the_targets_columns(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    raw = adapted(make_config).as_json()
    raw["roles"]["target"] = {"columns": ["other"], "where": {"site": "b"}}
    raw["intensity"]["other"] = raw["intensity"]["mr"]
    lines = table_of(tiny_cohort, tmp_path).read_text().splitlines()
    table = tmp_path / "columns.csv"
    cells = [line.split(",") for line in lines[1:]]
    moved = [
        ",".join(
            [*row[:4], row[4] if row[3] == "a" else "", row[4] if row[3] == "b" else "", row[5]]
        )
        for row in cells
    ]
    table.write_text("\n".join(["case,patient,split,site,mr,other,seg", *moved]) + "\n")
    train(prepared(parse_config(raw), table, tmp_path), tmp_path / "run")
    model = load_model(tmp_path / "run", device=torch.device("cpu"))
    assert model.preprocessing.inputs == ("mr",)
    assert model.facing("target").preprocessing.inputs == ("other",)


def test_diagnosed_patches_of_the_two_halves_are_of_different_patients(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_of(tiny_cohort, tmp_path)
    table.write_text(table.read_text().replace("c2,p2,train", "c2,p2,validation"))
    session = prepared(adapted(make_config), table, tmp_path)
    drawn: list[list[set[str]]] = []

    class Watched(Batches):
        def __init__(self, groups: Any, **options: Any) -> None:
            drawn.append([{case.case for case in group.cases} for group in groups])
            super().__init__(groups, **options)

    monkeypatch.setattr(diagnosis, "Batches", Watched)
    made = diagnosis.Diagnosis(
        session.examined,
        session.config,
        margin=session.method.margin,
        device=torch.device("cpu"),
        precision="fp32",
    )
    first, second = drawn
    assert first[0] | second[0] == {"c2", "c4"}
    assert not first[0] & second[0]
    assert first[1] == second[1] == {"c3"}  # one patient alone is on both sides
    assert set(made(session.method.eval())) == {
        "diagnose.domain_advantage",
        "diagnose.discriminator_advantage",
    }


def test_a_patient_of_both_domains_is_in_one_half_of_the_diagnosed(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = prepared(adapted(make_config), table_of(tiny_cohort, tmp_path), tmp_path)
    examined = []
    # Sorted by name, who is in both would come second in one group and first in the other.
    for each, patients in zip(
        session.examined, (("first", "shared"), ("shared", "twin")), strict=True
    ):
        (case,) = each.group.cases
        cases = [replace(case, case=patient) for patient in patients]
        examined.append(replace(each, group=replace(each.group, cases=cases), patients=patients))
    halves: list[list[set[str]]] = []

    class Watched(Batches):
        def __init__(self, groups: Any, **options: Any) -> None:
            halves.append([{case.case for case in group.cases} for group in groups])
            super().__init__(groups, **options)

    monkeypatch.setattr(diagnosis, "Batches", Watched)
    device = torch.device("cpu")
    diagnosis.Diagnosis(examined, session.config, margin=0, device=device, precision="fp32")
    assert halves == [[{"shared"}, {"shared"}], [{"first"}, {"twin"}]]


def test_cases_that_count_as_both_domains_are_refused(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    raw = adapted(make_config).as_json()
    raw["roles"]["target"] = {"columns": ["mr"]}
    with pytest.raises(ConfigurationError) as caught:
        prepared(parse_config(raw), table_of(tiny_cohort, tmp_path), tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["E_DOMAINS_OVERLAP"]


def test_an_unlabelled_case_is_not_of_both_domains_either(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    """Without `where`, a target case that has the source's columns would stand for the source."""
    raw = adapted(make_config).as_json()
    raw["roles"]["source"] = {"columns": ["mr"]}
    table = table_of(tiny_cohort, tmp_path)
    lines = [
        line.rpartition(",")[0] + "," if ",b," in line else line
        for line in table.read_text().splitlines()
    ]
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(ConfigurationError) as caught:
        prepared(parse_config(raw), table, tmp_path)
    (problem,) = caught.value.problems
    assert problem.code == "E_DOMAINS_OVERLAP"
    assert problem.message.startswith("2 cases, such as c1,")


def test_a_penalty_needs_validation_cases_of_both_domains(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = table_of(tiny_cohort, tmp_path)
    table.write_text(table.read_text().replace("c3,p3,validation", "c3,p3,train"))
    with caplog.at_level(logging.WARNING):
        assert prepared(adapted(make_config), table, tmp_path).examined == ()
    assert "they need validation cases of the source and target" in caplog.text
    assert "few validation patients" not in caplog.text
    with pytest.raises(ConfigurationError) as caught:
        prepared(adapted(make_config, best_by=PENALISED), table, tmp_path)
    (problem,) = caught.value.problems
    assert problem.code == "E_NOTHING_TO_DIAGNOSE"
    assert "target" in problem.message


@pytest.mark.parametrize(
    ("method", "best_by"),
    [
        ("adapted_segmenter", {**PENALISED, "penalties": {"diagnose.discriminator_advantage": 1}}),
        ("adapted_segmenter", {"name": "diagnose.domain_advantage", "mode": "max"}),
        ("adapted_segmenter", {"name": "diagnose.domain_advantage", "mode": "min"}),
        ("segmenter", PENALISED),
    ],
)
def test_what_cannot_pick_weights_is_refused(
    method: str, best_by: dict[str, Any], make_config: Any
) -> None:
    raw = make_config(method).as_json()
    raw["train"]["validate"]["best_by"] = best_by
    config = parse_config(raw)
    with pytest.raises(ConfigurationError):
        check_profile(config, assemble(config)[0])


def test_penalties_count_against_scores_that_grow_and_that_shrink() -> None:
    scores = Scores({"c": {"dice": 0.75, "mae": 3.0}}, 1.0, figures={"diagnose.x": 0.5})
    assert scores.worth(BestBy(name="dice", mode="max", penalties={"diagnose.x": 0.5})) == 0.5
    assert scores.worth(BestBy(name="mae", mode="min", penalties={"diagnose.x": 2.0})) == 4.0


def test_weights_that_find_nothing_do_not_win_by_telling_nothing_apart() -> None:
    """Dead features have no domain, and no Dice to pay for it with."""
    best_by = BestBy(name="dice", mode="max", penalties={"diagnose.x": 0.5})
    poor = Scores({"c": {"dice": 0.25}}, 1.0, figures={"diagnose.x": 0.75})
    dead = Scores({"c": {"dice": 0.0}}, 1.0, figures={"diagnose.x": 0.0})
    assert poor.worth(best_by) == -0.125
    assert math.isnan(dead.worth(best_by))  # which never becomes the one to beat
    assert dead.worth(BestBy(name="dice", mode="max")) == 0.0


def test_all_weights_are_kept_where_there_is_nothing_to_validate_on(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    table = table_of(tiny_cohort, tmp_path)
    table.write_text(table.read_text().replace("validation", "train"))
    train(prepared(adapted(make_config, keep_all=True), table, tmp_path), tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert len(list(folder.training.glob("weights_step_*"))) == 2
    last = load_file(folder.weights_at(6))
    assert all(torch.equal(last[k], v) for k, v in load_file(folder.weights).items())
