import io

import numpy as np
import pytest
from PIL import Image

from medgen.report import Panel, preview
from medgen.report.figures import DIFFERENCE, HU_WINDOW, round_up

SHAPE = (24, 28, 20)


def pixels(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def volumes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij"))
    radius = np.sqrt((grid**2).sum(axis=0))
    reference = np.where(radius < 0.8, 40.0, -1000.0)
    prediction = reference + 100.0 * grid[0]
    return prediction, reference, radius < 0.8


def test_a_training_preview() -> None:
    prediction, reference, body = volumes()
    panels = [
        ("t1", reference + 1000, "image", "arbitrary"),
        ("answer", prediction, "image", "HU"),
        Panel("target", reference, unit="HU"),
        ("difference", prediction - reference, "difference", "HU"),
    ]
    picture = pixels(preview(panels, spacing_mm=(2, 2, 3), mask=body, title="case $x_{1 step 100"))
    assert picture.shape[1] > 1000
    red, _, blue = picture[:, 3 * picture.shape[1] // 4 :].reshape(-1, 3).astype(int).T
    assert (red - blue > 100).any()  # too high
    assert (blue - red > 100).any()  # too low


def test_the_same_panels_give_the_same_bytes() -> None:
    _, reference, _ = volumes()
    first, second = (preview([("a", reference, "image", "HU")]) for _ in range(2))
    assert first == second


def test_differences_outside_the_mask_are_dark() -> None:
    _, _, body = volumes()
    difference = np.where(body, 0.0, 500.0)
    limit = (-500.0, 500.0)
    shown = pixels(preview([Panel("d", difference, "difference", "HU", limit)]))
    hidden = pixels(preview([Panel("d", difference, "difference", "HU", limit)], mask=body))
    bright = [
        (picture[: 2 * len(picture) // 3].max(axis=2) > 240).mean() for picture in (shown, hidden)
    ]
    assert bright[0] > 0.2
    assert bright[1] < 0.01


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_constant_volume_is_drawn(value: float) -> None:
    preview([("flat", np.full((4, 4, 4), value)), ("d", np.zeros((4, 4, 4)), "difference")])


def test_one_plane_or_a_chosen_centre() -> None:
    prediction, _, _ = volumes()
    one = pixels(preview([("a", prediction)], planes=["axial"], centre=(1, 2, 3)))
    three = pixels(preview([("a", prediction)]))
    assert len(one) < len(three)


def test_volumes_of_several_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        preview([("a", np.zeros((3, 3, 3))), ("b", np.zeros((3, 3, 4)))])
    with pytest.raises(ValueError, match="one shape"):
        preview([("a", np.zeros((3, 3, 3)))], mask=np.zeros((3, 3, 2)))
    with pytest.raises(ValueError, match="one shape"):
        preview([("a", np.zeros((3, 3)))])


def test_the_difference_colours_are_dark_at_zero_and_symmetric_in_light() -> None:
    light = np.array([sum(DIFFERENCE(x)[:3]) for x in np.linspace(0, 1, 9)])
    assert light.argmin() == 4
    assert (np.diff(light[:5]) < 0).all()
    assert (np.diff(light[4:]) > 0).all()
    assert HU_WINDOW[0] < 0 < HU_WINDOW[1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 1.0), (0.0312, 0.05), (1.0, 1.0), (1.2, 2.0), (299.0, 300.0), (301.0, 500.0), (7, 10)],
)
def test_round_up(value: float, expected: float) -> None:
    assert round_up(value) == pytest.approx(expected)
