import json
from pathlib import Path

import numpy as np
import pytest

from medgen.cli.app import main
from medgen.data import read_table
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, write_volume

NAMES = ("DOE_JANE", "ROE_RICHARD")


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Write two patients' MR and CT under folders that name them, one file torn."""
    folder = tmp_path / "St_Marys_MRN123"
    for number, name in enumerate(NAMES):
        ramp = np.arange(336, dtype=np.float32).reshape(6, 7, 8) + number
        grid = Grid((6, 7, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
        for column, values in (("mr", ramp), ("ct", 8 * ramp - 1000)):
            path = folder / name / f"{column}.nii.gz"
            write_volume(path, Volume(values, grid), dtype="float32")
    (folder / "ROE_RICHARD" / "ct.nii.gz").write_bytes(b"torn")
    (folder / "ROE_RICHARD" / "DOE.dcm").write_bytes(b"x")
    (folder / "stray").mkdir()
    (folder / "stray" / "JANE.nii.gz").write_bytes(b"x")
    return folder


def scan(folder: Path, *options: str) -> int:
    return main(["scan", str(folder), "--output", str(folder.parent / "cases.csv"), *options])


def test_a_folder_to_a_table_and_what_to_do_next(
    hospital: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan(hospital) == Exit.SOME_FAILED
    out, err = capsys.readouterr()
    assert "a folder per patient: 4 volumes in the folder given" in out
    assert "2 cases of 2 patients" in out
    assert "medgen init mr_to_ct --output mr_to_ct.yaml" in out
    assert str(hospital.parent / "cases.csv") in out
    assert "refused: E_BAD_MAGIC [case ROE_RICHARD, column ct]" in err
    assert "(ROE_RICHARD/ct.nii.gz)" in err
    assert "refused: E_BAD_HEADER" in err
    assert "refused: E_LAYOUT" in err
    rows = read_table(hospital.parent / "cases.csv", columns=["mr", "ct"]).rows
    assert [(row.case, sorted(row.cells)) for row in rows] == [
        ("DOE_JANE", ["ct", "mr"]),
        ("ROE_RICHARD", ["mr"]),
    ]
    assert scan(hospital) == Exit.USAGE
    assert "E_EXISTS" in capsys.readouterr().err
    assert scan(hospital, "--overwrite", "--quiet") == Exit.SOME_FAILED


def test_json_says_the_same(hospital: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(hospital, "--json") == Exit.SOME_FAILED
    facts = json.loads(capsys.readouterr().out)
    assert (facts["cases"], facts["patients"], facts["volumes"]) == (2, 2, 5)
    assert facts["layouts"] == [{"layout": "a folder per patient", "volumes": 4, "where": "."}]
    assert facts["columns"]["ct"]["unit"] == "HU"
    assert facts["columns"]["mr"] == {
        **{"cases": 2, "kind": "image", "unit": "arbitrary", "values": [0, 336]},
        **{"spacing_mm": [[2, 2]] * 3, "size": [[6, 6], [7, 7], [8, 8]]},
    }
    codes = {(one["code"], one.get("case"), one.get("column")) for one in facts["refused"]}
    assert codes == {
        ("E_BAD_MAGIC", "ROE_RICHARD", "ct"),
        ("E_BAD_HEADER", None, None),
        ("E_LAYOUT", None, None),
    }
    assert any("medgen train" in step for step in facts["next"])
    assert str(hospital) not in json.dumps({**facts, "table": "", "next": ""})


@pytest.mark.parametrize("keyed", [False, True])
def test_the_log_holds_no_path(
    hospital: Path, capsys: pytest.CaptureFixture[str], keyed: bool
) -> None:
    key, log = hospital.parent / "key", hospital.parent / "log.jsonl"
    key.write_bytes(bytes(range(32)))
    scan(hospital, "--log", str(log), *(["--key", str(key)] if keyed else []))
    text = log.read_text()
    assert "E_BAD_MAGIC" in text
    assert "scanned" in text
    for word in (
        hospital.name,
        str(hospital.parent),
        "stray",
        "ct.nii",
        "JANE.nii",
        "cases.csv",
        "DOE.dcm",
    ):
        assert word not in text
    if keyed:
        table = (hospital.parent / "cases.csv").read_text()
        rows = read_table(hospital.parent / "cases.csv", columns=["mr", "ct"]).rows
        assert not any(name in f"{row.case}{row.patient}" for row in rows for name in NAMES)
        assert "DOE_JANE/mr.nii.gz" in table
        assert "still hold the folders' names" in capsys.readouterr().err
        assert not any(word in text for name in NAMES for word in name.split("_"))


def test_a_key_that_cannot_hide_anything(
    hospital: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = hospital.parent / "key"
    assert scan(hospital, "--key", str(key)) == Exit.USAGE
    err = capsys.readouterr().err
    assert "E_KEY_MISSING" in err
    assert "head -c 32 /dev/urandom" in err
    key.write_bytes(b"secret")
    assert scan(hospital, "--key", str(key)) == Exit.USAGE
    assert "E_KEY_LENGTH" in capsys.readouterr().err
    assert not (hospital.parent / "cases.csv").exists()


def test_other_endings(hospital: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scan(hospital / "DOE_JANE") == Exit.OK
    assert scan(hospital / "stray", "--overwrite") == Exit.ALL_FAILED
    assert "no table was written" in capsys.readouterr().err
    (hospital / "empty").mkdir()
    assert scan(hospital / "empty", "--overwrite") == Exit.NOTHING_FOUND
    assert scan(hospital / "none", "--overwrite") == Exit.NOTHING_FOUND
    assert main(["scan", str(hospital)]) == Exit.USAGE


def test_a_key_with_sites_warns_that_the_site_is_part_of_an_id(
    hospital: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = hospital.parent / "key"
    key.write_bytes(bytes(range(32)))
    said = "the site's folder is part of a hashed id"
    assert scan(hospital / "DOE_JANE", "--key", str(key)) == Exit.OK
    assert said not in capsys.readouterr().err
    (hospital / "DOE_JANE").rename(hospital.parent / "kept")
    sites = hospital.parent / "sites"
    (sites / "siteA").mkdir(parents=True)
    (hospital.parent / "kept").rename(sites / "siteA" / "DOE_JANE")
    assert scan(sites, "--key", str(key), "--overwrite") == Exit.OK
    assert said in capsys.readouterr().err


def test_what_many_cases_have_in_common_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dicom_corpus import MR, make_slices, save_series, uid

    for number in range(5):
        for name in ("fine", "coarse"):
            slices, _ = make_slices(MR, seed=number + 5 * (name == "fine"), shape=(8, 7, 5))
            for one in slices:
                one.PatientID, one.StudyInstanceUID = f"ID{number}", uid(f"study {number}")
                one.SeriesDescription = "T1"
            save_series(tmp_path / "tree" / f"{number}" / name, slices)
    assert scan(tmp_path / "tree") == Exit.OK
    err = capsys.readouterr().err
    (line,) = [line for line in err.splitlines() if "W_OTHER_SERIES" in line]
    assert "[column t1]: in 5 of 5 cases" in line
    assert line.count("[cell: ") == 1
    assert line.endswith("and 2 more]")
    assert len(line) < 400
