from dataclasses import replace
from typing import Any

import pytest
from derived_sources import source_series
from dicom_corpus import CANARIES
from pydicom.dataset import Dataset

from medgen.dicom.derived import KINDS, check_derivable
from medgen.dicom.frames import SeriesFacts
from medgen.dicom.values import quiet
from medgen.problems import Problem


def spoiled(modality: str = "MR", first: int = 0, **values: Any) -> SeriesFacts:
    """Return a source with attributes changed, or deleted where None, from a slice on."""
    source = source_series(modality)
    for frame in source.frames[first:]:
        for keyword, value in values.items():
            if value is None:
                del frame.header[keyword]
            else:
                with quiet():
                    setattr(frame.header, keyword, value)
    return source


def codes(problems: list[Problem]) -> list[str]:
    assert not any(canary in str(one) for one in problems for canary in CANARIES)
    return [one.code for one in problems]


@pytest.mark.parametrize("kind", ["HU", "arbitrary", "labels", "map"])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_sound_sources_can_be_derived_from(modality: str, kind: str) -> None:
    assert check_derivable(source_series(modality), unit_or_kind=kind) == []


@pytest.mark.parametrize("kind", ["HU", "Bq/ml", "SUV", "labels", "map"])
def test_pet_can_be_derived_from_pet(kind: str) -> None:
    assert check_derivable(source_series("PT"), unit_or_kind=kind) == []


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"]
)
@pytest.mark.parametrize("value", ["", None, "not a UID", "1." * 40])
def test_a_source_without_identity_is_refused(keyword: str, value: str | None) -> None:
    (problem,) = check_derivable(spoiled(**{keyword: value}), unit_or_kind="HU")
    assert codes([problem]) == ["E_NO_IDENTITY"]
    assert problem.message == f"5 of 5 source files have no {keyword}"
    assert problem.advice.startswith("write NIfTI instead")


def test_uids_that_are_wrong_but_tell_files_apart_will_do() -> None:
    assert check_derivable(spoiled(StudyInstanceUID="1.2.03"), unit_or_kind="HU") == []


def test_a_source_without_frame_of_reference_is_refused() -> None:
    source = replace(source_series("MR"), frame_of_reference="")
    (problem,) = check_derivable(source, unit_or_kind="labels")
    assert codes([problem]) == ["E_NO_IDENTITY"]


@pytest.mark.parametrize(
    ("keyword", "value", "what"),
    [
        ("PatientID", "MRN124", "2 patients: PatientID"),
        ("PatientName", "DOE^JOHN", "2 patients: PatientName"),
        ("PatientBirthDate", "19610308", "2 patients: PatientBirthDate"),
        ("StudyInstanceUID", "1.2.3", "2 studies: StudyInstanceUID"),
        ("SeriesInstanceUID", "1.2.3", "2 series: SeriesInstanceUID"),
        ("FrameOfReferenceUID", "1.2.3", "2 frames of reference: FrameOfReferenceUID"),
    ],
)
def test_a_source_of_two_entities_is_refused(keyword: str, value: str, what: str) -> None:
    (problem,) = check_derivable(spoiled(first=2, **{keyword: value}), unit_or_kind="HU")
    assert codes([problem]) == ["E_NO_IDENTITY"]
    assert what in problem.message


def test_a_name_that_is_not_in_its_character_set_is_refused() -> None:
    source = spoiled(PatientName="DOE^JAN\N{REPLACEMENT CHARACTER}")
    (problem,) = check_derivable(source, unit_or_kind="HU")
    assert codes([problem]) == ["E_NO_IDENTITY"]


def test_what_the_reader_found_is_said_once() -> None:
    found = Problem("E_NO_IDENTITY", "5 of 5 files have no SOPInstanceUID")
    source = replace(spoiled(SOPInstanceUID=""), identity=(found,))
    assert check_derivable(source, unit_or_kind="HU") == [found]


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientID", "MRN123" * 11),
        ("PatientID", ["MRN123", "MRN124"]),
        ("PatientID", "MRN\t123"),
        ("PatientName", "DOE" * 22),
        ("PatientName", "DOE^JANE^A^B^C^D"),
        ("PatientName", "DOE=A=B=C"),
    ],
)
@pytest.mark.parametrize("kind", ["HU", "labels", "map"])
def test_an_identity_that_no_valid_file_can_hold_is_refused(
    keyword: str, value: Any, kind: str
) -> None:
    (problem,) = check_derivable(spoiled(**{keyword: value}), unit_or_kind=kind)
    assert codes([problem]) == ["E_NO_IDENTITY"]
    assert problem.message.startswith(f"the source's {keyword} is of a form or length")


