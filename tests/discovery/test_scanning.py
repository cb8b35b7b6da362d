"""Every layout on disk, with one defect of every kind planted in it; the scan names each."""

import csv
import json
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgen.data import read_table
from medgen.discovery import KeyedNames, Names, Scan, scan, summarise
from medgen.problems import ConfigurationError, Exit, NothingFound
from medgen.volumes import Grid, Volume, write_volume

Make = Callable[..., Path]
Told = set[tuple[str, str | None, str | None]]


def scanned(root: Path, **more: object) -> Scan:
    return scan(root, names=Names(), output=root / "cases.csv", **more)  # type: ignore[arg-type]


def refused(found: Scan) -> Told:
    return {(f.problem.code, f.problem.case, f.problem.column) for f in found.refused}


def warned(found: Scan) -> Told:
    others = [finding.problem for finding in found.findings if not finding.refused]
    return {(problem.code, problem.case, problem.column) for problem in others}


def table(root: Path) -> list[dict[str, str]]:
    """Return the table's rows, after the reader of every other verb has accepted it."""
    with (root / "cases.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    images = [name for name in rows[0] if name not in ("case", "patient", "site", "split")]
    assert len(read_table(root / "cases.csv", columns=images).rows) == len(rows)
    return rows


def test_a_folder_per_patient_with_every_defect(make: Make, tmp_path: Path) -> None:
    for patient in ("p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08"):
        make(f"{patient}/mr.nii.gz")
        make(f"{patient}/ct.nii.gz", kind="ct")
        make(f"{patient}/mask.nii.gz", kind="mask")
    make("p01/t2.nii.gz")
    torn = make("p01/mr.nii.gz").read_bytes()
    (tmp_path / "p01/mr.nii.gz").write_bytes(torn[: len(torn) // 2])
    bad = bytearray(make("p02/mr.nii.gz").read_bytes())
    bad[-6] ^= 0xFF
    (tmp_path / "p02/mr.nii.gz").write_bytes(bytes(bad))
    (tmp_path / "p02/ct.nii.gz").write_bytes(b"")
    make("p03/mr.nii.gz", 5)
    make("p03/ct.nii.gz", np.arange(336).reshape(6, 7, 8))
    make("p03/mask.nii.gz", np.arange(336).reshape(6, 7, 8) / 336)
    shutil.copy(tmp_path / "p05/mr.nii.gz", tmp_path / "p04/mr.nii.gz")
    make("p05/ct.mha", kind="ct")
    make("p06/mr.nii.gz", offset=500.0)
    make("p07/mr.nii.gz", spacing=5.0)
    make("P8/mr.nii.gz")
    (tmp_path / "p08/ct.nii.gz").unlink()
    (tmp_path / "p08/ct").mkdir()
    (tmp_path / "p08/ct/1.dcm").write_bytes(b"x")
    make("p08/what.nii.gz")
    (tmp_path / "p08/loop").symlink_to(tmp_path)
    (tmp_path / "p08/.hidden.nii.gz").write_bytes(b"")
    (tmp_path / "p08/notes.txt").write_text("x")
    make("p01/series.nii", kind="label")
    _to_four_dimensions(tmp_path / "p01/series.nii", tmp_path / "p04/ct.nii")
    (tmp_path / "p04/ct.nii.gz").unlink()
    (tmp_path / "p01/series.nii").unlink()
    found = scanned(tmp_path)
    assert refused(found) == {
        ("E_TRUNCATED", "p01", "mr"),
        ("E_CHECKSUM", "p02", "mr"),
        ("E_EMPTY_FILE", "p02", "ct"),
        ("E_CONSTANT", "p03", "mr"),
        ("E_NOT_HU", "p03", "ct"),
        ("E_MASK_VALUES", "p03", "mask"),
        ("E_DUPLICATE", "p04", "mr"),
        ("E_DUPLICATE", "p05", "mr"),
        ("E_FOUR_DIMENSIONS", "p04", "ct"),
        ("E_AMBIGUOUS", "p05", "ct"),
        ("E_BAD_HEADER", None, None),
        ("E_COLUMN", None, None),
    }
    assert warned(found) == {
        ("E_OTHER_FRAME", "p06", "ct"),
        ("E_OTHER_FRAME", "p06", "mask"),
        ("E_OUTLIER", "p07", "mr"),
        ("E_PATIENT_SPELLING", "p08", None),
        ("W_COLUMN_SPARSE", None, None),
        ("E_LINK", None, None),
    }
    assert found.exit_code == Exit.SOME_FAILED
    assert found.others == 1
    rows = {row["case"]: row for row in table(tmp_path)}
    assert set(rows) == {"p01", "p02", "p04", "p05", "p06", "p07", "p08", "P8"}
    assert rows["p01"] == {
        **{"case": "p01", "patient": "p01", "mr": "", "t2": "p01/t2.nii.gz"},
        **{"ct": "p01/ct.nii.gz", "mask": "p01/mask.nii.gz"},
    }
    assert rows["p08"]["patient"] == "P8"
    assert not any(
        "/" in str(f.problem) and str(tmp_path) in str(f.problem) for f in found.findings
    )


def _to_four_dimensions(source: Path, destination: Path) -> None:
    """Write a file's voxels twice, and say so in its header."""
    data = bytearray(source.read_bytes())
    struct.pack_into("<h", data, 40, 4)
    struct.pack_into("<h", data, 48, 2)
    destination.write_bytes(bytes(data) + bytes(data[352:]))


def test_sessions_one_level_deeper(make: Make, tmp_path: Path) -> None:
    for session in ("visit1", "visit2"):
        make(f"p01/{session}/t1.nii.gz")
        make(f"p02/{session}/t1.nii.gz")
    make("p03/visit1/t1.nii.gz", 0)
    found = scanned(tmp_path)
    assert refused(found) == {("E_CONSTANT", "p03_visit1", "t1")}
    assert [(row["case"], row["patient"]) for row in table(tmp_path)] == [
        ("p01_visit1", "p01"),
        ("p01_visit2", "p01"),
        ("p02_visit1", "p02"),
        ("p02_visit2", "p02"),
    ]


def test_bids_with_derivatives(make: Make, tmp_path: Path) -> None:
    for subject in ("sub-01", "sub-02"):
        make(f"{subject}/ses-x/anat/{subject}_ses-x_T1w.nii.gz")
        make(f"{subject}/ses-x/anat/{subject}_ses-x_FLAIR.nii.gz")
        make(
            f"derivatives/x/{subject}/ses-x/anat/{subject}_ses-x_desc-brain_mask.nii.gz",
            kind="mask",
        )
        make(f"derivatives/x/{subject}/ses-x/anat/{subject}_ses-x_dseg.nii.gz", kind="label")
        (tmp_path / f"{subject}/ses-x/anat/{subject}_ses-x_T1w.json").write_text("{}")
        make(f"{subject}/ses-x/func/{subject}_ses-x_task-rest_bold.nii.gz")
    make("sub-01/ses-x/anat/sub-03_ses-x_T1w.nii.gz")
    make("derivatives/y/sub-02/ses-x/anat/sub-02_ses-x_dseg.nii.gz", kind="label")
    (tmp_path / "participants.tsv").write_text("participant_id\tage\n")
    found = scanned(tmp_path)
    assert refused(found) == {
        ("E_BIDS_NAME", None, None),
        ("E_AMBIGUOUS", "sub-02_ses-x", "label"),
    }
    assert warned(found) == {("E_BIDS_SERIES", None, None)}
    assert found.others == 3
    assert [(one.layout, one.scope) for one in found.layouts] == [("BIDS", ())]
    first, second = table(tmp_path)
    assert (first["case"], first["patient"]) == ("sub-01_ses-x", "sub-01")
    assert all(first[column] for column in ("t1", "flair", "label", "brain"))
    assert second["label"] == ""


def test_nnunet_with_a_hostile_description(make: Make, tmp_path: Path) -> None:
    base = "nnUNet_raw/Dataset001_X"
    for case in ("a", "b", "c"):
        make(f"{base}/imagesTr/{case}_0000.nii.gz")
        make(f"{base}/labelsTr/{case}.nii.gz", kind="label")
    make(f"{base}/labelsTr/c.nii.gz", np.arange(336).reshape(6, 7, 8) % 5)
    make(f"{base}/imagesTs/d_0000.nii.gz")
    description = {
        "channel_names": {"0": "../../../etc/passwd"},
        "labels": {"background": 0, "organ": 1, "tumour": 2},
        "training": [{"image": "/etc/passwd"}],
    }
    (tmp_path / base / "dataset.json").write_text(json.dumps(description))
    found = scanned(tmp_path)
    assert refused(found) == {("E_LABEL_VALUES", "c", "label")}
    rows = table(tmp_path)
    assert [(row["case"], row["split"], bool(row["label"])) for row in rows] == [
        ("a", "train", True),
        ("b", "train", True),
        ("c", "train", False),
        ("d", "test", False),
    ]
    assert rows[0]["etc_passwd"] == f"{base}/imagesTr/a_0000.nii.gz"


def test_nnunet_with_a_patient_on_both_sides(make: Make, tmp_path: Path) -> None:
    for folder in ("imagesTr", "imagesTs"):
        make(f"{folder}/a_0000.nii.gz")
    make("imagesTr/b_0000.nii.gz")
    found = scanned(tmp_path)
    assert warned(found) >= {("E_SPLIT_LEAK", "train_a", None), ("E_SPLIT_LEAK", "test_a", None)}
    rows = table(tmp_path)
    assert {row["patient"] for row in rows} == {"a", "b"}
    assert "split" not in rows[0]


def test_synthrad_in_two_formats(make: Make, tmp_path: Path) -> None:
    for patient, suffix in (("1BA001", ".nii.gz"), ("1BB002", ".mha"), ("1BC003", ".mha")):
        make(f"Task1/brain/{patient}/mr{suffix}")
        make(f"Task1/brain/{patient}/ct{suffix}", kind="ct")
        make(f"Task1/brain/{patient}/mask{suffix}", kind="mask")
    make("Task1/brain/1BC003/mask.mha", 0)
    found = scanned(tmp_path)
    assert refused(found) == {("E_EMPTY_MASK", "1BC003", "mask")}
    assert [(one.layout, one.scope) for one in found.layouts] == [("SynthRAD", ("Task1", "brain"))]
    assert [(row["case"], row["site"]) for row in table(tmp_path)] == [
        ("1BA001", "A"),
        ("1BB002", "B"),
        ("1BC003", "C"),
    ]


def test_flat_names_and_parallel_folders_side_by_side(make: Make, tmp_path: Path) -> None:
    make("flat/p01_t1.nii.gz")
    make("flat/p01_flair.nii.gz")
    make("flat/p02_t1.nii.gz")
    make("flat/p02-t1.nii.gz")
    make("flat/stray.nii.gz")
    make("pairs/mr/x.nii.gz")
    make("pairs/ct/x.nii.gz", kind="ct")
    make("pairs/ct/y.nii.gz", kind="mask")
    make("unpaired/trainA/u.nii.gz")
    make("unpaired/testB/v.nii.gz")
    found = scanned(tmp_path)
    assert refused(found) == {
        ("E_AMBIGUOUS", "p02", "t1"),
        ("E_LAYOUT", None, None),
        ("E_NOT_HU", "y", "ct"),
    }
    assert ("E_SPLIT_PARTIAL", None, None) in warned(found)
    assert {one.layout for one in found.layouts} == {"flat names", "a folder per column"}
    rows = {row["case"]: row for row in table(tmp_path)}
    assert set(rows) == {"p01", "x", "u", "v"}
    assert (rows["u"]["a"], rows["v"]["b"]) == (
        "unpaired/trainA/u.nii.gz",
        "unpaired/testB/v.nii.gz",
    )


def test_the_sample_cohort_of_the_phantom(tmp_path: Path) -> None:
    from medgen.cli.app import main

    folder = tmp_path / "cohort"
    options = ["--cases", "1", "--size", "24x28x24", "--quiet"]
    assert main(["phantom", "--output", str(folder), *options]) == Exit.OK
    found = scan(folder, names=Names(), output=tmp_path / "t.csv")
    assert found.exit_code == Exit.OK
    assert [case.case for case in found.cases] == ["head-000"]
    assert {"t1", "ct", "pet_low", "body"} <= set(found.cases[0].cells)


def test_a_key_hashes_cases_the_same_in_every_scan(make: Make, tmp_path: Path) -> None:
    for place in ("one/DOE_JANE", "two/DOE_JANE/visit2", "two/ROE_RICHARD/visit1"):
        make(f"{place}/t1.nii.gz")
    names = [KeyedNames(bytes(32)) for _ in range(2)]
    first = scan(tmp_path / "one", names=names[0], output=tmp_path / "one.csv")
    second = scan(tmp_path / "two", names=names[1], output=tmp_path / "two.csv")
    patients = {case.patient for case in second.cases}
    assert len(patients) == 2
    assert {case.patient for case in first.cases} < patients
    told = [str(f.problem) for f in [*first.findings, *second.findings]]
    ids = [f"{case.case} {case.patient}" for case in [*first.cases, *second.cases]]
    assert "DOE" not in f"{told}{ids}"


def test_nothing_and_wrong_places(make: Make, tmp_path: Path) -> None:
    with pytest.raises(NothingFound, match="E_MISSING_FILE"):
        scanned(tmp_path / "gone")
    with pytest.raises(NothingFound, match="the folder is empty"):
        scanned(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(NothingFound, match="1 other file"):
        scanned(tmp_path)
    make("p01/t1.nii.gz")
    with pytest.raises(ConfigurationError, match="E_OUTPUT"):
        scan(tmp_path, names=Names(), output=tmp_path / "p01")
    with pytest.raises(ConfigurationError, match="E_OUTPUT"):
        scan(tmp_path, names=Names(), output=tmp_path / "x.txt" / "cases.csv")
    (tmp_path / "cases.csv").write_text("mine")
    with pytest.raises(ConfigurationError, match="E_EXISTS"):
        scanned(tmp_path)
    assert (tmp_path / "cases.csv").read_text() == "mine"
    assert scanned(tmp_path, overwrite=True).exit_code == Exit.OK


def test_where_everything_is_refused_no_table_is_written(tmp_path: Path) -> None:
    (tmp_path / "p01").mkdir()
    (tmp_path / "p01/t1.nii.gz").write_bytes(b"torn")
    found = scanned(tmp_path)
    assert found.exit_code == Exit.ALL_FAILED
    assert not (tmp_path / "cases.csv").exists()
    assert summarise(found, table="t", keyed=False)["table"] is None


@pytest.fixture(scope="module")
def header() -> bytes:
    """Return the first 352 bytes of a small volume of 8 numbers of 4 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.nii"
        volume = Volume(np.arange(8, dtype=np.float32).reshape(2, 2, 2), Grid((2, 2, 2), np.eye(4)))
        write_volume(path, volume, dtype="float32")
        return path.read_bytes()[:352]


FOLDERS = (
    "p01 P01 sub-01 ses-1 anat mr ct t1 images labels trainA test imagesTr labelsTr derivatives "
    "1BA001 visit2 siteA =x"
)
STEMS = "t1 ct mask p01_t1 sub-01_ses-1_T1w sub-01_desc-brain_mask a_0000 x_ct"
letters = st.characters(exclude_characters="/\0", exclude_categories=("Cs",))
component = st.one_of(
    st.text(letters, min_size=1, max_size=12), st.sampled_from(FOLDERS.split())
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 60)
stem = st.one_of(component, st.sampled_from(STEMS.split()))
paths = st.tuples(st.lists(component, max_size=3), stem).map(lambda p: (*p[0], f"{p[1]}.nii"))


@given(files=st.lists(paths, min_size=1, max_size=6, unique=True), keyed=st.booleans())
@settings(max_examples=60)
def test_any_tree_gives_a_table_that_is_read_or_none(
    header: bytes, files: list[tuple[str, ...]], keyed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        root.mkdir()
        written = 0
        for number, parts in enumerate(files):
            path = root.joinpath(*parts)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(header + struct.pack("<8f", *range(number, number + 8)))
                written += 1
            except OSError:  # a file where another path wants a folder
                continue
        output = Path(folder) / "out" / "cases.csv"
        names = KeyedNames(bytes(16)) if keyed else Names()
        try:
            found = scan(root, names=names, output=output)
        except NothingFound:
            return
        cells = 0
        if found.cases:
            columns = sorted({column for case in found.cases for column in case.cells})
            for row in read_table(output, columns=columns).rows:
                cells += len(row.cells)
                assert all(
                    path.resolve().is_relative_to(root.resolve()) for path in row.cells.values()
                )
        assert cells + sum(len(f.files) for f in found.findings) >= found.volumes
        assert found.volumes <= written
