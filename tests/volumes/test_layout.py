from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medgen.problems import Problem
from medgen.volumes import Limits
from medgen.volumes.layout import Layout, read_voxels, shape_and_count_problems
from medgen.volumes.streams import ByteStream

Codes = Callable[[Callable[[], object]], list[str]]
SHAPE = (2, 3, 4)


def read(path: Path, body: bytes, *, nan_to: float | None = None, **changes: Any) -> Any:
    path.write_bytes(body)
    settings = {"shape": SHAPE, "dtype": np.dtype("<f4"), "affine": np.eye(4)} | changes
    with ByteStream(path) as stream:
        return read_voxels(stream, Layout(**settings), nan_to=nan_to).data


def test_the_first_axis_runs_fastest(tmp_path: Path) -> None:
    values = np.arange(24, dtype="<f4")
    data = read(tmp_path / "x", b"skip" + values.tobytes(), skip=4)
    assert data[1, 0, 0] == 1
    assert data[0, 1, 0] == 2
    assert data[0, 0, 1] == 6


def test_scaling_and_replacing_reach_every_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medgen.volumes.layout._PIECE", 5)
    values = np.arange(24, dtype=">f4")
    values[[0, 11, 23]] = np.nan
    changes = {"dtype": np.dtype(">f4"), "slope": 2.0, "intercept": -1.0}
    data = read(tmp_path / "x", values.tobytes(), nan_to=7.0, **changes)
    expected = np.arange(24) * 2.0 - 1
    expected[[0, 11, 23]] = 7
    assert np.array_equal(data.ravel(order="F"), expected)


def test_what_is_wrong_with_the_voxels_joins_what_is_wrong_with_the_header(
    tmp_path: Path, codes: Codes
) -> None:
    problem = Problem("E_UNITS", "metres", "rewrite")
    bad = np.full(24, np.nan, dtype="<f4").tobytes()
    path = tmp_path / "x"
    assert codes(lambda: read(path, bad, problems=(problem,))) == ["E_UNITS", "E_NONFINITE"]
    assert codes(lambda: read(path, bad[:-1], problems=(problem,))) == ["E_UNITS", "E_TRUNCATED"]
    unreadable = {"problems": (problem,), "readable": False}
    assert codes(lambda: read(path, bad, **unreadable)) == ["E_UNITS"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3, 4), []),
        ((2, 3, 4, 1, 1), []),
        ((2, 3, 4, 1, 3), ["E_FOUR_DIMENSIONS"]),
        ((2, 1, 4, 9), ["E_TOO_FEW_SLICES", "E_FOUR_DIMENSIONS"]),
    ],
)
def test_shapes_beyond_three_axes(shape: tuple[int, ...], expected: list[str]) -> None:
    found = shape_and_count_problems(shape, Limits())
    assert [problem.code for problem in found] == expected
