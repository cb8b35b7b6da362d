"""The acceptance list of hard DICOM series: what is read, what is refused, and how both are told.

A row is a name, what it takes to make the series, and what must come of it. Values and places are
exact, refusals have just these codes, and no message holds anything of a header.
"""

import re
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import dicom_ambiguous as ambiguous
import dicom_encoding as syntaxes
import dicom_hard_files as files
import dicom_hard_geometry as geometry
import dicom_hard_values as values
import numpy as np
import pytest
from dicom_corpus import CORONAL, CT, MR, OBLIQUE, PT, SAGITTAL, Builder, Truth, make_series
from dicom_truth import assert_discreet, assert_exact, assert_holds_none, assert_near, story_of

from medgen.dicom.choice import Choice
from medgen.dicom.reading import digest_of_series, read_series
from medgen.problems import Refusal


def plain(modality: str = CT, **how: Any) -> Builder:
    return lambda folder: make_series(folder, modality, **how)


NOTHING = Choice()
READ: list[tuple[str, Builder, Choice, list[str]]] = [
    # case, builder, choice, notes
    ("CT", plain(), NOTHING, []),
    ("MR", plain(MR), NOTHING, []),
    ("PET", plain(PT), NOTHING, []),
    ("sagittal", plain(directions=SAGITTAL), NOTHING, []),
    ("coronal", plain(directions=CORONAL), NOTHING, []),
    ("oblique", plain(MR, directions=OBLIQUE), NOTHING, []),
    ("slices against the normal", plain(directions=OBLIQUE * (1, 1, -1)), NOTHING, []),
    ("reversed numbering", geometry.reversed_numbering, NOTHING, []),
    ("no InstanceNumber", values.without("InstanceNumber"), NOTHING, []),
    ("per-slice PET slope", values.slope_per_slice, NOTHING, []),
    ("mixed intercept", values.mixed_intercept, NOTHING, []),
    ("unsigned 12 bits, -1024", values.twelve_bits, NOTHING, []),
    ("overlay in high bits", values.overlay_in_high_bits(signed=False), NOTHING, []),
    ("overlay over the sign", values.overlay_in_high_bits(signed=True), NOTHING, []),
    ("PixelPadding -2000", values.padded, NOTHING, ["W_PADDING"]),
    ("duplicate file, byte-equal", ambiguous.copied, NOTHING, ["W_COPIES"]),
    ("localizer in series", ambiguous.localizer, NOTHING, ["W_LOCALIZER"]),
    ("lone coronal plane", ambiguous.stray_plane, NOTHING, ["W_LOCALIZER"]),
    ("blank UIDs", values.without("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"),
     NOTHING, []),
    ("two echoes, the first", ambiguous.echoes(), Choice(echo=1), []),
    ("two echoes, the second", ambiguous.echoes(second=True), Choice(echo=2), []),
    ("echoes without numbers", ambiguous.echoes(second=True, numbered=False), Choice(echo=2), []),
    ("two phases, the first", ambiguous.phases(), Choice(phase=1), []),
    ("two phases, the second", ambiguous.phases(second=True), Choice(phase=2), []),
    ("phases by AcquisitionNumber",
     ambiguous.phases(second=True, named="AcquisitionNumber"), Choice(phase=2), []),
    ("two series, by number", ambiguous.two_series(second=True), Choice(series="8"), []),
    ("two series, by UID",
     ambiguous.two_series(second=True), Choice(series=ambiguous.second_series_uid()), []),
    ("implicit", files.encoded("IMPLICIT"), NOTHING, []),
    ("deflated", files.encoded("DEFLATED"), NOTHING, []),
    ("big endian", files.encoded("BIG_ENDIAN"), NOTHING, []),
    ("RLE", files.encoded("RLE"), NOTHING, []),
    ("JPEG-LS", files.encoded("JPEG_LS"), NOTHING, []),
    ("J2K", files.encoded("J2K_LOSSLESS"), NOTHING, []),
    ("HTJ2K", files.htj2k, NOTHING, []),
    ("JPEG lossless, predictor 1", files.encoded("JPEG_LOSSLESS_FIRST"), NOTHING, []),
    ("JPEG lossless, predictor 4", files.encoded("JPEG_LOSSLESS"), NOTHING, []),
    ("JPEG baseline", files.lossy_jpeg(8), NOTHING, ["W_LOSSY"]),
    ("JPEG extended, 12 bits", files.lossy_jpeg(12), NOTHING, ["W_LOSSY"]),
    ("enhanced CT", ambiguous.multi_frame(CT), NOTHING, []),
    ("enhanced MR", ambiguous.multi_frame(MR), NOTHING, []),
    ("enhanced PET", ambiguous.multi_frame(PT), NOTHING, []),
    ("enhanced, geometry per frame",
     ambiguous.multi_frame(MR, geometry_per_frame=True), NOTHING, []),
    ("enhanced, in two files", ambiguous.multi_frame(CT, files=2), NOTHING, []),
    ("enhanced, RLE", ambiguous.multi_frame(CT, syntax=syntaxes.RLE), NOTHING, []),
    ("enhanced, J2K", ambiguous.multi_frame(MR, syntax=syntaxes.J2K_LOSSLESS), NOTHING, []),
    ("enhanced, big endian", ambiguous.multi_frame(CT, syntax=syntaxes.BIG_ENDIAN), NOTHING, []),
    ("enhanced, two echoes", ambiguous.echoes(second=True, enhanced=True), Choice(echo=2), []),
    ("legacy converted CT", ambiguous.legacy_converted(CT), NOTHING, []),
    ("legacy converted MR", ambiguous.legacy_converted(MR), NOTHING, []),
    ("legacy converted PET", ambiguous.legacy_converted(PT), NOTHING, []),
    ("no extension, in a tree", files.without_suffix, NOTHING, []),
    ("no preamble", files.without_preamble, NOTHING, []),
    ("among reports and texts", files.among_others, NOTHING, ["W_OTHER_FILES"]),
]  # fmt: skip

