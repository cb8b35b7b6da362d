"""The generator of test series is itself judged by readers and validators of others."""

import warnings
from pathlib import Path

import dicom_ambiguous as ambiguous
import dicom_hard_files as files
import dicom_hard_geometry as geometry
import dicom_hard_values as values
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_corpus import CORONAL, CT, MR, OBLIQUE, PT, SAGITTAL, Builder, make_series
from dicom_truth import assert_same_places
from external_tools import require_tool, run_tool

# As dcm2niix, which reads these rightly (others of the corpus are there because it does not).
READABLE: dict[str, Builder] = {
    "CT": lambda folder: make_series(folder, CT),
    "oblique MR": lambda folder: make_series(folder, MR, directions=OBLIQUE),
    "sagittal CT": lambda folder: make_series(folder, CT, directions=SAGITTAL),
    "coronal PET": lambda folder: make_series(folder, PT, directions=CORONAL),
    "slope per slice": values.slope_per_slice,
    "mixed intercept": values.mixed_intercept,
    "twelve bits": values.twelve_bits,
    "overlay": values.overlay_in_high_bits(signed=False),
    "overlay over the sign": values.overlay_in_high_bits(signed=True),
    "reversed numbering": geometry.reversed_numbering,
    "tilted CT": geometry.tilted,
    "implicit": files.encoded("IMPLICIT"),
    "big endian": files.encoded("BIG_ENDIAN"),
    "RLE": files.encoded("RLE"),
    "JPEG-LS": files.encoded("JPEG_LS"),
    "J2K": files.encoded("J2K_LOSSLESS"),
    "JPEG lossless": files.encoded("JPEG_LOSSLESS_FIRST"),
    "JPEG lossless, predictor 4": files.encoded("JPEG_LOSSLESS"),
    "JPEG baseline": files.lossy_jpeg(8),
    "HTJ2K": files.htj2k,
    "without preamble": files.without_preamble,
    "localizer": ambiguous.localizer,
    "echoes": ambiguous.echoes(),
    "enhanced echoes": ambiguous.echoes(enhanced=True),
    "enhanced CT": ambiguous.multi_frame(CT),
    "enhanced MR": ambiguous.multi_frame(MR),
    "enhanced PET": ambiguous.multi_frame(PT),
    "legacy converted PET": ambiguous.legacy_converted(PT),
}


@pytest.mark.parametrize("name", READABLE)
def test_dcm2niix_finds_the_truth(tmp_path: Path, name: str) -> None:
    tool = require_tool("dcm2niix")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = READABLE[name](tmp_path / "series")
    (tmp_path / "out").mkdir()
    run_tool([tool, "-b", "n", "-f", "x%s", "-o", tmp_path / "out", tmp_path / "series"])
    first = sorted((tmp_path / "out").glob("*.nii"))[0]  # what it made besides sorts behind
    image = nibabel.load(first)
    places = assert_same_places(truth, image.affine, image.shape)
    np.testing.assert_allclose(image.get_fdata(), truth.values[places], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("build", [files.lossy_jpeg(12), files.encoded("DEFLATED")])
def test_simpleitk_finds_the_truth(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], build: Builder
) -> None:
    truth = build(tmp_path / "series")
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "series")))
    assert np.array_equal(sitk.GetArrayFromImage(image).T, truth.values)
    capfd.readouterr()  # it grumbles while it tries its 8-bit decoder first


@pytest.mark.parametrize("modality", [CT, MR, PT])
def test_the_plain_headers_are_valid(tmp_path: Path, modality: str) -> None:
    tool = require_tool("dciodvfy")
    make_series(tmp_path / "series", modality)
    told = run_tool([tool, tmp_path / "series" / "IM00001.dcm"])
    assert [line for line in told.stderr.splitlines() if line.startswith("Error")] == []
    assert "Image" in told.stderr, "it judged nothing"
