from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from medgen.volumes.forms import choose_affine

SHAPE = (250, 250, 250)


def header_of(affine: Any) -> nibabel.Nifti1Header:
    header = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.uint8), affine).header
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1, strip_shears=True)
    return header


def codes_of(header: nibabel.Nifti1Header) -> list[str]:
    return [problem.code for problem in choose_affine(header, SHAPE)[1]]


@given(
    angle=st.floats(-5e-3, 5e-3),
    axis=st.tuples(*[st.floats(-1, 1)] * 3),
    flip=st.sampled_from([(-1, -1, 1), (-1, 1, 1), (1, -1, -1), (1, 1, 1)]),
)
def test_healthy_forms_near_half_a_turn_agree(
    angle: float, axis: tuple[float, float, float], flip: tuple[int, int, int]
) -> None:
    """Single precision loses the fourth quaternion component there; no file is to blame."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_rotvec(angle * np.array(axis)).as_matrix() * flip
    assert codes_of(header_of(affine)) == []


@pytest.mark.parametrize(("shift", "refused"), [(0.05, False), (0.2, True)])
def test_a_shift_counts_from_a_tenth_of_a_millimetre(shift: float, refused: bool) -> None:
    header = header_of(np.eye(4))
    header["qoffset_y"] += shift
    assert codes_of(header) == (["E_FORMS_DISAGREE"] if refused else [])


def test_a_turn_counts_at_the_far_corner() -> None:
    header = header_of(np.eye(4))
    header["quatern_d"] = np.sin(2e-3 / 2)  # 0.5 mm at 250 mm
    assert codes_of(header) == ["E_FORMS_DISAGREE"]


def test_spacing_and_shear_count() -> None:
    header = header_of(np.eye(4))
    header["pixdim"][1] = 1.01
    assert codes_of(header) == ["E_FORMS_DISAGREE"]
    sheared = np.eye(4)
    sheared[0, 1] = 0.01
    assert codes_of(header_of(sheared)) == ["E_FORMS_DISAGREE"]


def test_the_sform_wins_and_the_handedness_flag_may_be_zero() -> None:
    header = header_of(np.diag([1.0, 2, 3, 1]))
    header["pixdim"][0] = 0
    header["srow_x"][3] = 0.05
    affine, problems = choose_affine(header, SHAPE)
    assert problems == []
    assert affine is not None
    assert affine[0, 3] == pytest.approx(0.05)


def test_uncoded_forms_are_ignored(nifti: Callable[..., Path]) -> None:
    header = header_of(np.eye(4))
    header["qform_code"] = 0
    header["quatern_b"], header["qoffset_x"] = np.nan, np.nan
    assert codes_of(header) == []


def test_a_signalling_nan_is_refused_quietly() -> None:
    header = header_of(np.eye(4))
    header["qoffset_z"] = np.array([0x7F800001], dtype="<u4").view("<f4")[0]
    assert codes_of(header) == ["E_BAD_AFFINE"]
