"""Judge what was read from a series against the truth, in the world and not in the array."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from typing import Any

import numpy as np
from dicom_corpus import CANARIES, LPS_TO_RAS, Truth, world_of
from numpy.typing import NDArray

from medgen.dicom.frames import Series
from medgen.problems import Problem

WORLD_MM = 1e-3


def assert_exact(truth: Truth, series: Series, *, place_mm: float = WORLD_MM) -> None:
    """Fail unless every voxel has its true value at its true place, and is as valid."""
    facts = series.facts
    assert series.data.shape == facts.shape
    places = assert_same_places(truth, facts.affine, facts.shape, place_mm=place_mm)
    true_values = truth.values[places]
    if truth.values.dtype.kind == "i":
        np.testing.assert_array_equal(series.data, true_values)
    else:
        np.testing.assert_allclose(series.data, true_values, rtol=1e-6, atol=1e-6)
    valid = np.ones(facts.shape, bool) if series.valid is None else series.valid
    np.testing.assert_array_equal(valid, True if truth.valid is None else truth.valid[places])
    assert len(facts.frames) == facts.shape[2]
    for index, frame in enumerate(facts.frames):
        position = LPS_TO_RAS[:3, :3] @ np.array(frame.header.ImagePositionPatient, dtype=float)
        there = facts.affine[:3] @ (0, 0, index, 1)
        assert np.linalg.norm(position - there) < 0.05, "the frames are in another order"


def assert_same_places(
    truth: Truth,
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    *,
    place_mm: float = WORLD_MM,
) -> tuple[NDArray[np.intp], ...]:
    """Fail unless a grid has the truth's voxels; return where each lies in the truth's array."""
    assert sorted(shape) == sorted(truth.values.shape)
    indices = world_of(np.linalg.inv(truth.affine) @ affine, shape)
    whole = np.rint(indices)
    offset = (indices - whole) @ truth.affine[:3, :3].T
    farthest = float(np.linalg.norm(offset, axis=-1).max())
    assert farthest < place_mm, f"voxels lie {farthest:g} mm from where they should"
    places = whole.astype(np.intp)
    assert (places >= 0).all()
    assert (places < truth.values.shape).all(), "voxels lie outside of the truth"
    assert len(np.unique(places.reshape(-1, 3), axis=0)) == truth.values.size
    return tuple(np.moveaxis(places, -1, 0))


def assert_near(truth: Truth, series: Series, *, within: float) -> None:
    """Fail unless a straightened series is its smooth image, wherever slices were measured."""
    assert truth.field is not None
    assert truth.inside is not None
    points = world_of(series.facts.affine, series.facts.shape)
    inside = truth.inside(points)
    assert inside.mean() > 0.5, "the grid covers other places than the slices"
    error = np.abs(series.data - truth.field(points))[inside]
    assert error.max() < within, f"interpolated values are off by {error.max():g}"
    assert series.valid is None or series.valid[inside].all()
    directions = series.facts.affine[:3, :3] / np.linalg.norm(series.facts.affine[:3, :3], axis=0)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-6)


def assert_discreet(problems: Iterable[Problem], *, besides: Iterable[str] = ()) -> None:
    """Fail unless each problem is one plain line that holds nothing of headers or paths."""
    for problem in problems:
        assert re.fullmatch("[EW](_[A-Z0-9]+)+", problem.code)
        assert problem.message
        assert problem.advice or problem.code.startswith("W_")
        assert "\n" not in str(problem)
        assert_holds_none(str(problem), besides)


def assert_holds_none(text: str, besides: Iterable[str] = ()) -> None:
    """Fail where a text holds a planted header string, or any of some other words."""
    for word in (*CANARIES, *besides):
        assert word not in text, f"{word!r} was told"


def story_of(error: BaseException) -> Any:
    """Return all that a traceback of an error would print, local source lines left out."""
    return "".join(
        line for line in traceback.format_exception(error) if not line.startswith("  File")
    )
