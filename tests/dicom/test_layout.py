from typing import Any

import numpy as np
import pytest
from dicom_corpus import CT, make_slices
from hypothesis import given
from hypothesis import strategies as st

from medgen.dicom.layout import Layout, layout_of


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    allocated = draw(st.sampled_from([8, 16, 32]))
    stored = draw(st.integers(1, allocated))
    high = draw(st.integers(stored - 1, allocated - 1))
    return Layout(1, 4, allocated, stored, high, signed=draw(st.booleans()))


@given(layouts(), st.data())
def test_stored_values_come_back_from_between_other_bits(
    layout: Layout, data: st.DataObject
) -> None:
    """Bits above and below those stored hold overlays, here noise."""
    values = data.draw(st.lists(st.integers(layout.least, layout.greatest), min_size=4, max_size=4))
    noise = data.draw(st.integers(0, (1 << layout.bits_allocated) - 1))
    low = layout.high_bit + 1 - layout.bits_stored
    used = ((1 << layout.bits_stored) - 1) << low
    words = [((value << low) & used) | (noise & ~used) for value in values]
    kind = f"u{layout.bits_allocated // 8}"
    found = layout.stored_values(np.array([words], dtype=kind))
    assert found.tolist() == [values]
    assert found.dtype.itemsize == layout.bits_allocated // 8


def test_bytes_of_a_frame() -> None:
    assert Layout(3, 5, 16, 12, 11, signed=False).bytes_per_frame == 30


def test_a_sound_header() -> None:
    layout, problems = layout_of(make_slices(CT, shape=(5, 3, 1))[0][0])
    assert layout == Layout(3, 5, 16, 16, 15, signed=True)
    assert not problems


@pytest.mark.parametrize(
    ("said", "code", "named"),
    [
        ({"PhotometricInterpretation": "MONOCHROME1"}, "E_MONOCHROME1", "MONOCHROME1"),
        ({"PhotometricInterpretation": "YBR_FULL_422"}, "E_COLOUR", "YBR_FULL_422"),
        ({"PhotometricInterpretation": "JANE"}, "E_COLOUR", "unknown"),
        ({"SamplesPerPixel": 3}, "E_COLOUR", "3 samples"),
        ({"SamplesPerPixel": 0}, "E_PIXEL_TYPE", "samples"),
        ({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, "E_PIXEL_TYPE", "1 bits"),
        ({"BitsAllocated": 64}, "E_PIXEL_TYPE", "64 bits"),
        ({"BitsStored": 0}, "E_PIXEL_TYPE", "0 bits"),
        ({"HighBit": 10}, "E_PIXEL_TYPE", "up to bit 10"),
        ({"PixelRepresentation": 2}, "E_PIXEL_TYPE", "representation of 2"),
        ({"Rows": 0}, "E_PIXEL_TYPE", "0 rows"),
        ({"Columns": None}, "E_PIXEL_TYPE", "Columns missing"),
        ({"BitsStored": [12, 13]}, "E_PIXEL_TYPE", "BitsStored missing"),
    ],
)
def test_an_impossible_header_is_refused(said: dict[str, Any], code: str, named: str) -> None:
    header = make_slices(CT, shape=(5, 3, 1))[0][0]
    for keyword, value in said.items():
        setattr(header, keyword, value)
    layout, (problem,) = layout_of(header)
    assert layout is None
    assert problem.code == code
    assert named in problem.message
    assert "JANE" not in str(problem)
