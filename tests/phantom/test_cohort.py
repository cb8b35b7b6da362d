import csv

import numpy as np
import pytest

from medgen.data.table import read_table
from medgen.phantom import CaseSettings, CohortSettings, noise_floors, plan_cohort, write_cohort
from medgen.problems import ConfigurationError
from medgen.volumes import open_volume

SMALL = CaseSettings(size=(24, 28, 24))
MASKS = ["body", "tissue", "regions"]
COLUMNS = ["mr", "t1", "t2", "pd", "flair", "ct", *MASKS, "pet_low", "pet_full"]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(
        CohortSettings(persons=2, case=SMALL), tmp_path_factory.mktemp("phantom") / "cohort"
    )


def test_the_table_is_one_that_medgen_reads(cohort):
    table = read_table(cohort, columns=COLUMNS)
    assert [row.case for row in table.rows] == ["head-000", "head-001"]
    assert [row.patient for row in table.rows] == ["person-000", "person-001"]
    assert {row.site for row in table.rows} == {"one"}


def test_the_dose_is_a_word_of_the_table(tmp_path):
    settings = CaseSettings(size=SMALL.size, dose_fraction=0.05)
    table = read_table(
        write_cohort(CohortSettings(persons=1, case=settings), tmp_path), columns=COLUMNS
    )
    assert [row.word("dose_fraction") for row in table.rows] == ["0.05"]


def test_mr_is_the_t1_itself(cohort):
    with cohort.open() as stream:
        rows = list(csv.DictReader(stream))
    assert all(row["mr"] == row["t1"] for row in rows)


def test_volumes_come_back_with_their_types(cohort):
    folder = cohort.parent / "head-000"
    kinds = {"t1": "int16", "ct": "int16", "pet_low": "float32", **dict.fromkeys(MASKS, "uint8")}
    for column, kind in kinds.items():
        assert open_volume(folder / f"{column}.nii.gz").data.dtype == np.dtype(kind)
    assert open_volume(folder / "pet_low.nii.gz").data.min() < 0


def test_a_case_does_not_depend_on_the_size_of_the_cohort(cohort, tmp_path):
    alone = write_cohort(CohortSettings(persons=1, case=SMALL), tmp_path / "alone")
    for column in COLUMNS[1:]:
        name = f"head-000/{column}.nii.gz"
        assert (alone.parent / name).read_bytes() == (cohort.parent / name).read_bytes()


def test_noise_floors_are_known_for_simulated_cases_only(cohort):
    floors = noise_floors(cohort, ["head-000", "head-001", "somebody"])
    assert set(floors) == {"head-000", "head-001"}
    assert all(3.0 < floor < 20.0 for floor in floors.values())


def test_an_existing_cohort_is_not_overwritten_unasked(cohort):
    before = cohort.read_bytes()
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        write_cohort(CohortSettings(persons=1, case=SMALL), cohort.parent)
    assert cohort.read_bytes() == before


def test_overwriting_replaces_the_table(tmp_path):
    write_cohort(CohortSettings(persons=1, case=SMALL), tmp_path)
    again = CohortSettings(persons=1, seed=9, case=SMALL)
    table = write_cohort(again, tmp_path, overwrite=True)
    assert len(read_table(table, columns=["ct"]).rows) == 1


@pytest.mark.parametrize(("name", "suffix"), [("metaimage", ".mha"), ("nrrd", ".nrrd")])
def test_other_formats(tmp_path, name, suffix):
    settings = CohortSettings(
        persons=1, case=CaseSettings(size=SMALL.size, oblique=True), format=name
    )
    table = write_cohort(settings, tmp_path)
    row = read_table(table, columns=["ct"]).rows[0]
    assert row.cells["ct"].name == f"ct{suffix}"
    assert open_volume(row.cells["ct"]).data.min() >= -1024


def test_lesion_cohorts_have_twins_of_the_same_patient():
    plans = plan_cohort(CohortSettings(persons=3, case=CaseSettings(lesions="mass")))
    assert [plan.case for plan in plans[:3]] == ["head-000", "head-000-healthy", "head-001"]
    assert {plan.patient for plan in plans[:2]} == {"person-000"}
    assert [plan.settings.healthy_twin for plan in plans[:2]] == [False, True]


def test_both_scanners_alternate():
    plans = plan_cohort(CohortSettings(persons=4, case=CaseSettings(scanner="both")))
    assert [plan.settings.scanner for plan in plans] == ["one", "two", "one", "two"]


def test_all_wrong_settings_are_told_at_once():
    settings = CohortSettings(
        persons=0,
        seed=-1,
        case=CaseSettings(size=(1, 2, 3), dose_fraction=2.0, lesions="warts", scanner="three"),
        format="jpeg",
    )
    with pytest.raises(ConfigurationError) as caught:
        plan_cohort(settings)
    codes = [problem.code for problem in caught.value.problems]
    assert codes == ["E_CASES", "E_SEED", "E_SIZE", "E_DOSE", "E_LESIONS", "E_SCANNER", "E_FORMAT"]
