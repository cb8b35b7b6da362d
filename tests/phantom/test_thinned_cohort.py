"""A table thinned: every case by itself, resumable, with a new table of both doses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from medgen.data.table import read_table
from medgen.files import sha256_of_file
from medgen.phantom.thinned_cohort import Outcome, Request, thin_table
from medgen.phantom.thinning import Thinning, thin
from medgen.problems import ConfigurationError, Exit, NothingFound
from medgen.volumes import Grid, Volume, open_volume, write_volume

THINNING = Thinning(dose_fraction=0.1, counts=1e5)
REQUEST = Request(column="pet_full", thinning=THINNING)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of four cases; the last has no PET."""
    folder = tmp_path / "cohort"
    grid = Grid((12, 12, 6), np.diag([-5.0, 5.0, 4.0, 1.0]))
    rows = ["case,patient,split,note,pet_full,mr"]
    for number in range(4):
        data = np.zeros(grid.shape, np.float32)
        data[3:9, 3:9] = 1.0 + number
        for name in ("pet", "mr"):
            path = folder / "images" / f"{number}_{name}.nii.gz"
            write_volume(path, Volume(data, grid), dtype="float32")
        pet = f"images/{number}_pet.nii.gz" if number < 3 else ""
        rows.append(f"c{number},p{number},train,images,{pet},images/{number}_mr.nii.gz")
    (folder / "cases.csv").write_text("\n".join(rows).replace(",images,", ",a note,") + "\n")
    return folder / "cases.csv"


def run(table: Path, output: Path, request: Request = REQUEST, **given: bool) -> Outcome:
    return thin_table(table, request, output, **given)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_images_sidecars_and_the_new_table(table: Path, tmp_path: Path) -> None:
    outcome = run(table, tmp_path / "out" / "low")
    assert [result.status for result in outcome.results] == ["made"] * 3
    assert outcome.exit_code == Exit.OK
    found = read_table(outcome.table, columns=["pet_full", "mr", "pet_low"])
    assert [row.case for row in found.rows] == ["c0", "c1", "c2", "c3"]
    assert [row.word("dose_fraction") for row in found.rows] == ["0.1"] * 3 + [""]
    assert {row.word("note") for row in found.rows} == {"a note"}
    assert {row.split for row in found.rows} == {"train"}
    assert set(found.rows[3].cells) == {"mr"}
    assert rows_of(outcome.table)[0]["mr"] == "../../cohort/images/0_mr.nii.gz"
    full, low = (open_volume(found.rows[1].cells[name]) for name in ("pet_full", "pet_low"))
    assert low.grid.same_as(full.grid)
    assert low.data.dtype == np.float32
    np.testing.assert_array_equal(low.data, thin(full, THINNING, case="c1").data)
    facts = json.loads((tmp_path / "out" / "low" / "c1" / "pet_low.json").read_text())
    assert facts["simulated"] is True
    assert facts["attenuation"] == "ignored"
    assert facts["dose_fraction"] == 0.1
    assert facts["counts"] == 1e5
    assert facts["seed"] == 0
    assert facts["unit"] == "arbitrary"
    assert facts["input_digest"] == sha256_of_file(found.rows[1].cells["pet_full"])
    assert facts["output_digest"] == low.digest


def test_cases_have_noise_of_their_own(table: Path, tmp_path: Path) -> None:
    rows = read_table(run(table, tmp_path / "low").table, columns=["pet_full", "pet_low"]).rows
    noise = [
        open_volume(row.cells["pet_low"]).data - open_volume(row.cells["pet_full"]).data
        for row in rows[:2]
    ]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.3


