"""A training from table to run folder."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medgen.problems import ConfigurationError, GuardStop, Refusal
from medgen.runs import RunFolder, describe, load_model
from medgen.training import prepare_session, train, try_step
from medgen.training.validation import Validation
from medgen.volumes import Volume, open_volume


def make_run(config: Any, data: Path, base: Path, **options: Any) -> RunFolder:
    session = prepare_session(config, data=data, cache=base / "cache", device="cpu")
    train(session, base / "run", **options)
    return RunFolder(base / "run")


def test_a_run_holds_everything_it_promises(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    folder = make_run(make_config(), tiny_cohort, tmp_path)
    model = {path.name for path in folder.model.iterdir()}
    assert model == {
        "config.yaml",
        "weights.safetensors",
        "statistics.json",
        "versions.json",
        "card.md",
    }
    with folder.losses.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {"step", "discriminator", "adversarial", "l1"} <= rows[0].keys()
    with folder.validation.open(newline="") as stream:
        validated = list(csv.DictReader(stream))
    assert [row["step"] for row in validated] == ["3", "6"]
    assert {row["case"] for row in validated} == {"c3"}
    assert list(folder.tensorboard.iterdir())
    pictures = list(folder.previews.rglob("*.png"))
    assert pictures
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)
    facts = describe(folder.path)
    assert facts["data"]["train_cases"] == 3
    assert facts["training"] == {"state": "finished", "step": 6, "of_steps": 6}


def test_the_shared_half_names_no_case_and_no_path(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    folder = make_run(make_config(), tiny_cohort, tmp_path)
    for path in folder.model.iterdir():
        content = path.read_bytes()
        for word in (b"c0", b"p0", str(tiny_cohort.parent).encode(), b"nii"):
            if path.suffix != ".safetensors" or len(word) > 3:
                assert word not in _without_digests(content), (path.name, word)


def _without_digests(content: bytes) -> bytes:
    """Drop hexadecimal fingerprints, in which any two characters occur by chance."""
    import re

    return re.sub(rb"\b[0-9a-f]{64}\b", b"", content)


def test_the_exported_weights_are_what_load_model_answers_with(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    folder = make_run(make_config(), tiny_cohort, tmp_path)
    model = load_model(folder.path, device=torch.device("cpu"))
    stored = load_file(folder.weights)
    own = model.method.players()["generator"].state_dict()
    assert stored.keys() == {f"generator.{name}" for name in own}
    assert all(torch.equal(stored[f"generator.{name}"], own[name]) for name in own)
    assert model.split["validation"] == ("c3",)
    assert len(model.seen) == 4
    assert not model.method.training


def test_a_run_can_start_from_another(tiny_cohort: Path, make_config: Any, tmp_path: Path) -> None:
    first = make_run(make_config(), tiny_cohort, tmp_path)
    session = prepare_session(
        make_config("regression"),
        data=tiny_cohort,
        cache=tmp_path / "cache",
        device="cpu",
        start_from=first.path,
    )
    own = session.method.players()["generator"].state_dict()
    stored = load_file(first.weights)
    assert all(torch.equal(stored[f"generator.{name}"], own[name]) for name in own)


def test_a_taken_folder_is_refused(tiny_cohort: Path, make_config: Any, tmp_path: Path) -> None:
    make_run(make_config(), tiny_cohort, tmp_path)
    with pytest.raises(ConfigurationError, match="E_RUN_EXISTS"):
        make_run(make_config(), tiny_cohort, tmp_path)
    make_run(make_config(steps=2), tiny_cohort, tmp_path, overwrite=True)
    assert describe(tmp_path / "run")["training"]["of_steps"] == 2


def test_a_dry_run_makes_a_finite_step_and_no_folder(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    session = prepare_session(
        make_config(), data=tiny_cohort, cache=tmp_path / "cache", device="cpu"
    )
    losses = try_step(session)
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


def test_a_window_that_the_method_cannot_take_is_refused_before_any_work(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config("vae")
    wrong = config.convert.model_copy(update={"window": (32, 32, 32)})
    config = config.model_copy(update={"convert": wrong})
    with pytest.raises(ConfigurationError, match=r"E_WINDOW.*\(16, 16, 16\).*\(32, 32, 32\)"):
        prepare_session(config, data=tiny_cohort, cache=tmp_path / "cache", device="cpu")
    assert not (tmp_path / "cache").exists()


def test_a_diverging_training_is_stopped_and_leaves_the_last_state(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    config = make_config("regression", steps=40, gradient_clip=0.0)
    session = prepare_session(config, data=tiny_cohort, cache=tmp_path / "cache", device="cpu")
    batch = session.batches.batch

    def poisoned(step: int, rank: int = 0, *, world: int = 1) -> dict[str, torch.Tensor]:
        drawn = batch(step, rank, world=world)
        return {k: t * float("nan") if step == 9 else t for k, t in drawn.items()}

    session.batches.batch = poisoned  # type: ignore[method-assign]
    with pytest.raises(GuardStop):
        train(session, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    assert all(torch.isfinite(tensor).all() for tensor in load_file(folder.state).values())
    assert "Model card" in folder.card.read_text(encoding="utf-8")


def test_unknown_profile_and_score_are_refused_before_any_work(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    for validate, word in (
        ({"profile": "nonsense"}, "hu"),
        ({"best_by": {"name": "nonsense"}}, "mae"),
    ):
        with pytest.raises(ConfigurationError, match=word):
            prepare_session(
                make_config(validate=validate), data=tiny_cohort, cache=tmp_path / "cache"
            )


def test_without_validation_cases_the_last_weights_are_kept(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    text = tiny_cohort.read_text(encoding="utf-8").replace("validation", "train")
    table = tiny_cohort.with_name("all_train.csv")
    table.write_text(text, encoding="utf-8")
    folder = make_run(make_config(), table, tmp_path)
    assert describe(folder.path)["best"] == {"step": 6, "validation": {}}
    assert "unscored" in folder.card.read_text(encoding="utf-8")
    json.loads(folder.statistics.read_text(encoding="utf-8"))


def test_a_child_remembers_what_its_parent_saw(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    first = make_run(make_config(), tiny_cohort, tmp_path)
    lines = tiny_cohort.read_text(encoding="utf-8").splitlines()
    swapped = [line.replace(",train,", ",x,").replace(",test,", ",train,") for line in lines]
    table = tiny_cohort.with_name("other_site.csv")
    table.write_text("\n".join(swapped).replace(",x,", ",test,") + "\n", encoding="utf-8")
    session = prepare_session(
        make_config(), data=table, cache=tmp_path / "cache", device="cpu", start_from=first.path
    )
    parents = load_model(first.path, device=torch.device("cpu")).seen
    assert parents < session.statistics.seen


def test_bad_pairs_of_training_and_validation_are_listed_together(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(tiny_cohort.parent, folder)
    for case in ("c0", "c3"):
        image = nib.load(folder / f"{case}_ct.nii.gz")
        affine = image.affine.copy()
        affine[:3, 3] += 500.0
        moved = nib.Nifti1Image(np.asarray(image.dataobj), affine)
        moved.set_sform(affine, 1)
        moved.set_qform(affine, 1)
        moved.header.set_xyzt_units("mm")
        nib.save(moved, folder / f"{case}_ct.nii.gz")
    with pytest.raises(Refusal) as caught:
        prepare_session(
            make_config(), data=folder / tiny_cohort.name, cache=tmp_path / "cache", device="cpu"
        )
    assert {problem.case for problem in caught.value.problems} == {"c0", "c3"}


def test_a_truth_shorter_than_the_source_is_scored_where_it_is(
    tiny_cohort: Path, make_config: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(tiny_cohort.parent, folder)
    image = nib.load(folder / "c3_ct.nii.gz")
    nib.save(image.slicer[:, :, 8:], folder / "c3_ct.nii.gz")
    session = prepare_session(
        make_config(),
        data=folder / tiny_cohort.name,
        cache=tmp_path / "cache",
        device="cpu",
    )
    (row,) = session.cohort.rows("validation")
    validation = Validation(
        session.method.eval(),
        session.config,
        session.preprocessing,
        [row],
        device=session.device,
        precision="fp32",
    )
    volumes = {column: open_volume(path) for column, path in row.cells.items()}
    answer = Volume(volumes["mr"].data.astype("float32"), volumes["mr"].grid, "HU")
    _, mask = validation._truth(volumes, answer)
    assert mask.any()
    assert not mask[:, :, :8].any()
