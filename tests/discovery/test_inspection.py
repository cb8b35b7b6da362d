from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_ambiguous import echoes, two_series
from dicom_corpus import CANARIES, CORONAL, CT, MR, make_series, make_slices, save_series, uid
from dicom_encoding import save
from dicom_hard_files import encoded
from dicom_hard_geometry import missing_slice, tilted, variable_spacing
from dicom_hard_values import padded, without
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from medgen.dicom import Choice
from medgen.discovery.inspection import inspect
from medgen.problems import ConfigurationError, NothingFound
from medgen.volumes import list_volumes

Make = Callable[..., Path]


def codes(facts: dict[str, object]) -> list[str]:
    problems = facts["problems"]
    assert isinstance(problems, list)
    return [problem["code"] for problem in problems]


def test_a_series_and_all_that_is_told_of_it(tmp_path: Path) -> None:
    truth = make_series(tmp_path, CT, directions=CORONAL)
    facts = inspect(tmp_path)
    assert next(iter(facts)) == "verdict"
    assert (facts["verdict"], facts["problems"], facts["notes"]) == ("ok", [], [])
    assert facts["shape"] == [40, 32, 10]
    assert facts["spacing_mm"] == [0.8, 1.2, 2.5]
    assert np.allclose(facts["affine"], truth.affine)
    assert facts["orientation"] == "LIP"
    assert facts["oblique_degrees"] == 0
    assert facts["field_of_view_mm"] == [32, 38.4, 25]
    assert (facts["unit"], facts["modality"], facts["format"]) == ("HU", "CT", "DICOM")
    assert facts["files"] == 10
    assert facts["transfer_syntax"] == ["Explicit VR Little Endian"]
    assert facts["frame_of_reference"] is True
    assert facts["derived_dicom"] == {"possible": True, "problems": []}
    assert (facts["synthetic"], facts["derived"]) == (False, False)
    assert facts["case_id"] == list_volumes(tmp_path)[0].name
    values = facts["values"]
    assert (values["min"], values["max"]) == (truth.values.min(), truth.values.max())
    assert values["percentiles"]["50"] == np.median(truth.values)
    assert values["background_share"] == pytest.approx(np.mean(truth.values <= -500), abs=1e-4)
    assert values["padded_share"] == 0


def test_nifti_is_told_alike(make: Make) -> None:
    facts = inspect(make("t1.nii.gz", spacing=1.5, size=(6, 7, 8)))
    assert (facts["verdict"], facts["format"], facts["modality"]) == ("ok", "NIfTI", None)
    assert (facts["shape"], facts["spacing_mm"]) == ([6, 7, 8], [1.5, 1.5, 1.5])
    assert (facts["orientation"], facts["unit"]) == ("RAS", "arbitrary")
    assert facts["derived_dicom"]["possible"] is False
    assert facts["frame_of_reference"] is False
    assert (facts["case_id"], facts["synthetic"], facts["derived"]) == ("t1", None, None)


@pytest.mark.parametrize(
    ("data", "kind", "synthetic", "derived"),
    [
        ("YES", "ORIGINAL", True, False),
        ("NO", "DERIVED", False, True),
        ("YES", "DERIVED", True, True),
    ],
)
def test_what_was_computed_is_called_so(
    tmp_path: Path, data: str, kind: str, synthetic: bool, derived: bool
) -> None:
    slices, _ = make_slices(CT, shape=(8, 7, 5))
    for one in slices:
        one.SyntheticData, one.ImageType = data, [kind, "PRIMARY", "AXIAL"]
    save_series(tmp_path / "a", slices)
    facts = inspect(tmp_path)
    assert (facts["synthetic"], facts["derived"]) == (synthetic, derived)
    make_series(tmp_path / "b", MR, shape=(8, 7, 5), seed=2)
    facts = inspect(tmp_path)
    assert (facts["synthetic"], facts["derived"]) == (None, None)
    by_modality = {one["modality"]: one for one in facts["series"]}
    assert (by_modality["CT"]["synthetic"], by_modality["CT"]["derived"]) == (synthetic, derived)
    assert (by_modality["MR"]["synthetic"], by_modality["MR"]["derived"]) == (False, False)


def test_refusals_hold_every_problem_and_what_is_known_all_the_same(tmp_path: Path) -> None:
    missing_slice(tmp_path)
    facts = inspect(tmp_path)
    assert (facts["verdict"], codes(facts)) == ("refused", ["E_NONUNIFORM_SPACING"])
    assert (facts["shape"], facts["affine"], facts["unit"]) == (None, None, None)
    assert (facts["modality"], facts["format"]) == ("CT", "DICOM")
    assert facts["files"] > 5
    torn = tmp_path / "torn.nii.gz"
    torn.write_bytes(b"torn")
    facts = inspect(torn)
    assert (facts["verdict"], codes(facts)) == ("refused", ["E_BAD_MAGIC"])