STRAIGHTENED: list[tuple[str, Builder, float]] = [
    # case, builder, interpolation error in HU
    ("gantry tilt", geometry.tilted, 4.0),
    ("missing slice", geometry.missing_slice, 13.0),
    ("variable spacing", geometry.variable_spacing, 6.0),
    ("tilt and gaps of 4 and 7 mm", geometry.tilted_with_gaps, 8.0),
]

TRUNCATED = ["E_TRUNCATED"]
REFUSED: list[tuple[str, Builder, Choice, list[str]]] = [
    # case, builder, choice, codes
    ("gantry tilt", geometry.tilted, NOTHING, ["E_GANTRY_TILT"]),
    ("missing slice", geometry.missing_slice, NOTHING, ["E_NONUNIFORM_SPACING"]),
    ("variable spacing", geometry.variable_spacing, NOTHING, ["E_NONUNIFORM_SPACING"]),
    ("tilt and gaps of 4 and 7 mm", geometry.tilted_with_gaps, NOTHING,
     ["E_GANTRY_TILT", "E_NONUNIFORM_SPACING"]),
    ("duplicate slice, new UID", ambiguous.duplicated(same_uid=False, same_pixels=False),
     NOTHING, ["E_DUPLICATE_SLICE"]),
    ("same pixels, new UID", ambiguous.duplicated(same_uid=False, same_pixels=True),
     NOTHING, ["E_DUPLICATE_SLICE"]),
    ("same UID, other pixels", ambiguous.duplicated(same_uid=True, same_pixels=False),
     NOTHING, ["E_DUPLICATE_SLICE"]),
    ("same UID, other syntax", ambiguous.copied_in_another_syntax,
     NOTHING, ["E_DUPLICATE_SLICE"]),
    ("two echoes", ambiguous.echoes(), NOTHING, ["E_SEVERAL_ECHOES"]),
    ("two echoes, a third chosen", ambiguous.echoes(), Choice(echo=3), ["E_NO_ECHO"]),
    ("enhanced, two echoes", ambiguous.echoes(enhanced=True), NOTHING, ["E_SEVERAL_ECHOES"]),
    ("two phases", ambiguous.phases(), NOTHING, ["E_SEVERAL_PHASES"]),
    ("phases by AcquisitionNumber", ambiguous.phases(named="AcquisitionNumber"),
     NOTHING, ["E_SEVERAL_PHASES"]),
    ("two phases, a third chosen", ambiguous.phases(), Choice(phase=3), ["E_NO_PHASE"]),
    ("two series", ambiguous.two_series(), NOTHING, ["E_SEVERAL_SERIES"]),
    ("two series, a third chosen", ambiguous.two_series(), Choice(series="77"), ["E_NO_SERIES"]),
    ("Siemens mosaic", values.mosaic, NOTHING, ["E_MOSAIC"]),
    ("MONOCHROME1", values.saying(PhotometricInterpretation="MONOCHROME1"),
     NOTHING, ["E_MONOCHROME1"]),
    ("truncated pixel data", files.truncated, NOTHING, TRUNCATED),
    ("truncated codestream", files.truncated_codestream, NOTHING, TRUNCATED),
    ("0-byte file", files.empty_file(), NOTHING, ["E_EMPTY_FILE"]),
    ("0-byte file, no extension", files.empty_file("IM00099"), NOTHING, ["E_EMPTY_FILE"]),
    ("no position, no orientation",
     values.without("ImagePositionPatient", "ImageOrientationPatient"), NOTHING, ["E_NO_POSITION"]),
    ("no PixelSpacing", values.without("PixelSpacing"), NOTHING, ["E_NO_POSITION"]),
    ("FrameOfReference per slice", geometry.frames_of_reference, NOTHING, ["E_FRAME_OF_REFERENCE"]),
    ("a single slice", geometry.one_slice, NOTHING, ["E_TOO_FEW_SLICES"]),
    ("slices in a fan", geometry.fanned, NOTHING, ["E_ORIENTATION"]),
    ("rows askew to columns", geometry.skewed_cosines, NOTHING, ["E_ORIENTATION"]),
    ("a slice of other rows", geometry.odd_slice_shape, NOTHING, ["E_SLICE_SHAPE"]),
    ("CT without intercept", values.without("RescaleIntercept"), NOTHING, ["E_RESCALE"]),
    ("PET without slope", values.without("RescaleSlope", modality=PT), NOTHING, ["E_RESCALE"]),
    ("PET in ml/g", values.saying(PT, Units="MLG"), NOTHING, ["E_PET_UNITS"]),
    ("SUV of counts", values.saying(PT, Units="CNTS"), Choice(unit="SUV"), ["E_SUV"]),
    ("SUV without a weight", values.without("PatientWeight", modality=PT),
     Choice(unit="SUV"), ["E_SUV"]),
    ("several faults at once", values.many_faults,
     NOTHING, ["E_MONOCHROME1", "E_NO_POSITION", "E_RESCALE"]),
]  # fmt: skip

