"""DICOM where a volume file could stand: cells, units, frames of reference, padding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, each, make_series, uid

from medgen.config import PreprocessingConfig, parse_config
from medgen.data import Preprocessing, read_table
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Volume, open_volume

SHAPE, SPACING = (20, 20, 12), (4.0, 4.0, 6.0)


def head(low: float, inside: float) -> np.ndarray:
    axes = np.stack(np.meshgrid(*[np.linspace(-1.2, 1.2, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((axes**2).sum(axis=0))
    texture = 40 * np.cos(4 * axes[0])
    return np.rint(np.where(radius < 1, inside + texture, low))


def write(folder: Path, modality: str, **changes: str) -> Path:
    def change(dataset: object) -> None:
        for name, value in changes.items():
            setattr(dataset, name, value)

    values = head(-1000, 40) if modality == CT else head(0, 500)
    each(folder, modality, change, shape=SHAPE, spacing=SPACING, values=values)
    return folder


def preprocessing(unit: str = "HU", target: str = "ct") -> Preprocessing:
    config = parse_config(
        {
            "roles": {"source": ["mr"], "target": [target]},
            "intensity": {
                "mr": {"scale": "percentile"},
                target: {"scale": "window", "low": -1024, "high": 3000, "unit": unit},
            },
            "preprocessing": {"spacing_mm": [4.0, 4.0, 6.0]},
            "method": "regression",
        }
    )
    assert isinstance(config.preprocessing, PreprocessingConfig)
    return Preprocessing(config.roles, config.preprocessing, config.intensity)


def volumes(tmp_path: Path, **changes: str) -> dict[str, Volume]:
    mr, ct = write(tmp_path / "mr", MR), write(tmp_path / "ct", CT, **changes)
    return {"mr": open_volume(mr), "ct": open_volume(ct)}


def test_cells_hold_folders_and_choices(tmp_path: Path) -> None:
    make_series(tmp_path / "mr", MR, shape=(4, 4, 3))
    (tmp_path / "a.nii").touch()
    rows = "case,patient,mr\nc1,p1,mr\nc2,p2,mr/#echo=1\nc3,p3,a.nii\n"
    (tmp_path / "cases.csv").write_text(rows)
    table = read_table(tmp_path / "cases.csv", columns=["mr"])
    assert [row.cells["mr"].name for row in table.rows] == ["mr", "#echo=1", "a.nii"]


@pytest.mark.parametrize("cell", ["mr/#ecko=1", "mr/#echo=x", "a.nii/#echo=1", "mr/#unit=HU"])
def test_choices_that_mean_nothing_are_refused_with_the_table(tmp_path: Path, cell: str) -> None:
    make_series(tmp_path / "mr", MR, shape=(4, 4, 3))
    (tmp_path / "a.nii").touch()
    (tmp_path / "cases.csv").write_text(f"case,patient,mr\nc1,p1,{cell}\n")
    with pytest.raises(ConfigurationError) as caught:
        read_table(tmp_path / "cases.csv", columns=["mr"])
    (problem,) = caught.value.problems
    assert (problem.code, problem.case, problem.column) == ("E_CELL_SELECTOR", "c1", "mr")


def test_a_pair_of_series_in_one_frame_is_prepared(tmp_path: Path) -> None:
    prepared = preprocessing().prepare_case(volumes(tmp_path))
    assert prepared.codecs["ct"].unit == "HU"
    assert prepared.overlaps["ct"] > 0.9


def test_series_in_two_frames_of_reference_are_no_pair(tmp_path: Path) -> None:
    found = volumes(tmp_path, FrameOfReferenceUID=uid("another"))
    with pytest.raises(Refusal) as caught:
        preprocessing().prepare_case(found)
    (problem,) = caught.value.problems
    assert (problem.code, problem.column) == ("E_FRAME_OF_REFERENCE", "ct")
    assert "prepare" in problem.advice
    assert "2.25." not in str(problem)


def test_a_header_may_not_contradict_the_configured_unit(tmp_path: Path) -> None:
    found = {
        "mr": open_volume(write(tmp_path / "mr", MR)),
        "image": open_volume(write(tmp_path / "p", PT)),
    }
    with pytest.raises(Refusal) as caught:
        preprocessing(target="image").prepare_case(found)
    assert [(p.code, p.column) for p in caught.value.problems] == [("E_UNIT", "image")]


def test_a_header_may_not_contradict_the_columns_name(tmp_path: Path) -> None:
    found = volumes(tmp_path)
    found["mr"] = open_volume(tmp_path / "ct")
    with pytest.raises(Refusal) as caught:
        preprocessing().prepare_source(found)
    assert [(p.code, p.column) for p in caught.value.problems] == [("E_MODALITY", "mr")]


def test_what_the_scanner_padded_is_not_trained_on(tmp_path: Path) -> None:
    found = volumes(tmp_path)
    whole = preprocessing().prepare_case(found).arrays["mask"]
    valid = np.ones(found["ct"].grid.shape, dtype=bool)
    valid[:10] = False
    ct = found["ct"]
    found["ct"] = Volume(ct.data, ct.grid, ct.unit, valid=valid, series=ct.series)
    half = preprocessing().prepare_case(found).arrays["mask"]
    assert 0.4 * whole.sum() < half.sum() < 0.6 * whole.sum()


def test_a_shared_scale_keeps_the_unit_of_its_source(tmp_path: Path) -> None:
    config = parse_config(
        {
            "roles": {"source": ["pet_low"], "target": ["pet"]},
            "intensity": {
                "pet_low": {"scale": "percentile"},
                "pet": {"scale": "shared", "with": "pet_low"},
            },
            "preprocessing": {"spacing_mm": [4.0, 4.0, 6.0]},
            "method": "regression",
        }
    )
    pet = Preprocessing(config.roles, config.preprocessing, config.intensity)
    volume = open_volume(write(tmp_path / "p", PT))
    prepared = pet.prepare_source({"pet_low": volume})
    assert prepared.target_codecs["pet"].unit == "Bq/ml"
    assert pet.answer_unit({"pet_low": volume}) == "Bq/ml"
    assert preprocessing().answer_unit({}) == "HU"
