import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from medgen.report.case_sheet import WIDTH, Row, case_sheet
from medgen.report.sheet import Look
from medgen.report.slices import Cut

GREY = Look(0.0, 1.0, colormaps["gray"], "arbitrary unit")


def cuts(value: float, *, height: int = 30) -> tuple[Cut, ...]:
    return tuple(
        Cut(np.full((height, 20), value), 200.0, 10.0 * height, "R", "L") for _ in range(3)
    )


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_a_row_for_each_volume_and_a_line_for_each_reason() -> None:
    one = pixels(case_sheet([Row("mr", cuts(1.0), GREY)], title="case"))
    two = pixels(case_sheet([Row("mr", cuts(1.0), GREY)] * 2, title="case"))
    said = pixels(case_sheet([Row("mr", cuts(1.0), GREY)], title="case", lines=["a", "b"]))
    assert one.shape[1] == two.shape[1] == WIDTH
    assert len(one) < len(two)
    assert len(said) - len(one) == 32
    white = (one.min(axis=2) > 250).mean() * one.shape[0]
    assert (two.min(axis=2) > 250).mean() * two.shape[0] > 1.9 * white


def test_the_verdict_has_its_colour() -> None:
    heads = {
        verdict: pixels(case_sheet([Row("mr", cuts(0.0), GREY)], title="case", verdict=verdict))[
            :30
        ]
        for verdict in ("pass", "warn", "fail", "")
    }
    red, green = (
        {name: (head[..., a] - head[..., b]).max() for name, head in heads.items()}
        for a, b in ((0, 1), (1, 0))
    )
    assert red["fail"] > 100
    assert green["pass"] > 60
    assert red["warn"] > 40
    assert red[""] < 20


def test_labels_are_painted_and_named() -> None:
    labels = cuts(0.0)
    labels[0].pixels[5:10, 5:10] = 3
    drawn = Row("answer", cuts(0.5), GREY, labels, {3: "#ff0000", 4: "#00ff00"}, {3: "lesion"})
    picture = pixels(case_sheet([drawn], title="case"))
    red = picture[..., 0] - picture[..., 1] > 100
    assert red[:, : WIDTH // 3].sum() > 1000  # the voxels
    assert red[:, WIDTH // 3 :].sum() == 9 * 9  # the key
    assert not (picture[..., 1] - picture[..., 0] > 100).any()  # nothing has the other value


def test_many_reasons_and_a_tall_body_stay_within_bounds() -> None:
    rows = [Row("a", cuts(0.2, height=900), GREY)]
    picture = pixels(case_sheet(rows, title="c", lines=["a reason that is long " * 9] * 40))
    assert len(picture) < 34 + 10 * 16 + 20 + 300 + 40


def test_rows_of_several_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="same planes"):
        case_sheet([Row("a", cuts(0.0), GREY), Row("b", cuts(0.0, height=9), GREY)], title="c")
