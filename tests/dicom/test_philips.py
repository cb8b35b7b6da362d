import pytest
from dicom_frames import PHILIPS_PET
from pydicom.dataset import Dataset

from medgen.dicom.philips import activity_factor, suv_factor


def test_factors_come_as_bytes_where_the_file_names_no_representation() -> None:
    header = Dataset()
    block = header.private_block(0x7053, PHILIPS_PET, create=True)
    block.add_new(0x00, "UN", b"0.000123 ")
    block.add_new(0x09, "UN", b"\xff\xfe")
    assert suv_factor(header) == pytest.approx(0.000123)
    assert activity_factor(header) is None
