import itertools
import re
import shutil
import time
from pathlib import Path
from typing import Any

import dicom_ambiguous as ambiguous
import dicom_hard_geometry as hard
import nibabel as nib
import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, each, make_series, make_slices, save_series, uid
from dicom_truth import assert_exact
from external_tools import require_tool, run_tool

from medgen.dicom import reading
from medgen.dicom.choice import Choice
from medgen.dicom.frames import Series
from medgen.dicom.index import index_tree
from medgen.dicom.reading import digest_of_series, examine, read_series
from medgen.limits import Limits
from medgen.problems import Problem, Refusal

SMALL = (8, 6, 4)
NOTHING = Choice()


def refused(path: Path, choice: Choice = NOTHING, **how: Any) -> tuple[Problem, ...]:
    with pytest.raises(Refusal) as caught:
        read_series(path, choice, **how)
    return caught.value.problems


def codes(problems: tuple[Problem, ...]) -> list[str]:
    return [problem.code for problem in problems]


def test_a_path_may_carry_the_choice(tmp_path: Path) -> None:
    truth = ambiguous.echoes(second=True)(tmp_path)
    assert_exact(truth, read_series(Choice(echo=2).at(tmp_path)))
    assert_exact(truth, read_series(Choice(echo=2).at(tmp_path), Choice(echo=1)))


def test_one_classic_file_is_refused_and_names_the_folder(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    (problem,) = refused(sorted(tmp_path.iterdir())[0])
    assert problem.code == "E_TOO_FEW_SLICES"
    assert "folder" in problem.advice


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    assert codes(refused(tmp_path / "absent")) == ["E_MISSING_FILE"]
    with pytest.raises(FileNotFoundError):
        digest_of_series(tmp_path / "absent")


def test_limits_hold_before_pixels_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    monkeypatch.setattr(reading, "read_pixels", lambda *_, **__: pytest.fail("pixels were read"))
    (problem,) = refused(tmp_path, limits=Limits(voxels=8 * 6 * 4 - 1))
    assert problem.code == "E_TOO_LARGE"
    assert "8 x 6 x 4" in problem.message


def test_limits_hold_for_what_is_straightened(tmp_path: Path) -> None:
    hard.tilted(tmp_path)
    choice = Choice(straighten=True)
    shape = read_series(tmp_path, choice).data.shape
    limits = Limits(voxels=int(np.prod(shape)) - 1)
    assert codes(refused(tmp_path, choice, limits=limits)) == ["E_TOO_LARGE"]


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=(8, 6, 6))
    del slices[2]
    for index, one in enumerate(slices):
        one.PhotometricInterpretation = "MONOCHROME1"
        one.FrameOfReferenceUID = uid("reference", index % 2)
        del one.RescaleIntercept
    save_series(tmp_path, slices)
    (tmp_path / "empty.dcm").touch()
    assert sorted(codes(refused(tmp_path))) == [
        "E_EMPTY_FILE",
        "E_FRAME_OF_REFERENCE",
        "E_MONOCHROME1",
        "E_NONUNIFORM_SPACING",
        "E_RESCALE",
    ]


def test_suv_scales_each_slice(tmp_path: Path) -> None:
    make_series(tmp_path, PT, shape=SMALL, slope=[0.5, 0.75, 1.0, 1.25])
    plain, suv = read_series(tmp_path), read_series(tmp_path, Choice(unit="SUV"))
    assert (plain.unit, suv.unit) == ("Bq/ml", "SUV")
    # 370 MBq at 09:17, the series an hour later, a half-life of 6586.2 s, 70 kg.
    factor = 70e3 / (370e6 * 2 ** (-3600 / 6586.2))
    np.testing.assert_allclose(suv.data, plain.data * factor, rtol=1e-6)
    assert suv.digest != plain.digest


def test_straightened_series_say_so(tmp_path: Path) -> None:
    hard.tilted(tmp_path)
    series = read_series(tmp_path, Choice(straighten=True))
    assert series.facts.straightened
    assert series.facts.shape == series.data.shape
    assert series.valid is not None
    assert (series.data[~series.valid] == -1024).all()
    (note,) = series.notes
    assert note.code == "W_STRAIGHTENED"
    assert "tilt 17 degrees, gaps from 2.5 to 2.5 mm, usually 2.5 mm" in note.message
    assert "0 of 10 slice positions are interpolated" in note.message
    assert "missing" not in note.message


def test_straight_series_stay_as_they_are(tmp_path: Path) -> None:
    truth = make_series(tmp_path, CT, shape=SMALL)
    series = read_series(tmp_path, Choice(straighten=True))
    assert_exact(truth, series)
    assert not series.facts.straightened
    assert not series.notes
    assert series.data.dtype == np.int16


