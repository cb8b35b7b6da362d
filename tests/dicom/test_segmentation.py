from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from derived_sources import DERIVATION, FLIPS, SHAPE, SIDES, source_series
from dicom_corpus import CANARIES
from dicom_judges import entity_complaints, iod_errors, missing_attributes
from numpy.typing import NDArray

from medgen.dicom.frames import SeriesFacts
from medgen.dicom.segmentation import write_segmentation
from medgen.dicom.writing import digest_of_folder
from medgen.problems import Refusal

NAMES = {0: "background", 2: "lesion", 5: "white matter"}


def some_labels(seed: int = 0) -> NDArray[np.uint8]:
    labels = np.random.default_rng(seed).choice([0, 0, 2, 5], SHAPE).astype(np.uint8)
    labels[:, :, 1] = 0
    return labels


def write(folder: Path, source: SeriesFacts, labels: NDArray[np.uint8], **how: Any) -> Any:
    how = {"affine": source.affine, "names": NAMES, "derivation": DERIVATION, **how}
    return write_segmentation(folder, labels, source=source, **how)


def read(folder: Path) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """Return the object, and by highdicom its segments (Z, Y, X) and LPS affine of (z, y, x)."""
    (path,) = folder.iterdir()
    segmentation = highdicom.seg.segread(path)
    volume = segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    return segmentation, volume.array, volume.affine


@pytest.mark.parametrize("modality", ["MR", "CT", "PT"])
def test_validators_accept_it(tmp_path: Path, modality: str) -> None:
    source = source_series(modality, folder=tmp_path / "source")
    write(tmp_path / "answer", source, some_labels())
    path = tmp_path / "answer" / "0001.dcm"
    assert iod_errors(path) == []
    assert missing_attributes(path) == []
    assert entity_complaints(tmp_path.rglob("*.dcm")) == ""


def test_it_is_valid_of_a_source_that_names_no_body_part(tmp_path: Path) -> None:
    source = source_series("MR")
    for frame in source.frames:
        del frame.header.BodyPartExamined
        frame.header.Laterality = "L"
    write(tmp_path / "answer", source, some_labels())
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []


@pytest.mark.parametrize("side", SIDES)
def test_highdicom_finds_every_voxel_where_it_is(tmp_path: Path, side: str) -> None:
    _round_trip(tmp_path, SIDES[side])


@pytest.mark.slow
@pytest.mark.parametrize("flip", FLIPS)
@pytest.mark.parametrize("side", SIDES)
def test_highdicom_finds_every_voxel_with_every_flip(
    tmp_path: Path, side: str, flip: tuple[int, int, int]
) -> None:
    _round_trip(tmp_path, SIDES[side] * flip)


def _round_trip(folder: Path, directions: NDArray[Any]) -> None:
    source, labels = source_series("MR", directions=directions), some_labels()
    write(folder / "answer", source, labels)
    _, segments, lps = read(folder / "answer")
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
    indices = np.argwhere(labels > 0)
    world = indices @ source.affine[:3, :3].T + source.affine[:3, 3]
    there = (world - ras[:3, 3]) @ np.linalg.inv(ras[:3, :3]).T
    nearest = np.rint(there).astype(int)
    apart = (nearest - there) @ ras[:3, :3].T
    assert np.linalg.norm(apart, axis=1).max() < 1e-3
    assert np.array_equal(segments[tuple(nearest.T)], np.where(labels[labels > 0] == 2, 1, 2))
    assert np.count_nonzero(segments) == np.count_nonzero(labels)


def test_segments_are_numbered_without_gaps_and_named(tmp_path: Path) -> None:
    write(tmp_path / "answer", source_series("MR"), some_labels())
    made, _, _ = read(tmp_path / "answer")
    assert [item.SegmentNumber for item in made.SegmentSequence] == [1, 2]
    assert [item.SegmentLabel for item in made.SegmentSequence] == ["lesion", "white matter"]
    kinds = [item.SegmentedPropertyTypeCodeSequence[0] for item in made.SegmentSequence]
    assert [kind.CodeMeaning for kind in kinds] == ["Lesion", "Tissue"]
    assert made.SegmentationType == "BINARY"
    assert made.SyntheticData == "YES"
    assert made.SeriesDescription.endswith("RESEARCH USE ONLY")
    assert made.SeriesNumber == 2003


