from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, make_slices, save_series, set_pixels
from dicom_frames import frames_in
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medgen.dicom.layout import Layout
from medgen.dicom.padding import Padding, is_tissue, padding_of, replacement, spread_by_loss
from medgen.dicom.pixels import Pixels, read_pixels
from medgen.limits import Limits

_SHAPE = (14, 10, 4)

_SIGNED = Layout(1, 4, 16, 16, 15, signed=True)
_UNSIGNED = Layout(1, 4, 16, 12, 11, signed=False)
_HU = (1.0, -1024.0)


def header(value: int | None, kind: str = "SS", limit: int | None = None) -> Dataset:
    found = Dataset()
    for keyword, number in (("PixelPaddingValue", value), ("PixelPaddingRangeLimit", limit)):
        if number is not None:
            found.add_new(keyword, kind, number)
    return found


@pytest.mark.parametrize(
    ("value", "kind", "layout", "expected"),
    [
        (-2000, "SS", _SIGNED, -2000),
        (63536, "US", _SIGNED, -2000),
        (-2000, "SS", _UNSIGNED, 63536),
        (4095, "US", _UNSIGNED, 4095),
        (-5, "SS", Layout(1, 4, 32, 32, 31, signed=True), -5),
    ],
)
def test_the_sign_is_that_of_the_pixels(
    value: int, kind: str, layout: Layout, expected: int
) -> None:
    assert padding_of(header(value, kind), layout) == Padding(expected, expected)


def test_no_padding() -> None:
    assert padding_of(Dataset(), _SIGNED) is None
    assert padding_of(header(None, limit=-5), _SIGNED) is None


@pytest.mark.parametrize("ends", [(-2000, -1500), (-1500, -2000)])
def test_a_range_in_either_direction(ends: tuple[int, int]) -> None:
    padding = padding_of(header(ends[0], limit=ends[1]), _SIGNED)
    assert padding == Padding(-2000, -1500)
    stored = np.array([[-2001, -2000, -1500, -1499]], dtype=np.int16)
    found = padding.mask(stored.view(np.uint16), stored, _SIGNED)
    assert found.tolist() == [[False, True, True, False]]


def test_a_padding_above_the_stored_bits_is_looked_for_before_masking() -> None:
    words = np.array([[0xF830, 0x0830, 0x0001, 0xF001]], dtype=np.uint16)
    padding = padding_of(header(63536, "US"), _UNSIGNED)
    assert padding is not None
    found = padding.mask(words, _UNSIGNED.stored_values(words), _UNSIGNED)
    assert found.tolist() == [[True, False, False, False]]


def test_a_padding_among_the_stored_bits_is_looked_for_after_masking() -> None:
    words = np.array([[0x8005, 0x0005, 0x0006, 0x8006]], dtype=np.uint16)
    found = Padding(5, 5).mask(words, _UNSIGNED.stored_values(words), _UNSIGNED)
    assert found.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize(
    ("padding", "modality", "rescale", "expected"),
    [
        (Padding(-2000, -2000), "CT", (1.0, 0.0), -1024),
        (Padding(0, 0), "CT", _HU, -1024),
        (Padding(24, 24), "CT", _HU, -1024),
        (Padding(25, 25), "CT", _HU, None),
        (Padding(0, 0), "CT", (1.0, 0.0), None),
        (Padding(32767, 32767), "CT", _HU, -1024),
        (Padding(-3000, 10), "CT", (1.0, 0.0), None),
        (Padding(-2000, -2000), "MR", (1.0, 0.0), 0),
        (Padding(0, 0), "MR", (1.0, 0.0), None),
        (Padding(5, 5), "PT", (-2.0, 0.0), 0),
        (Padding(-5, 5), "MR", (1.0, 0.0), None),
    ],
)
def test_what_padding_becomes(
    padding: Padding, modality: str, rescale: tuple[float, float], expected: int | None
) -> None:
    assert replacement(padding, modality, rescale) == expected
    assert is_tissue(padding, modality, rescale) == (modality == "CT" and expected is None)


