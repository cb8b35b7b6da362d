"""Every transfer syntax, decoded to the values that were encoded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dicom_encoding as syntaxes
import numpy as np
import pydicom
import pytest
from dicom_corpus import CT, MR, make_slices, save_series, set_pixels
from dicom_enhanced import enhance
from dicom_frames import frames_in
from dicom_htj2k import CODESTREAMS, VALUES
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, get_frame
from pydicom.pixels import apply_rescale

from medgen.dicom.padding import AIR_HU, LEAST_HU
from medgen.dicom.pixels import Pixels, read_pixels
from medgen.limits import Limits
from medgen.problems import Refusal

JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
J2K = "1.2.840.10008.1.2.4.91"
HTJ2K_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
_SHAPE = (48, 40, 3)
_RNG = np.random.default_rng(5)

NATIVE_SYNTAXES = (syntaxes.IMPLICIT, syntaxes.EXPLICIT, syntaxes.BIG_ENDIAN, syntaxes.DEFLATED)
LOSSLESS = (syntaxes.RLE, syntaxes.JPEG_LS, syntaxes.J2K_LOSSLESS)
LOSSLESS_JPEG = (syntaxes.JPEG_LOSSLESS, syntaxes.JPEG_LOSSLESS_FIRST)


def stored(bits: int, *, signed: bool = False, shape: tuple[int, ...] = _SHAPE) -> NDArray[Any]:
    """Return random stored values (X, Y, Z) that use the whole range of their bits."""
    low, high = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    values = _RNG.integers(low, high, shape)
    values.flat[:2] = low, high - 1
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2 if bits <= 16 else 4}"
    return values.astype(kind)


def slices_of(values: NDArray[Any], bits: int) -> list[Dataset]:
    """Return MR slices without rescale of these stored values."""
    slices, _ = make_slices(MR, shape=values.shape)
    for index, one in enumerate(slices):
        one.file_meta.TransferSyntaxUID = syntaxes.EXPLICIT
        del one.RescaleSlope, one.RescaleIntercept
        set_pixels(one, values[:, :, index].T, bits=bits)
    return slices


def read(folder: Path) -> Pixels:
    return read_pixels(frames_in(folder), limits=Limits())


def assert_read(folder: Path, values: NDArray[Any]) -> Pixels:
    pixels = read(folder)
    assert pixels.data.shape == values.shape
    np.testing.assert_array_equal(pixels.data, values)
    return pixels


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [5, 8, 12, 16])
def test_native(tmp_path: Path, syntax: str, bits: int, *, signed: bool) -> None:
    values = stored(bits, signed=signed)
    save_series(tmp_path, slices_of(values, bits), syntax=syntax)
    assert_read(tmp_path, values)


@pytest.mark.parametrize("syntax", [syntaxes.IMPLICIT, syntaxes.EXPLICIT])
@pytest.mark.parametrize("signed", [False, True])
def test_native_words_of_32_bits(tmp_path: Path, syntax: str, *, signed: bool) -> None:
    values = stored(20, signed=signed)
    assert values.dtype.itemsize == 4
    save_series(tmp_path, slices_of(values, 20), syntax=syntax)
    assert assert_read(tmp_path, values).data.dtype == np.int32


def test_big_endian_words_of_32_bits(tmp_path: Path) -> None:
    values = stored(20)
    slices = slices_of(values, 20)
    for one in slices:
        one.PixelData = np.frombuffer(one.PixelData, "<u4").astype(">u4").tobytes()
    save_series(tmp_path, slices, syntax=syntaxes.BIG_ENDIAN)
    assert_read(tmp_path, values)


@pytest.mark.parametrize("rows", [15, 16])
def test_big_endian_bytes_in_words_are_swapped_in_pairs(tmp_path: Path, rows: int) -> None:
    values = stored(8, shape=(23, rows, 3))
    slices = slices_of(values, 8)
    for one in slices:
        pairs = np.frombuffer(one.PixelData, "<u2")
        one["PixelData"].VR = "OW"
        one.PixelData = pairs.astype(">u2").tobytes()
    save_series(tmp_path, slices, syntax=syntaxes.BIG_ENDIAN)
    assert_read(tmp_path, values)


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless(tmp_path: Path, syntax: str, bits: int, *, signed: bool) -> None:
    values = stored(bits, signed=signed)
    save_series(tmp_path, slices_of(values, bits), syntax=syntax)
    assert_read(tmp_path, values)


@pytest.mark.parametrize("syntax", LOSSLESS_JPEG)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg(tmp_path: Path, syntax: str, bits: int) -> None:
    values = stored(bits)
    save_series(tmp_path, slices_of(values, bits), syntax=syntax)
    assert_read(tmp_path, values)


def test_lossless_jpeg_of_signed_values(tmp_path: Path) -> None:
    """JPEG knows no sign: two's complement travels as unsigned numbers."""
    values = stored(12, signed=True)
    slices = slices_of((values & 0x0FFF).astype(np.uint16), 12)
    for one in slices:
        one.PixelRepresentation = 0
    save_series(tmp_path, slices, syntax=syntaxes.JPEG_LOSSLESS_FIRST)
    patch(tmp_path, b"\x28\x00\x03\x01US\x02\x00\x00\x00", b"\x28\x00\x03\x01US\x02\x00\x01\x00")
    assert_read(tmp_path, values)


