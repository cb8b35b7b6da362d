import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.discovery.nnunet import Description, read_description, recognise
from medgen.discovery.walking import Entry

Listed = Callable[..., list[Entry]]

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
blocks = st.sampled_from(["channel_names", "modality", "labels"])


@pytest.mark.parametrize(
    ("value", "channels", "values"),
    [
        ({"channel_names": {"0": "T1", "1": "FLAIR"}}, {0: "t1", 1: "flair"}, None),
        ({"modality": {"0": "CT"}}, {0: "ct"}, None),
        ({"modality": {"0": "MRI", "1": "MRI"}}, {0: "mr", 1: "mr_1"}, None),
        ({"modality": {"0": "../../etc/passwd"}}, {0: "etc_passwd"}, None),
        ({"labels": {"background": 0, "tumor": 2}}, {}, {0, 2}),
        ({"labels": {"0": "background", "3": "liver"}}, {}, {0, 3}),
        ({"labels": {"whole": [1, 2], "core": 2}}, {}, {0, 1, 2}),
        ({}, {}, None),
    ],
)
def test_a_description_is_read(
    value: object, channels: dict[int, str], values: set[int] | None
) -> None:
    expected = None if values is None else frozenset(values)
    assert read_description(json.dumps(value)) == Description(channels, expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"channel_names": ["T1"]}',
        '{"channel_names": {"x": "T1"}}',
        '{"channel_names": {"0": {"path": "/etc"}}}',
        '{"labels": {"tumor": true}}',
        '{"labels": [1]}',
        '{"labels": {"tumor": "a.nii.gz"}}',
    ],
)
def test_another_description_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_description(text)


@given(st.dictionaries(blocks, anything) | anything)
def test_any_json_is_a_description_or_refused(value: object) -> None:
    try:
        found = read_description(json.dumps(value))
    except ValueError:
        return
    assert all(column.replace("_", "").isalnum() for column in found.channels.values())


def test_channels_labels_and_splits(tmp_path: Path, listed: Listed) -> None:
    folder = tmp_path / "Dataset001_X"
    folder.mkdir()
    description = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "x": 1}}
    (folder / "dataset.json").write_text(json.dumps(description))
    placed, others = recognise(
        tmp_path,
        listed(
            "Dataset001_X/imagesTr/a_0000.nii.gz",
            "Dataset001_X/imagesTr/a_0001.nii.gz",
            "Dataset001_X/labelsTr/a.nii.gz",
            "Dataset001_X/imagesTs/b_0000.nii.gz",
            "imagesTr.nii.gz",
        ),
    )
    assert [other.stem for other in others] == ["imagesTr"]
    assert [(p.patient, p.column, p.split, p.values) for p in placed.placements] == [
        ("a", "t1", "train", None),
        ("a", "channel_1", "train", None),
        ("b", "t1", "test", None),
        ("a", "label", "train", frozenset({0, 1})),
    ]


def test_the_decathlon_has_no_channel_numbers(tmp_path: Path, listed: Listed) -> None:
    files = listed("imagesTr/BRATS_0001.nii.gz", "labelsTr/BRATS_0001.nii.gz")
    placed, _ = recognise(tmp_path, files)
    assert [(p.patient, p.column) for p in placed.placements] == [
        ("BRATS_0001", "channel_0"),
        ("BRATS_0001", "label"),
    ]


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[1]", b" " * ((1 << 20) + 1)])
def test_a_bad_description_is_told_and_the_rest_goes_on(
    tmp_path: Path, listed: Listed, content: bytes
) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    placed, _ = recognise(tmp_path, listed("imagesTr/a_0000.nii.gz"))
    assert [finding.problem.code for finding in placed.findings] == ["E_DATASET_JSON"]
    assert [p.column for p in placed.placements] == ["channel_0"]


NAMED = {"modality": {"0": "MR"}}
TWO = {"channel_names": {"0": "T1", "1": "T2"}}


@pytest.mark.parametrize(
    ("description", "files", "cases"),
    [
        # AMOS: numbers of cases, as its labels show.
        (
            NAMED,
            [
                "imagesTr/amos_0001",
                "labelsTr/amos_0001",
                "imagesTs/amos_0000",
                "imagesTs/amos_0002",
            ],
            {"amos_0000 mr", "amos_0001 mr", "amos_0001 label", "amos_0002 mr"},
        ),
        (NAMED, ["imagesTs/amos_0002", "imagesTs/amos_0003"], {"amos_0002 mr", "amos_0003 mr"}),
        (NAMED, ["imagesTs/amos_0000", "imagesTs/amos_0001"], {"amos_0000 mr", "amos_0001 mr"}),
        (TWO, ["imagesTs/a_0000", "imagesTs/a_0001"], {"a t1", "a t2"}),
        (TWO, ["imagesTs/a_0001"], {"a t2"}),
        (
            None,
            ["imagesTr/a_0000", "imagesTr/a_0001", "labelsTr/a", "imagesTs/b_0001"],
            {"a channel_0", "a channel_1", "a label", "b channel_1"},
        ),
        (
            None,
            ["imagesTr/a_0000", "imagesTr/a_0001", "imagesTr/b_0000", "imagesTr/b_0001"],
            {"a channel_0", "a channel_1", "b channel_0", "b channel_1"},
        ),
        (None, ["imagesTs/a_0002", "imagesTs/a_0003"], {"a_0002 channel_0", "a_0003 channel_0"}),
        (
            None,
            ["imagesTr/a_1_0000", "imagesTr/a_2_0000", "labelsTr/a_1", "labelsTr/a_2"],
            {"a_1 channel_0", "a_2 channel_0", "a_1 label", "a_2 label"},
        ),
    ],
)
def test_a_number_is_a_channel_where_the_data_set_shows_it(
    tmp_path: Path, listed: Listed, description: object, files: list[str], cases: set[str]
) -> None:
    if description:
        (tmp_path / "dataset.json").write_text(json.dumps(description))
    placed, _ = recognise(tmp_path, listed(*(f"{file}.nii.gz" for file in files)))
    assert {f"{p.patient} {p.column}" for p in placed.placements} == cases
    assert placed.findings == []


def test_numbers_that_nothing_explains_are_cases_with_a_warning(
    tmp_path: Path, listed: Listed
) -> None:
    placed, _ = recognise(tmp_path, listed("imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz"))
    assert {p.patient for p in placed.placements} == {"a_0000", "a_0001"}
    (finding,) = placed.findings
    assert (finding.problem.code, finding.refused) == ("E_CHANNELS_UNSURE", False)
    assert len(finding.files) == 2


def test_a_cohort_is_not_taken_for_the_sessions_of_one_patient(
    tmp_path: Path, listed: Listed
) -> None:
    files = [f"imagesTr/lung_scan_{n:03d}_0000.nii.gz" for n in range(1, 7)]
    files += [f"labelsTr/lung_scan_{n:03d}.nii.gz" for n in range(1, 7)]
    placed, _ = recognise(tmp_path, listed(*files))
    assert {p.patient for p in placed.placements} == {f"lung_scan_{n:03d}" for n in range(1, 7)}
    assert [finding.problem.code for finding in placed.findings] == ["E_SESSION_UNSURE"]
