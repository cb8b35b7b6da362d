"""Training without pairs: what is validated, what is monitored, and what picks the weights."""

from __future__ import annotations

import csv
import json
import logging
import math
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from medgen.cli.train import summary
from medgen.config import BestBy, parse_config
from medgen.data.domain import fit_domain
from medgen.problems import ConfigurationError, GuardStop, Interrupted, Refusal
from medgen.runs import RunFolder, build, describe, load_model
from medgen.training import Session, prepare_session, train
from medgen.training.chain import check_chain
from medgen.training.cohort import read_cohort
from medgen.training.scoring import best_by_of, check_profile
from medgen.training.validation import JUDGED, Scores, Validation
from medgen.volumes import Volume, open_volume, write_volume

MONITORED = {f"monitor.{name}" for name in JUDGED}
TRAINING = [("c0", "train", "mr"), ("c1", "train", "ct"), ("c2", "train", "ct")]
WITHOUT = [*TRAINING, ("c3", "validation", "mr")]
WITH = [*TRAINING, ("c3", "validation", "mr ct"), ("c4", "validation", "mr")]


def table_of(tiny: Path, cases: Sequence[tuple[str, str, str]], folder: Path) -> Path:
    """Write a table of the tiny cohort's files in which each case keeps some columns alone."""
    lines = ["case,patient,split,mr,ct,seg"]
    for case, split, kept in cases:
        cells = [tiny.parent / f"{case}_{c}.nii.gz" if c in kept else "" for c in ("mr", "ct")]
        lines.append(",".join([case, f"p{case}", split, *map(str, cells), ""]))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "unpaired.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def prepared(config: Any, data: Path, base: Path) -> Session:
    return prepare_session(config, data=data, cache=base / "cache", device="cpu")


def invert(session: Session) -> None:
    """Let the forward answer be the source with its sign turned, whatever is learned."""
    generators = session.method.generators
    assert isinstance(generators, torch.nn.ModuleDict)
    generators["to_target"] = Turned(generators["to_target"])


