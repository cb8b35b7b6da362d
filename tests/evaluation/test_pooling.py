import numpy as np
import pytest

from medgen.evaluation.pooling import Pool
from medgen.evaluation.scoring import Triplet
from medgen.volumes import Grid


def triplet(prediction: np.ndarray, reference: np.ndarray) -> Triplet:
    mask = np.ones(reference.shape, bool)
    return Triplet(prediction, reference, mask, Grid(reference.shape, np.eye(4)))  # type: ignore[arg-type]


def test_every_case_weighs_the_same() -> None:
    pool = Pool("HU")
    pool.add(triplet(np.full((4, 4, 4), 110.0), np.full((4, 4, 4), 100.0)))
    pool.add(triplet(np.full((2, 2, 2), 70.0), np.full((2, 2, 2), 100.0)))
    found = pool.agreement()
    assert found.bias == pytest.approx(-10.0)
    assert found.sd == pytest.approx(20.0)
    assert found.density.sum() == pytest.approx(1.0)
    assert list(found.biases) == [10.0, -30.0]
    assert list(found.centres) == [105.0, 85.0]
    by_value = pool.by_value()
    place = int(np.flatnonzero(by_value.share)[0])
    assert by_value.absolute[place] == pytest.approx(20.0)
    assert by_value.signed[place] == pytest.approx(-10.0)
    assert by_value.edges[place] <= 100 < by_value.edges[place + 1]


def test_agreement_equals_numpy_on_one_case() -> None:
    random = np.random.default_rng(0)
    reference = random.uniform(-700, 2000, (12, 12, 12))
    prediction = reference + random.normal(5, 60, reference.shape)
    pool = Pool("HU")
    pool.add(triplet(prediction, reference))
    errors = prediction - reference
    found = pool.agreement()
    assert found.bias == pytest.approx(errors.mean())
    assert found.sd == pytest.approx(errors.std())
    expected, _, _ = np.histogram2d(
        ((prediction + reference) / 2).ravel(),
        errors.ravel(),
        bins=[found.value_edges, found.error_edges],
    )
    np.testing.assert_allclose(found.density, expected / errors.size, atol=1e-12)
    assert pool.limit() == pytest.approx(np.quantile(np.abs(errors), 0.99), abs=10)


def test_values_beyond_the_bins_are_kept_in_the_last() -> None:
    pool = Pool("HU")
    pool.add(triplet(np.full((2, 2, 2), 9000.0), np.full((2, 2, 2), -2000.0)))
    density = pool.agreement().density
    assert density[-1, -1] == 1.0


def test_arbitrary_units_are_shares_of_the_references_range() -> None:
    reference = np.linspace(100, 300, 27).reshape(3, 3, 3)
    pool = Pool("arbitrary")
    pool.add(triplet(reference + 20.0, reference))
    assert pool.agreement().bias == pytest.approx(10.0)
    assert pool.unit == "% of range"