@pytest.mark.parametrize(
    ("syntax", "bits"), [(syntaxes.JPEG_BASELINE, 8), (syntaxes.JPEG_EXTENDED, 12)]
)
def test_jpeg_of_constant_blocks_is_exact(tmp_path: Path, syntax: str, bits: int) -> None:
    blocks = stored(bits, shape=(3, 2, 3))
    values = np.kron(blocks, np.ones((8, 8, 1), blocks.dtype))
    save_series(tmp_path, slices_of(values, bits), syntax=syntax)
    pixels = assert_read(tmp_path, values)
    assert [note.code for note in pixels.notes] == ["W_LOSSY"]


@pytest.mark.parametrize("allowed", [1, 3])
def test_near_lossless_jpeg_ls_is_within_its_bound(tmp_path: Path, allowed: int) -> None:
    values = stored(12)
    slices = slices_of(values, 12)
    for one in slices:
        one.compress(JPEG_LS_NEAR, jls_error=allowed, generate_instance_uid=False)
    save_series(tmp_path, slices, syntax=JPEG_LS_NEAR)
    pixels = read(tmp_path)
    worst = np.abs(pixels.data - values.astype(int)).max()
    assert 0 < worst <= allowed
    assert [note.code for note in pixels.notes] == ["W_LOSSY"]


def test_lossy_jpeg_2000_is_close(tmp_path: Path) -> None:
    i, j, k = np.indices((64, 48, 2))
    values = (2000 + 1500 * np.sin(i / 9) * np.cos(j / 7) + 100 * k).astype(np.uint16)
    slices = slices_of(values, 12)
    for one in slices:
        one.compress(J2K, j2k_cr=[4], generate_instance_uid=False)
        one.LossyImageCompression = "01"
    save_series(tmp_path, slices, syntax=J2K)
    pixels = read(tmp_path)
    worst = np.abs(pixels.data - values.astype(int)).max()
    assert 0 < worst < 40
    assert [note.code for note in pixels.notes] == ["W_LOSSY"]


@pytest.mark.parametrize("syntax", [syntaxes.HTJ2K_LOSSLESS, HTJ2K_RPCL, HTJ2K])
def test_htj2k(tmp_path: Path, syntax: str) -> None:
    slices = slices_of(VALUES.astype(np.uint16), 16)
    for one, stream in zip(slices, CODESTREAMS, strict=True):
        syntaxes.encapsulate_frames(one, [stream], syntax)
    save_series(tmp_path, slices, syntax=syntax)
    assert_read(tmp_path, VALUES)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_expb.dcm",
    ],
)
def test_files_of_others_agree(name: str) -> None:
    def values(one: str) -> NDArray[Any]:
        return read(Path(get_testdata_file(one, download=False))).data

    plain = values("MR_small.dcm")
    assert plain.shape == (64, 64, 1)
    assert (int(plain.min()), int(plain.max())) == (127, 2145)
    np.testing.assert_array_equal(values(name), plain)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("JPGExtended.dcm", syntaxes.JPEG_EXTENDED),
        ("JPEG2000.dcm", J2K),
        ("JPEGLSNearLossless_16.dcm", JPEG_LS_NEAR),
        ("693_J2KI.dcm", J2K),
    ],
)
def test_lossy_files_of_others_are_as_pydicom_has_them(name: str, syntax: str) -> None:
    path = Path(get_testdata_file(name, download=False))
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    (frame,) = frames_in(path)
    frame.header.pop("PixelPaddingValue", None)
    pixels = read_pixels([frame], limits=Limits())
    assert "W_LOSSY" in [note.code for note in pixels.notes]
    expected = apply_rescale(dataset.pixel_array, dataset)
    if frame.header.get("Modality") == "CT":
        expected = np.where(expected < LEAST_HU, AIR_HU, expected)
    np.testing.assert_array_equal(pixels.data[:, :, 0].T, expected)


