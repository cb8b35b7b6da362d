"""Z-scores against healthy cases: by definition, by registration, and what is refused."""

import logging

import numpy as np
import pytest

import medgen.baselines.voxel_z as module
from medgen.baselines import Healthy, IntensityZ, VoxelZ
from medgen.problems import ConfigurationError, Problem, Refusal
from medgen.registration import Registration
from medgen.volumes import Grid, Volume

SHAPE = (30, 32, 28)
AFFINE = np.array([[-3.0, 0, 0, 43], [0, 3.0, 0, -47], [0, 0, 3.0, -41], [0, 0, 0, 1]])


def head(
    seed: int, *, shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0), gain: float = 100.0
) -> Healthy:
    """Return an ellipsoid of grey with a bright core to one side and two dark ventricles."""
    grid = Grid(SHAPE, AFFINE)
    world = grid.to_world(np.argwhere(np.ones(SHAPE))) - shift_mm
    x, y, z = np.moveaxis(world.reshape(*SHAPE, 3), -1, 0)
    inside = (x / 33) ** 2 + (y / 39) ** 2 + (z / 30) ** 2 < 1
    values = 1.0 + 0.8 * np.exp(-((x - 12) ** 2 + (y + 10) ** 2 + z**2) / 200)
    values[((np.abs(x) - 9) / 5) ** 2 + ((y - 8) / 13) ** 2 + (z / 7) ** 2 < 1] = 0.3
    values += 0.05 * np.random.default_rng(seed).standard_normal(SHAPE)
    image = Volume((gain * np.where(inside, values, 0.0)).astype(np.float32), grid)
    return Healthy(f"c{seed}", image, inside)


def standing(case: Healthy) -> np.ndarray:
    within = case.image.data[case.inside].astype(np.float64)
    return (case.image.data - within.mean()) / within.std()


def stay(*_: object, **__: object) -> Registration:
    return Registration(np.eye(4), 1.0, 1.0, 0.0, 1)


def test_intensity_z_is_the_distance_from_the_mask_s_own_mean() -> None:
    case = head(0, gain=7.0)
    found = IntensityZ().predict(case.image, case.inside)
    np.testing.assert_allclose(found[case.inside], standing(case)[case.inside], atol=1e-4)
    assert not found[~case.inside].any()
    assert (found[case.inside] < -1).any(), "signed: dark and bright are told apart"


def test_without_smoothing_it_is_the_voxelwise_statistic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "register", stay)
    cases = [head(seed, gain=10.0 ** (seed % 3)) for seed in range(6)]
    case = head(9)
    fitted = VoxelZ.fit(cases, smoothing_mm=0.0)
    stack = np.stack([standing(each) for each in cases])
    deviation = np.maximum(stack.std(axis=0, ddof=1), module.LEAST_DEVIATION)
    wanted = (standing(case) - stack.mean(axis=0)) / deviation
    found = fitted.predict(case.image, case.inside)
    np.testing.assert_allclose(found[case.inside], wanted[case.inside], rtol=2e-3, atol=2e-3)
    assert not found[~case.inside].any()


def test_nothing_is_said_where_few_brains_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "register", stay)
    cut = [head(seed) for seed in range(5)]
    for number, case in enumerate(cut):
        if number != 2:
            case.inside[:15] = False
    whole = head(9)
    found = VoxelZ.fit(cut).predict(whole.image, whole.inside)
    assert not found[:15].any()
    assert found[16:][whole.inside[16:]].all()


def test_ordinary_tissue_in_the_wrong_place_is_found_by_place_alone() -> None:
    """Heads lie elsewhere and have other gains; the anomaly has the core's intensity."""
    rng = np.random.default_rng(1)
    cases = [
        head(seed, shift_mm=tuple(rng.uniform(-9, 9, 3)), gain=rng.uniform(1, 900))
        for seed in range(8)
    ]
    fitted = VoxelZ.fit(cases)
    ill = head(20, shift_mm=(6.0, -5.0, 4.0), gain=50.0)
    blob = np.zeros(SHAPE, np.bool_)
    blob[18:22, 8:12, 12:16] = True
    assert ill.inside[blob].all()
    core = np.partition(ill.image.data[ill.inside], -40)[-40]
    ill.image.data[blob] = core * 0.85
    found = fitted.predict(ill.image, ill.inside)
    rest = ill.inside & ~blob
    assert np.median(found[blob]) > 5 * np.percentile(np.abs(found[rest]), 50)
    assert np.median(found[blob]) > np.percentile(found[rest], 99)
    plain = IntensityZ().predict(ill.image, ill.inside)
    assert np.median(plain[blob]) < np.percentile(plain[rest], 99.5)


def test_too_few_cases_and_flat_ones_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="E_BASELINE_EMPTY"):
        VoxelZ.fit([])
    with pytest.raises(ConfigurationError, match=r"E_BASELINE_FEW.*3 training cases.*got 2"):
        VoxelZ.fit([head(0), head(1)])
    flat = head(0)
    flat.image.data[:] = 1.0
    with pytest.raises(Refusal, match="E_FLAT_INTENSITY"):
        VoxelZ.fit([head(1), head(2), flat])


def test_a_case_that_cannot_be_registered_is_left_out_unless_too_few_are_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [head(seed) for seed in range(4)]
    calls: list[int] = []

    def register(moving: np.ndarray, *rest: object, **__: object) -> Registration:
        calls.append(1)
        if len(calls) == 1:
            raise Refusal(Problem("E_REGISTRATION_FAILED", "no"))
        return stay()

    monkeypatch.setattr(module, "register", register)
    with caplog.at_level(logging.WARNING):
        fitted = VoxelZ.fit(cases, smoothing_mm=0.0)
    assert "left out" in caplog.text
    stack = np.stack([standing(case) for case in cases[1:]])
    known = fitted.known > 0
    np.testing.assert_allclose(fitted.mean[known], stack.mean(axis=0)[known], atol=1e-3)
    calls.clear()
    with pytest.raises(Refusal, match=r"E_REGISTRATION_FAILED \[case c0\]"):
        VoxelZ.fit(cases[:3])