def test_a_second_call_keeps_what_is_done_and_makes_what_is_not(
    table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "low"
    first = run(table, out)
    before = first.table.read_bytes()
    (out / "c1" / "pet_low.nii.gz").unlink()
    (out / "c2" / "pet_low.json").write_text(
        json.dumps(json.loads((out / "c2" / "pet_low.json").read_text()) | {"output_digest": ""})
    )
    again = run(table, out)
    assert [result.status for result in again.results] == ["kept", "made", "made"]
    assert again.table.read_bytes() == before


def test_an_interrupted_call_leaves_no_table(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "low"

    def stop(result: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        thin_table(table, REQUEST, out, on_case=stop)
    assert not (out / "cases.csv").exists()
    assert [result.status for result in run(table, out).results] == ["kept", "made", "made"]


def test_what_is_there_is_not_replaced_unasked(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "low"
    run(table, out)
    other = Request(column="pet_full", thinning=Thinning(dose_fraction=0.2, counts=1e5))
    with pytest.raises(ConfigurationError, match="E_OUTPUT_OF_OTHER_SETTINGS"):
        run(table, out, other)
    (out / "c0" / "pet_low.nii.gz").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match="E_OUTPUT_CHANGED"):
        run(table, out)
    (out / "c0" / "pet_low.json").unlink()
    (out / "cases.csv").write_text("case,patient\n")
    with pytest.raises(ConfigurationError) as caught:
        run(table, out)
    assert [problem.code for problem in caught.value.problems] == ["E_OUTPUT_EXISTS"] * 2
    assert (out / "c0" / "pet_low.nii.gz").read_bytes() == b"mine"
    outcome = run(table, out, other, overwrite=True)
    assert {row["dose_fraction"] for row in rows_of(outcome.table)} == {"0.2", ""}


def test_a_failed_case_leaves_the_others_and_an_empty_cell(table: Path, tmp_path: Path) -> None:
    (table.parent / "images" / "1_pet.nii.gz").write_bytes(b"\x1f\x8btorn")
    outcome = run(table, tmp_path / "low")
    assert [result.status for result in outcome.results] == ["made", "failed", "made"]
    assert outcome.exit_code == Exit.SOME_FAILED
    problem = outcome.results[1].problems[0]
    assert (problem.case, problem.column) == ("c1", "pet_full")
    assert str(tmp_path) not in str(problem)
    assert [row["pet_low"] for row in rows_of(outcome.table)][1] == ""
    assert not list((tmp_path / "low" / "c1").iterdir())
    for number in (0, 2):
        (table.parent / "images" / f"{number}_pet.nii.gz").write_bytes(b"torn")
    assert run(table, tmp_path / "all").exit_code == Exit.ALL_FAILED


def test_an_older_dose_fraction_keeps_its_column(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "low")
    second = Request(column="pet_full", thinning=THINNING, name="pet_tenth")
    outcome = run(tmp_path / "low" / "cases.csv", tmp_path / "both", second)
    row = rows_of(outcome.table)[0]
    assert row["dose_fraction"] == row["pet_tenth_dose_fraction"] == "0.1"
    assert (tmp_path / "both" / row["pet_low"]).is_file()


def test_requests_that_cannot_be_met(table: Path, tmp_path: Path) -> None:
    def refused(request: Request, output: Path = tmp_path / "low") -> str:
        with pytest.raises(ConfigurationError) as caught:
            run(table, output, request)
        assert not (tmp_path / "low").exists()
        return caught.value.problems[0].code

    assert refused(Request(column="mr", thinning=THINNING)) == "E_MODALITY"
    assert refused(Request(column="pet", thinning=THINNING)) == "E_TABLE_COLUMN"
    for name in ("mr", "../x", "split", "dose_fraction"):
        given = Request(column="pet_full", thinning=THINNING, name=name)
        assert refused(given) == "E_TABLE_COLUMN"
    assert refused(REQUEST, table.parent) == "E_OUTPUT_IS_INPUT"
    (table.parent / "images" / "c0").mkdir()
    moved = table.parent / "images" / "c0" / "pet_low.nii.gz"
    (table.parent / "images" / "0_pet.nii.gz").rename(moved)
    table.write_text(table.read_text().replace("0_pet.nii.gz", "c0/pet_low.nii.gz"))
    assert refused(REQUEST, table.parent / "images") == "E_OUTPUT_IS_INPUT"
    table.write_text("case,patient,pet_full\na,a,\n")
    with pytest.raises(NothingFound, match="E_NOTHING_FOUND"):
        run(table, tmp_path / "low")