@pytest.mark.parametrize("value", ["1..2", "1.2.", ".1"])
@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "FrameOfReferenceUID"])
def test_uids_with_empty_components_are_refused(keyword: str, value: str) -> None:
    source = replace(spoiled(**{keyword: value}), frame_of_reference=value)
    (problem,) = check_derivable(source, unit_or_kind="HU")
    assert codes([problem]) == ["E_NO_IDENTITY"]
    assert keyword in problem.message


def test_what_identifies_nobody_may_be_invalid() -> None:
    source = spoiled(PatientSex="male", StudyDate="2020.01.02", PatientBirthDate="1961")
    assert check_derivable(source, unit_or_kind="HU") == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SeriesDate", "2020.01.02"), ("SeriesTime", "10:11:12"), ("DecayCorrection", "start")],
)
def test_a_pet_image_is_not_dated_by_another_clock(keyword: str, value: str) -> None:
    source = spoiled("PT", **{keyword: value})
    (problem,) = check_derivable(source, unit_or_kind="Bq/ml")
    assert codes([problem]) == ["E_DICOM_TARGET"]
    assert keyword in problem.message
    assert check_derivable(source, unit_or_kind="HU") == []


def test_further_sources_must_have_what_they_are_referred_to_by() -> None:
    source, other = source_series("MR"), spoiled(SOPInstanceUID="")
    assert check_derivable(source, unit_or_kind="HU", others=[source_series("MR", seed=1)]) == []
    (problem,) = check_derivable(source, unit_or_kind="HU", others=[other, other])
    assert codes([problem]) == ["E_NO_IDENTITY"]
    assert problem.message.startswith("a further source cannot be referred to: 5 of 5")


def test_all_problems_are_collected() -> None:
    source = spoiled("PT", StudyInstanceUID="", DecayCorrection="", FrameReferenceTime=None)
    problems = check_derivable(source, unit_or_kind="SUV")
    assert codes(problems) == ["E_NO_IDENTITY", "E_DICOM_TARGET"]
    assert "lacks DecayCorrection, FrameReferenceTime," in problems[1].message


@pytest.mark.parametrize("kind", ["Bq/ml", "SUV"])
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_pet_needs_a_pet_source(modality: str, kind: str) -> None:
    (problem,) = check_derivable(source_series(modality), unit_or_kind=kind)
    assert codes([problem]) == ["E_DICOM_TARGET"]
    assert problem.message.endswith(f"not {modality}")


@pytest.mark.parametrize(
    "keyword",
    [
        *("SeriesDate", "SeriesTime", "SeriesType", "CountsSource", "DecayCorrection"),
        *("FrameReferenceTime", "DecayFactor"),
    ],
)
def test_pet_needs_what_a_pet_image_must_have(keyword: str) -> None:
    (problem,) = check_derivable(spoiled("PT", **{keyword: None}), unit_or_kind="Bq/ml")
    assert codes([problem]) == ["E_DICOM_TARGET"]
    assert keyword in problem.message
    assert check_derivable(spoiled("PT", **{keyword: None}), unit_or_kind="HU") == []


def test_a_decay_factor_is_not_needed_where_nothing_was_corrected() -> None:
    source = spoiled("PT", DecayCorrection="NONE", DecayFactor=None)
    assert check_derivable(source, unit_or_kind="Bq/ml") == []


def test_projections_and_answers_without_a_unit_are_no_pet() -> None:
    source = spoiled("PT", SeriesType=["STATIC", "REPROJECTION"])
    assert codes(check_derivable(source, unit_or_kind="Bq/ml")) == ["E_DICOM_TARGET"]
    assert codes(check_derivable(source_series("PT"), unit_or_kind="arbitrary")) == [
        "E_DICOM_TARGET"
    ]


def test_a_map_must_fit_into_one_file() -> None:
    source = replace(source_series("MR"), shape=(2048, 2048, 256))
    assert codes(check_derivable(source, unit_or_kind="map")) == ["E_DICOM_TARGET"]
    assert check_derivable(source, unit_or_kind="HU") == []


def test_an_unknown_kind_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError, match=f"none of {', '.join(KINDS)}"):
        check_derivable(source_series("MR"), unit_or_kind="counts")


def test_a_multi_frame_file_is_counted_once() -> None:
    source = source_series("MR")
    instance = source.frames[0].instance
    header: Dataset = instance.header
    header.SOPInstanceUID = ""
    source = replace(
        source, frames=tuple(replace(frame, instance=instance) for frame in source.frames)
    )
    (problem,) = check_derivable(source, unit_or_kind="HU")
    assert problem.message == "1 of 1 source files have no SOPInstanceUID"
