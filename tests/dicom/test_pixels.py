import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, make_slices, raw_pixels, save_series, set_pixels
from dicom_encoding import DEFLATED, EXPLICIT, JPEG_LS
from dicom_frames import frame_of, frames_in
from pydicom.data import get_testdata_file

from medgen.dicom.pixels import Pixels, pixel_problems, read_pixels
from medgen.limits import Limits
from medgen.problems import Refusal

_SHAPE = (14, 10, 4)
_LIMITS = Limits()


def read(folder: Path) -> Pixels:
    return read_pixels(frames_in(folder), limits=_LIMITS)


def codes_of(folder: Path, *, headers: bool) -> list[str]:
    """Return the codes of a refused series, whether headers alone show them, or only reading."""
    frames = frames_in(folder)
    found = [problem.code for problem in pixel_problems(frames, _LIMITS)]
    with pytest.raises(Refusal) as refusal:
        read_pixels(frames, limits=_LIMITS)
    read = [problem.code for problem in refusal.value.problems]
    assert found == (read if headers else [])
    return read


def changed(folder: Path, modality: str = CT, syntax: str = EXPLICIT, **attributes: Any) -> Path:
    slices, _ = make_slices(modality, shape=_SHAPE)
    for one in slices:
        for keyword, value in attributes.items():
            if value is None:
                delattr(one, keyword)
            else:
                setattr(one, keyword, value)
    save_series(folder, slices, syntax=syntax)
    return folder


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"),
    [
        (1, -1024, np.int16),
        (1, -40000, np.int16),
        (1, [-1024, 0, -1000, 5], np.int16),
        (1, [-1024.5, 0, 0, 0], np.float32),
        ([1, 1, 1.5, 1], -1024, np.float32),
        ([0.5, 0.25, 2, 1], [0, 1, 2, 3], np.float32),
        (-1, 0, np.float32),
    ],
)
def test_each_frame_has_its_own_rescale(
    tmp_path: Path, slope: Any, intercept: Any, kind: type
) -> None:
    slices, truth = make_slices(CT, shape=_SHAPE, slope=slope, intercept=intercept, stored="int32")
    save_series(tmp_path, slices)
    pixels = read(tmp_path)
    assert pixels.data.dtype == kind
    np.testing.assert_allclose(pixels.data, truth.values, rtol=1e-7)
    assert pixels.valid is None
    assert not pixels.notes


def test_values_widen_only_where_they_must(tmp_path: Path) -> None:
    slices, _ = make_slices(MR, shape=_SHAPE, stored="uint32")
    for index, large in ((2, 60_000), (3, 4_000_000_000)):
        raw = raw_pixels(slices[index])
        raw[2, 3] = large
        set_pixels(slices[index], raw)
    save_series(tmp_path, slices)
    frames = frames_in(tmp_path)
    for count, kind in ((2, np.int16), (3, np.int32), (4, np.float32)):
        data = read_pixels(frames[:count], limits=_LIMITS).data
        assert data.dtype == kind
        for index in range(count):
            np.testing.assert_array_equal(data[:, :, index].T, raw_pixels(slices[index]))


def test_float_values_are_computed_in_double_precision(tmp_path: Path) -> None:
    slices, _ = make_slices(PT, shape=_SHAPE, slope=[0.1, 1 / 3, 7e-5, 12345.678], stored="int32")
    save_series(tmp_path, slices)
    data = read(tmp_path).data
    for index, one in enumerate(slices):
        exact = raw_pixels(one).T.astype(np.float64) * float(one.RescaleSlope)
        np.testing.assert_array_equal(data[:, :, index], exact.astype(np.float32))


