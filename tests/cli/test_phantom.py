import json

import pytest

from medgen.cli.app import main
from medgen.data.table import read_table
from medgen.volumes import open_volume


def _phantom(folder, *options):
    return main(["phantom", "--output", str(folder), "--cases", "1", *options])


def test_it_makes_a_cohort_and_says_where(tmp_path, capsys):
    assert _phantom(tmp_path / "cohort", "--size", "24x28x24") == 0
    out, err = capsys.readouterr()
    table = tmp_path / "cohort" / "cases.csv"
    assert out.strip() == str(table)
    assert "noise floor" in err
    assert len(read_table(table, columns=["mr", "ct"]).rows) == 1


def test_every_option_reaches_the_cohort(tmp_path, capsys):
    options = (
        "--seed 3 --size 24,28,24 --dose 0.25 --lesions mass --scanner two --oblique --aligned"
    )
    assert _phantom(tmp_path, *options.split(), "--format", "nrrd", "--quiet") == 0
    capsys.readouterr()
    rows = read_table(tmp_path / "cases.csv", columns=["lesion", "pet_low"]).rows
    assert [row.case for row in rows] == ["head-000", "head-000-healthy"]
    truth = json.loads((tmp_path / "head-000" / "truth.json").read_text())
    assert truth["seed"] == 3
    assert truth["settings"] | {"size": None} == {
        "size": None,
        "dose_fraction": 0.25,
        "lesions": "mass",
        "healthy_twin": False,
        "scanner": "two",
        "oblique": True,
        "aligned": True,
    }
    assert open_volume(rows[0].cells["lesion"]).data.max() <= 1


def test_acquisitions_as_dicom_and_masks_as_nifti(tmp_path, capsys):
    assert _phantom(tmp_path, "--size", "24x28x24", "--format", "dicom", "--quiet") == 0
    capsys.readouterr()
    row = read_table(tmp_path / "cases.csv", columns=["mr", "ct", "body"]).rows[0]
    assert row.cells["ct"].is_dir()
    assert open_volume(row.cells["ct"]).unit == "HU"
    assert open_volume(row.cells["body"]).grid.shape == (24, 28, 24)


def test_it_does_not_overwrite_unasked(tmp_path, capsys):
    (tmp_path / "cases.csv").write_text("mine\n")
    assert _phantom(tmp_path, "--size", "24x28x24") == 2
    assert "E_EXISTS" in capsys.readouterr().err
    assert (tmp_path / "cases.csv").read_text() == "mine\n"
    assert _phantom(tmp_path, "--size", "24x28x24", "--overwrite") == 0


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--size", "24x28"], "E_SIZE"),
        (["--size", "4x4x4"], "E_SIZE"),
        (["--dose", "0"], "E_DOSE"),
        (["--lesions", "many"], "E_LESIONS"),
        (["--scanner", "x"], "E_SCANNER"),
        (["--format", "tiff"], "E_FORMAT"),
        (["--seed", "-1"], "E_SEED"),
    ],
)
def test_wrong_options_are_usage_errors_and_make_nothing(tmp_path, capsys, options, code):
    assert _phantom(tmp_path / "none", *options) == 2
    assert code in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
