from pathlib import Path

import numpy as np
import pydicom
import pytest
from derived_sources import DERIVATION, source_series, valid_slices, write_answer
from pydicom.dataset import Dataset

from medgen.dicom.parametric_map import write_parametric_map
from medgen.dicom.segmentation import write_segmentation
from medgen.dicom.writing import digest_of_folder, is_own_folder, write_folder
from medgen.problems import Refusal


def always(index: int, dataset: Dataset) -> bool:
    return True


def test_files_are_named_in_order_and_each_is_verified(tmp_path: Path) -> None:
    seen = []

    def verify(index: int, dataset: Dataset) -> bool:
        assert not (tmp_path / "answer").exists()
        seen.append((index, int(dataset.InstanceNumber)))
        return True

    digest, names = write_folder(tmp_path / "answer", valid_slices("CT"), verify)
    assert names == ("0001.dcm", "0002.dcm", "0003.dcm", "0004.dcm", "0005.dcm")
    assert seen == [(index, index + 1) for index in range(5)]
    assert digest == digest_of_folder(tmp_path / "answer")


def test_the_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    for name, files in {
        "a": {"1": b"x", "2": b"y"},
        "same": {"2": b"y", "1": b"x"},
        "renamed": {"1": b"x", "3": b"y"},
        "changed": {"1": b"x", "2": b"z"},
        "fewer": {"1": b"x"},
    }.items():
        (tmp_path / name).mkdir()
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
    digests = {path.name: digest_of_folder(path) for path in tmp_path.iterdir()}
    assert digests["a"] == digests["same"]
    assert len(set(digests.values())) == 4


def test_a_folder_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refusal, match="E_UNWRITABLE: the series cannot be written"):
        write_folder(tmp_path / "file" / "answer", valid_slices("CT"), always)


def test_a_series_replaces_a_longer_one_wholly(tmp_path: Path) -> None:
    for count in (5, 3):
        write_folder(tmp_path / "answer", valid_slices("CT")[:count], always)
        assert len(list((tmp_path / "answer").iterdir())) == count


def test_values_that_are_not_verified_are_refused(tmp_path: Path) -> None:
    def third_is_wrong(index: int, dataset: Dataset) -> bool:
        return index != 2

    with pytest.raises(Refusal, match="E_READ_BACK: file 3 read back differs"):
        write_folder(tmp_path / "answer", valid_slices("CT"), third_is_wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_back_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path, dataset: Dataset, **options: object) -> None:
        Path(path).write_bytes(b"\0" * 128 + b"DICM" + b"\x02\x00")

    monkeypatch.setattr("pydicom.dcmwrite", torn)
    with pytest.raises(Refusal, match="E_READ_BACK: file 1"):
        write_folder(tmp_path / "answer", valid_slices("CT"), pixels)
    assert list(tmp_path.iterdir()) == []


def pixels(index: int, dataset: Dataset) -> bool:
    return bool(dataset.PixelData)


def test_the_meta_information_is_written_anew(tmp_path: Path) -> None:
    slices = valid_slices("CT")
    slices[0].file_meta.SourceApplicationEntityTitle = "SPRINGFIELD"
    slices[0].preamble = b"SPRINGFIELD" + bytes(117)
    write_folder(tmp_path / "answer", slices, always)
    written = pydicom.dcmread(tmp_path / "answer" / "0001.dcm")
    assert "SourceApplicationEntityTitle" not in written.file_meta
    assert written.preamble == bytes(128)
    assert written.file_meta.MediaStorageSOPInstanceUID == written.SOPInstanceUID


def test_whatever_is_written_is_known_again_as_our_own(tmp_path: Path) -> None:
    source = source_series("MR", folder=tmp_path / "source")
    write_answer(tmp_path / "ct", source)
    labels = np.zeros(source.shape, np.uint8)
    labels[2, 2, 2] = 1
    how = {"source": source, "derivation": DERIVATION}
    write_segmentation(tmp_path / "seg", labels, source.affine, names={1: "lesion"}, **how)
    values = labels.astype(np.float32)
    write_parametric_map(tmp_path / "map", values, source.affine, quantity="residual", **how)
    for name in ("ct", "seg", "map"):
        assert is_own_folder(tmp_path / name)
    for number, file in enumerate(sorted((tmp_path / "source").iterdir())):
        file.rename(file.with_name(f"{number:04d}.dcm"))
    assert not is_own_folder(tmp_path / "source")
    (tmp_path / "ct" / "0003.dcm").write_bytes(b"torn")
    assert not is_own_folder(tmp_path / "ct")
    (tmp_path / "map" / "notes.txt").touch()
    assert not is_own_folder(tmp_path / "map")
    (tmp_path / "link").symlink_to(tmp_path / "seg")
    assert not is_own_folder(tmp_path / "link")
    assert not is_own_folder(tmp_path / "absent")
