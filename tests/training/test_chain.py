"""Chains: stages in a row, fed with answers of models that did not see the case."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medgen.config import Config, parse_config
from medgen.conversion import converter_of
from medgen.problems import ConfigurationError
from medgen.runs import RunFolder, describe, load_model
from medgen.training import train_table
from medgen.volumes import open_volume

CPU = torch.device("cpu")


def chained(make_config: Any, **chain: Any) -> Config:
    raw = make_config("regression", steps=2, save_every_steps=1).as_json()
    raw["train"]["validate"]["every_steps"] = 2
    return parse_config({**raw, "chain": {"stages": 2, "folds": 3, "feed": "append", **chain}})


def run_chain(config: Config, table: Path, folder: Path, **options: Any) -> Path:
    run = folder / "run"
    train_table(config, data=table, run=run, cache=folder / "cache", device="cpu", **options)
    return run


def test_a_chain_is_a_run_that_answers_by_itself(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    run = run_chain(chained(make_config), tiny_cohort, tmp_path)
    alone = tmp_path / "handed_on"
    shutil.copytree(RunFolder(run).model, alone / "model")
    model = load_model(alone, device=CPU)
    assert model.upstream is not None
    assert converter_of(model, device=CPU).entry is model.upstream.preprocessing
    volumes = {"mr": open_volume(tiny_cohort.parent / "c4_mr.nii.gz")}
    first = converter_of(model.upstream, device=CPU)(volumes).volume
    chain = converter_of(model, device=CPU)
    by_hand = chain({**volumes, "ct_stage_1": first}).volume
    shown: list[tuple[int, int]] = []
    whole = chain(volumes, progress=lambda done, total: shown.append((done, total)))
    assert np.array_equal(whole.volume.data, by_hand.data)
    assert not np.array_equal(whole.volume.data, first.data)
    assert whole.facts["stages"] == 2
    shares = [done / total for done, total in shown]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_training_cases_are_answered_by_models_that_did_not_see_them(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    folder = RunFolder(run_chain(chained(make_config), tiny_cohort, tmp_path))
    fed = {}
    for number in (1, 2, 3):
        fold = RunFolder(folder.stage_run(1, number))
        seen = json.loads(fold.cases.read_text())["split"]["train"]
        (held_out,) = {"c0", "c1", "c2"} - set(seen)
        volumes = {"mr": open_volume(tiny_cohort.parent / f"{held_out}_mr.nii.gz")}
        answer = converter_of(load_model(fold.path, device=CPU), device=CPU)(volumes)
        fed[held_out] = answer.volume.data
    assert set(fed) == {"c0", "c1", "c2"}
    everyone = load_model(folder.stage_run(1), device=CPU)
    volumes = {"mr": open_volume(tiny_cohort.parent / "c3_mr.nii.gz")}
    fed["c3"] = converter_of(everyone, device=CPU)(volumes).volume.data
    for case, expected in fed.items():
        written = open_volume(folder.stage_answers(1) / f"{case}.nii.gz")
        np.testing.assert_allclose(written.data, expected, atol=1e-4)


@pytest.mark.parametrize(("feed", "channels"), [("append", 2), ("replace", 1)])
def test_what_is_fed_stands_beside_or_instead_of_the_source(
    make_config: Any, tiny_cohort: Path, tmp_path: Path, feed: str, channels: int
) -> None:
    run = run_chain(chained(make_config, feed=feed, folds=1), tiny_cohort, tmp_path)
    model = load_model(run, device=CPU)
    volumes = {"mr": open_volume(tiny_cohort.parent / "c4_mr.nii.gz")}
    assert model.upstream is not None
    first = converter_of(model.upstream, device=CPU)(volumes).volume
    prepared = model.preprocessing.prepare_source({**volumes, "ct_stage_1": first})
    assert prepared.source.shape[0] == channels
    (codec,) = prepared.target_codecs.values()
    # On this grid nothing is resampled: what is fed is the answer in the target's encoding.
    np.testing.assert_allclose(prepared.source[-1], codec.encode(first.data), atol=1e-5)


class Stop(Exception):
    """Stands for a kill."""


def test_a_chain_resumes_where_it_was_stopped_and_ends_as_if_it_never_had(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    config = chained(make_config, folds=1)
    calm = run_chain(config, tiny_cohort, tmp_path / "calm")
    for stop_at in (("training 1 of 2: stage 1 of 2", 1), ("training 2 of 2: stage 2 of 2", 1)):

        def stop(what: str, step: int, *rest: object, at: tuple[str, int] = stop_at) -> None:
            if (what, step) == at:
                raise Stop

        with pytest.raises(Stop):
            run_chain(config, tiny_cohort, tmp_path / "stopped", resume=True, progress=stop)
    run = run_chain(config, tiny_cohort, tmp_path / "stopped", resume=True)
    for folder in (RunFolder(calm), RunFolder(run)):
        assert json.loads(folder.cases.read_text())["split"]["test"] == ["c4"]
    expected, found = (load_file(RunFolder(r).weights) for r in (calm, run))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_chain_replaces_no_run_unasked(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    config = chained(make_config, folds=1)
    run = run_chain(config, tiny_cohort, tmp_path)
    with pytest.raises(ConfigurationError, match="E_RUN_EXISTS"):
        run_chain(config, tiny_cohort, tmp_path)
    changed = parse_config({**config.as_json(), "split": {"seed": 3}})
    with pytest.raises(ConfigurationError, match=r"E_RESUME_CONFIG.*split"):
        run_chain(changed, tiny_cohort, tmp_path, resume=True)
    before = RunFolder(run).config.stat().st_mtime_ns
    run_chain(config, tiny_cohort, tmp_path, overwrite=True)
    assert RunFolder(run).config.stat().st_mtime_ns != before


def test_a_chain_refuses_what_it_cannot_do_before_its_first_step(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    def step(*_: object) -> None:
        raise AssertionError("a step was made")

    def refused(config: Config, message: str, **options: Any) -> None:
        with pytest.raises(ConfigurationError, match=message):
            run_chain(config, tiny_cohort, tmp_path, progress=step, **options)

    folds = r"E_CHAIN_FOLDS.*3 training patients.*4 folds"
    refused(chained(make_config, folds=4), folds)
    refused(chained(make_config), "E_CHAIN_FROM", start_from=tmp_path)
    # Class numbers in the CT's scale would pass for tissue.
    labels = make_config("segmenter").as_json()
    refused(parse_config({**labels, "chain": {"stages": 2}}), "E_CHAIN_METHOD.*labels")


def test_a_finished_chain_says_at_once_that_its_stages_were_others(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    run = run_chain(chained(make_config, folds=1), tiny_cohort, tmp_path)
    longer = chained(make_config, folds=1, stages=3)
    with pytest.raises(ConfigurationError, match=r"E_RESUME_CONFIG.*chain\.stages"):
        run_chain(longer, tiny_cohort, tmp_path, resume=True)
    assert not RunFolder(run).stage_run(2).exists()


def test_nobody_else_clears_a_chain_that_is_at_work(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    config, tried = chained(make_config, folds=1), []

    def meddle(what: str, *_: object) -> None:
        tried.append(what)
        with pytest.raises(ConfigurationError, match="E_LOCKED"):
            run_chain(config, tiny_cohort, tmp_path, overwrite=True)

    run_chain(config, tiny_cohort, tmp_path, progress=meddle)
    assert {"training 1 of 2: stage 1 of 2", "training 2 of 2: stage 2 of 2"} == set(tried)


def test_a_single_run_neither_mixes_with_the_stages_of_a_chain_nor_keeps_them(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    def stop(*_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        run_chain(chained(make_config), tiny_cohort, tmp_path, progress=stop)
    single = chained(make_config, stages=1)
    for resume, code in ((False, "E_RUN_EXISTS"), (True, "E_RESUME_CONFIG")):
        with pytest.raises(ConfigurationError, match=code):
            run_chain(single, tiny_cohort, tmp_path, resume=resume)
    run = run_chain(single, tiny_cohort, tmp_path, overwrite=True)
    assert not RunFolder(run).chain.exists()


def test_a_chain_is_described_by_the_digest_that_its_answers_name(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    run = run_chain(chained(make_config, folds=1, stages=3), tiny_cohort, tmp_path)
    assert describe(run)["weights_sha256"] == load_model(run, device=CPU).weights_digest
    RunFolder(run).upstream.upstream.weights.unlink()
    assert describe(run)["weights_sha256"] is None


def test_a_run_without_its_earlier_stage_says_so(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    run = run_chain(chained(make_config, folds=1), tiny_cohort, tmp_path)
    shutil.rmtree(RunFolder(run).upstream.path)
    with pytest.raises(ConfigurationError, match="earlier stage"):
        load_model(run, device=CPU)


def test_the_model_half_of_a_chain_names_no_case(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    run = run_chain(chained(make_config), tiny_cohort, tmp_path)
    texts = [
        path.read_text(errors="replace")
        for path in RunFolder(run).model.rglob("*")
        if path.suffix in (".yaml", ".json", ".md")
    ]
    assert len(texts) == 8
    assert not any(word.strip('", ') == "c0" for text in texts for word in text.split())
    assert "Chain of 2 stages" in RunFolder(run).card.read_text()


def test_an_unfinished_chain_says_what_it_is_and_how_to_go_on(
    make_config: Any, tiny_cohort: Path, tmp_path: Path
) -> None:
    config = chained(make_config, folds=1)

    def stop(what: str, step: int, *rest: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        run_chain(config, tiny_cohort, tmp_path, progress=stop)
    with pytest.raises(ConfigurationError, match=r"E_RUN_UNFINISHED.*stopped in stage 1.*--resume"):
        load_model(tmp_path / "run", device=CPU)
    with pytest.raises(ConfigurationError, match=r"E_RESUME_CONFIG.*unfinished chain.*--set"):
        run_chain(make_config("regression"), tiny_cohort, tmp_path, resume=True)
