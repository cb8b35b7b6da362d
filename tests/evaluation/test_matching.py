from pathlib import Path

import pytest

from medgen.evaluation.matching import listed, match_paths, match_table, volumes_by_name
from medgen.problems import ConfigurationError, NothingFound


def test_folders_match_by_name_whatever_the_format(cohort: Path) -> None:
    matched = match_paths(cohort / "prediction", cohort / "reference", cohort / "mask")
    assert [case.name for case in matched.cases] == ["c1", "c2", "c3", "c4"]
    assert matched.cases[0].prediction.name == "c1.mha"
    assert matched.cases[0].mask is not None
    assert matched.without_prediction == ()
    assert matched.mask_source == "a mask file per case"


def test_two_files_match_whatever_their_names(cohort: Path) -> None:
    matched = match_paths(cohort / "prediction/c1.mha", cohort / "reference/c2.nii.gz")
    (case,) = matched.cases
    assert (case.name, case.reference.name, case.mask) == ("c1", "c2.nii.gz", None)
    assert matched.mask_source == "outline of the reference"


def test_one_mask_file_serves_every_case(cohort: Path) -> None:
    matched = match_paths(cohort / "prediction", cohort / "reference", cohort / "mask/c1.nii.gz")
    assert {case.mask for case in matched.cases} == {cohort / "mask/c1.nii.gz"}


def test_predictions_may_be_a_part_of_the_references(cohort: Path) -> None:
    (cohort / "prediction/c2.mha").unlink()
    matched = match_paths(cohort / "prediction", cohort / "reference")
    assert matched.without_prediction == ("c2",)


def test_strays_are_named_on_both_sides(cohort: Path) -> None:
    (cohort / "prediction/c2.mha").rename(cohort / "prediction/other.mha")
    with pytest.raises(ConfigurationError, match=r"E_UNMATCHED.*: other; .*: c2.*--profile distr"):
        match_paths(cohort / "prediction", cohort / "reference")
    (cohort / "reference/c2.nii.gz").rename(cohort / "reference/other.nii.gz")
    with pytest.raises(ConfigurationError, match="without a mask: other"):
        match_paths(cohort / "prediction", cohort / "reference", cohort / "mask")


def test_two_files_of_one_case_are_refused(cohort: Path) -> None:
    (cohort / "prediction/c1.nii.gz").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"E_DUPLICATE_CASE.*c1"):
        match_paths(cohort / "prediction", cohort / "reference")


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_nothing_to_score(cohort: Path, missing: str) -> None:
    with pytest.raises(NothingFound, match=r"E_NOTHING_TO_SCORE.*--reference"):
        match_paths(cohort / "prediction", cohort / missing)


def test_the_table_knows_patients_and_splits(cohort: Path) -> None:
    matched = match_table(
        cohort / "prediction", cohort / "cases.csv", column="ct", mask_column="body", split="test"
    )
    assert [case.name for case in matched.cases] == ["c1", "c2", "c3"]
    assert [case.patient for case in matched.cases] == ["p1", "p1", "p2"]
    assert matched.mask_source == "column body"
    everything = match_table(cohort / "prediction", cohort / "cases.csv", column="ct")
    assert len(everything.cases) == 4
    assert everything.cases[0].mask is None


def test_the_table_names_strays_and_missing_predictions(cohort: Path) -> None:
    (cohort / "prediction/c1.mha").rename(cohort / "prediction/x.mha")
    with pytest.raises(ConfigurationError, match=r"E_UNMATCHED.*without a ct: x.*--profile distr"):
        match_table(cohort / "prediction", cohort / "cases.csv", column="ct", split="test")
    (cohort / "prediction/x.mha").unlink()
    matched = match_table(cohort / "prediction", cohort / "cases.csv", column="ct", split="test")
    assert matched.without_prediction == ("c1",)


def test_a_case_without_a_mask_cell_is_named(cohort: Path) -> None:
    table = cohort / "cases.csv"
    table.write_text(table.read_text().replace("mask/c2.nii.gz", ""))
    with pytest.raises(ConfigurationError, match="column body are empty for c2"):
        match_table(cohort / "prediction", table, column="ct", mask_column="body")


def test_a_split_needs_a_split_column_and_a_case_in_it(cohort: Path) -> None:
    with pytest.raises(NothingFound, match="'validation'"):
        match_table(cohort / "prediction", cohort / "cases.csv", column="ct", split="validation")
    plain = cohort / "plain.csv"
    plain.write_text("case,patient,ct\nc1,p1,reference/c1.nii.gz\n")
    with pytest.raises(ConfigurationError, match="E_SPLIT_MISSING"):
        match_table(cohort / "prediction", plain, column="ct", split="test")


def test_long_lists_are_cut() -> None:
    assert listed(map(str, range(3))) == "0, 1, 2"
    assert listed(map(str, range(30))).endswith("19 and 10 more")


def test_names_lose_their_extension(cohort: Path) -> None:
    assert list(volumes_by_name(cohort / "mask", "mask")) == ["c1", "c2", "c3", "c4"]


def test_file_names_that_cannot_be_case_ids_are_refused_without_repeating_them(
    cohort: Path,
) -> None:
    for role in ("prediction", "reference"):
        (volume,) = (cohort / role).glob("c1.*")
        name = "".join(volume.suffixes)
        volume.rename(volume.with_name(f"DOE JANE{name}"))
    with pytest.raises(ConfigurationError, match="E_CASE_NAME") as caught:
        match_paths(cohort / "prediction", cohort / "reference")
    assert "JANE" not in str(caught.value)
    assert "#1" in str(caught.value)


def test_a_single_file_may_have_any_name(cohort: Path) -> None:
    volumes = []
    for role in ("prediction", "reference"):
        (volume,) = (cohort / role).glob("c1.*")
        volumes.append(volume.rename(volume.with_name("DOE JANE" + "".join(volume.suffixes))))
    matched = match_paths(*volumes)
    assert [case.name for case in matched.cases] == ["case"]


def test_an_empty_cell_is_told_apart_from_a_stray(cohort: Path) -> None:
    """Healthy cases have no lesion to outline: the message says what to give in its place."""
    table = cohort / "cases.csv"
    table.write_text(table.read_text().replace("reference/c2.nii.gz", ""))
    said = r"E_UNMATCHED.*column ct are empty for c2 -> fill them.*healthy case.*0 everywhere"
    with pytest.raises(ConfigurationError, match=said):
        match_table(cohort / "prediction", table, column="ct")
    (cohort / "prediction/c2.mha").unlink()
    assert len(match_table(cohort / "prediction", table, column="ct").cases) == 3
