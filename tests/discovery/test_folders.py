from collections.abc import Callable

import pytest

from medgen.discovery.folders import recognise
from medgen.discovery.walking import Entry

Listed = Callable[..., list[Entry]]


def cells(entries: list[Entry]) -> dict[str, str]:
    """Return, by path, `patient/session column`."""
    placed = recognise(entries)
    assert placed.findings == []
    return {
        p.entry.path.as_posix(): f"{p.patient}/{p.session} {p.column}" for p in placed.placements
    }


LAYOUTS = {
    "named files": {
        "p01/mr.nii.gz": "p01/ mr",
        "p01/ct.nii.gz": "p01/ ct",
        "p02/MR.mha": "p02/ mr",
    },
    "sessions": {
        "p01/visit1/t1.nii.gz": "p01/visit1 t1",
        "p01/visit2/t1.nii.gz": "p01/visit2 t1",
        "p02/2020-01-31/t1.nii.gz": "p02/2020-01-31 t1",
    },
    "sessions by repetition": {
        "p01/a/t1.nii.gz": "p01/a t1",
        "p01/b/t1.nii.gz": "p01/b t1",
        "p02/a/t1.nii.gz": "p02/a t1",
    },
    "sites": {
        "siteA/001/t1.nii.gz": "001/ t1",
        "siteA/002/t1.nii.gz": "002/ t1",
        "siteB/001/t1.nii.gz": "001/ t1",
    },
    "unnamed sites": {
        "UCL/001/t1.nii.gz": "001/ t1",
        "UCL/002/t1.nii.gz": "002/ t1",
        "UCL/003/t1.nii.gz": "003/ t1",
        "AMC/001/t1.nii.gz": "001/ t1",
    },
    "the patient's name in front": {
        "BraTS_001/BraTS_001_t1ce.nii.gz": "BraTS_001/ t1ce",
        "BraTS_001/BraTS_001_seg.nii.gz": "BraTS_001/ label",
        "BraTS_002/BraTS_002_t1ce.nii.gz": "BraTS_002/ t1ce",
    },
    "another name in front": {
        "p01/scan7_t1.nii.gz": "p01/ t1",
        "p01/scan7_flair.nii.gz": "p01/ flair",
        "p02/scan7_t1.nii.gz": "p02/ t1",
    },
    "folders between": {
        "p01/anat/t1.nii.gz": "p01/ t1",
        "p02/anat/t1.nii.gz": "p02/ t1",
    },
    "a folder per image": {
        "p01/mr/export.nii.gz": "p01/ mr",
        "p01/ct/series4.nii.gz": "p01/ ct",
        "p02/mr/other.nii.gz": "p02/ mr",
    },
    "unknown names that repeat": {
        "p01/fixed.nii.gz": "p01/ fixed",
        "p01/Moving 2b.nii.gz": "p01/ moving_2b",
        "p02/fixed.nii.gz": "p02/ fixed",
        "p02/moving_2B.nii.gz": "p02/ moving_2b",
    },
    "one patient": {"mr.nii.gz": "/ mr", "ct.nii.gz": "/ ct"},
    "SynthRAD": {
        "Task1/brain/1BA001/mr.nii.gz": "1BA001/ mr",
        "Task1/brain/1BA001/ct.nii.gz": "1BA001/ ct",
        "Task1/brain/1BA001/mask.nii.gz": "1BA001/ mask",
        "Task1/pelvis/1PC002/mr.mha": "1PC002/ mr",
    },
    "flat names": {
        "p01_t1.nii.gz": "p01/ t1",
        "p01_flair.nii.gz": "p01/ flair",
        "p02_visit2_t1.nii.gz": "p02_visit2/ t1",
    },
    "flat names with sessions": {
        "p01_visit1_t1.nii.gz": "p01/visit1 t1",
        "p01_visit2_t1.nii.gz": "p01/visit2 t1",
        "p02_visit1_t1.nii.gz": "p02/visit1 t1",
        "p03_t1.nii.gz": "p03/ t1",
    },
    "flat names with dates": {
        "p01_2020-01-31_t1.nii.gz": "p01/2020-01-31 t1",
        "p01_20210131_t1.nii.gz": "p01/20210131 t1",
        "p02_20200505_t1.nii.gz": "p02/20200505 t1",
    },
    "numbers that are no dates": {
        "hcc_20019903_t1.nii.gz": "hcc_20019903/ t1",
        "hcc_20019904_t1.nii.gz": "hcc_20019904/ t1",
    },
    "two folders": {
        "mr/x.nii.gz": "x/ mr",
        "mr/y.nii.gz": "y/ mr",
        "ct/x.nii.gz": "x/ ct",
        "ct/y_ct.nii.gz": "y/ ct",
    },
    "CycleGAN's folders": {
        "trainA/x1.nii.gz": "x1/ a",
        "trainB/x1.nii.gz": "x1/ b",
        "testA/x2.nii.gz": "x2/ a",
    },
    "image and label folders": {
        "train/images/x.nii.gz": "x/ image",
        "train/images/y.nii.gz": "y/ image",
        "train/labels/x.nii.gz": "x/ label",
        "test/images/z.nii.gz": "z/ image",
    },
    "a column's folder named again": {"mr/mr.nii.gz": "/ mr", "ct/ct.nii.gz": "/ ct"},
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_a_layout_is_read_by_its_names(listed: Listed, files: dict[str, str]) -> None:
    assert cells(listed(*files)) == files


def test_layouts_may_lie_side_by_side(listed: Listed) -> None:
    files = {
        f"{place}/{path}": what
        for place, name in (("one", "named files"), ("two", "flat names"), ("three", "two folders"))
        for path, what in LAYOUTS[name].items()
    }
    assert cells(listed(*files)) == files


def test_sites_splits_and_scopes(listed: Listed) -> None:
    placed = recognise(
        listed("siteA/train/p1/t1.nii", "siteA/test/p2/t1.nii", "Task1/brain/1BB001/mr.nii")
    )
    found = {p.patient: (p.scope, p.split, p.site, p.layout) for p in placed.placements}
    assert found == {
        "p1": (("siteA",), "train", "siteA", "a folder per patient"),
        "p2": (("siteA",), "test", "siteA", "a folder per patient"),
        "1BB001": (("Task1", "brain"), "", "B", "SynthRAD"),
    }


@pytest.mark.parametrize(
    ("files", "code", "count"),
    [
        (["cranium.nii.gz", "unc.nii.gz"], "E_LAYOUT", 2),
        (["horses/001.nii.gz", "zebras/001.nii.gz"], "E_LAYOUT", 1),
        (["a b/p01.nii", "a b/p02.nii", "c/p01.nii", "c/p02.nii"], "E_LAYOUT", 2),
        (["p01/t1.nii", "p01/jane.nii", "p02/t1.nii"], "E_COLUMN", 1),
        (["p01_t1.nii", "p02_t1.nii", "readme.nii"], "E_LAYOUT", 1),
    ],
)
def test_what_names_do_not_tell_is_not_guessed(
    listed: Listed, files: list[str], code: str, count: int
) -> None:
    findings = recognise(listed(*files)).findings
    assert {finding.problem.code for finding in findings} == {code}
    assert all(len(finding.files) == count for finding in findings)
    advice = {"E_LAYOUT": "by hand", "E_COLUMN": "add them to the table"}[code]
    assert all(advice in finding.problem.advice for finding in findings)


COHORTS = {
    "flat": [f"lung_scan_{n:03d}_t1.nii" for n in range(1, 7)],
    "a number behind a word": [f"brats_year_{n}_t1.nii" for n in range(1, 7)],
    "a folder per column": [f"{c}/lung_scan_{n}.nii" for n in range(1, 7) for c in ("mr", "ct")],
    "beside another patient": ["p7_t1.nii", *(f"prostate_exam_{n}_t1.nii" for n in range(1, 7))],
    "two cohorts": [f"{c}_scan_{n}_t1.nii" for c in ("lung", "colon") for n in range(1, 7)],
    "a folder per patient": [f"lung/scan_{n:03d}/t1.nii" for n in range(1, 7)],
    "two folders of many": [
        f"{c}/scan_{n}/t1.nii" for c in ("lung", "colon") for n in range(1, 14)
    ],
    "numbers like a date": [f"hcc_2001010{n}_t1.nii" for n in range(1, 7)],
}


@pytest.mark.parametrize("files", COHORTS.values(), ids=COHORTS)
def test_a_cohort_is_not_taken_for_the_sessions_of_one_patient(
    listed: Listed, files: list[str]
) -> None:
    placed = recognise(listed(*files))
    names = {(p.scope, p.patient) for p in placed.placements}
    assert len(names) == len(files) / len({p.column for p in placed.placements})
    assert {p.session for p in placed.placements} == {""}
    findings = [(f.problem.code, f.refused) for f in placed.findings]
    assert findings
    assert set(findings) == {("E_SESSION_UNSURE", False)}
    told = {path.as_posix() for f in placed.findings for path in f.files}
    assert told == {file for file in files if not file.startswith("p7")}