def test_the_order_given_is_the_order_of_the_third_axis(tmp_path: Path) -> None:
    slices, truth = make_slices(MR, shape=_SHAPE)
    save_series(tmp_path, slices)
    frames = frames_in(tmp_path)[::-1]
    np.testing.assert_array_equal(
        read_pixels(frames, limits=_LIMITS).data, truth.values[:, :, ::-1]
    )


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    slices, _ = make_slices(MR, shape=_SHAPE)
    paths = save_series(tmp_path, slices)
    assert read(tmp_path).digest_by_path == {
        path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths
    }


def test_mr_without_rescale_is_as_stored_and_with_it_rescaled(tmp_path: Path) -> None:
    slices, _ = make_slices(MR, shape=_SHAPE)
    stored = np.stack([raw_pixels(one).T for one in slices], axis=2)
    changed(tmp_path / "plain", MR, RescaleSlope=None, RescaleIntercept=None)
    np.testing.assert_array_equal(read(tmp_path / "plain").data, stored)
    changed(tmp_path / "scaled", MR, RescaleSlope="2", RescaleIntercept="-3")
    np.testing.assert_array_equal(read(tmp_path / "scaled").data, stored * 2.0 - 3)


def test_private_scale_factors_of_mr_are_not_applied(tmp_path: Path) -> None:
    slices, truth = make_slices(MR, shape=_SHAPE)
    for one in slices:
        one.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 7)
    save_series(tmp_path, slices)
    np.testing.assert_array_equal(read(tmp_path).data, truth.values)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "E_MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "E_COLOUR"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "E_COLOUR"),
        ({"PhotometricInterpretation": None}, "E_COLOUR"),
        ({"BitsAllocated": 12}, "E_PIXEL_TYPE"),
        ({"BitsStored": 17}, "E_PIXEL_TYPE"),
        ({"HighBit": 16}, "E_PIXEL_TYPE"),
        ({"PixelRepresentation": None}, "E_PIXEL_TYPE"),
        ({"Rows": 0}, "E_PIXEL_TYPE"),
        ({"RescaleSlope": None}, "E_RESCALE"),
        ({"RescaleSlope": "0"}, "E_RESCALE"),
        ({"RescaleIntercept": ["1", "2"]}, "E_RESCALE"),
        ({"Rows": 2100}, "E_TRUNCATED"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "E_MOSAIC"),
    ],
)
def test_headers_alone_refuse(tmp_path: Path, attributes: dict[str, Any], code: str) -> None:
    found = codes_of(changed(tmp_path, **attributes), headers=True)
    assert code in found
    assert set(found) <= {code, "E_TOO_LARGE"}


def test_all_problems_are_collected(tmp_path: Path) -> None:
    changed(
        tmp_path,
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=17,
        RescaleSlope=None,
    )
    assert codes_of(tmp_path, headers=True) == ["E_MONOCHROME1", "E_PIXEL_TYPE", "E_RESCALE"]


@pytest.mark.parametrize("left", [0, 1, 100])
def test_a_file_shorter_than_its_pixels_is_refused_by_its_size(tmp_path: Path, left: int) -> None:
    changed(tmp_path)
    path = next(iter(tmp_path.iterdir()))
    frames = frames_in(tmp_path)
    path.write_bytes(path.read_bytes()[:left])
    (problem,) = pixel_problems(frames, _LIMITS)
    assert problem.code == "E_TRUNCATED"
    assert str(left) in problem.message
    assert str(2 * 14 * 10) in problem.message


