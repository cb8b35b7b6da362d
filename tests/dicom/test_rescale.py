from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, MR, PT
from dicom_frames import made_frames as frames
from pydicom.dataset import Dataset

from medgen.dicom.rescale import is_whole, rescale_of, rescale_problems


def test_counts_are_rescaled_to_what_the_unit_says() -> None:
    def slope(**factors: Any) -> float:
        made = {{"suv": 0x00, "activity": 0x09}[name]: value for name, value in factors.items()}
        (scale, intercept), problems = rescale_of(frames(PT, Units="CNTS", factors=made)[0])
        assert not problems
        assert intercept == 0
        return scale

    assert slope() == 0.5
    assert slope(activity="3") == 1.5
    assert slope(suv="0.25") == 0.125
    assert slope(activity="3", suv="0.25") == 1.5


def test_the_factor_counts_in_counts_only() -> None:
    (slope, _), _ = rescale_of(frames(PT, factors={0x09: "3"})[0])
    assert slope == 0.5


@pytest.mark.parametrize("modality", [CT, PT])
@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_ct_and_pet_need_slope_and_intercept(modality: str, missing: str) -> None:
    (problem,) = rescale_problems(frames(modality, **{missing: None}))
    assert problem.code == "E_RESCALE"
    assert missing in problem.message


def test_one_of_slope_and_intercept_is_too_few_for_mr_too() -> None:
    assert rescale_of(frames(MR, RescaleSlope=None, RescaleIntercept=None)[0]) == ((1.0, 0.0), [])
    (problem,) = rescale_problems(frames(MR, RescaleIntercept=None))
    assert "RescaleIntercept missing in an image of MR Image Storage" in problem.message


@pytest.mark.parametrize("slope", ["0", "1e400", ["1", "2"]])
def test_slopes_must_be_finite_and_not_zero(slope: Any) -> None:
    (problem,) = rescale_problems(frames(CT, RescaleSlope=slope))
    assert problem.code == "E_RESCALE"


def test_a_lookup_table_is_refused() -> None:
    (problem,) = rescale_problems(frames(MR, ModalityLUTSequence=[Dataset()]))
    assert "lookup table" in problem.message


def test_whole_rescales() -> None:
    assert is_whole([(1.0, -1024.0), (1.0, 0.0)])
    assert not is_whole([(1.0, -1024.0), (1.0, 0.5)])
    assert not is_whole([(2.0, 0.0)])
    assert not is_whole([(1.0, float(1 << 40))])
    assert np.isfinite(rescale_of(frames(CT)[0])[0]).all()
