from typing import Any

import pytest
from dicom_corpus import CT, MR, PT
from dicom_frames import made_frames as frames

from medgen.dicom.units import unit_of_frames


@pytest.mark.parametrize("kind", ["HU", "hu", None, ""])
def test_ct_is_in_hounsfield_units(kind: str | None) -> None:
    assert unit_of_frames(frames(CT, RescaleType=kind)) == ("HU", [])


@pytest.mark.parametrize(("kind", "named"), [("US", "US"), ("ED", "ED"), ("DOE", "another type")])
def test_ct_in_other_units_is_refused(kind: str, named: str) -> None:
    _, (problem,) = unit_of_frames(frames(CT, RescaleType=kind))
    assert problem.code == "E_RESCALE"
    assert named in problem.message
    assert "DOE" not in str(problem)


@pytest.mark.parametrize("modality", ["MR", "OT", "NM", "CR", ""])
def test_everything_else_is_arbitrary(modality: str) -> None:
    assert unit_of_frames(frames(MR, Modality=modality)) == ("arbitrary", [])


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ({"Units": "BQML"}, "Bq/ml"),
        ({"Units": "GML"}, "SUV"),
        ({"Units": "GML", "SUVType": "BW"}, "SUV"),
        ({"Units": "CNTS", "factors": {0x09: "0.5"}}, "Bq/ml"),
        ({"Units": "CNTS", "factors": {0x09: "0.5", 0x00: "0.1"}}, "Bq/ml"),
        ({"Units": "CNTS", "factors": {0x00: "0.1"}}, "SUV"),
        ({"Units": "CNTS"}, "counts"),
        ({"Units": "CNTS", "factors": {0x09: "0", 0x00: "-1"}}, "counts"),
        ({"Units": "PROPCPS"}, "counts"),
    ],
)
def test_pet_goes_by_units(said: dict[str, Any], unit: str) -> None:
    assert unit_of_frames(frames(PT, **said)) == (unit, [])


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"Units": None}, "missing"),
        ({"Units": "MLG"}, "MLG"),
        ({"Units": "JANE"}, "unknown"),
        ({"Units": "GML", "SUVType": "LBM"}, "LBM"),
        ({"Units": "GML", "SUVType": "JANE"}, "another SUVType"),
    ],
)
def test_pet_in_other_units_is_refused(said: dict[str, Any], named: str) -> None:
    _, (problem,) = unit_of_frames(frames(PT, **said))
    assert problem.code == "E_PET_UNITS"
    assert named in problem.message
    assert "JANE" not in str(problem)


def test_frames_in_different_units_are_refused() -> None:
    mixed = [*frames(PT), *frames(PT, Units="GML")]
    _, (problem,) = unit_of_frames(mixed)
    assert problem.code == "E_PET_UNITS"
