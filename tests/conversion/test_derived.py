from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicom_corpus import MR, PT, each, make_series

from medgen.conversion import (
    Converted,
    Outputs,
    Provenance,
    derived_problems,
    write_converted,
)
from medgen.conversion.derived import write_dicom
from medgen.method import Answer
from medgen.volumes import Grid, Volume, open_volume

SHAPE = (12, 10, 6)
IMAGE = Answer("image", "source", "target")
LABELS = Answer("labels", "source", "label")
PROVENANCE = Provenance("a" * 64, "b" * 64, "c" * 64, method="segmenter")
SEG, MAP = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.30"


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Volume]:
    make_series(tmp_path / "mr", MR, shape=SHAPE)
    return {"mr": open_volume(tmp_path / "mr")}


def written(folder: Path, volume: Volume, facts: Mapping[str, Any], sources: Any) -> list[Any]:
    write_dicom(folder, Converted(volume, facts), sources, PROVENANCE, template=None)
    return [pydicom.dcmread(file) for file in sorted(folder.iterdir())]


def test_labels_become_a_segmentation(sources: dict[str, Volume], tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:5, 2:5, 1:3] = 4
    labels[6:9, 2:5, 1:3] = 7
    volume = Volume(labels, sources["mr"].grid, "label")
    facts = {"kind": "labels", "labels": {"lesion": [4, 5], "oedema": 7, "background": [0, 9]}}
    (one,) = written(tmp_path / "out", volume, facts, sources)
    assert one.SOPClassUID == SEG
    assert [str(segment.SegmentLabel) for segment in one.SegmentSequence] == ["lesion", "oedema"]


def test_an_anomaly_map_becomes_a_parametric_map(
    sources: dict[str, Volume], tmp_path: Path
) -> None:
    data = np.linspace(-1, 1, int(np.prod(SHAPE)), dtype=np.float32).reshape(SHAPE)
    volume = Volume(data, sources["mr"].grid)
    (one,) = written(tmp_path / "out", volume, {"kind": "anomaly", "answer": "residual"}, sources)
    assert one.SOPClassUID == MAP
    assert sorted(one.pixel_array.ravel()) == sorted(data.ravel())


@pytest.mark.parametrize(("unit", "modality"), [("HU", "CT"), ("hu", "CT"), ("arbitrary", "MR")])
def test_images_become_what_their_unit_says(
    sources: dict[str, Volume], tmp_path: Path, unit: str, modality: str
) -> None:
    data = np.full(SHAPE, 40, np.float32)
    data[3:5] = 300
    volume = Volume(data, sources["mr"].grid, unit)
    files = written(tmp_path / "out", volume, {"kind": "image"}, sources)
    assert [one.Modality for one in files] == [modality] * SHAPE[2]


def problems(sources: dict[str, Volume], answer: Answer, unit: str) -> list[str]:
    return [one.code for one in derived_problems(sources, answer, unit=unit, template=None)]


def test_what_cannot_be_dicom_is_told_before_it_is_computed(
    sources: dict[str, Volume], tmp_path: Path
) -> None:
    assert problems(sources, IMAGE, "HU") == []
    assert problems(sources, LABELS, "label") == []
    assert problems(sources, IMAGE, "ms") == ["E_DICOM_TARGET"]
    assert set(problems(sources, IMAGE, "SUV")) == {"E_DICOM_TARGET"}  # MR holds no tracer
    make_series(tmp_path / "pet", PT, shape=SHAPE)
    assert problems({"pet": open_volume(tmp_path / "pet")}, IMAGE, "Bq/ml") == []
    plain = {"mr": Volume(np.zeros(SHAPE), Grid(SHAPE, np.eye(4)))}
    assert problems(plain, IMAGE, "HU") == ["E_DICOM_SOURCE"]


@pytest.mark.parametrize("keyword", ["PatientID", "PatientName"])
def test_no_series_is_derived_from_two_patients(
    sources: dict[str, Volume], tmp_path: Path, keyword: str
) -> None:
    def change(dataset: Any) -> None:
        setattr(dataset, keyword, "SOMEBODY ELSE")

    each(tmp_path / "t2", MR, change, shape=SHAPE)
    both = sources | {"t2": open_volume(tmp_path / "t2")}
    (problem,) = derived_problems(both, IMAGE, unit="HU", template=None)
    assert problem.code == "E_NO_IDENTITY"
    assert "patients" in problem.message


def test_all_source_columns_are_referred_to(sources: dict[str, Volume], tmp_path: Path) -> None:
    def rename(dataset: Any) -> None:
        dataset.SeriesInstanceUID = "1.2.7"
        dataset.SOPInstanceUID = f"1.2.7.{dataset.InstanceNumber}"

    each(tmp_path / "t2", MR, rename, shape=SHAPE)
    both = sources | {"t2": open_volume(tmp_path / "t2")}
    volume = Volume(np.full(SHAPE, 40, np.float32), sources["mr"].grid, "HU")
    one, *_ = written(tmp_path / "out", volume, {"kind": "image"}, both)
    assert [item.SeriesInstanceUID for item in one.ReferencedSeriesSequence][1:] == ["1.2.7"]
    assert one.DerivationDescription.startswith("computed from MR and MR by segmenter")
    template = sources["mr"].series
    write_dicom(
        tmp_path / "of", Converted(volume, {"kind": "image"}), both, PROVENANCE, template=template
    )
    first = pydicom.dcmread(tmp_path / "of" / "0001.dcm")
    assert len(first.ReferencedSeriesSequence) == 1


def test_a_column_that_cannot_be_referred_to_is_told_of_before_computing(
    sources: dict[str, Volume], tmp_path: Path
) -> None:
    def blank(dataset: Any) -> None:
        dataset.StudyInstanceUID = ""

    each(tmp_path / "t2", MR, blank, shape=SHAPE)
    both = sources | {"t2": open_volume(tmp_path / "t2")}
    (problem,) = derived_problems(both, IMAGE, unit="HU", template=None)
    assert problem.code == "E_NO_IDENTITY"
    assert "a further source cannot be referred to" in problem.message


def test_voxels_that_only_dicom_clips_are_reported(
    sources: dict[str, Volume], tmp_path: Path
) -> None:
    data = np.full(SHAPE, 40, np.float32)
    data[:2, 0, 0] = -1500
    facts = {"kind": "image", "unit": "HU", "clipped_voxels": 0, "warnings": []}
    converted = Converted(Volume(data, sources["mr"].grid, "HU"), facts)
    outputs = Outputs(tmp_path / "p1.nii.gz", tmp_path / "p1")
    record = write_converted(converted, sources, outputs, PROVENANCE)
    assert record.clipped_voxels == 0
    assert [one for one in record.warnings if "2 voxels are clipped" in one]
    assert "2 voxels are clipped" in (tmp_path / "p1.json").read_text()


def test_an_answer_whose_sidecar_cannot_be_written_is_taken_away(
    sources: dict[str, Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("medgen.conversion.file.write_json", full)
    facts = {"kind": "image", "unit": "HU", "clipped_voxels": 0, "warnings": []}
    converted = Converted(Volume(np.zeros(SHAPE, np.float32), sources["mr"].grid, "HU"), facts)
    out = tmp_path / "out"
    with pytest.raises(OSError, match="no space"):
        write_converted(converted, sources, Outputs(out / "p1.nii.gz", out / "p1"), PROVENANCE)
    assert list(out.iterdir()) == []