def test_a_file_that_no_decoder_likes_is_refused() -> None:
    """Its scan header contradicts the sequential process (pydicom's README of test files)."""
    with pytest.raises(Refusal) as refusal:
        read(Path(get_testdata_file("JPEG-lossy.dcm", download=False)))
    assert [problem.code for problem in refusal.value.problems] == ["E_PIXEL_DATA"]


@pytest.mark.parametrize("syntax", [syntaxes.EXPLICIT, syntaxes.J2K_LOSSLESS, syntaxes.RLE])
def test_frames_of_one_file_may_be_asked_for_in_any_order(tmp_path: Path, syntax: str) -> None:
    slices, truth = make_slices(CT, shape=_SHAPE)
    save_series(tmp_path, [enhance(slices, shuffled=False)], syntax=syntax)
    frames = frames_in(tmp_path)
    pixels = read_pixels([frames[2], frames[0]], limits=Limits())
    np.testing.assert_array_equal(pixels.data, truth.values[:, :, [2, 0]])


def frames_as(pack: Callable[[list[bytes]], bytes]) -> Callable[[Dataset, list[bytes]], None]:
    def place(one: Dataset, streams: list[bytes]) -> None:
        one.PixelData = pack(streams)

    return place


def extended(one: Dataset, streams: list[bytes]) -> None:
    one.PixelData, one.ExtendedOffsetTable, one.ExtendedOffsetTableLengths = encapsulate_extended(
        streams
    )


@pytest.mark.parametrize(
    "place",
    [
        frames_as(lambda streams: encapsulate(streams, has_bot=True)),
        frames_as(lambda streams: encapsulate(streams, has_bot=False)),
        frames_as(lambda streams: encapsulate(streams, fragments_per_frame=3, has_bot=True)),
        extended,
    ],
)
def test_frames_may_be_told_apart_in_every_way(
    tmp_path: Path, place: Callable[[Dataset, list[bytes]], None]
) -> None:
    slices, truth = make_slices(CT, shape=_SHAPE)
    whole = enhance(slices, shuffled=False)
    streams = []
    for one in slices:
        one.file_meta.TransferSyntaxUID = syntaxes.EXPLICIT
        one.compress(syntaxes.JPEG_LS, generate_instance_uid=False)
        streams.append(get_frame(one.PixelData, 0, number_of_frames=1))
    place(whole, streams)
    whole["PixelData"].VR, whole["PixelData"].is_undefined_length = "OB", True
    save_series(tmp_path, [whole], syntax=syntaxes.JPEG_LS)
    np.testing.assert_array_equal(read(tmp_path).data, truth.values)


@pytest.mark.parametrize("change", [-1, 1])
@pytest.mark.parametrize("syntax", [syntaxes.JPEG_LS, syntaxes.RLE, syntaxes.EXPLICIT])
def test_as_many_frames_as_the_header_says(tmp_path: Path, syntax: str, change: int) -> None:
    slices, _ = make_slices(CT, shape=_SHAPE)
    whole = enhance(slices)
    save_series(tmp_path, [whole], syntax=syntax)
    frames = frames_in(tmp_path)
    for frame in frames:
        frame.instance.header.NumberOfFrames = len(frames) + change
    with pytest.raises(Refusal) as refusal:
        read_pixels(frames[:2], limits=Limits())
    code = "E_PIXEL_DATA" if change < 0 else "E_TRUNCATED"
    assert [problem.code for problem in refusal.value.problems] == [code]


def patch(folder: Path, old: bytes, new: bytes) -> None:
    """Replace bytes in all files of a folder, once in each."""
    for path in folder.iterdir():
        content = path.read_bytes()
        assert content.count(old) == 1
        path.write_bytes(content.replace(old, new))
