from __future__ import annotations

import numpy as np
import pytest

from medgen.config import PreprocessingConfig
from medgen.data.frame import Frame, frame_of
from medgen.data.pairing import check_pair
from medgen.problems import Refusal


@pytest.fixture
def frame(volumes) -> Frame:
    settings = PreprocessingConfig(crop="none")
    return frame_of("mr", volumes()["mr"], unit="arbitrary", settings=settings)


def everywhere(frame: Frame) -> np.ndarray:
    return np.ones(frame.grid.shape, dtype=bool)


def test_an_image_overlaps_itself_wholly(frame):
    overlap = check_pair(frame, frame.values, everywhere(frame), unit="arbitrary", min_overlap=0.5)
    assert overlap == 1.0


def test_what_a_column_did_not_see_counts_as_empty(frame):
    half = everywhere(frame)
    half[20:] = False
    with pytest.raises(Refusal, match=r"Dice 0\.\d\d;.*0\.90"):
        check_pair(frame, frame.values, half, unit="arbitrary", min_overlap=0.9)
    overlap = check_pair(frame, frame.values, half, unit="arbitrary", min_overlap=0.5)
    assert overlap == pytest.approx(2 / 3, abs=0.05)


def test_no_common_field_of_view_is_no_overlap(frame):
    nowhere = ~everywhere(frame)
    with pytest.raises(Refusal, match=r"E_PAIR_OVERLAP.*Dice 0\.00"):
        check_pair(frame, frame.values, nowhere, unit="HU", min_overlap=0.5)
    assert check_pair(frame, frame.values, nowhere, unit="HU", min_overlap=0) is None
