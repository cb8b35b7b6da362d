import json

import numpy as np
import pydicom
import pytest
from dicom_judges import (
    assert_same_volume,
    by_dcm2niix,
    by_plastimatch,
    entity_complaints,
    iod_errors,
    missing_attributes,
)

from medgen.dicom.choice import Choice
from medgen.dicom.derived import check_derivable
from medgen.dicom.reading import read_series
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.phantom.dicom import stack_of, write_series
from medgen.phantom.headers import Visit
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, open_volume

SIZE = (20, 24, 16)
MR = ("t1", "t2", "pd", "flair")
SERIES = (*MR, "ct", "pet_low", "pet_full")


def _cohort(folder, volume_format="dicom", persons=1, seed=0, **case):
    settings = CaseSettings(size=SIZE, **case)
    write_cohort(CohortSettings(persons, seed, settings, volume_format), folder)
    return folder


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return _cohort(tmp_path_factory.mktemp("dicom") / "cohort", persons=2)


@pytest.fixture(scope="module", params=[False, True], ids=["straight", "oblique"])
def pair(request, tmp_path_factory):
    """The same person as NIfTI and as DICOM."""
    place = tmp_path_factory.mktemp("pair")
    settings = {"oblique": request.param, "seed": 4, "scanner": "two"}
    return [_cohort(place / name, name, **settings) / "head-000" for name in ("nifti", "dicom")]


def _visit(**how):
    said = {"recipe": "", "aligned": False, "dose_fraction": 0.1, "truth": {}, **how}
    return Visit(case="head-000", patient="person-000", index=0, **said)


def _headers(folder):
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.iterdir())]


def _assert_same(series, volume, *, tolerance=0.0):
    read = (series.data, series.facts.affine)
    assert_same_volume(read, volume.data, volume.grid.affine, tolerance=tolerance)


@pytest.mark.parametrize("column", [*MR, "ct"])
def test_mr_and_ct_are_the_same_voxels_as_in_nifti(pair, column):
    nifti, dicom = pair
    volume = open_volume(nifti / f"{column}.nii.gz")
    series = read_series(dicom / column)
    assert series.unit == ("HU" if column == "ct" else "arbitrary")
    assert series.notes == ()
    _assert_same(series, volume)


@pytest.mark.parametrize("column", ["pet_low", "pet_full"])
def test_pet_is_the_same_suv_as_in_nifti_by_dose_weight_and_decay(pair, column):
    nifti, dicom = pair
    volume = open_volume(nifti / f"{column}.nii.gz")
    series = read_series(dicom / column, Choice(unit="SUV"))
    assert series.unit == "SUV"
    _assert_same(series, volume, tolerance=1e-6 * float(np.abs(volume.data).max()))
    activity = read_series(dicom / column)
    assert activity.unit == "Bq/ml"
    np.testing.assert_allclose(activity.data, series.data * 2000.0, rtol=1e-6)


def test_masks_stay_nifti_and_the_table_names_folders(cohort):
    heading, first, _ = (cohort / "cases.csv").read_text().splitlines()
    row = dict(zip(heading.split(","), first.split(","), strict=True))
    assert {name: row[name] for name in ("mr", "t1", "ct", "body", "tissue", "pet_low")} == {
        "mr": "head-000/t1",
        "t1": "head-000/t1",
        "ct": "head-000/ct",
        "body": "head-000/body.nii.gz",
        "tissue": "head-000/tissue.nii.gz",
        "pet_low": "head-000/pet_low",
    }
    found = {path.name for path in (cohort / "head-000").iterdir()}
    assert found == {*SERIES, "body.nii.gz", "tissue.nii.gz", "regions.nii.gz", "truth.json"}
    assert len(list((cohort / "head-000" / "ct").iterdir())) == SIZE[2]


@pytest.mark.parametrize(
    ("column", "unit"), [("t1", "arbitrary"), ("ct", "HU"), ("pet_low", "SUV")]
)
def test_series_can_be_derived_from_all_of_them(cohort, column, unit):
    assert check_derivable(read_series(cohort / "head-000" / column).facts, unit_or_kind=unit) == []


def test_headers_name_nobody_and_say_what_they_are(cohort):
    for index, case in enumerate(("head-000", "head-001")):
        for column in SERIES:
            for header in _headers(cohort / case / column):
                assert header.PatientName == f"Phantom^Person {index:03d}"
                assert header.PatientID == f"person-{index:03d}"
                assert header.SyntheticData == "YES"
                assert "research only" in header.SeriesDescription


