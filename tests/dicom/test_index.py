import os
import tracemalloc
import zlib
from pathlib import Path

import pydicom
import pytest
from dicom_corpus import CT, MR, make_series, make_slices, save_series, uid
from dicom_encoding import DEFLATED, IMPLICIT, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from medgen.dicom.index import HeaderError, index_tree, read_header
from medgen.limits import Limits

LIMITS = Limits()
SMALL = (8, 6, 3)


def code_of(path: Path) -> str | None:
    try:
        return "" if read_header(path, limits=LIMITS) is not None else None
    except HeaderError as error:
        return error.problem.code


def unread_codes(folder: Path) -> list[str]:
    return [one.problem.code for one in index_tree(folder).unread]


def test_a_tree_becomes_series_by_header_alone(tmp_path: Path) -> None:
    make_series(tmp_path / "a", CT, shape=SMALL)
    slices, _ = make_slices(MR, shape=SMALL, seed=4)
    save_series(tmp_path / "a" / "b", slices[:2])
    save_series(tmp_path / "c", slices[2:])
    index = index_tree(tmp_path)
    found = [(one.uid, one.number, one.modality, len(one.instances)) for one in index.series]
    assert found == [(uid(CT, 0, "series"), 3, CT, 3), (uid(MR, 4, "series"), 7, MR, 3)]
    assert (index.unread, index.others) == ((), 0)