UNITS = {CT: "HU", MR: "arbitrary", PT: "Bq/ml"}


def ids(rows: list[Any]) -> list[str]:
    return [row[0] for row in rows]


@pytest.mark.parametrize(("case", "build", "choice", "notes"), READ, ids=ids(READ))
def test_read(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    case: str,
    build: Builder,
    choice: Choice,
    notes: list[str],
) -> None:
    truth, folder = made(build, tmp_path)
    capfd.readouterr()
    series = read_series(folder, choice)
    assert_exact(truth, series)
    assert series.unit == UNITS[series.facts.modality]
    assert [note.code for note in series.notes] == notes
    assert_discreet(series.notes, besides=[tmp_path.name])
    assert ("E_NO_IDENTITY" in [one.code for one in series.facts.identity]) == ("blank" in case)
    assert not series.facts.straightened
    assert digest_of_series(folder, choice) == series.digest
    assert_holds_none("".join(capfd.readouterr()), [tmp_path.name])


def test_positions_rounded_by_the_scanner(tmp_path: Path) -> None:
    truth, folder = made(geometry.jittered, tmp_path)
    series = read_series(folder)
    assert_exact(truth, series, place_mm=0.01)
    assert not series.notes


@pytest.mark.parametrize(("case", "build", "within"), STRAIGHTENED, ids=ids(STRAIGHTENED))
def test_straightened(tmp_path: Path, case: str, build: Builder, within: float) -> None:
    truth, folder = made(build, tmp_path)
    series = read_series(folder, Choice(straighten=True))
    assert_near(truth, series, within=within)
    assert series.facts.straightened
    assert np.isfinite(series.data).all()
    assert_discreet(series.notes, besides=[tmp_path.name])


