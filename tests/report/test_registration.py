import io

import numpy as np
import pytest
from matplotlib import image as pictures

from medgen.report.registration import UNSEEN, Laid, registration_sheet


def pixels(png: bytes) -> np.ndarray:
    return np.rint(pictures.imread(io.BytesIO(png))[..., :3] * 255).astype(int)


def sheet(seen_from: int = 0, *, values: float = 100.0) -> np.ndarray:
    shape = (40, 44, 36)
    places = np.stack(np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij"))
    body = (places**2).sum(axis=0) < 1
    fixed = np.where(body, values * (1 + places[0]), 0)
    seen = np.zeros(shape, bool)
    seen[:, :, seen_from:] = True
    png = registration_sheet(
        fixed,
        Laid(np.roll(fixed, 4, 0), seen),
        Laid(fixed, seen),
        body,
        spacing_mm=(4.0, 4.0, 5.0),
        names=("t1", "flair"),
        verdict="ok",
    )
    return pixels(png)


def blue(found: np.ndarray) -> int:
    colour = [int(UNSEEN[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(found - colour).max(axis=-1) <= 2).sum())


def test_what_is_not_in_view_is_blue_and_not_black() -> None:
    assert blue(sheet(12)) > 5000
    assert blue(sheet(0)) < 500


def test_before_and_after_differ_where_the_image_moved() -> None:
    found = sheet()
    width = found.shape[1]
    before, after = found[:, : width // 4], found[:, width // 4 : width // 2]
    assert np.abs(before - after[:, : before.shape[1]]).mean() > 1


@pytest.mark.parametrize("values", [0.0, 1e-9, 5.0])
def test_a_dull_image_is_drawn_all_the_same(values: float) -> None:
    assert sheet(values=values).size
