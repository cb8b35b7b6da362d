import pydicom
import pytest
from dicom_corpus import CT, make_slices
from dicom_encoding import BIG_ENDIAN, EXPLICIT, IMPLICIT, JPEG_BASELINE, JPEG_LS
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from medgen.dicom.syntaxes import COMPRESSED, NATIVE, is_lossy, syntax_of, syntax_problems


def header(syntax: str) -> Dataset:
    found = make_slices(CT, shape=(5, 3, 1))[0][0]
    found.file_meta.TransferSyntaxUID = syntax
    return found


@pytest.mark.parametrize("syntax", sorted(NATIVE | COMPRESSED))
def test_all_are_decoded_here(syntax: str) -> None:
    assert syntax_of(header(syntax)) == syntax
    assert not syntax_problems(header(syntax))


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("ExplVR_BigEndNoMeta.dcm", BIG_ENDIAN),
        ("ExplVR_LitEndNoMeta.dcm", EXPLICIT),
        ("no_meta.dcm", IMPLICIT),
    ],
)
def test_a_file_without_meta_information_shows_how_it_is_encoded(name: str, syntax: str) -> None:
    path = get_testdata_file(name, download=False)
    assert syntax_of(pydicom.dcmread(path, stop_before_pixels=True, force=True)) == syntax


@pytest.mark.parametrize(
    ("syntax", "said", "lossy"),
    [
        (EXPLICIT, None, False),
        (EXPLICIT, "01", True),
        (EXPLICIT, "00", False),
        (JPEG_LS, None, False),
        (JPEG_BASELINE, "00", True),
    ],
)
def test_loss(syntax: str, said: str | None, *, lossy: bool) -> None:
    found = header(syntax)
    if said is not None:
        found.LossyImageCompression = said
    assert is_lossy(found) == lossy


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level"),
        ("1.2.840.10008.1.2.4.52", "JPEG Extended (Process 3 and 5)"),
        ("1.2.840.10008.5.1.4.1.1.2", "an unknown one"),
        ("1.2.3.4.5", "an unknown one"),
    ],
)
def test_others_are_refused_by_name(syntax: str, name: str) -> None:
    (problem,) = syntax_problems(header(syntax))
    assert problem.code == "E_TRANSFER_SYNTAX"
    assert name in problem.message
    assert "1.2." not in str(problem)


def test_sixteen_syntaxes() -> None:
    """Table 4's: native in four ways, RLE, JPEG in four, JPEG-LS in two, JPEG 2000 in five."""
    assert {one.removeprefix("1.2.840.10008.1.2") for one in NATIVE} == {"", ".1", ".1.99", ".2"}
    numbers = (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)
    assert {one.removeprefix("1.2.840.10008.1.2") for one in COMPRESSED} == {
        ".5",
        *(f".4.{number}" for number in numbers),
    }
