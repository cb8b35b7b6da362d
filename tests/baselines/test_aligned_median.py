"""The answer by place alone."""

import logging

import numpy as np
import pytest

from medgen.baselines import AlignedMedian, Pair
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume

SHAPE = (40, 46, 36)
SPACING_MM = 5.0


def centred() -> np.ndarray:
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = -SPACING_MM * (np.array(SHAPE) - 1) / 2
    return affine


def person(move: np.ndarray, *, bone: float = 900.0) -> Pair:
    """Return a lopsided head in a skull, moved by a world matrix; HU follow the same shapes."""
    affine = centred()
    to_head = np.linalg.inv(move) @ affine
    index = np.indices(SHAPE).reshape(3, -1)
    points = to_head[:3, :3] @ index + to_head[:3, 3:]

    def inside(centre: tuple[int, ...], radii: tuple[int, ...]) -> np.ndarray:
        scaled = (points - np.reshape(centre, (3, 1))) / np.reshape(radii, (3, 1))
        return ((scaled**2).sum(axis=0) < 1).reshape(SHAPE)

    head, brain = inside((0, 0, 0), (72, 90, 66)), inside((0, 0, 0), (60, 78, 54))
    nose, core = inside((0, 92, -14), (14, 14, 20)), inside((16, 24, 6), (14, 26, 16))
    source = np.select([core, brain, head, nose], [0.2, 1.0, 0.1, 0.7], 0.0)
    target = np.select([core, brain, head, nose], [8.0, 35.0, bone, 50.0], -1000.0)
    grid = Grid(SHAPE, affine)
    return Pair("c", Volume(source, grid), Volume(target, grid, "HU"), head | nose)


def moved(shift: tuple[float, ...] = (0, 0, 0), scale: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    matrix = np.diag([*scale, 1.0])
    matrix[:3, 3] = shift
    return matrix


def error(answer: Volume, case: Pair) -> float:
    return float(np.abs(answer.data - case.target.data)[case.mask].mean())


def test_training_heads_are_laid_over_the_case() -> None:
    train = [
        person(moved((10, -8, 6))),
        person(moved((-6, 4, 10), (1.08, 1.0, 0.95))),
        person(moved((0, 12, -8), (0.95, 1.05, 1.0))),
    ]
    case = person(moved((-12, -5, 4), (1.02, 0.97, 1.04)))
    answer = AlignedMedian.fit(train, resolution_mm=8.0).predict(case.source)
    assert answer.grid is case.source.grid
    assert answer.unit == "HU"
    unaligned = np.median([pair.target.data for pair in train], axis=0)
    assert error(answer, case) < 0.4 * error(Volume(unaligned, case.source.grid), case)


def test_it_is_the_median_over_persons_on_any_grid_of_the_target() -> None:
    train = [person(moved(), bone=bone) for bone in (700.0, 900.0, 3000.0)]
    turned = Grid((SHAPE[2], SHAPE[1], SHAPE[0]), centred()[:, [2, 1, 0, 3]])
    target = Volume(np.ascontiguousarray(train[0].target.data.transpose(2, 1, 0)), turned, "HU")
    train[0] = Pair("c", train[0].source, target, train[0].mask)
    case = person(moved(), bone=900.0)
    answer = AlignedMedian.fit(train, resolution_mm=10.0).predict(case.source)
    assert error(answer, case) < 30


def test_slabs_and_the_whole_give_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = AlignedMedian.fit([person(moved((6, 0, -4)))], resolution_mm=10.0)
    case = person(moved())
    whole = fitted.predict(case.source).data
    monkeypatch.setattr("medgen.baselines.aligned_median.AT_ONCE", 3 * SHAPE[1] * SHAPE[2])
    np.testing.assert_allclose(fitted.predict(case.source).data, whole, atol=1e-3)


def test_what_no_target_reaches_is_air() -> None:
    train, case = person(moved()), person(moved())
    small = Volume(train.target.data[:, :, :18], train.target.grid.crop((0, 0, 0), (40, 46, 18)))
    half = Pair("c", train.source, small, train.mask)
    answer = AlignedMedian.fit([half], resolution_mm=10.0).predict(case.source)
    assert np.unique(answer.data[:, :, 22:]).tolist() == [-1024]
    assert answer.data[20, 23, 10] > -100


def test_a_case_that_cannot_be_registered_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    good, case = person(moved()), person(moved((3, 3, 3)))
    blank = Pair("blank", Volume(np.zeros(SHAPE), good.source.grid), good.target, good.mask)
    with caplog.at_level(logging.WARNING, logger="medgen"):
        answer = AlignedMedian.fit([blank, good], resolution_mm=10.0).predict(case.source)
    assert error(answer, case) < 200
    assert "case blank" in caplog.text
    with pytest.raises(Refusal) as caught:
        AlignedMedian.fit([blank, blank]).predict(case.source)
    assert [problem.case for problem in caught.value.problems] == ["blank", "blank"]


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        AlignedMedian.fit([])
    assert caught.value.problems[0].code == "E_BASELINE_EMPTY"
