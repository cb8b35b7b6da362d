from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from derived_sources import (
    FLIPS,
    SHAPE,
    SIDES,
    answer_values,
    read_files,
    source_series,
    write_answer,
)
from dicom_corpus import make_slices, save_series
from dicom_enhanced import enhance
from dicom_judges import (
    assert_same_volume,
    by_dcm2niix,
    by_plastimatch,
    entity_complaints,
    iod_errors,
    missing_attributes,
)

from medgen.dicom.reading import read_series

TARGETS = (
    ("MR", "HU"),
    ("CT", "HU"),
    ("PT", "HU"),
    ("PT", "Bq/ml"),
    ("PT", "SUV"),
    ("MR", "arbitrary"),
    ("CT", "arbitrary"),
)


@pytest.mark.parametrize(("modality", "unit"), TARGETS)
def test_validators_accept_each_target(tmp_path: Path, modality: str, unit: str) -> None:
    source = source_series(modality, folder=tmp_path / "source")
    for path in (tmp_path / "source").iterdir():
        assert iod_errors(path) == []
    write_answer(tmp_path / "answer", source, unit)
    for path in sorted((tmp_path / "answer").iterdir())[::4]:
        assert iod_errors(path) == []
        assert missing_attributes(path) == []
    assert entity_complaints(tmp_path.rglob("*.dcm")) == ""


@pytest.mark.parametrize(("modality", "unit"), TARGETS[1:])
def test_other_readers_find_each_target_where_it_is(
    tmp_path: Path, modality: str, unit: str
) -> None:
    source = source_series(modality, directions=SIDES["oblique"])
    data = answer_values(source.shape, unit)
    write_answer(tmp_path / "answer", source, unit, data)
    tolerance = 0.0 if unit == "HU" else float(np.abs(data).max()) * 2e-5
    for reader in (by_dcm2niix, by_plastimatch):
        found = reader(tmp_path / "answer", tmp_path / reader.__name__)
        assert_same_volume(found, data, source.affine, tolerance=tolerance)


@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("side", SIDES)
def test_a_synthetic_ct_is_read_back_at_0_hu_with_every_flip(
    tmp_path: Path, side: str, flip: tuple[int, int, int]
) -> None:
    source = source_series("MR", directions=SIDES[side] * flip)
    data = answer_values(source.shape, "HU")
    write_answer(tmp_path / "answer", source, "HU", data)
    for reader in (by_dcm2niix, by_plastimatch):
        found = reader(tmp_path / "answer", tmp_path / reader.__name__)
        assert_same_volume(found, data, source.affine)
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


def test_a_straightened_source_is_referred_to_as_a_whole(tmp_path: Path) -> None:
    source = source_series("MR", directions=SIDES["oblique"])
    affine = source.affine.copy()
    affine[:3, 2] *= 0.5
    straight = replace(source, affine=affine, shape=(11, 9, 9), straightened=True)
    data = answer_values(straight.shape, "HU")
    write_answer(tmp_path / "answer", straight, "HU", data)
    images = read_files(tmp_path / "answer")
    assert len(images) == 9
    for image in images:
        references = image.SourceImageSequence
        assert len(references) == len(source.frames)
        assert {item.SpatialLocationsPreserved for item in references} == {"NO"}
        assert image.DerivationCodeSequence[0].CodeMeaning == "Spatial resampling"
        assert "resampled onto an even, upright grid" in image.DerivationDescription
        assert float(image.SliceThickness) == pytest.approx(2.3 / 2)
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []
    found = by_dcm2niix(tmp_path / "answer", tmp_path / "nifti")
    assert_same_volume(found, data, affine)


@pytest.mark.parametrize("numbered", ["along", "against"])
def test_a_straightened_answer_is_numbered_as_its_source(tmp_path: Path, numbered: str) -> None:
    source = source_series("MR")
    affine = source.affine.copy()
    affine[:3, 2] *= 0.5
    straight = replace(source, affine=affine, shape=(11, 9, 9), straightened=True)
    if numbered == "against":
        for index, frame in enumerate(source.frames):
            frame.header.InstanceNumber = 9 - index
    data = answer_values(straight.shape, "HU")
    write_answer(tmp_path / "answer", straight, "HU", data)
    heights = [float(one.ImagePositionPatient[2]) for one in read_files(tmp_path / "answer")]
    assert heights == sorted(heights, reverse=numbered == "against")
    assert_same_volume(by_dcm2niix(tmp_path / "answer", tmp_path / "nifti"), data, affine)


@pytest.mark.real
@pytest.mark.parametrize(
    ("series", "unit"),
    [
        ("mr_mprage", "HU"),
        ("mr_sella/MR_SAG_T_1_63.121", "arbitrary"),
        ("pet_ct_patient/pet_ac", "Bq/ml"),
        ("pet_ct_patient/pet_ac", "SUV"),
        ("pet_ct_patient/ct", "HU"),
    ],
)
def test_answers_on_real_series(tmp_path: Path, real_data: Path, series: str, unit: str) -> None:
    folder = real_data / "dicom" / series
    original = read_series(folder)
    source = original.facts
    data = answer_values(source.shape, unit)
    written = write_answer(tmp_path / "answer", source, unit, data)
    assert written.clipped_voxels == 0
    for path in sorted((tmp_path / "answer").iterdir())[::40]:
        assert iod_errors(path) == []
    said = entity_complaints([*folder.rglob("*.dcm"), *(tmp_path / "answer").iterdir()])
    assert not [line for line in said.splitlines() if "Error" in line and "answer" in line]
    tolerance = 0.0 if unit == "HU" else float(np.abs(data).max()) * 2e-5
    # Slices of the real PET/CT lie up to 0.014 mm beside an even spacing, and dcm2niix goes by the
    # first gap: 0.04 mm at the last slice, for the answer as for its source.
    place_mm = 0.05 if series.startswith("pet_ct") else 1e-3
    for reader in (by_dcm2niix, by_plastimatch):
        found = reader(tmp_path / "answer", tmp_path / reader.__name__)
        assert_same_volume(found, data, source.affine, tolerance=tolerance, place_mm=place_mm)
    again = read_series(tmp_path / "answer")
    assert again.unit == unit
    assert_same_volume((again.data, again.facts.affine), data, source.affine, tolerance=tolerance)


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_an_enhanced_source_gives_an_answer_for_each_of_its_frames(
    tmp_path: Path, modality: str
) -> None:
    slices, _ = make_slices(modality, shape=SHAPE, directions=SIDES["oblique"])
    save_series(tmp_path / "source", [enhance(slices)])
    source = read_series(tmp_path / "source").facts
    data = answer_values(source.shape, "HU")
    write_answer(tmp_path / "answer", source, "HU", data)
    numbers = []
    for path in sorted((tmp_path / "answer").iterdir()):
        assert iod_errors(path) == []
        (reference,) = pydicom.dcmread(path).SourceImageSequence
        numbers.append(reference.ReferencedFrameNumber - 1)
    assert numbers == [frame.number for frame in source.frames]
    assert sorted(numbers) != numbers
    assert entity_complaints(tmp_path.rglob("*.dcm")) == ""
    found = by_dcm2niix(tmp_path / "answer", tmp_path / "nifti")
    assert_same_volume(found, data, source.affine)
