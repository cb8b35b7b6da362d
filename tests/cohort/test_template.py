"""What --dicom-template says where it names no series, or one of several."""

from __future__ import annotations

from pathlib import Path

import pytest
from dicom_corpus import MR, each, make_series

from medgen.cohort import Options
from medgen.cohort.asked import open_template
from medgen.problems import Refusal

SHAPE = (6, 5, 4)


def refused(template: Path) -> str:
    with pytest.raises(Refusal) as caught:
        open_template(Options(template=template), [])
    assert all(
        problem.message.startswith("--dicom-template: ") for problem in caught.value.problems
    )
    assert "check the table" not in str(caught.value)
    assert template.name not in str(caught.value)
    return str(caught.value)


def test_a_path_that_is_not_there_is_to_be_checked(tmp_path: Path) -> None:
    said = refused(tmp_path / "DOE^JANE")
    assert "E_MISSING_FILE" in said
    assert "check its path" in said


def test_of_several_series_one_is_to_be_named(tmp_path: Path) -> None:
    def rename(dataset: object) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesNumber = "1.2.7", 7  # type: ignore[attr-defined]

    tree = tmp_path / "DOE^JANE"
    make_series(tree / "a", MR, shape=SHAPE)
    each(tree / "b", MR, rename, shape=SHAPE)
    said = refused(tree)
    assert "E_SEVERAL_SERIES" in said
    assert "--dicom-template 'FOLDER/#series=UID'" in said
    assert "`medgen inspect FOLDER` lists them" in said
    assert "--series" not in said
    assert "E_NO_SERIES" in refused(tree / "#series=9")
    one = open_template(Options(template=tree / "#series=1.2.7"), [])
    assert one is not None
    assert one.series is not None