def test_each_frame_points_to_its_source(tmp_path: Path) -> None:
    source = source_series("MR")
    write(tmp_path / "answer", source, some_labels())
    made, _, _ = read(tmp_path / "answer")
    by_position = {
        tuple(frame.header.ImagePositionPatient): frame.header.SOPInstanceUID
        for frame in source.frames
    }
    for groups in made.PerFrameFunctionalGroupsSequence:
        (item,) = groups.DerivationImageSequence[0].SourceImageSequence
        position = tuple(groups.PlanePositionSequence[0].ImagePositionPatient)
        assert item.ReferencedSOPInstanceUID == by_position[position]
        assert item.SpatialLocationsPreserved == "YES"
    (series,) = made.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.frames[0].header.SeriesInstanceUID
    assert len(series.ReferencedInstanceSequence) == len(source.frames)


def test_a_straightened_source_is_referred_to_as_a_whole(tmp_path: Path) -> None:
    source = source_series("MR", directions=SIDES["oblique"])
    affine = source.affine.copy()
    affine[:3, 2] *= 0.8
    straight = replace(source, affine=affine, straightened=True)
    write(tmp_path / "answer", straight, some_labels())
    path = tmp_path / "answer" / "0001.dcm"
    assert iod_errors(path) == []
    made = pydicom.dcmread(path)
    assert {item.SpatialLocationsPreserved for item in made.SourceImageSequence} == {"NO"}
    meanings = [item.CodeMeaning for item in made.DerivationCodeSequence]
    assert meanings == ["Segmentation", "Spatial resampling"]
    assert "resampled onto an even, upright grid" in made.DerivationDescription


def test_the_same_labels_give_the_same_bytes_and_others_other_uids(tmp_path: Path) -> None:
    source = source_series("MR")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, source, some_labels(seed))
    assert digest_of_folder(tmp_path / "a") == digest_of_folder(tmp_path / "b")
    first, other = (read(tmp_path / name)[0] for name in ("a", "c"))
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.SeriesInstanceUID != other.SeriesInstanceUID


def test_labels_without_a_voxel_are_written_too_and_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "answer", source_series("MR"), np.zeros(SHAPE, np.uint8))
    assert caplog.records == []
    assert iod_errors(tmp_path / "answer" / "0001.dcm") == []
    _, segments, _ = read(tmp_path / "answer")
    assert not segments.any()


def test_values_without_a_name_are_refused(tmp_path: Path) -> None:
    labels = some_labels()
    labels[0, 0, 0] = 9
    source = source_series("MR")
    with pytest.raises(Refusal, match=r"E_LABEL_VALUES: .* 1 values without a name: \[9\]"):
        write(tmp_path / "answer", source, labels)
    with pytest.raises(Refusal, match="E_LABEL_VALUES: no class"):
        write(tmp_path / "answer", source, some_labels() * 0, names={0: "background"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_reads_back_wrong_is_never_given_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pydicom.dcmwrite

    def damaging(path: Path, dataset: Any, **options: Any) -> None:
        dataset.PixelData = bytes(len(dataset.PixelData))
        whole(path, dataset, **options)

    monkeypatch.setattr("pydicom.dcmwrite", damaging)
    with pytest.raises(Refusal, match="E_READ_BACK"):
        write(tmp_path / "answer", source_series("MR"), some_labels())
    assert list(tmp_path.iterdir()) == []


def test_highdicom_is_told_nothing_of_the_patient(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    write(tmp_path / "answer", source_series("MR"), some_labels())
    harmless = ("2.25.", "script")  # new UIDs, and "Description"
    assert caplog.text
    assert not any(word in caplog.text for word in CANARIES if word not in harmless)