def test_examining_reads_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = make_series(tmp_path, MR, shape=SMALL)
    monkeypatch.setattr(reading, "read_pixels", lambda *_, **__: pytest.fail("pixels were read"))
    found = examine(index_tree(tmp_path))
    assert found.facts is not None
    np.testing.assert_allclose(found.facts.affine, truth.affine, atol=1e-9)
    assert (found.facts.shape, found.facts.modality, found.unit) == (SMALL, MR, "arbitrary")
    assert (found.problems, found.notes) == ((), ())


@pytest.mark.parametrize(
    "keyword",
    [
        *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
        "FrameOfReferenceUID",
    ],
)
def test_blank_identity_is_read_and_told(tmp_path: Path, keyword: str) -> None:
    slices, truth = make_slices(CT, shape=SMALL)
    for one in slices:
        setattr(one, keyword, "")
    save_series(tmp_path, slices)
    series = read_series(tmp_path)
    assert_exact(truth, series)
    (problem,) = series.facts.identity
    assert problem.code == "E_NO_IDENTITY"
    assert keyword in problem.message


def test_two_studies_are_no_identity(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=SMALL)
    slices[0].StudyInstanceUID = uid("another")
    save_series(tmp_path, slices)
    assert codes(read_series(tmp_path).facts.identity) == ["E_NO_IDENTITY"]


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    make_series(tmp_path / "a", CT, shape=SMALL)
    (tmp_path / "b").mkdir()
    for number, path in enumerate(sorted((tmp_path / "a").iterdir(), reverse=True)):
        shutil.copy(path, tmp_path / "b" / f"{number}.ima")
    digest = read_series(tmp_path / "a").digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert read_series(tmp_path / "b").digest == digest
    make_series(tmp_path / "c", CT, shape=SMALL, seed=1)
    assert read_series(tmp_path / "c").digest != digest


@pytest.mark.parametrize(
    "choice", [Choice(), Choice(straighten=True), Choice(echo=1), Choice(phase=1)]
)
def test_the_digest_without_reading_is_the_same(tmp_path: Path, choice: Choice) -> None:
    make_series(tmp_path, MR, shape=SMALL)
    digest = read_series(tmp_path, choice).digest
    assert digest_of_series(tmp_path, choice) == digest
    others = [Choice(), Choice(straighten=True), Choice(echo=1), Choice(phase=1)]
    assert [digest_of_series(tmp_path, one) == digest for one in others].count(True) == 1


def test_the_digest_is_of_the_chosen_files(tmp_path: Path) -> None:
    ambiguous.two_series()(tmp_path)
    digest = digest_of_series(tmp_path, Choice(series="8"))
    for series in index_tree(tmp_path).series:
        if series.number != 8:
            series.instances[0].path.unlink()
    assert digest_of_series(tmp_path, Choice(series="8")) == digest


def test_the_digest_of_what_is_refused_changes_once_it_is_mended(tmp_path: Path) -> None:
    make_series(tmp_path, CT, shape=SMALL)
    (tmp_path / "empty.dcm").touch()
    before = digest_of_series(tmp_path)
    assert digest_of_series(tmp_path) == before
    (tmp_path / "empty.dcm").unlink()
    assert digest_of_series(tmp_path) == read_series(tmp_path).digest != before


# PROPCNTS: uncorrected PET is a source for corrected PET, but no activity.
REAL = {
    "pet_ct_patient/pet_nac": ("PT", "counts", (128, 128, 135)),
    "mr_sella/MR_COR_T_1_63.135": ("MR", "arbitrary", (512, 512, 20)),
    "mr_sella/MR_SAG_T_1_63.121": ("MR", "arbitrary", (512, 512, 13)),
    "mr_mprage": ("MR", "arbitrary", (256, 256, 128)),
    "pet_ct_patient/ct": ("CT", "HU", (512, 512, 135)),
    "pet_ct_patient/pet_ac": ("PT", "Bq/ml", (128, 128, 135)),
}


SLOW = ("mr_mprage", "pet_ct_patient/ct")


