"""Seam energy on volumes with steps of known places, and windows laid exactly."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import medgen
from medgen.conversion.tiling import Axis

PROGRAM = Path(medgen.__file__).parents[1] / "benchmarks" / "seam_energy.py"
SEAMS = runpy.run_path(str(PROGRAM))
SHAPE = (96, 20, 20)
BODY = np.ones(SHAPE, np.bool_)


def smooth() -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=SHAPE)
    return np.asarray(ndimage.gaussian_filter(noise, 3.0), np.float32)


def stepped(whole: np.ndarray, *places: float) -> np.ndarray:
    """Return the volume with a step of a deviation after each place."""
    answer = whole.copy()
    for place in places:
        answer[int(place + 0.5) :] += whole.std()
    return answer


def test_no_seam_is_one_and_a_step_is_more_only_where_it_is() -> None:
    whole = smooth()
    here, there = (SEAMS["Meeting"](0, at, 0) for at in (31.5, 63.5))
    answer = stepped(whole, 31.5)
    assert SEAMS["energy_of"](whole, whole, BODY, [here]) == pytest.approx(1.0)
    assert SEAMS["energy_of"](answer, whole, BODY, [here]) > 2.0
    assert SEAMS["energy_of"](answer, whole, BODY, [there], others=[here]) == pytest.approx(1.0)
    assert SEAMS["energy_of"](answer, whole, BODY, []) == 1.0


def test_one_meeting_is_not_held_against_the_seams_of_others() -> None:
    whole = smooth()
    met = [SEAMS["Meeting"](0, at, 0) for at in (23.5, 47.5, 71.5)]
    alone = SEAMS["energy_of"](stepped(whole, 23.5), whole, BODY, met[:1], others=met)
    among = SEAMS["energy_of"](stepped(whole, 23.5, 47.5, 71.5), whole, BODY, met[:1], others=met)
    assert among == pytest.approx(alone)


def test_windows_overlap_by_what_is_asked_and_cover_the_axis() -> None:
    axis = SEAMS["exactly"](Axis(100, 0, 48, (0, 52)), 16, 4)
    assert isinstance(axis, Axis)
    assert axis.starts == (0, 32, 64)
    assert axis.starts[-1] + axis.size >= 100 + axis.before
