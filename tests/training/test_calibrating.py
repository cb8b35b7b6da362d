"""Healthy cases are measured at the end of a training of anomalies: once, and by these weights."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from medgen.calibration import VOXELS_PER_CASE
from medgen.cli.info import score_units
from medgen.conversion import Converter, converter_of
from medgen.problems import ConfigurationError, Interrupted, Refusal
from medgen.runs import RunFolder, describe, load_model, read_run_files
from medgen.runs.model import config_digest
from medgen.training import prepare_session, train, try_step
from medgen.volumes import digest_of, open_volume

METHOD = "denoising_autoencoder"
CPU = torch.device("cpu")
HELD = {"c2": "calibrate", "c4": "calibrate"}


def table_of(tiny_cohort: Path, folder: Path, changed: dict[str, str]) -> Path:
    """Write the tiny table with other splits; its cells name the same files."""
    header, *lines = tiny_cohort.read_text(encoding="utf-8").splitlines()
    names = header.split(",")
    rows = [header]
    for line in lines:
        cells = dict(zip(names, line.split(","), strict=True))
        cells["split"] = changed.get(cells["case"], cells["split"])
        for column in ("mr", "ct", "seg"):
            cells[column] = str(tiny_cohort.parent / cells[column])
        rows.append(",".join(cells.values()))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cases.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def tiny(make_config: Any, **settings: Any) -> Any:
    """Return the configuration of two steps, with these settings of `convert.anomaly`."""
    return with_anomaly(make_config(METHOD, steps=2), **settings)


def with_anomaly(config: Any, **settings: Any) -> Any:
    anomaly = config.convert.anomaly.model_copy(update=settings)
    convert = config.convert.model_copy(update={"anomaly": anomaly})
    return config.model_copy(update={"convert": convert})


@pytest.fixture
def table(tiny_cohort: Path, tmp_path: Path) -> Path:
    return table_of(tiny_cohort, tmp_path / "data", HELD)


@pytest.fixture(scope="module")
def finished(
    tiny_cohort: Path, make_config: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[tuple[str, int, int]]]:
    """Return a finished run of anomalies, its table, and what was reported meanwhile."""
    base = tmp_path_factory.mktemp("anomalies")
    data, told = table_of(tiny_cohort, base / "data", HELD), []
    config = tiny(make_config, case_false_positives=0.4)
    session = prepare_session(config, data=data, cache=base / "cache", device="cpu")
    train(session, base / "run", report=lambda *what: told.append(what))
    return base / "run", data, told


def copied(finished: Any, tmp_path: Path) -> tuple[RunFolder, Path]:
    run, data, _ = finished
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    return RunFolder(tmp_path / "run"), data


def again(make_config: Any, folder: RunFolder, data: Path, cache: Path, **options: Any) -> None:
    config = tiny(make_config, case_false_positives=0.4)
    session = prepare_session(config, data=data, cache=cache, device="cpu")
    train(session, folder.path, **{"resume": True, **options})


def test_a_run_is_calibrated_on_the_cases_kept_for_it(finished: Any, tmp_path: Path) -> None:
    run, _, told = finished
    folder, model = RunFolder(run), load_model(run, device=CPU)
    assert model.calibration is not None
    assert (model.calibration.cases, model.calibration.patients) == (2, 2)
    assert model.calibration.weights_digest == model.weights_digest
    assert told == [("measuring healthy cases", done, 2) for done in range(3)]
    # What was measured is what the run's converter finds, not what the training's weights do.
    converter = converter_of(model, device=CPU)
    assert model.split["calibrate"] == ("c2", "c4")
    cells = {case: finished[1].parent for case in model.split["calibrate"]}
    rows = dict(line.split(",", 1) for line in finished[1].read_text().splitlines())
    scores = []
    for case in cells:
        mr = rows[case].split(",")[3]
        scores.append(converter.anomaly_of({"mr": open_volume(Path(mr))}).scores)
    for name, found in model.calibration.scores.items():
        assert found == pytest.approx(sorted(each[name] for each in scores), rel=1e-5)
    text = folder.calibration.read_text(encoding="utf-8")
    assert "c2" not in json.loads(text)
    assert str(tmp_path.parent) not in text
    assert ".nii" not in text


def test_what_is_told_of_a_run_counts_cases_and_names_thresholds(finished: Any) -> None:
    run, _, _ = finished
    facts = describe(run)["calibration"]
    model = load_model(run, device=CPU)
    assert facts["cases"] == facts["patients"] == 2
    assert facts["smallest_p"] == pytest.approx(1 / 3)
    assert facts["voxel_threshold_z"] == model.calibration.voxel_threshold(0.001)
    assert facts["case_threshold"] == max(model.calibration.scores["map_top"])
    card = RunFolder(run).card.read_text(encoding="utf-8")
    assert "# Model card: anomalies of mr" in card
    assert "## Calibration" in card
    assert "2 cases of 2 patients" in card
    assert f"z above {facts['voxel_threshold_z']:.3g} (both)" in card
    assert f"above {facts['case_threshold']:.4g}, as of at most 0.4" in card
    config, _, _ = read_run_files(RunFolder(run))
    assert score_units(config) == {"mae": "arbitrary", "rmse": "arbitrary"}
    assert {"mae", "rmse"} == describe(run)["best"]["validation"].keys()


def test_validation_draws_the_reconstruction_and_scores_the_residual(finished: Any) -> None:
    folder = RunFolder(finished[0])
    assert list(folder.previews.rglob("c3.png"))
    header, row = folder.validation.read_text(encoding="utf-8").splitlines()[:2]
    scores = dict(zip(header.split(","), row.split(","), strict=True))
    assert 0 < float(scores["mae"]) <= float(scores["rmse"])


def test_the_cases_of_a_calibration_count_as_seen(finished: Any) -> None:
    run, data, _ = finished
    rows = [line.split(",") for line in data.read_text(encoding="utf-8").splitlines()[1:]]
    seen = load_model(run, device=CPU).seen
    assert {digest_of(Path(row[4])) for row in rows} == seen  # nobody is left in test here
    assert digest_of(Path(rows[0][5])) not in seen


def test_a_calibration_that_stands_is_left_alone(
    finished: Any, make_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = copied(finished, tmp_path)
    monkeypatch.setattr(Converter, "anomaly_of", _refuse)
    before = folder.calibration.stat().st_mtime_ns
    again(make_config, folder, data, tmp_path / "cache")
    assert folder.calibration.stat().st_mtime_ns == before


@pytest.mark.parametrize("fault", ["missing", "damaged", "of other weights", "of other settings"])
def test_resuming_a_finished_run_measures_anew_where_it_must(
    finished: Any, make_config: Any, tmp_path: Path, fault: str
) -> None:
    folder, data = copied(finished, tmp_path)
    stored = json.loads(folder.calibration.read_text(encoding="utf-8"))
    text = folder.calibration.read_text(encoding="utf-8")
    if fault == "missing":
        folder.calibration.unlink()
        assert load_model(folder.path, device=CPU).calibration is None
    else:
        key = {"of other weights": "weights_sha256", "of other settings": "settings_sha256"}
        changed = {**stored, key[fault]: "0" * 64} if fault in key else {"cases": 2}
        folder.calibration.write_text(json.dumps(changed), encoding="utf-8")
        code = "E_CALIBRATION_STALE" if fault in key else "E_RUN_DAMAGED"
        with pytest.raises(ConfigurationError, match=code):
            load_model(folder.path, device=CPU)
        assert describe(folder.path)["calibration"] is None
    steps = folder.losses.read_text(encoding="utf-8")
    again(make_config, folder, data, tmp_path / "cache")
    assert json.loads(folder.calibration.read_text(encoding="utf-8")) == json.loads(text)
    assert folder.losses.read_text(encoding="utf-8") == steps  # and nothing was trained
    assert load_model(folder.path, device=CPU).calibration is not None


def test_a_stop_while_measuring_can_be_resumed(
    finished: Any, make_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = copied(finished, tmp_path)
    before = json.loads(folder.calibration.read_text(encoding="utf-8"))
    folder.calibration.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(Converter, "anomaly_of", _stop)
        with pytest.raises(Interrupted, match="--resume"):
            again(make_config, folder, data, tmp_path / "cache")
    assert not folder.calibration.exists()
    assert "## Calibration\n\nNone" in folder.card.read_text(encoding="utf-8")
    again(make_config, folder, data, tmp_path / "cache")
    assert json.loads(folder.calibration.read_text(encoding="utf-8")) == before


def test_an_edited_run_is_not_judged_by_what_other_settings_measured(
    finished: Any, tmp_path: Path
) -> None:
    folder, _ = copied(finished, tmp_path)
    text = folder.config.read_text(encoding="utf-8")
    lenient = text.replace("case_false_positives: 0.4", "case_false_positives: 0.5")
    lenient = lenient.replace("score: map_top", "score: window_max")
    assert lenient != text
    folder.config.write_text(lenient, encoding="utf-8")
    model = load_model(folder.path, device=CPU)
    assert model.calibration is not None
    assert config_digest(model.config)
    folder.config.write_text(text.replace("median_voxels: 0", "median_voxels: 3"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"E_CALIBRATION_STALE.*other settings"):
        load_model(folder.path, device=CPU)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"case_false_positives": 0.05}, r"is 0\.05, and 2 healthy .* below 0\.333 -> .* 19 cases"),
        ({"voxel_false_positives": 1e-7}, rf"1e-07, and {2 * VOXELS_PER_CASE} voxels"),
    ],
)
def test_shares_too_fine_for_the_cases_are_refused_before_training(
    table: Path, make_config: Any, tmp_path: Path, settings: dict[str, float], told: str
) -> None:
    config = tiny(make_config, **settings)
    with pytest.raises(ConfigurationError, match=told):
        prepare_session(config, data=table, cache=tmp_path / "cache", device="cpu")


def test_a_run_without_healthy_cases_is_warned_of_and_has_no_calibration(
    tiny_cohort: Path, make_config: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options: dict[str, Any] = {"data": tiny_cohort, "cache": tmp_path / "cache", "device": "cpu"}
    with caplog.at_level(logging.WARNING):
        session = prepare_session(tiny(make_config), **options)
    assert sum("no calibration case" in line for line in caplog.messages) == 1
    assert try_step(session)
    train(prepare_session(tiny(make_config), **options), tmp_path / "run")
    assert load_model(tmp_path / "run", device=CPU).calibration is None
    assert describe(tmp_path / "run")["calibration"] is None
    wished = tiny(make_config, case_false_positives=0.05)
    with pytest.raises(ConfigurationError, match=r"0 healthy .* 19 cases .* or leave it out"):
        prepare_session(wished, **options)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        prepare_session(make_config("regression"), **options)
    assert "calibration" not in caplog.text


def test_a_bad_healthy_case_is_refused_before_training(
    table: Path, make_config: Any, tmp_path: Path
) -> None:
    lines = table.read_text(encoding="utf-8").splitlines()
    flat = tmp_path / "flat.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((20, 24, 20), np.int16), np.diag([4.0, 4, 4, 1])), flat)
    for index, cell in ((3, ""), (5, str(flat))):
        cells = lines[index].split(",")
        lines[index] = ",".join([*cells[:4], cell, *cells[5:]])
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(Refusal) as caught:
        prepare_session(make_config(METHOD), data=table, cache=tmp_path / "cache", device="cpu")
    assert {problem.case for problem in caught.value.problems} == {"c2", "c4"}
    assert [p.code for p in caught.value.problems if p.case == "c2"] == ["E_COLUMN_EMPTY"]


def test_a_calibration_on_what_was_learned_is_refused(
    finished: Any, tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    """An image that the table holds twice, or that the run of --from learned from."""
    run, data, _ = finished
    twice = tmp_path / "cases.csv"
    lines = data.read_text(encoding="utf-8").splitlines()
    kept = lines[5].split(",")
    lines[5] = ",".join([*kept[:4], lines[1].split(",")[4], *kept[5:]])  # c4 with c0's image
    twice.write_text("\n".join(lines) + "\n", encoding="utf-8")
    options: dict[str, Any] = {"cache": tmp_path / "cache", "device": "cpu"}
    with pytest.raises(ConfigurationError, match="E_CALIBRATION_SEEN") as caught:
        prepare_session(tiny(make_config), data=twice, **options)
    assert [problem.case for problem in caught.value.problems] == ["c4"]

    other = table_of(tiny_cohort, tmp_path / "other", {"c0": "calibrate", "c2": "calibrate"})
    with pytest.raises(ConfigurationError, match="E_CALIBRATION_SEEN") as caught:
        prepare_session(tiny(make_config), data=other, start_from=run, **options)
    assert [problem.case for problem in caught.value.problems] == ["c0"]  # c2 was kept then, too

    session = prepare_session(tiny(make_config), data=data, start_from=run, **options)
    assert session.statistics.kept == load_model(run, device=CPU).statistics.kept
    assert len(session.statistics.kept) == 2


def test_only_rows_that_the_source_admits_are_measured(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    data = table_of(tiny_cohort, tmp_path / "data", {"c2": "calibrate", "c4": "calibrate"})
    config = make_config(METHOD)
    source = config.roles.source.model_copy(update={"where": {"site": "a"}})
    roles = config.roles.model_copy(update={"source": source})
    config = config.model_copy(update={"roles": roles})
    session = prepare_session(config, data=data, cache=tmp_path / "cache", device="cpu")
    assert [row.case for row in session.calibrated] == ["c2"]  # c4 is of site b


def test_an_anomaly_is_validated_by_its_reconstruction_alone(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    for profile in ("hu", "segmentation"):
        config = make_config(METHOD, validate={"profile": profile})
        with pytest.raises(ConfigurationError, match=r"does not score anomaly.*: reconstruction$"):
            prepare_session(config, data=tiny_cohort, cache=tmp_path / "cache", device="cpu")
    config = make_config("regression", validate={"profile": "reconstruction"})
    with pytest.raises(ConfigurationError, match="'reconstruction' does not score image"):
        prepare_session(config, data=tiny_cohort, cache=tmp_path / "cache", device="cpu")


def _refuse(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("measured again")


def _stop(*arguments: Any, **options: Any) -> Any:
    raise KeyboardInterrupt
