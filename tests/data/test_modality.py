from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT, make_series

from medgen.data.modality import check_modality, modality_of
from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, open_volume


@pytest.mark.parametrize(
    ("column", "modality"),
    [
        ("mr", "mr"),
        ("T1", "mr"),
        ("t1w", "mr"),
        ("flair_on_t1", "mr"),
        ("ct", "ct"),
        ("ct_on_mr", "ct"),
        ("cbct", "cbct"),
        ("pet_low", "pet"),
        ("image", "other"),
        ("mrs_carter", "other"),
    ],
)
def test_names_say_the_modality(column: str, modality: str) -> None:
    assert modality_of(column) == modality


@pytest.mark.parametrize(
    ("column", "given", "refused"),
    [
        ("mr", MR, False),
        ("mr", CT, True),
        ("t1", PT, True),
        ("ct", MR, True),
        ("cbct", CT, False),
        ("pet", CT, True),
        ("image", CT, False),
    ],
)
def test_headers_of_another_modality_are_refused(
    tmp_path: Path, column: str, given: str, refused: bool
) -> None:
    make_series(tmp_path, given, shape=(4, 4, 3))
    volume = open_volume(tmp_path)
    if not refused:
        check_modality(column, volume)
        return
    with pytest.raises(Refusal) as caught:
        check_modality(column, volume)
    (problem,) = caught.value.problems
    assert problem.code == "E_MODALITY"
    assert given in problem.message
    assert "--direction" in problem.advice


def test_files_that_know_nothing_are_not_judged() -> None:
    check_modality("mr", Volume(np.zeros((3, 3, 3)), Grid((3, 3, 3), np.eye(4)), "HU"))
