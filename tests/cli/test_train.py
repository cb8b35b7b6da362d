"""The verb train on a cohort of seconds: a chain from table to answers, and features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml

from medgen.cli.app import main
from medgen.problems import Exit

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of four tiny cases; `seg` labels what is bright in the CT."""
    folder = tmp_path_factory.mktemp("cases")
    lines = ["case,patient,split,mr,ct,seg"]
    axes = np.meshgrid(*[np.linspace(-1, 1, 20)] * 3, indexing="ij")
    for index, split in enumerate(["train", "train", "validation", "test"]):
        radius = np.sqrt(sum((axis / (0.7 + 0.02 * index)) ** 2 for axis in axes))
        mr = np.where(radius < 1, 400 + 100 * axes[0], 0)
        ct = np.where(radius < 1, np.where(radius < 0.8, 40, 900), -1000)
        for name, data in {"mr": mr, "ct": ct, "seg": (ct > 500)}.items():
            image = nib.Nifti1Image(data.astype(np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
            image.set_sform(image.affine, 1)
            image.header.set_xyzt_units("mm")
            nib.save(image, folder / f"c{index}_{name}.nii.gz")
        cells = ",".join(f"c{index}_{name}.nii.gz" for name in ("mr", "ct", "seg"))
        lines.append(f"c{index},p{index},{split},{cells}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "cases.csv"


def write(path: Path, **changes: Any) -> str:
    unet = {"channels": [4, 8], "features": 4, "residual_units": 1}
    raw: dict[str, Any] = {
        "roles": {"source": ["mr"], "target": ["ct"]},
        "preprocessing": {"spacing_mm": [4, 4, 4], "crop": "none"},
        "intensity": {
            "mr": {"scale": "percentile"},
            "ct": {"scale": "window", "low": -1024, "high": 2000, "unit": "HU"},
        },
        "method": "regression",
        "methods": {"regression": {"generator": unet}},
        "train": {"steps": 1, "patch": [16, 16, 16], "precision": "fp32"},
        "convert": {"overlap_voxels": 4},
    }
    path.write_text(yaml.safe_dump({**raw, **changes}), encoding="utf-8")
    return str(path)


def train(config: str, table: Path, run: Path, *options: str) -> int:
    place = run.parent / "cache"
    words = ["train", config, "--data", table, "--run", run, "--cache", place, "--device", "cpu"]
    return main([str(word) for word in [*words, *options]])


def test_a_chain_is_trained_checked_and_converted_by_the_same_words(
    table: Path, tmp_path: Path, capsys: Capture
) -> None:
    config = write(tmp_path / "chain.yaml", chain={"stages": 2, "folds": 2, "feed": "replace"})
    run, out = tmp_path / "run", tmp_path / "out"
    assert train(config, table, run, "--dry-run") == Exit.OK
    assert "a chain of 4 trainings of 1 steps each" in capsys.readouterr().err
    # What the training will refuse, trying it out refuses.
    many = "chain.folds=3"
    assert train(config, table, run, "--dry-run", "--set", many) == Exit.USAGE
    assert "E_CHAIN_FOLDS" in capsys.readouterr().err
    assert train(config, table, run, "--dry-run", "--from", str(tmp_path)) == Exit.USAGE
    assert "E_CHAIN_FROM" in capsys.readouterr().err
    assert not run.exists()
    assert train(config, table, run) == Exit.OK
    told = capsys.readouterr().err
    of_fold = "3 of 4: stage 1 of 2, fold 2 of 2"
    for what in ("1 of 4: stage 1 of 2", of_fold, "4 of 4: stage 2 of 2"):
        assert f"medgen: training {what}\n" in told
    convert = ["convert", str(run), "--data", str(table), "--split", "test", "--device", "cpu"]
    # The case is brighter than those it was trained on, and its verdict says so.
    assert main([*convert, "--output", str(out), "--dry-run"]) == Exit.SOME_FAILED
    assert "ok, fail" in capsys.readouterr().out
    assert main([*convert, "--output", str(out)]) == Exit.SOME_FAILED
    assert (out / "c3.nii.gz").is_file()
    assert main(["info", str(run)]) == Exit.OK
    assert "chain:" in capsys.readouterr().out


def test_features_are_a_segmenters_and_are_asked_for_where_needed(
    table: Path, tmp_path: Path, capsys: Capture
) -> None:
    unet = {"channels": [4, 8], "features": 4, "residual_units": 1}
    roles = {"roles": {"source": ["ct"], "label": ["seg"]}, "labels": {"bone": 1}}
    best = {"profile": "segmentation", "best_by": {"name": "dice", "mode": "max"}}
    steps = {"steps": 1, "patch": [16, 16, 16], "precision": "fp32", "validate": best}
    judge = write(
        tmp_path / "judge.yaml",
        **roles,
        method="segmenter",
        methods={"segmenter": {"network": unet}},
        train=steps,
    )
    assert train(judge, table, tmp_path / "judge") == Exit.OK
    weighed = {"regression": {"generator": unet, "lambda_features": 1.0}}
    config = write(tmp_path / "features.yaml", methods=weighed)
    run = tmp_path / "run"
    assert train(config, table, run) == Exit.USAGE
    assert "E_FEATURES_MISSING" in capsys.readouterr().err
    plain = write(tmp_path / "plain.yaml")
    assert train(plain, table, run, "--features", str(tmp_path / "judge")) == Exit.USAGE
    assert "E_FEATURES_UNUSED" in capsys.readouterr().err
    assert train(config, table, run, "--features", str(tmp_path / "judge")) == Exit.OK
    assert "features" in (run / "training" / "losses.csv").read_text().splitlines()[0]
    assert main(["info", str(run), "--json"]) == Exit.OK
    assert "features_sha256" in capsys.readouterr().out
    assert train(config, table, run, "--resume") == Exit.USAGE