def test_scanners_have_frames_of_reference_and_uids_of_their_own(cohort):
    headers = {
        (case, column): _headers(cohort / case / column)[0]
        for case in ("head-000", "head-001")
        for column in SERIES
    }
    frames = {}
    for (case, column), header in headers.items():
        scanner = "ct" if column == "ct" else "mr"
        frames.setdefault(str(header.FrameOfReferenceUID), set()).add((case, scanner))
    assert sorted(frames.values(), key=str) == [
        {(c, s)} for c in ("head-000", "head-001") for s in ("ct", "mr")
    ]
    assert len({str(header.SeriesInstanceUID) for header in headers.values()}) == 14
    assert len({str(header.SOPInstanceUID) for header in headers.values()}) == 14


def test_aligned_columns_share_one_frame_of_reference(tmp_path):
    case = _cohort(tmp_path, aligned=True) / "head-000"
    assert len({str(_headers(case / name)[0].FrameOfReferenceUID) for name in SERIES}) == 1


def test_the_same_settings_give_the_same_bytes_and_others_other_uids(tmp_path):
    volume = Volume(np.ones((4, 5, 6), dtype=np.float32), Grid((4, 5, 6), np.eye(4)), unit="SUV")
    places = [tmp_path / name for name in ("first", "again", "other")]
    for place, recipe in zip(places, ("a", "a", "b"), strict=True):
        write_series(place, volume, _visit(recipe=recipe, dose_fraction=0.5), "pet_low")
    first, again, other = ([file.read_bytes() for file in sorted(p.iterdir())] for p in places)
    assert first == again
    uids = [{str(header.SOPInstanceUID) for header in _headers(place)} for place in places]
    assert len(uids[0]) == 6
    assert not uids[0] & uids[2]
    assert len(other) == 6
    assert {header.ActualFrameDuration for header in _headers(places[0])} == {300_000}


def test_a_cohorts_recipe_is_its_seed_and_its_settings(cohort, pair):
    mine, other = (_headers(place / "ct")[0] for place in (cohort / "head-000", pair[1]))
    assert mine.SOPInstanceUID != other.SOPInstanceUID


def test_the_headers_tell_the_sequences_that_were_played(pair):
    _, dicom = pair
    truth = json.loads((dicom / "truth.json").read_text())["mr"]
    header = _headers(dicom / "t1")[0]
    assert (header.ScanningSequence, header.MagneticFieldStrength) == ("GR", 1.5)
    assert header.FlipAngle == truth["t1"]["flip_degrees"]
    header = _headers(dicom / "flair")[0]
    assert header.InversionTime == truth["flair"]["inversion_ms"]


def test_a_series_is_replaced_and_no_slice_of_the_old_one_stays(tmp_path):
    for count in (7, 4):
        volume = Volume(np.zeros((4, 5, count)), Grid((4, 5, count), np.eye(4)), unit="HU")
        write_series(tmp_path / "ct", volume, _visit(), "ct")
    assert read_series(tmp_path / "ct").data.shape[2] == 4


def test_values_beyond_16_bits_make_coarser_steps_and_are_not_clipped(tmp_path):
    values = np.linspace(-90.0, 400.0, 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    volume = Volume(values, Grid((4, 5, 6), np.diag([-1.0, -1.0, 1.0, 1.0])), unit="SUV")
    write_series(tmp_path / "pet", volume, _visit(), "pet_low")
    series = read_series(tmp_path / "pet", Choice(unit="SUV"))
    _assert_same(series, volume, tolerance=1 / 64 / 2 * 1.001)


def test_a_sheared_grid_is_refused():
    affine = np.eye(4)
    affine[0, 1] = 0.2
    with pytest.raises(ValueError, match="right angles"):
        stack_of(Volume(np.zeros((3, 4, 5)), Grid((3, 4, 5), affine)))


def test_the_second_series_in_a_folder_is_still_a_refusal(cohort):
    with pytest.raises(Refusal, match="E_SEVERAL_SERIES"):
        read_series(cohort / "head-000")


@pytest.mark.parametrize("column", SERIES)
def test_every_module_is_as_the_standard_asks(pair, column):
    for path in sorted((pair[1] / column).iterdir())[:2]:
        assert iod_errors(path) == []
        assert missing_attributes(path) == []


def test_patients_studies_and_series_are_consistent(cohort):
    assert entity_complaints(sorted(cohort.rglob("*.dcm"))) == ""


@pytest.mark.parametrize("column", ["t1", "ct", "pet_full"])
def test_others_read_the_same_voxels_at_the_same_places(pair, column, tmp_path):
    nifti, dicom = pair
    mine = open_volume(nifti / f"{column}.nii.gz")
    values = mine.data * (2000.0 if column == "pet_full" else 1.0)
    tolerance = 1e-6 * float(np.abs(values).max()) if column == "pet_full" else 0.0
    for read in (by_dcm2niix, by_plastimatch):
        theirs = read(dicom / column, tmp_path / read.__name__)
        assert_same_volume(theirs, values, mine.grid.affine, tolerance=tolerance)
