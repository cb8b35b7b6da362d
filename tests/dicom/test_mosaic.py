import struct
from typing import Any

import pytest
from dicom_corpus import MR, make_slices
from dicom_frames import frame_of
from pydicom.dataset import Dataset

from medgen.dicom.mosaic import mosaic_problems

_NAME = b"NumberOfImagesInMosaic"


def csa(text: bytes, *, items: int = 6) -> bytes:
    """Return a CSA header of which one entry says how many images there are."""
    entry = struct.pack("<64si4siii", _NAME, 1, b"US\0\0", 6, items, 77)
    item = struct.pack("<4i", 0, len(text), 77, 0) + text
    return b"SV10\4\3\2\1" + struct.pack("<ii", 1, 77) + entry + item + b"\0" * 40


def header() -> Dataset:
    return make_slices(MR, shape=(5, 3, 1))[0][0]


def private(group: int, creator: str, element: int, kind: str, value: Any) -> Dataset:
    found = header()
    found.private_block(group, creator, create=True).add_new(element, kind, value)
    return found


def codes(*headers: Dataset) -> list[str]:
    return [problem.code for problem in mosaic_problems([frame_of(one) for one in headers])]


def test_by_image_type_of_any_image() -> None:
    mosaic = header()
    mosaic.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    assert codes(header(), mosaic) == ["E_MOSAIC"]


@pytest.mark.parametrize(
    "mosaic",
    [
        private(0x0029, "SIEMENS CSA HEADER", 0x10, "OB", csa(b"36\0\0")),
        private(0x0019, "SIEMENS MR HEADER", 0x0A, "US", 36),
        private(0x0019, "SIEMENS MR HEADER", 0x0A, "UN", b"36"),
    ],
)
def test_by_private_headers(mosaic: Dataset) -> None:
    assert codes(mosaic) == ["E_MOSAIC"]


@pytest.mark.parametrize(
    "plain",
    [
        header(),
        private(0x0029, "SIEMENS CSA HEADER", 0x10, "OB", csa(b"", items=0)),
        private(0x0029, "SIEMENS CSA HEADER", 0x10, "OB", csa(b"1\0\0\0")),
        private(0x0029, "SIEMENS CSA HEADER", 0x10, "OB", csa(b"36")[:100]),
        private(0x0029, "SIEMENS CSA HEADER", 0x10, "OB", b"SV10 without it"),
        private(0x0029, "SOMEBODY ELSE", 0x10, "OB", csa(b"36\0\0")),
        private(0x0019, "SIEMENS MR HEADER", 0x0A, "US", 1),
        private(0x0019, "SIEMENS MR HEADER", 0x0A, "LO", "many"),
    ],
)
def test_single_slices_pass(plain: Dataset) -> None:
    assert codes(plain) == []


def test_nothing_is_no_mosaic() -> None:
    assert codes() == []