class Turned(torch.nn.Module):
    """A generator that learns, and answers with the opposite of its source all the same."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, source: Tensor) -> Tensor:
        answer: Tensor = self.inner(source)
        return answer if self.training else -source


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    with folder.validation.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_without_a_truth_the_monitor_picks_the_weights(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        session = prepared(
            make_config("cycle_gan"), table_of(tiny_cohort, WITHOUT, tmp_path), tmp_path
        )
    assert "no validation case has a truth: monitor.doubt picks the weights, not mae" in caplog.text
    assert "few training cases, 2 of the target and 1 of the source" in caplog.text
    outcome = train(session, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    rows = rows_of(folder)
    assert {row["case"] for row in rows} == {"c3"}
    assert rows[0].keys() == {"step", "case", *MONITORED}
    doubts = {int(row["step"]): float(row["monitor.doubt"]) for row in rows}
    assert outcome.best_by == "monitor.doubt"
    assert outcome.best == pytest.approx(min(doubts.values()))
    assert outcome.best_step == min(doubts, key=lambda step: doubts[step])
    best = describe(folder.path)["best"]
    assert best["validation"] == {}
    assert best["monitor"]["scores"]["doubt"]["mean"] == pytest.approx(outcome.best)
    card = folder.card.read_text(encoding="utf-8")
    assert "the monitor chose the weights" in card
    assert "`forward` (mr to ct), `backward` (ct to mr)" in card
    assert "Trained without pairs on 1 mr and 2 ct cases" in card
    assert list(folder.previews.rglob("*.png"))

    model = load_model(folder.path, device=torch.device("cpu"))
    stored = model.statistics.domains
    assert stored == session.statistics.domains
    assert set(stored) == {answer.target for answer in model.method.answers.values()}
    groups = {key: group.cases for group in session.batches._groups for key in group.keys}
    for role, column in (("source", "mr"), ("target", "ct")):
        faces = [case.looks[role][0].face for case in groups[role]]
        assert stored[role] == fit_domain(faces) == model.statistics.usual[role][column].domain
    assert stored["target"].contrast > 0.2
    assert "c1" not in json.dumps(stored["target"].as_json())


def test_with_a_truth_its_score_picks_them_and_every_case_is_monitored(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        session = prepared(
            make_config("cycle_gan"), table_of(tiny_cohort, WITH, tmp_path), tmp_path
        )
    assert "picks the weights" not in caplog.text
    outcome = train(session, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    rows = rows_of(folder)
    assert [row["case"] for row in rows] == ["c3", "c4"] * 2
    scored = {int(row["step"]): float(row["mae"]) for row in rows if row["case"] == "c3"}
    assert (outcome.best_by, outcome.best) == ("mae", pytest.approx(min(scored.values())))
    assert all(row["mae"] == "" for row in rows if row["case"] == "c4")
    assert all(math.isfinite(float(row["monitor.doubt"])) for row in rows)
    best = describe(folder.path)["best"]
    assert best["validation"]["mae"]["cases"] == 1
    assert best["monitor"]["scores"]["doubt"]["cases"] == 2
    assert not {name for name in best["validation"] if name.startswith("monitor")}
    events = EventAccumulator(str(folder.tensorboard))
    events.Reload()
    assert {f"validation/{name}" for name in ("mae", *MONITORED)} <= set(events.Tags()["scalars"])
    (shown,) = (s for s in events.Scalars("validation/monitor.doubt") if s.step == 6)
    last = [float(row["monitor.doubt"]) for row in rows if row["step"] == "6"]
    assert shown.value == pytest.approx(np.mean(last), rel=1e-5)


def test_the_monitor_may_be_asked_to_pick_though_there_is_a_truth(make_config: Any) -> None:
    asked = {"best_by": {"name": "monitor.doubt", "mode": "min"}}
    config = make_config("cycle_gan", validate={"every_steps": 3, **asked})
    method, _ = build(config)
    check_profile(config, method)
    assert best_by_of(config, method, scored=True) == BestBy(name="monitor.doubt", mode="min")


@pytest.mark.parametrize(
    ("method", "best_by", "word"),
    [
        ("regression", {"name": "monitor.doubt"}, "trained on pairs"),
        ("cycle_gan", {"name": "monitor.doubt", "mode": "max"}, "write mode: min"),
        ("cycle_gan", {"name": "monitor.contrast"}, "picks no weights"),
        ("cycle_gan", {"name": "nonsense"}, "monitor.doubt"),
    ],
)
def test_what_the_monitor_cannot_pick_by_is_refused(
    make_config: Any, method: str, best_by: Mapping[str, str], word: str
) -> None:
    config = make_config(method, validate={"best_by": best_by})
    with pytest.raises(ConfigurationError, match=word):
        check_profile(config, build(config)[0])


def test_an_inverted_generator_is_told_in_the_bar_the_log_and_the_card(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    session = prepared(make_config("cycle_gan"), table_of(tiny_cohort, WITH, tmp_path), tmp_path)
    invert(session)
    shown: dict[int, str] = {}

    def progress(
        step: int, losses: Mapping[str, float], score: float | None, warnings: Sequence[str]
    ) -> None:
        shown[step] = summary(losses, score, warnings)

    with caplog.at_level(logging.WARNING):
        train(session, tmp_path / "run", progress=progress)
    told = "inverted contrast in 2 of 2 validation cases"
    assert told not in shown[3]
    assert shown[4].startswith(f"! {told}")
    lines = [text for text in caplog.messages if told in text]
    assert [line.split(":")[0] for line in lines] == ["step 3", "step 6"]
    assert not any(name in line for line in lines for name in ("c3", "c4", str(tiny_cohort.parent)))
    folder = RunFolder(tmp_path / "run")
    assert f"- **{told}**" in folder.card.read_text(encoding="utf-8")
    assert told in describe(folder.path)["best"]["monitor"]["warnings"]
    assert all(float(row["monitor.contrast"]) < 0 for row in rows_of(folder))


def test_a_paired_method_has_no_domain_and_no_column_of_the_monitor(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    session = prepared(make_config("regression", steps=1), tiny_cohort, tmp_path)
    assert session.statistics.domains == {}
    outcome = train(session, tmp_path / "run")
    assert outcome.best_by == "mae"
    assert not MONITORED & rows_of(RunFolder(tmp_path / "run"))[0].keys()
    card = RunFolder(tmp_path / "run").card.read_text(encoding="utf-8")
    assert "Monitor" not in card
    assert "without pairs" not in card


def test_both_sides_have_been_seen_and_the_backward_source_can_be_decoded(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    session = prepared(make_config("cycle_gan"), table_of(tiny_cohort, WITHOUT, tmp_path), tmp_path)
    digests = session.cohort.digests
    assert {digests["c0"]["mr"], digests["c1"]["ct"]} <= session.statistics.seen
    # Percentile-scaled: backward answers need it. A window needs nothing.
    assert session.statistics.decoded.keys() == {"source", "target"}
    assert session.statistics.decoded["source"].keys() == {"mr"}
    assert session.statistics.decoded["target"] == {} == session.statistics.cohort
    paired = prepared(make_config("regression"), tiny_cohort, tmp_path)
    assert paired.cohort.digests["c0"]["ct"] not in paired.statistics.seen
    assert paired.statistics.decoded == {}


def two_sites(tiny: Path, folder: Path, *, split: bool) -> Path:
    """Write a table of one column: site B's images are ten times, site C's a thousand as bright."""
    sites = ("A", "A", "B", "B", "C")
    lines = ["case,patient,site,t1" + (",split" if split else "")]
    folder.mkdir(parents=True, exist_ok=True)
    for number, site in enumerate(sites):
        volume = open_volume(tiny.parent / f"c{number}_mr.nii.gz")
        factor = {"A": 1.0, "B": 10.0, "C": 1000.0}[site]
        path = folder / f"c{number}.nii.gz"
        write_volume(path, Volume(factor * volume.data, volume.grid, volume.unit), dtype="float32")
        lines.append(f"c{number},p{number},{site},{path}" + (",train" if split else ""))
    table = folder / "sites.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table


def of_two_sites(config: Any, scale: str) -> Any:
    raw = config.as_json()
    raw["roles"] = {
        "source": {"columns": ["t1"], "where": {"site": "A"}},
        "target": {"columns": ["t1"], "where": {"site": "B"}},
    }
    raw |= {"labels": {}, "intensity": {"t1": {"scale": scale, "low": 0.5, "high": 99.5}}}
    raw["split"] = {"validation": 0.0, "test": 0.0, "calibrate": 0.0}
    return parse_config(raw)


def test_of_two_scanners_each_way_is_decoded_by_the_other_s_own_range(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    """By the source's own percentiles an answer would look like site B in the grey of site A."""
    table = two_sites(tiny_cohort, tmp_path / "data", split=True)
    config = of_two_sites(make_config("cycle_gan", steps=1), "percentile")
    session = prepared(config, table, tmp_path)
    high = {role: session.statistics.decoded[role]["t1"][1] for role in ("source", "target")}
    assert high["target"] == pytest.approx(10 * high["source"], rel=0.05)
    train(session, tmp_path / "run")
    model = load_model(tmp_path / "run", device=torch.device("cpu"))
    volumes = {"t1": open_volume(tmp_path / "data" / "c0.nii.gz")}
    for facing, target in (("forward", "target"), ("backward", "source"), (None, "target")):
        faced = model.facing("backward").facing("forward" if facing is None else facing)
        codec = faced.preprocessing.prepare_source(volumes).target_codecs["t1"]
        assert codec.high == high[target], facing
    of_training = session.preprocessing.prepare_source(volumes).target_codecs["t1"]
    assert of_training.high == high["target"], "validation decodes as conversion does"


