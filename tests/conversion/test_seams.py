"""How rough an answer is where its windows meet."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medgen.conversion import plan_tiling
from medgen.conversion.seams import meetings_of, seam_energy

SHAPE = (64, 48, 48)
BODY = np.ones(SHAPE, dtype=np.bool_)
TILING = plan_tiling(SHAPE, patch=(32, 48, 48), overlap=0)


def anatomy(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    return ndimage.gaussian_filter(noise, 2.0).astype(np.float32)


def test_windows_meet_halfway_through_their_overlap() -> None:
    (meeting,) = meetings_of(TILING)
    assert (meeting.axis, meeting.at, meeting.overlap) == (0, 31.5, 0)
    padded = plan_tiling((60, 48, 48), patch=(32, 48, 48), overlap=4, divisor=4)
    (meeting,) = meetings_of(padded)
    assert (meeting.at, meeting.overlap) == (29.5, 4)


@pytest.mark.parametrize("seed", range(3))
def test_a_step_where_windows_meet_is_a_seam_and_one_elsewhere_is_none(seed: int) -> None:
    plain = anatomy(seed)
    sound = seam_energy(plain, BODY, TILING)
    assert sound == pytest.approx(1.0, abs=0.15)
    for place, worse in ((32, True), (12, False)):
        stepped = plain.copy()
        stepped[place:] += 5 * plain.std()
        energy = seam_energy(stepped, BODY, TILING)
        assert energy is not None
        assert (energy > 3.0) is worse


def test_energy_knows_no_scale_and_no_level() -> None:
    stepped = anatomy()
    stepped[32:] += 0.1
    energy = seam_energy(stepped, BODY, TILING)
    assert seam_energy(7 * stepped - 3, BODY, TILING) == pytest.approx(energy, rel=1e-3)


def test_without_a_meeting_in_the_body_nothing_is_known() -> None:
    whole = plan_tiling(SHAPE, patch=SHAPE, overlap=0)
    assert seam_energy(anatomy(), BODY, whole) is None
    away = np.zeros(SHAPE, dtype=np.bool_)
    away[:12] = True
    assert seam_energy(anatomy(), away, TILING) is None
    assert seam_energy(np.zeros(SHAPE, np.float32), BODY, TILING) is None
