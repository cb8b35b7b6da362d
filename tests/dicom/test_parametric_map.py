from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from derived_sources import DERIVATION, FLIPS, SIDES, answer_values, source_series
from dicom_judges import (
    assert_same_volume,
    entity_complaints,
    iod_errors,
    missing_attributes,
)
from numpy.typing import NDArray

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.parametric_map import write_parametric_map
from medgen.dicom.writing import digest_of_folder
from medgen.problems import Refusal


def write(folder: Path, source: SeriesFacts, data: NDArray[Any], **how: Any) -> Any:
    how = {"affine": source.affine, "quantity": "uncertainty", "derivation": DERIVATION, **how}
    return write_parametric_map(folder, data, source=source, **how)


def read(folder: Path) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return by highdicom the values (z, y, x) and RAS affine."""
    (path,) = folder.iterdir()
    volume = highdicom.imread(path).get_volume()
    return volume.array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
@pytest.mark.parametrize("body_part", [True, False])
def test_validators_accept_it(tmp_path: Path, modality: str, body_part: bool) -> None:
    def forget(header: pydicom.Dataset) -> None:
        if not body_part:
            del header.BodyPartExamined
            header.Laterality = ""

    source = source_series(modality, folder=tmp_path / "source", change=forget)
    write(tmp_path / "answer", source, answer_values(source.shape, "arbitrary"))
    path = tmp_path / "answer" / "0001.dcm"
    assert iod_errors(path) == []
    assert missing_attributes(path) == []
    assert entity_complaints(tmp_path.rglob("*.dcm")) == ""


@pytest.mark.parametrize("side", SIDES)
def test_highdicom_finds_every_value_where_it_is(tmp_path: Path, side: str) -> None:
    _round_trip(tmp_path, SIDES[side])


@pytest.mark.slow
@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("side", SIDES)
def test_highdicom_finds_every_value_with_every_flip(
    tmp_path: Path, side: str, flip: tuple[int, int, int]
) -> None:
    _round_trip(tmp_path, SIDES[side] * flip)


def _round_trip(folder: Path, directions: NDArray[Any]) -> None:
    source = source_series("MR", directions=directions)
    data = answer_values(source.shape, "arbitrary")
    write(folder / "answer", source, data)
    assert_same_volume(read(folder / "answer"), data, source.affine)


def test_what_it_says(tmp_path: Path) -> None:
    source = source_series("MR")
    data = answer_values(source.shape, "arbitrary")
    write(tmp_path / "answer", source, data, quantity="anomaly")
    made = pydicom.dcmread(tmp_path / "answer" / "0001.dcm")
    assert made.SOPClassUID.name == "Parametric Map Storage"
    assert made.SeriesDescription.startswith("anomaly map (")
    assert made.SeriesDescription.endswith("RESEARCH USE ONLY")
    assert made.SeriesNumber == 3003
    assert (made.SyntheticData, made.ContentQualification) == ("YES", "RESEARCH")
    assert made.StudyInstanceUID == source.frames[0].header.StudyInstanceUID
    assert made.FrameOfReferenceUID == source.frame_of_reference
    assert len(made.ContributingEquipmentSequence) == 1
    by_position = {
        tuple(frame.header.ImagePositionPatient): frame.header.SOPInstanceUID
        for frame in source.frames
    }
    assert len(made.PerFrameFunctionalGroupsSequence) == len(by_position)
    for groups in made.PerFrameFunctionalGroupsSequence:
        (item,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = tuple(groups.PlanePositionSequence[0].ImagePositionPatient)
        assert item.ReferencedSOPInstanceUID == by_position[position]


@pytest.mark.parametrize("constant", [0.0, -2.5])
def test_a_constant_map_is_valid_too(tmp_path: Path, constant: float) -> None:
    source = source_series("MR")
    write(tmp_path / "answer", source, np.full(source.shape, constant, np.float32))
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def test_the_same_map_gives_the_same_bytes(tmp_path: Path) -> None:
    source = source_series("MR")
    data = answer_values(source.shape, "arbitrary")
    for name in ("a", "b"):
        write(tmp_path / name, source, data)
    assert digest_of_folder(tmp_path / "a") == digest_of_folder(tmp_path / "b")


def test_a_straightened_source_is_referred_to_as_a_whole(tmp_path: Path) -> None:
    source = source_series("MR", directions=SIDES["oblique"])
    affine = source.affine.copy()
    affine[:3, 2] *= 0.8
    straight = replace(source, affine=affine, straightened=True)
    data = answer_values(source.shape, "arbitrary")
    write(tmp_path / "answer", straight, data)
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []
    assert_same_volume(read(tmp_path / "answer"), data, affine)
    made = pydicom.dcmread(tmp_path / "answer" / "0001.dcm")
    assert [item.CodeMeaning for item in made.DerivationCodeSequence] == ["Spatial resampling"]
    assert "resampled onto an even, upright grid" in made.DerivationDescription


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_values_that_are_not_finite_in_single_precision_are_refused(
    tmp_path: Path, bad: float
) -> None:
    source = source_series("MR")
    data = np.zeros(source.shape)
    data[0, 0, 0] = bad
    with pytest.raises(Refusal, match="E_NONFINITE: 1 of 495"):
        write(tmp_path / "answer", source, data)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_back_wrong_is_never_given_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pydicom.dcmwrite

    def damaging(path: Path, dataset: Any, **options: Any) -> None:
        group = dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
        group.ImagePositionPatient = ["1", "2", "3"]
        whole(path, dataset, **options)

    monkeypatch.setattr("pydicom.dcmwrite", damaging)
    source = source_series("MR")
    with pytest.raises(Refusal, match="E_READ_BACK"):
        write(tmp_path / "answer", source, answer_values(source.shape, "arbitrary"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("unit", "code"),
    [("HU", "[hnsf'U]"), ("Bq/ml", "Bq/ml"), ("SUV", "g/ml{SUVbw}"), ("arbitrary", "1")],
)
def test_a_map_says_its_unit(tmp_path: Path, unit: str, code: str) -> None:
    source = source_series("MR", folder=tmp_path / "source")
    data = answer_values(source.shape, "arbitrary")
    write(tmp_path / "answer", source, data, quantity="residual", unit=unit)
    path = tmp_path / "answer" / "0001.dcm"
    made = pydicom.dcmread(path)
    groups = made.SharedFunctionalGroupsSequence[0]
    (mapping,) = groups.RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == code
    assert iod_errors(path) == []
