import io

import numpy as np
import pytest
from matplotlib import image as pictures
from matplotlib.colors import to_rgb

from medgen.report import label_preview
from medgen.report.labels import CONFUSED, EQUAL, INVENTED, MISSED, verdicts, where_to_cut

PIXELS = 300


def shown(png: bytes) -> np.ndarray:
    return np.asarray(pictures.imread(io.BytesIO(png)))[..., :3]


def count(picture: np.ndarray, colour: str) -> int:
    return int((np.abs(picture - to_rgb(colour)) < 0.01).all(axis=-1).sum())


def block(value: int = 1, start: int = 4) -> np.ndarray:
    found = np.zeros((16, 14, 12), np.uint8)
    found[start : start + 6, 4:9, 3:8] = value
    return found


def test_verdicts() -> None:
    reference, prediction = np.array([0, 1, 1, 0, 1, 2]), np.array([0, 1, 0, 1, 2, 2])
    assert verdicts(reference, prediction).tolist() == [0, 1, 2, 3, 4, 1]


def test_slices_go_where_most_voxels_differ() -> None:
    reference, prediction = block(), block()
    prediction[7, 4:9, 5] = 0
    assert where_to_cut(reference, prediction) == (7, 4, 5)
    reference[:, :, 7] = 1
    assert where_to_cut(reference, reference)[2] == 7
    nothing = np.zeros((16, 14, 12), np.uint8)
    assert where_to_cut(nothing, nothing) == (8, 7, 6)


@pytest.mark.parametrize(
    ("prediction", "seen", "unseen"),
    [
        (block(), [EQUAL], [MISSED, INVENTED, CONFUSED]),
        (block(0), [MISSED], [EQUAL, INVENTED, CONFUSED]),
        (block(2), [CONFUSED], [EQUAL, INVENTED, MISSED]),
        (block(start=7), [EQUAL, MISSED, INVENTED], [CONFUSED]),
    ],
)
def test_every_kind_of_error_has_its_colour(
    prediction: np.ndarray, seen: list[str], unseen: list[str]
) -> None:
    picture = shown(label_preview(block(), prediction, ["a", "b", "unknown"]))
    assert all(count(picture, colour) > PIXELS for colour in seen)
    assert all(count(picture, colour) < PIXELS for colour in unseen)  # the legend's square only


def test_classes_keep_their_colours_without_blending() -> None:
    """A label is no grey value: between 1 and 3 there is no 2."""
    alternating = np.zeros((90, 90, 90), np.uint8)
    alternating[5:85, 5:85, 5:85] = 1
    alternating[5:85:2, 5:85, 5:85] = 3
    picture = shown(label_preview(alternating, alternating, ["a", "b", "c"], panel_inches=1.0))
    assert count(picture, "#1f77b4") > PIXELS  # tab10: blue is 1, orange 2, green 3
    assert count(picture, "#2ca02c") > PIXELS
    assert count(picture, "#ff7f0e") == 0


def test_many_classes_and_empty_volumes_can_be_drawn() -> None:
    many = np.arange(16 * 14 * 12).reshape(16, 14, 12) % 40
    names = [f"a_long_name_of_region_{value}" for value in range(1, 40)]
    assert label_preview(many, many, names).startswith(b"\x89PNG")
    assert label_preview(many * 0, many * 0, names, spacing_mm=(1, 1, 5)).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="one shape"):
        label_preview(many, many[1:], names)