def test_several_series_are_listed_with_their_verdicts(tmp_path: Path) -> None:
    two_series()(tmp_path)
    variable_spacing(tmp_path / "third")
    facts = inspect(tmp_path)
    assert codes(facts) == ["E_SEVERAL_SERIES"]
    listed = facts["series"]
    assert len(listed) >= 2
    by_number = {one["number"]: one for one in listed}
    assert by_number[8]["modality"] == "MR"
    assert (by_number[8]["verdict"], by_number[8]["select"]) == ("ok", "8")
    names = {one.name for one in list_volumes(tmp_path)}
    assert {one["case_id"] for one in listed} == names
    assert len({one["uid"] for one in listed}) == len(listed)
    assert (facts["modality"], facts["frame_of_reference"], facts["case_id"]) == (None, None, None)
    chosen = inspect(tmp_path, Choice(series="8"))
    assert (chosen["modality"], chosen["case_id"]) == ("MR", by_number[8]["case_id"])
    assert chosen["frame_of_reference"] is True
    facts = inspect(tmp_path, Choice(series="77"))
    assert (codes(facts), len(facts["series"])) == (["E_NO_SERIES"], len(listed))
    assert "series" not in inspect(tmp_path, Choice(series="8"))


def test_series_of_one_number_are_chosen_by_uid(tmp_path: Path) -> None:
    for seed in (1, 2):
        slices, _ = make_slices(MR, seed=seed, shape=(8, 7, 5))
        for one in slices:
            one.SeriesNumber = 4
        save_series(tmp_path, slices, first=100 * seed)
    listed = inspect(tmp_path)["series"]
    assert {one["select"] for one in listed} == {uid(MR, seed, "series") for seed in (1, 2)}
    assert [one["verdict"] for one in listed] == ["ok", "ok"]


def test_a_choice_within_a_series_and_a_locator(tmp_path: Path) -> None:
    echoes()(tmp_path)
    assert codes(inspect(tmp_path)) == ["E_SEVERAL_ECHOES"]
    assert inspect(tmp_path, Choice(echo=2))["verdict"] == "ok"
    assert inspect(tmp_path / "#echo=1")["verdict"] == "ok"
    with pytest.raises(ConfigurationError, match="E_CELL_SELECTOR"):
        inspect(tmp_path / "#echo=zero")


def test_straightened_and_padded_and_compressed(tmp_path: Path) -> None:
    for name, build in (("tilted", tilted), ("padded", padded), ("rle", encoded("RLE"))):
        (tmp_path / name).mkdir()
        build(tmp_path / name)
    assert codes(inspect(tmp_path / "tilted")) == ["E_GANTRY_TILT"]
    facts = inspect(tmp_path / "tilted", Choice(straighten=True))
    assert facts["verdict"] == "ok"
    assert [note["code"] for note in facts["notes"]] == ["W_STRAIGHTENED"]
    assert inspect(tmp_path / "padded")["values"]["padded_share"] > 0
    assert inspect(tmp_path / "rle")["transfer_syntax"] == ["RLE Lossless"]


def test_a_refused_series_beside_its_localizers_is_told_alone(tmp_path: Path) -> None:
    tilted(tmp_path / "a")
    slices, _ = make_slices(MR, shape=(8, 7, 3), seed=4)
    for one in slices:
        one.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    save_series(tmp_path / "b", slices)
    facts = inspect(tmp_path)
    assert (codes(facts), facts["modality"], facts["files"]) == (["E_GANTRY_TILT"], "CT", 10)
    assert "series" not in facts
    assert facts["case_id"] in {one.name for one in list_volumes(tmp_path)}


def test_a_blank_modality_is_the_class(tmp_path: Path) -> None:
    slices, _ = make_slices(CT, shape=(8, 7, 5))
    for one in slices:
        del one.Modality
    save_series(tmp_path, slices)
    assert inspect(tmp_path)["modality"] == "CT"


def test_without_identity_no_derived_dicom(tmp_path: Path) -> None:
    without("SOPInstanceUID", "FrameOfReferenceUID")(tmp_path)
    facts = inspect(tmp_path)
    assert facts["verdict"] == "ok"
    assert facts["frame_of_reference"] is False
    assert facts["derived_dicom"]["problems"][0]["code"] == "E_NO_IDENTITY"


def test_identifying_values_are_told_on_request_only(tmp_path: Path) -> None:
    make_series(tmp_path, CT)
    facts = inspect(tmp_path)
    assert facts["identifying"]["attributes"] > 10
    assert [word for word in CANARIES if word in repr(facts)] == []
    found = inspect(tmp_path, phi=True)["identifying"]["found"]
    by_name = {one["name"]: one for one in found}
    assert by_name["PatientName"]["values"] == ["DOE^JANE"]
    assert by_name["SOPInstanceUID"]["different"] == 10
    assert len(by_name["SOPInstanceUID"]["values"]) == 3


def test_nothing_to_judge(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_MISSING_FILE"):
        inspect(tmp_path / "gone")
    with pytest.raises(NothingFound, match="E_NO_SERIES: there is no DICOM file here"):
        inspect(tmp_path)
    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID = BasicTextSRStorage, uid("report")
    save(report, tmp_path / "report.dcm")
    with pytest.raises(NothingFound, match="only 1 DICOM file without pixels"):
        inspect(tmp_path)
    with pytest.raises(ConfigurationError, match="E_CELL_SELECTOR"):
        inspect(make("t1.nii.gz"), Choice(echo=1))
    (tmp_path / "x.dcm").write_bytes(b"x")
    facts = inspect(tmp_path)
    assert facts["verdict"] == "refused"
    assert "E_BAD_HEADER" in codes(facts)


def test_an_empty_background_is_no_division(make: Make) -> None:
    facts = inspect(make("flat.nii.gz", 5))
    assert facts["values"]["background_share"] == 1
