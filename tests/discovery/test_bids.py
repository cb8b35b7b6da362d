import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.discovery.bids import parse, recognise
from medgen.discovery.walking import Entry

Listed = Callable[..., list[Entry]]

labels = st.from_regex(r"[A-Za-z0-9+]{1,8}", fullmatch=True)
entities = st.dictionaries(st.sampled_from(["ses", "acq", "ce", "run", "desc"]), labels)


@given(labels, entities, st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True))
def test_a_name_comes_back(subject: str, others: dict[str, str], suffix: str) -> None:
    pairs = {"sub": subject, **others}
    stem = "_".join([*(f"{key}-{value}" for key, value in pairs.items()), suffix])
    name = parse(stem)
    assert name is not None
    assert (dict(name.entities), name.suffix) == (pairs, suffix)
    assert name.stem() == stem


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_none(text: str) -> None:
    for stem in (text, f"sub-{text}", f"sub-01_{text}"):
        name = parse(stem)
        assert name is None or name.stem() == stem


def cells(listed: Listed, *paths: str) -> dict[str, tuple[str, str, str]]:
    placed, others = recognise(listed(*paths))
    assert not others
    return {
        one.entry.path.as_posix(): (one.patient, one.session, one.column)
        for one in placed.placements
    }


def test_sessions_and_derivatives_fill_one_case(listed: Listed) -> None:
    base, derived = "sub-01/ses-x/anat/sub-01_ses-x", "derivatives/fsl/sub-01/ses-x/anat"
    found = cells(
        listed,
        f"{base}_T1w.nii.gz",
        f"{base}_FLAIR.nii.gz",
        f"{derived}/sub-01_ses-x_desc-brain_mask.nii.gz",
        f"{derived}/sub-01_ses-x_label-lesion_mask.nii.gz",
        f"{derived}/sub-01_ses-x_dseg.nii.gz",
        f"{derived}/sub-01_ses-x_desc-preproc_T1w.nii.gz",
    )
    assert {(patient, session) for patient, session, _ in found.values()} == {("sub-01", "ses-x")}
    assert found[f"{derived}/sub-01_ses-x_label-lesion_mask.nii.gz"][2] == "lesion"
    assert {column for _, _, column in found.values()} == {
        *("t1", "flair", "brain", "lesion", "label", "t1_preproc")
    }


def test_entities_name_a_column_only_where_they_vary(listed: Listed) -> None:
    always = cells(
        listed,
        "sub-01/anat/sub-01_acq-mprage_T1w.nii.gz",
        "sub-02/anat/sub-02_acq-mprage_T1w.nii.gz",
    )
    assert {column for *_, column in always.values()} == {"t1"}
    varying = cells(
        listed,
        "sub-01/anat/sub-01_acq-fast_T1w.nii.gz",
        "sub-01/anat/sub-01_acq-High2_T1w.nii.gz",
        "sub-01/anat/sub-01_ce-gad_T1w.nii.gz",
    )
    assert {column for *_, column in varying.values()} == {"t1_acq_fast", "t1_acq_high2", "t1ce"}


def test_the_first_run_keeps_the_plain_name(listed: Listed) -> None:
    found = cells(
        listed,
        "sub-01/anat/sub-01_run-2_T2w.nii.gz",
        "sub-01/anat/sub-01_run-10_T2w.nii.gz",
        "sub-02/anat/sub-02_run-2_T2w.nii.gz",
    )
    assert [column for *_, column in found.values()] == ["t2_run_10", "t2", "t2"]


def test_series_and_misplaced_files_are_told(listed: Listed) -> None:
    placed, others = recognise(
        listed(
            "sub-01/func/sub-01_task-rest_bold.nii.gz",
            "sub-01/dwi/sub-01_dwi.nii.gz",
            "sub-01/anat/sub-02_T1w.nii.gz",
            "sub-01/ses-a/anat/sub-01_ses-b_T1w.nii.gz",
            "sub-01/anat/t1.nii.gz",
            "p01/sub-01_T1w.nii.gz",
        )
    )
    assert placed.placements == []
    codes = [(finding.problem.code, finding.refused) for finding in placed.findings]
    assert codes == [("E_BIDS_NAME", True), ("E_BIDS_NAME", True), ("E_BIDS_SERIES", False)]
    assert [other.path.as_posix() for other in others] == [
        "p01/sub-01_T1w.nii.gz",
        "sub-01/anat/t1.nii.gz",
    ]


@pytest.mark.parametrize("suffix", ["T1w", "T1map", "XYZ", "mask", "dseg", "probseg", "ct", "pet"])
def test_any_suffix_names_a_column(listed: Listed, suffix: str) -> None:
    found = cells(listed, f"sub-1/anat/sub-1_{suffix}.nii")
    ((_, _, column),) = found.values()
    assert re.fullmatch("[a-z0-9_]+", column)