@pytest.mark.parametrize("split", [False, True])
def test_what_no_role_admits_is_neither_measured_nor_dealt(
    split: bool, tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    table = two_sites(tiny_cohort, tmp_path / "data", split=split)
    config = of_two_sites(make_config("cycle_gan"), "cohort")
    session = prepared(config, table, tmp_path)
    _, high = session.statistics.cohort["t1"]
    dim, bright = (
        np.percentile(open_volume(tmp_path / "data" / f"c{n}.nii.gz").data, 99) for n in (1, 2)
    )
    assert 1.5 * dim < high < bright / 1.2, "between A and B; with C it would be B's own"
    assert session.statistics.decoded == {"source": {}, "target": {}}
    dealt = [case for cases in session.cohort.split.values() for case in cases]
    assert ("c4" in dealt) == split, "a split column alone decides where there is one"


def test_cases_of_the_target_alone_are_not_validated(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    cases = [*WITHOUT, ("c4", "validation", "ct")]
    session = prepared(make_config("cycle_gan"), table_of(tiny_cohort, cases, tmp_path), tmp_path)
    assert [row.case for row in session.validated] == ["c3"]
    assert session.scored == frozenset()
    only = [*TRAINING, ("c4", "validation", "ct")]
    base = tmp_path / "only"
    session = prepared(make_config("cycle_gan", steps=1), table_of(tiny_cohort, only, base), base)
    outcome = train(session, base / "run")
    assert (outcome.steps, outcome.best) == (1, None)
    assert describe(base / "run")["best"] == {"step": 1, "validation": {}}
    card = RunFolder(base / "run").card.read_text(encoding="utf-8")
    assert "No validation case had a source image" in card
    assert "chosen by these scores" not in card


def test_a_row_that_a_role_does_not_admit_has_no_truth(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    raw = make_config("cycle_gan")
    target = raw.roles.target.model_copy(update={"where": {"split": "train"}})
    roles = raw.roles.model_copy(update={"target": target})
    config = raw.model_copy(update={"roles": roles})
    session = prepared(config, table_of(tiny_cohort, WITH, tmp_path), tmp_path)
    assert session.scored == frozenset()
    assert len(session.validated) == 2


def test_a_paired_method_still_refuses_a_validation_case_without_truth(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    cases = [("c0", "train", "mr ct"), ("c3", "validation", "mr")]
    with pytest.raises(Refusal, match="scoring its answer needs"):
        prepared(make_config("regression"), table_of(tiny_cohort, cases, tmp_path), tmp_path)


def test_splits_are_drawn_of_each_side(tmp_path: Path, make_config: Any) -> None:
    for name in ("mr.nii", "ct.nii"):
        (tmp_path / name).write_bytes(b"any")
    rows = [f"s{k},s{k},mr.nii,," for k in range(8)] + [f"t{k},t{k},,ct.nii," for k in range(8)]
    (tmp_path / "cases.csv").write_text("\n".join(["case,patient,mr,ct,seg", *rows]) + "\n")
    reads = (frozenset({"source", "source_body"}), frozenset({"target", "target_body"}))
    split = read_cohort(tmp_path / "cases.csv", make_config(), reads=reads).split
    for name in ("train", "validation", "test"):
        assert {case[0] for case in split[name]} == {"s", "t"}, name


def test_resuming_keeps_the_best_the_warnings_and_the_rows(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config, data = make_config("cycle_gan"), table_of(tiny_cohort, WITHOUT, tmp_path)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"

    def session() -> Session:
        made = prepared(config, data, tmp_path)
        invert(made)
        return made

    expected = train(session(), whole)
    shown: list[Sequence[str]] = []

    def interrupt(step: int, *_: object) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        train(session(), stopped, progress=interrupt)
    outcome = train(
        session(), stopped, resume=True, progress=lambda step, a, b, found: shown.append(found)
    )
    assert outcome == expected
    assert shown[0]  # of the validation at step 3, before the stop
    assert RunFolder(stopped).validation.read_text() == RunFolder(whole).validation.read_text()
    one, two = load_file(RunFolder(whole).state), load_file(RunFolder(stopped).state)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert describe(stopped)["best"] == describe(whole)["best"]


def test_constant_answers_without_a_truth_are_a_collapse(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config("cycle_gan", steps=3, validate={"every_steps": 1})
    session = prepared(config, table_of(tiny_cohort, WITHOUT, tmp_path), tmp_path)

    class Flat(Turned):
        def forward(self, source: Tensor) -> Tensor:
            return torch.zeros_like(source) if not self.training else self.inner(source)

    session.method.generators["to_target"] = Flat(session.method.generators["to_target"])
    with pytest.raises(GuardStop, match="E_COLLAPSE"):
        train(session, tmp_path / "run")


def test_warnings_count_cases_and_a_mean_is_of_those_that_have_the_score(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    scores = Scores({"a": {"mae": 4.0, "d": 1.0}, "b": {"d": 3.0}, "c": {"d": math.nan}}, 1.0)
    assert (scores.mean("mae"), scores.mean("d"), scores.names) == (4.0, 2.0, ("mae", "d"))
    assert math.isnan(scores.mean("other"))
    session = prepared(make_config("cycle_gan"), table_of(tiny_cohort, WITH, tmp_path), tmp_path)
    domain = session.statistics.domains["target"]
    found = []
    for contrast in (domain.contrast, -domain.contrast):
        validation = Validation(
            session.method.eval(),
            session.config,
            session.preprocessing,
            session.validated,
            device=session.device,
            precision="fp32",
            domain=replace(domain, contrast=contrast),
            truths=session.scored,
        )
        found.append(any("inverted" in warning for warning in validation.run().warnings))
    assert sorted(found) == [False, True]  # one of two opposite domains is the wrong one


def test_a_chain_of_unpaired_trainings_is_refused(make_config: Any) -> None:
    raw = make_config("cycle_gan")
    method, _ = build(raw)
    with pytest.raises(ConfigurationError, match="E_CHAIN_METHOD"):
        check_chain(raw, method)