@pytest.mark.real
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in REAL]
)
def test_real_series_are_read_as_dcm2niix_reads_them(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    series = read_series(real_data / "dicom" / name)
    facts = series.facts
    assert (facts.modality, series.unit, facts.shape) == REAL[name]
    assert (facts.identity, facts.straightened) == ((), False)
    oracle = by_dcm2niix(real_data / "dicom" / name, tmp_path)
    # dcm2niix takes the first gap for all; one of this PET's is 0.02 mm wider than the others.
    assert_same_in_the_world(series, oracle, place_mm=0.05 if facts.modality == "PT" else 1e-3)
    for index in (0, -1):
        position = np.array(facts.frames[index].header.ImagePositionPatient, dtype=float)
        there = facts.affine @ (0, 0, range(facts.shape[2])[index], 1)
        np.testing.assert_allclose(there[:3], position * (-1, -1, 1), atol=1e-6)


@pytest.mark.real
def test_real_trees_and_gaps_are_refused(real_data: Path) -> None:
    folder = real_data / "dicom"
    (problem,) = refused(folder / "mr_sella")
    assert problem.code == "E_SEVERAL_SERIES"
    assert "number 2 (MR, 13 files), number 3 (MR, 20 files)" in problem.message
    assert read_series(folder / "mr_sella", Choice(series="3")).data.shape[2] == 20
    (problem,) = refused(folder / "mr_flair_uneven")
    assert problem.code == "E_NONUNIFORM_SPACING"
    assert "from 3 to 15 mm" in problem.message
    assert "--straighten" not in str(problem)
    (straightened,) = refused(folder / "mr_flair_uneven", Choice(straighten=True))
    assert straightened.code == "E_NONUNIFORM_SPACING"
    assert "--straighten does not fill gaps of more than 2 slices" in straightened.message


def by_dcm2niix(folder: Path, tmp_path: Path) -> Any:
    """Return the image that dcm2niix makes of a folder."""
    tool = require_tool("dcm2niix")
    result = run_tool([tool, "-b", "n", "-z", "n", "-f", "out", "-o", tmp_path, folder])
    assert result.returncode == 0
    said = (result.stdout + result.stderr).replace("Warning: Missing GE protocol data block", "")
    assert "warning" not in said.lower(), said
    (path,) = tmp_path.glob("*.nii")
    return nib.load(path)  # type: ignore[attr-defined]


def assert_same_in_the_world(series: Series, oracle: Any, *, place_mm: float) -> None:
    """Fail unless each voxel lies where one of the oracle's does, and has its value."""
    ends = np.array(list(itertools.product(*[(0, count - 1) for count in series.data.shape])))
    corners = np.concatenate([ends, np.ones((8, 1))], axis=1)
    places = corners @ (np.linalg.inv(oracle.affine) @ series.facts.affine).T
    whole = np.rint(places)
    assert np.linalg.norm((places - whole) @ oracle.affine.T, axis=1).max() < place_mm
    steps = np.rint((np.linalg.inv(oracle.affine) @ series.facts.affine)[:3, :3])
    axes = np.abs(steps).argmax(axis=0)
    values = np.asarray(oracle.dataobj).transpose(axes)
    flips = tuple(slice(None, None, int(steps[axes[axis], axis])) for axis in range(3))
    values = values[flips]
    assert values.shape == series.data.shape
    assert (whole.min(axis=0)[:3] == 0).all()
    if series.data.dtype.kind == "i":  # dcm2niix keeps what the scanner padded
        measured = np.ones(values.shape, dtype=bool) if series.valid is None else series.valid
        assert np.array_equal(series.data[measured], values[measured])
        assert (values[~measured] < -1500).all()
    else:
        np.testing.assert_allclose(series.data, values, rtol=2e-6, atol=1e-6)


@pytest.mark.slow
def test_reading_is_nearly_as_fast_as_simpleitk(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK")
    values = np.random.default_rng(0).integers(-1024, 3000, (512, 512, 160), dtype=np.int16)
    truth = make_series(
        tmp_path, CT, shape=(512, 512, 160), spacing=(1, 1, 1), values=values, stored="uint16"
    )

    def by_simpleitk() -> Any:
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
        return reader.Execute()

    taken: dict[str, list[float]] = {"medgen": [], "simpleitk": []}
    for _ in range(7):
        for name, read in (("medgen", lambda: read_series(tmp_path)), ("simpleitk", by_simpleitk)):
            start = time.process_time()  # of this process: others on this machine do not count
            read()
            taken[name].append(time.process_time() - start)
    np.testing.assert_array_equal(read_series(tmp_path).data, truth.values)
    assert min(taken["medgen"]) < 1.5 * min(taken["simpleitk"]), taken


def test_a_pet_shorter_than_it_counts_is_noted(tmp_path: Path) -> None:
    def counting(count: int) -> list[str]:
        folder = tmp_path / str(count)
        each(folder, PT, lambda one: setattr(one, "NumberOfSlices", count), shape=(6, 5, 4))
        return [note.code for note in read_series(folder).notes]

    assert counting(9) == ["W_FEWER_SLICES"]
    assert counting(4) == counting(2) == []
