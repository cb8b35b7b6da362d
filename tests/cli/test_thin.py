import csv
import json
from pathlib import Path

import numpy as np
import pytest

from medgen.cli.app import main
from medgen.phantom import CaseSettings, CohortSettings, write_cohort
from medgen.problems import Exit
from medgen.volumes import Grid, Volume, open_volume, write_volume

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = CohortSettings(persons=1, case=CaseSettings(size=(24, 28, 24)), format="dicom")
    return write_cohort(settings, tmp_path_factory.mktemp("DOE^JANE") / "cohort")


def thin(table: Path, output: Path, *options: str) -> int:
    words = ["--data", str(table), "--column", "pet_full", "--output", str(output)]
    given = ["--name", "pet_tenth", "--dose", "0.1", "--counts", "3e5", *options]
    return main(["thin", *words, *given])


def test_dicom_in_becquerel_becomes_nifti_in_becquerel(
    cohort: Path, tmp_path: Path, capsys: Capture
) -> None:
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    assert thin(cohort, out, "--log", str(log)) == Exit.OK
    assert str(out / "cases.csv") in capsys.readouterr().out
    with (out / "cases.csv").open() as stream:
        row = next(csv.DictReader(stream))
    full, low = open_volume(out / row["pet_full"]), open_volume(out / row["pet_tenth"])
    assert full.unit == "Bq/ml"
    assert low.grid.same_as(full.grid)
    body = open_volume(out / row["body"]).data > 0
    assert low.data.shape == body.shape == full.data.shape
    assert low.data.mean() == pytest.approx(full.data.mean(), rel=0.05)
    assert low.data.std() > 1.2 * full.data.std()
    assert row["dose_fraction"] == row["pet_tenth_dose_fraction"] == "0.1"
    facts = json.loads((out / "head-000" / "pet_tenth.json").read_text())
    assert facts["unit"] == "Bq/ml"
    written = [log.read_bytes()]
    written += [path.read_bytes() for path in out.rglob("*.json")]
    assert not [text for text in written if b"DOE^JANE" in text or b"cohort" in text]


def test_every_option_reaches_the_sidecar(cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    options = "--seed 7 --background 0.2 --smoothing 6 --nan-to 0 --json --quiet"
    assert thin(cohort, tmp_path, *options.split()) == Exit.OK
    summary = json.loads(capsys.readouterr().out)
    assert summary["cases"] == 1
    assert summary["results"][0]["status"] == "made"
    facts = json.loads((tmp_path / "head-000" / "pet_tenth.json").read_text())
    stated = {
        "dose_fraction": 0.1,
        "counts": 3e5,
        "seed": 7,
        "background_fraction": 0.2,
        "smoothing_mm": 6.0,
        "column": "pet_full",
    }
    assert facts | stated == facts
    assert thin(cohort, tmp_path, *options.split()) == Exit.OK
    assert json.loads(capsys.readouterr().out)["results"][0]["status"] == "kept"
    assert thin(cohort, tmp_path, "--quiet") == Exit.USAGE
    assert "E_OUTPUT_OF_OTHER_SETTINGS" in capsys.readouterr().err
    assert thin(cohort, tmp_path, "--quiet", "--overwrite") == Exit.OK


def test_a_case_that_fails_is_told_and_the_others_are_made(tmp_path: Path, capsys: Capture) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case,patient,pet_full\na,a,torn.nii.gz\nb,b,whole.nii.gz\n")
    (tmp_path / "torn.nii.gz").write_bytes(b"torn")
    whole = Volume(np.ones((8, 8, 4), np.float32), Grid((8, 8, 4), np.diag([4.0, 4.0, 4.0, 1.0])))
    write_volume(tmp_path / "whole.nii.gz", whole, dtype="float32")
    assert thin(table, tmp_path / "out") == Exit.SOME_FAILED
    out, err = capsys.readouterr()
    assert "1 failed" in out
    assert "[case a, column pet_full]" in err
    assert str(tmp_path) not in err
    assert open_volume(tmp_path / "out" / "b" / "pet_tenth.nii.gz").data.std() > 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--dose", "0"], "E_DOSE"),
        (["--counts", "-1"], "E_COUNTS"),
        (["--background", "1"], "E_BACKGROUND"),
        (["--smoothing", "-1"], "E_SMOOTHING"),
        (["--seed", "-1"], "E_SEED"),
        (["--nan-to", "nan"], "E_NAN_TO"),
        (["--name", "pet_low"], "E_TABLE_COLUMN"),
        (["--column", "ct"], "E_MODALITY"),
    ],
)
def test_wrong_options_are_usage_errors_and_write_nothing(
    cohort: Path, tmp_path: Path, capsys: Capture, options: list[str], code: str
) -> None:
    assert thin(cohort, tmp_path / "none", *options) == Exit.USAGE
    assert code in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_counts_have_no_default(cohort: Path, tmp_path: Path, capsys: Capture) -> None:
    words = ["--data", str(cohort), "--column", "pet_full", "--output", str(tmp_path)]
    assert main(["thin", *words, "--dose", "0.1"]) == Exit.USAGE
    assert "--counts" in capsys.readouterr().err