def test_a_series_without_modality_has_that_of_its_class(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    for one in slices:
        one.Modality = ""
    save_series(tmp_path, slices)
    (series,) = index_tree(tmp_path).series
    assert series.modality == CT


def test_one_file_is_an_index_too(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    (series,) = index_tree(sorted(tmp_path.iterdir())[0]).series
    assert len(series.instances) == 1


def test_without_series_uids_folders_are_series(tmp_path: Path) -> None:
    for name in ("a", "b"):
        slices, _ = make_slices(CT, shape=SMALL)
        for one in slices:
            one.SeriesInstanceUID = ""
        save_series(tmp_path / name, slices)
    assert [len(one.instances) for one in index_tree(tmp_path).series] == [3, 3]


def test_what_is_no_dicom_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x" * 500)
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".hidden.dcm").write_text("x")
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (tmp_path / ".folder").mkdir()
    (tmp_path / ".folder" / "a.dcm").touch()
    index = index_tree(tmp_path)
    assert (index.series, index.unread, index.others) == ((), (), 0)


@pytest.mark.parametrize("name", ["a.dcm", "IM0001", "1.2.840.17"])
def test_empty_files_are_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert unread_codes(tmp_path) == ["E_EMPTY_FILE"]


def test_a_text_named_as_dicom_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("Dear colleague, " * 50)
    assert unread_codes(tmp_path) == ["E_BAD_HEADER"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_forbidden_files_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_text("x")
    (tmp_path / "a.dcm").chmod(0)
    assert unread_codes(tmp_path) == ["E_UNREADABLE"]


def test_too_large_files_are_not_parsed(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    index = index_tree(tmp_path, limits=Limits(file_bytes=100))
    assert [one.problem.code for one in index.unread] == ["E_TOO_LARGE"] * 3


@pytest.mark.parametrize("syntax", [None, IMPLICIT, DEFLATED])
def test_a_header_that_breaks_off_is_never_taken_for_another_kind(
    tmp_path_factory: pytest.TempPathFactory, syntax: str | None
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    slices, _ = make_slices(CT, shape=SMALL)
    whole = folder / "whole.dcm"
    save(slices[0], whole, **({"syntax": syntax} if syntax else {}))
    content = whole.read_bytes()
    header = pydicom.dcmread(whole, stop_before_pixels=True)
    pixels = 2 * header.Rows * header.Columns

    @settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, len(content) - (10 if syntax == DEFLATED else pixels) - 20))
    def check(end: int) -> None:
        (folder / "cut").mkdir(exist_ok=True)
        (folder / "cut" / "a.dcm").write_bytes(content[:end])
        index = index_tree(folder / "cut")
        assert index.others == 0
        assert len(index.unread) + len(index.series) == 1
        if index.series:  # the break lies between two attributes, behind the image's size
            assert "Rows" in index.series[0].first

    check()


def test_a_deflated_file_cannot_grow_without_bounds(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    path = tmp_path / "bomb.dcm"
    save(slices[0], path, syntax=DEFLATED)
    content = path.read_bytes()
    end = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = b"\x09\x00\x01\x00OB\x00\x00" + (1 << 27).to_bytes(4, "little")
    packed = packer.compress(element) + packer.compress(bytes(1 << 27)) + packer.flush()
    path.write_bytes(content[:end] + packed)
    tracemalloc.start()
    code = code_of(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == "E_BAD_HEADER"
    assert peak < 1 << 27


def test_a_deflated_header_is_as_the_plain_one(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    save(slices[0], tmp_path / "a.dcm", syntax=DEFLATED)
    header = read_header(tmp_path / "a.dcm", limits=LIMITS)
    assert header is not None
    assert header.file_meta.TransferSyntaxUID == DEFLATED
    assert header.SOPInstanceUID == slices[0].SOPInstanceUID
    assert header.PixelSpacing == slices[0].PixelSpacing
    assert "PixelData" not in header


def test_a_number_that_is_none_is_no_number(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    save(slices[0], tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(
        content.replace(b" \x00\x11\x00IS\x02\x003 ", b" \x00\x11\x00IS\x02\x00x?")
    )
    (series,) = index_tree(tmp_path).series
    assert series.number is None


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    make_series(tmp_path / "real", CT, shape=SMALL)
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "loop").symlink_to(tmp_path)
    assert index_tree(tmp_path / "view").series == ()


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent"):
        index_tree(tmp_path / "absent")


def test_files_known_to_be_of_another_series_are_not_read_again(tmp_path: Path) -> None:
    make_series(tmp_path / "ct", shape=(4, 4, 3))
    make_series(tmp_path / "mr", "MR", shape=(4, 4, 3))
    by_modality = {one.modality: one.uid for one in index_tree(tmp_path).series}
    (one,) = index_tree(tmp_path, only=by_modality["MR"]).series
    assert (one.modality, len(one.instances)) == ("MR", 3)
    assert index_tree(tmp_path, only="1.2.3").series == ()
    # A file that was exchanged meanwhile is looked at anew.
    ours, theirs = (sorted((tmp_path / name).iterdir())[0] for name in ("mr", "ct"))
    theirs.write_bytes(ours.read_bytes() + b"\0\0")
    (one,) = index_tree(tmp_path, only=by_modality["MR"]).series
    assert len(one.instances) == 4


def test_the_beginning_of_a_preamble_is_a_lost_slice(tmp_path: Path) -> None:
    for name, content, lost in (
        ("IM1", bytes(100), True),
        ("IM2", bytes(128) + b"DI", True),
        ("IM3", b"text", False),
        ("zeros.raw", bytes(100), False),
    ):
        (tmp_path / name).write_bytes(content)
        if not lost:
            assert read_header(tmp_path / name, limits=Limits()) is None
            continue
        with pytest.raises(HeaderError) as caught:
            read_header(tmp_path / name, limits=Limits())
        assert caught.value.problem.code == "E_TRUNCATED"


def test_a_file_exchanged_in_place_is_read_again(tmp_path: Path) -> None:
    """Neither the time tells, which copies keep, nor the size, which slices share."""
    for name in ("a", "b"):
        slices, _ = make_slices(CT, shape=SMALL)
        for one in slices:
            one.SeriesInstanceUID = f"1.2.{name == 'a':d}"
        save_series(tmp_path / name, slices)
    assert len(index_tree(tmp_path).series) == 2
    ours, theirs = (sorted((tmp_path / name).iterdir())[0] for name in ("a", "b"))
    before = theirs.stat()
    theirs.write_bytes(ours.read_bytes())
    os.utime(theirs, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert theirs.stat().st_size == before.st_size
    (one,) = index_tree(tmp_path, only="1.2.1").series
    assert theirs in {instance.path for instance in one.instances}


@pytest.mark.parametrize("implicit", [True, False])
def test_a_slice_without_preamble_and_suffix_is_not_lost(tmp_path: Path, implicit: bool) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    for number, one in enumerate(slices):
        del one.file_meta
        pydicom.dcmwrite(tmp_path / f"IM{number}", one, implicit_vr=implicit, little_endian=True)
    (tmp_path / "README").write_bytes(b"\x08\x00 is how a data set may begin " + b"." * 200)
    (series,) = index_tree(tmp_path).series
    assert len(series.instances) == SMALL[2]


def test_a_file_of_zeros_is_a_lost_slice(tmp_path: Path) -> None:
    (tmp_path / "IM7").write_bytes(bytes(4000))
    (tmp_path / "zeros.raw").write_bytes(bytes(4000))
    assert unread_codes(tmp_path) == ["E_BAD_HEADER"]


def test_a_directory_of_any_name_is_no_image(tmp_path: Path) -> None:
    directory = Dataset()
    directory.FileSetID = "SET"
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.save_as(tmp_path / "DICOMDIR.dcm", enforce_file_format=True)
    index = index_tree(tmp_path)
    assert (index.series, index.unread, index.others) == ((), (), 1)