@pytest.mark.parametrize("syntax", [EXPLICIT, DEFLATED, JPEG_LS])
@pytest.mark.parametrize("cut", [7, 150])
def test_a_file_cut_short_is_refused(tmp_path: Path, syntax: str, cut: int) -> None:
    changed(tmp_path, syntax=syntax)
    path = sorted(tmp_path.iterdir())[2]
    frames = frames_in(tmp_path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(Refusal) as refusal:
        read_pixels(frames, limits=_LIMITS)
    (problem,) = refusal.value.problems
    assert problem.code == "E_TRUNCATED"
    assert str(tmp_path) not in str(problem)


def test_a_truncated_file_of_others_is_refused() -> None:
    path = Path(get_testdata_file("MR_truncated.dcm", download=False))
    assert codes_of(path, headers=False) == ["E_TRUNCATED"]


@pytest.mark.parametrize("name", ["rows", "longer"])
def test_more_pixels_than_the_header_says_are_refused(tmp_path: Path, name: str) -> None:
    slices, _ = make_slices(CT, shape=_SHAPE)
    for one in slices:
        if name == "rows":
            one.Rows -= 1
        else:
            one.PixelData = one.PixelData + b"\1\2"
    save_series(tmp_path, slices)
    assert codes_of(tmp_path, headers=False) == ["E_PIXEL_DATA"]


@pytest.mark.parametrize("padding", [1, 2, 26])
def test_padding_bytes_are_tolerated(tmp_path: Path, padding: int) -> None:
    slices, truth = make_slices(CT, shape=_SHAPE)
    for one in slices:
        one.PixelData = one.PixelData + b"\0" * padding
    save_series(tmp_path, slices)
    np.testing.assert_array_equal(read(tmp_path).data, truth.values)


def test_bytes_of_an_odd_image_are_padded(tmp_path: Path) -> None:
    slices, _ = make_slices(MR, shape=(7, 5, 3))
    values = np.arange(105, dtype=np.uint8).reshape(7, 5, 3)
    for index, one in enumerate(slices):
        set_pixels(one, values[:, :, index].T)
        assert len(one.PixelData) == 36
    save_series(tmp_path, slices)
    np.testing.assert_array_equal(read(tmp_path).data, values)


def test_files_that_changed_since_their_headers_were_read_are_refused(tmp_path: Path) -> None:
    changed(tmp_path)
    frames = frames_in(tmp_path)
    changed(tmp_path, BitsStored=12, HighBit=11)
    with pytest.raises(Refusal) as refusal:
        read_pixels(frames, limits=_LIMITS)
    assert [problem.code for problem in refusal.value.problems] == ["E_PIXEL_DATA"]


def test_files_that_vanished_are_refused(tmp_path: Path) -> None:
    changed(tmp_path)
    frames = frames_in(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(Refusal) as refusal:
        read_pixels(frames, limits=_LIMITS)
    assert [problem.code for problem in refusal.value.problems] == ["E_UNREADABLE"]


def test_frames_of_different_size_are_refused(tmp_path: Path) -> None:
    save_series(tmp_path, make_slices(CT, shape=_SHAPE)[0])
    save_series(tmp_path, make_slices(CT, shape=(14, 11, 4))[0], first=9)
    assert codes_of(tmp_path, headers=False) == ["E_SLICE_SHAPE"]


def test_values_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    changed(tmp_path, RescaleSlope="1e36")
    assert codes_of(tmp_path, headers=False) == ["E_RESCALE"]


def test_limits_hold_before_anything_is_read(tmp_path: Path) -> None:
    frames = frames_in(changed(tmp_path))
    (problem,) = pixel_problems(frames, Limits(voxels=500))
    assert problem.code == "E_TOO_LARGE"


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_pixels_are_refused(tmp_path: Path, keyword: str) -> None:
    slices, _ = make_slices(CT, shape=_SHAPE)
    for one in slices:
        size = 4 if keyword.startswith("F") else 8
        setattr(one, keyword, b"\0" * (14 * 10 * size))
        del one.PixelData
    save_series(tmp_path, slices)
    assert codes_of(tmp_path, headers=False) == ["E_PIXEL_TYPE"]


def test_nothing_to_read_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no frames"):
        read_pixels([], limits=_LIMITS)


def test_header_only_frames_can_be_judged() -> None:
    header = make_slices(CT, shape=_SHAPE)[0][0]
    header.file_meta.TransferSyntaxUID = JPEG_LS
    assert not pixel_problems([frame_of(header)], _LIMITS)
