from collections.abc import Callable
from pathlib import Path, PurePosixPath

from dicom_corpus import CT, MR, make_slices, save_series
from dicom_encoding import save
from dicom_enhanced import enhance

from medgen.discovery.headers import Headers, read_headers, series_below
from medgen.discovery.walking import walk

Series = Callable[..., Path]


def read(root: Path) -> Headers:
    return read_headers(root, walk(root).dicom)


def test_series_are_told_by_their_uid_and_not_by_folders(series: Series, tmp_path: Path) -> None:
    series("both", MR, seed=1)
    series("both", CT, seed=2, first=50)
    slices, _ = make_slices(MR, seed=3, shape=(8, 7, 6))
    save_series(tmp_path / "spread/one", slices[:3])
    save_series(tmp_path / "spread/two", slices[3:])
    found = read(tmp_path).series
    assert [(one.folder.as_posix(), one.slices, one.head.modality) for one in found] == [
        *(("both", 5, "MR"), ("both", 5, "CT"), ("spread", 6, "MR")),
    ]
    below = series_below(found)
    counted = {path: below[PurePosixPath(path)] for path in (".", "both", "spread", "spread/one")}
    assert counted == {".": 3, "both": 2, "spread": 1, "spread/one": 1}


def test_a_blank_modality_is_told_by_the_class_as_in_reading(
    series: Series, tmp_path: Path
) -> None:
    series("a", CT, Modality="")
    assert [one.head.modality for one in read(tmp_path).series] == ["CT"]


def test_blank_uids_are_told_by_folder(series: Series, tmp_path: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        series(folder, CT, seed=number, SeriesInstanceUID="")
    assert [one.folder.as_posix() for one in read(tmp_path).series] == ["a", "b"]


def test_voxels_are_measured_in_classic_and_enhanced_files(series: Series, tmp_path: Path) -> None:
    series("classic", MR, SpacingBetweenSlices="3")
    slices, _ = make_slices(MR, seed=1)
    save(enhance(slices), tmp_path / "enhanced.dcm")
    classic, enhanced = (one.head.voxel_mm3 for one in read(tmp_path).series)
    assert classic is not None
    assert abs(classic - 0.8 * 1.2 * 3) < 1e-9
    assert enhanced is not None
    assert abs(enhanced - 0.8 * 1.2 * 2.5) < 1e-9
    assert [one.slices for one in read(tmp_path).series] == [5, 10]


def test_objects_without_pixels_and_damage_are_kept_apart(series: Series, tmp_path: Path) -> None:
    series("ct", CT)
    slices, _ = make_slices(CT, seed=9, shape=(8, 7, 2))
    report = slices[0]
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(report, keyword)
    save(report, tmp_path / "report.dcm")
    (tmp_path / "torn.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    (tmp_path / "empty.dcm").write_bytes(b"")
    found = read(tmp_path)
    assert dict(found.objects) == {"report": [PurePosixPath("report.dcm")]}
    unread = {
        problem.code: [str(file) for file in files] for problem, files in found.unread.items()
    }
    assert unread == {"E_EMPTY_FILE": ["empty.dcm"], "E_BAD_HEADER": ["torn.dcm"]}


def test_impossible_values_are_missing_ones(series: Series, tmp_path: Path) -> None:
    series("a", MR)
    file = next((tmp_path / "a").iterdir())
    for other in list((tmp_path / "a").iterdir()):
        if other != file:
            other.unlink()
    data = file.read_bytes().replace(b"12.5", b"ab\\c").replace(b"500 ", b"1e9.")
    file.write_bytes(data)
    (one,) = read(tmp_path).series
    assert (one.head.echo_time_ms, one.head.repetition_time_ms) == (None, None)
    assert "JANE" not in repr(one.head)
    assert "MRN123" not in repr(one.head)