@pytest.mark.parametrize(("case", "build", "choice", "codes"), REFUSED, ids=ids(REFUSED))
def test_refused(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    case: str,
    build: Builder,
    choice: Choice,
    codes: list[str],
) -> None:
    _, folder = made(build, tmp_path)
    capfd.readouterr()
    with pytest.raises(Refusal) as caught:
        read_series(folder, choice)
    assert sorted(problem.code for problem in caught.value.problems) == sorted(codes)
    assert_discreet(caught.value.problems, besides=[tmp_path.name])
    assert_holds_none(story_of(caught.value))
    assert_holds_none("".join(capfd.readouterr()), [tmp_path.name])
    assert re.fullmatch("[0-9a-f]{64}", digest_of_series(folder, choice))


SAID: list[tuple[str, Builder, Choice, list[str]]] = [
    # what a refusal must say, so that the user can act
    ("gap", geometry.missing_slice, NOTHING, ["2.5", "5", "--straighten"]),
    ("tilt", geometry.tilted, NOTHING, ["17", "--straighten"]),
    ("echoes", ambiguous.echoes(), NOTHING, ["EchoTime", "12.5", "80", "--echo"]),
    ("phases", ambiguous.phases(), NOTHING, ["TemporalPosition", "--phase"]),
    ("acquisitions", ambiguous.phases(named="AcquisitionNumber"), NOTHING, ["Acquisition"]),
    ("series", ambiguous.two_series(), NOTHING, ["3", "8", "CT", "MR", "10 files", "--series"]),
    ("weight", values.without("PatientWeight", modality=PT), Choice(unit="SUV"), ["PatientWeight"]),
]


@pytest.mark.parametrize(("case", "build", "choice", "words"), SAID, ids=ids(SAID))
def test_what_refusals_say(
    tmp_path: Path, case: str, build: Builder, choice: Choice, words: list[str]
) -> None:
    _, folder = made(build, tmp_path)
    with pytest.raises(Refusal) as caught:
        read_series(folder, choice)
    text = str(caught.value)
    assert [word for word in words if word not in text] == []


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("none")
    with pytest.raises(Refusal, match="E_NO_SERIES"):
        read_series(tmp_path)


def test_a_deflated_bomb_costs_little_memory(tmp_path: Path) -> None:
    _, folder = made(files.deflate_bomb, tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal, match="E_PIXEL_DATA"):
            read_series(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 200 << 20


def test_one_enhanced_file_may_be_named_itself(tmp_path: Path) -> None:
    truth, folder = made(ambiguous.multi_frame(CT), tmp_path)
    (path,) = folder.iterdir()
    assert_exact(truth, read_series(path))


def made(build: Builder, tmp_path: Path) -> tuple[Truth, Path]:
    folder = tmp_path / "series"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is made wrong on purpose
        return build(folder), folder
