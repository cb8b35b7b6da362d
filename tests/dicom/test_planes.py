from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dicom_corpus import CT, OBLIQUE, SPACING, make_slices, uid
from dicom_truth import assert_discreet
from pydicom.dataset import Dataset

from medgen.dicom.frames import Frame, Instance
from medgen.dicom.planes import planes_of

SHAPE = (8, 6, 5)


def frames(change: Callable[[Dataset], object] | None = None, *, only: int = 2) -> list[Frame]:
    """Return frames of an oblique series, of which one was changed, or all (-1)."""
    headers, _ = make_slices(CT, shape=SHAPE, directions=OBLIQUE)
    for index, header in enumerate(headers):
        if change is not None and only in (index, -1):
            change(header)
    return [Frame(Instance(Path("x"), one), 0, one) for one in headers]


def test_what_planes_have_in_common() -> None:
    planes = planes_of(frames())
    assert planes.problems == ()
    assert planes.size == SHAPE[:2]
    assert planes.spacing == SPACING[:2]
    assert planes.axes is not None
    np.testing.assert_allclose(planes.axes, OBLIQUE, atol=1e-12)
    assert planes.positions is not None
    assert planes.positions.shape == (5, 3)


def put(keyword: str, value: object) -> Callable[[Dataset], object]:
    return lambda header: setattr(header, keyword, value)


def drop(*keywords: str) -> Callable[[Dataset], object]:
    return lambda header: [delattr(header, keyword) for keyword in keywords]


IOP = "ImageOrientationPatient"


@pytest.mark.parametrize(
    ("change", "only", "code", "said"),
    [
        (drop("ImagePositionPatient"), 2, "E_NO_POSITION", "ImagePositionPatient (1 of 5"),
        (drop(IOP, "PixelSpacing"), -1, "E_NO_POSITION", "and PixelSpacing (5 of 5"),
        (put("ImagePositionPatient", [1, 2]), 2, "E_NO_POSITION", "1 of 5"),
        (put("ImagePositionPatient", [0, 0, "1e30"]), 2, "E_NO_POSITION", "1 of 5"),
        (put("ImagePositionPatient", [0, 0, "nan"]), 2, "E_NO_POSITION", "1 of 5"),
        (put(IOP, ["1e300", 0, 0, 0, 1, 0]), -1, "E_NO_POSITION", "5 of 5"),
        (put(IOP, [0, 0, 0, 0, 0, 0]), -1, "E_ORIENTATION", "off by 1 "),
        (put(IOP, [1, 0, 0, 0.1, 0.995, 0]), -1, "E_ORIENTATION", "product 0.1"),
        (put(IOP, [1, 0, 0, 0, 1, 0]), 2, "E_ORIENTATION", "1 of 5 slices are not parallel"),
        (put("PixelSpacing", [1.3, 0.8]), 2, "E_SLICE_SHAPE", "pixel spacings"),
        (put("PixelSpacing", [0, 0]), -1, "E_BAD_SPACING", "0 to 0 mm"),
        (put("PixelSpacing", [-1, 1]), -1, "E_BAD_SPACING", "-1 to 1 mm"),
        (put("Rows", 5), 2, "E_SLICE_SHAPE", "from 8 x 5 to 8 x 6"),
        (drop("Rows"), 2, "E_SLICE_SHAPE", "no columns or rows"),
        (put("FrameOfReferenceUID", uid("other")), 2, "E_FRAME_OF_REFERENCE", "2 different"),
        (drop("FrameOfReferenceUID"), 2, "E_FRAME_OF_REFERENCE", "2 different"),
        (put("PatientID", "MRN124"), 2, "E_MIXED_PATIENTS", "2 different patients"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_planes_that_do_not_agree(
    change: Callable[[Dataset], object], only: int, code: str, said: str
) -> None:
    (problem,) = planes_of(frames(change, only=only)).problems
    assert problem.code == code
    assert said in problem.message
    assert_discreet([problem])


def test_no_frame_of_reference_at_all_is_no_clash() -> None:
    assert planes_of(frames(drop("FrameOfReferenceUID"), only=-1)).problems == ()


def test_rounded_headers_agree() -> None:
    def rounded(header: Dataset) -> None:
        header.ImageOrientationPatient = [f"{value:.4f}" for value in header[IOP].value]
        header.PixelSpacing = [1.2001, 0.8001]

    assert planes_of(frames(rounded)).problems == ()


def test_all_that_is_wrong_is_told() -> None:
    def spoil(header: Dataset) -> None:
        header.Rows, header.PixelSpacing = 5, [2, 2]
        header.FrameOfReferenceUID = uid("other")
        del header.ImagePositionPatient

    codes = [problem.code for problem in planes_of(frames(spoil)).problems]
    assert codes == ["E_FRAME_OF_REFERENCE", "E_SLICE_SHAPE", "E_NO_POSITION", "E_SLICE_SHAPE"]
