import io

import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from medgen.report.findings import COLOURS, map_sheet

SHAPE = (24, 26, 22)


def cube(place: int, size: int = 6) -> np.ndarray:
    found = np.zeros(SHAPE, bool)
    found[place : place + size, place : place + size, place : place + size] = True
    return found


def pixels_like(png: bytes, colour: str) -> int:
    """Count pixels whose colour is nearly this one, blended with a dark ground."""
    picture = matplotlib.image.imread(io.BytesIO(png))[..., :3]
    wanted = np.array(to_rgb(colour))
    return int((np.abs(picture - wanted).max(axis=-1) < 0.3).sum())


@pytest.mark.parametrize("name", ["reference", "mask"])
def test_what_is_there_is_outlined_and_named(name: str) -> None:
    region = cube(2, 18)
    values = np.zeros(SHAPE)
    values[0, 0, 0] = 100.0  # outside the region: neither drawn nor scaled by
    common = {"region": region, "aim": cube(8), "spacing_mm": (1.0, 2.0, 1.5)}
    with_it = map_sheet(values, {name: cube(8)}, **common)  # type: ignore[arg-type]
    without = map_sheet(values, {name: np.zeros(SHAPE, bool)}, **common)  # type: ignore[arg-type]
    assert pixels_like(with_it, COLOURS[name]) > pixels_like(without, COLOURS[name]) + 100


def test_the_cuts_go_where_the_aim_is() -> None:
    values = np.where(cube(14, 4), 5.0, 0.0)
    region = np.ones(SHAPE, bool)
    common = {"region": region, "spacing_mm": (1.0, 1.0, 1.0)}
    counts = []
    for aim in (cube(14, 4), np.zeros(SHAPE, bool), cube(2, 2)):
        png = map_sheet(values, {}, aim=aim, **common)  # type: ignore[arg-type]
        counts.append(pixels_like(png, "#ffe9bf"))
    assert counts[0] > 2 * max(counts[1:])
