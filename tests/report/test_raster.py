import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image

from medgen.report.figures import DIFFERENCE
from medgen.report.raster import Canvas, coloured, font, is_own, painted, wrapped
from medgen.report.sheet import Look

GREY = Look(-100.0, 300.0, colormaps["gray"], "HU")


def test_values_take_the_colours_of_the_map() -> None:
    values = np.linspace(-500, 700, 49).reshape(7, 7)
    expected = 255 * DIFFERENCE((values + 300) / 600)[..., :3]
    found = coloured(values, Look(-300.0, 300.0, DIFFERENCE, ""))
    assert np.abs(found - expected).max() <= 6  # a step of the map's 256 colours


def test_what_is_beyond_the_range_or_no_number_is_an_end_of_it() -> None:
    found = coloured(np.array([[-np.inf, -1e9, -100.0, 300.0, 1e9, np.inf, np.nan]]), GREY)
    assert found[0, :, 0].tolist() == [0, 0, 0, 255, 255, 255, 0]


def test_labels_are_painted_over_and_others_stay_clear() -> None:
    under = np.full((1, 3, 3), 100, dtype=np.uint8)
    found = painted(under, np.array([[0, 4, 9]]), {4: "#ff0000"}, 0.5)
    assert found[0].tolist() == [[100, 100, 100], [178, 50, 50], [100, 100, 100]]
    assert under.min() == 100


@given(st.text(max_size=200), st.integers(30, 300))
def test_lines_fit_and_nothing_is_lost(text: str, width: int) -> None:
    lines = wrapped(text, width, 12)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(font(12).getlength(line) <= width for line in lines if len(line) > 1)


def test_a_picture_knows_its_writer_and_repeats_its_bytes() -> None:
    def draw() -> bytes:
        canvas = Canvas(120, 100)
        canvas.text((2, 2), "case µ")
        canvas.bar((10, 20, 20, 90), GREY, [0.0, 200.0])
        return canvas.png()

    assert draw() == draw()
    assert is_own(draw()[:1024])
    stream = io.BytesIO()
    Image.open(io.BytesIO(draw())).save(stream, format="PNG")
    assert not is_own(stream.getvalue())
    assert not is_own(b"Software\0medgen convert")


def test_a_bar_runs_from_its_low_end_up() -> None:
    canvas = Canvas(60, 100)
    canvas.bar((10, 10, 20, 90), GREY, [])
    column = np.asarray(Image.open(io.BytesIO(canvas.png())))[12:88, 15, 0].astype(int)
    assert (np.diff(column) <= 0).all()
    assert column[0] == pytest.approx(250, abs=8)
    assert column[-1] == pytest.approx(5, abs=8)