@pytest.mark.parametrize(
    ("padding", "rescale", "expected"),
    [
        (-2000, _HU, Padding(-32768, -1000)),
        (-3024, (1.0, 0.0), Padding(-32768, -2024)),
        (-1512, (2.0, 0.0), Padding(-32768, -1012)),
        (0, _HU, Padding(0, 0)),
        (2000, (-1.0, 0.0), Padding(2000, 2000)),
    ],
)
def test_loss_spreads_padding_below_air(
    padding: int, rescale: tuple[float, float], expected: Padding
) -> None:
    assert spread_by_loss(Padding(padding, padding), rescale, _SIGNED) == expected


def test_a_lossy_ct_of_others_has_only_its_field_of_view_left() -> None:
    (frame,) = frames_in(Path(get_testdata_file("693_J2KI.dcm", download=False)))
    pixels = read_pixels([frame], limits=Limits())
    assert [note.code for note in pixels.notes] == ["W_PADDING", "W_LOSSY"]
    assert pixels.valid is not None
    # The field of view is the circle in the square, whose edge alone rings.
    assert (~pixels.valid).mean() == pytest.approx(1 - np.pi / 4, abs=0.01)
    assert pixels.data.min() >= -2024
    assert (pixels.data < -1200).mean() < 0.01


def padded(folder: Path, modality: str, value: Any, **more: Any) -> Pixels:
    """Return what is read of a series with stored values 100 to 227 and one padded corner."""
    slices: list[Dataset] = make_slices(modality, shape=_SHAPE)[0]
    for one in slices:
        raw = (100 + np.arange(140) % 128).reshape(10, 14).astype(np.int16)
        raw[:3, :4] = -2000
        set_pixels(one, raw)
        one.add_new("PixelPaddingValue", "SS", value)
        for keyword, other in more.items():
            setattr(one, keyword, other)
    save_series(folder, slices)
    return read_pixels(frames_in(folder), limits=Limits())


def test_padding_of_ct_is_air_and_not_valid(tmp_path: Path) -> None:
    pixels = padded(tmp_path, CT, -2000, RescaleIntercept="-24")
    assert pixels.valid is not None
    expected = np.ones(_SHAPE, dtype=bool)
    expected[:4, :3] = False
    np.testing.assert_array_equal(pixels.valid, expected)
    assert (pixels.data[~expected] == -1024).all()
    assert pixels.data[expected].min() == 100 - 24
    (note,) = pixels.notes
    assert note.code == "W_PADDING"
    assert f"{12 * 4} voxels" in note.message


def test_padding_of_others_is_zero_only_where_it_is_below(tmp_path: Path) -> None:
    below = padded(tmp_path / "below", MR, -2000)
    assert below.valid is not None
    assert (below.data[:4, :3] == 0).all()
    assert not below.valid[:4, :3].any()
    zero = padded(tmp_path / "zero", MR, 100)
    assert zero.valid is None
    assert not zero.notes


def test_a_padding_that_no_voxel_has_is_not_noted(tmp_path: Path) -> None:
    pixels = padded(tmp_path, MR, -3000)
    assert pixels.valid is None
    assert not pixels.notes


def test_a_padding_that_tissue_has_is_noted_and_kept(tmp_path: Path) -> None:
    pixels = padded(tmp_path, CT, 150, RescaleIntercept="1000")  # the corner is -1000
    assert pixels.valid is None
    assert (pixels.data == 150 + 1000).any()
    assert [note.code for note in pixels.notes] == ["W_PADDING"]


def test_what_no_ct_measures_is_padding_whatever_the_header_says(tmp_path: Path) -> None:
    pixels = padded(tmp_path, CT, -999, RescaleIntercept="-1024")  # the corner is -3024
    expected = np.ones(_SHAPE, dtype=bool)
    expected[:4, :3] = False
    np.testing.assert_array_equal(pixels.valid, expected)
    assert (pixels.data[~expected] == -1024).all()
    assert pixels.data[expected].min() == 100 - 1024
    assert [note.code for note in pixels.notes] == ["W_PADDING"]


def test_a_range_of_paddings(tmp_path: Path) -> None:
    pixels = padded(tmp_path, CT, -1999, RescaleIntercept="0", PixelPaddingRangeLimit=-2001)
    assert pixels.valid is not None
    assert (~pixels.valid).sum() == 12 * 4
