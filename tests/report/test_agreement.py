import dataclasses

import numpy as np
import pytest

from medgen.report.agreement import (
    Agreement,
    ByValue,
    bland_altman,
    error_histogram,
    errors_by_value,
)


def agreement(cases: int, *, filled: int = 200) -> Agreement:
    """Return errors whose voxels fill some of 10 x 20 cells."""
    random = np.random.default_rng(0)
    density = np.zeros(200)
    density[95 : 95 + filled] = random.random(len(density[95 : 95 + filled]))
    density = density.reshape(10, 20)
    return Agreement(
        np.linspace(-1000, 1000, 11),
        np.linspace(-200, 200, 21),
        density / density.sum(),
        bias=-3.0,
        sd=40.0,
        centres=list(random.normal(0, 10, cases)),
        biases=list(random.normal(0, 5, cases)),
        unit="HU",
    )


@pytest.mark.parametrize("cases", [1, 5])
@pytest.mark.parametrize("filled", [1, 200])
def test_errors(cases: int, filled: int) -> None:
    errors = agreement(cases, filled=filled)
    assert bland_altman(errors).startswith(b"\x89PNG")
    assert error_histogram(errors).startswith(b"\x89PNG")


def test_errors_by_value_with_empty_bins() -> None:
    share = np.array([0.0, 0.2, 0.8, 0.0])
    absolute = np.array([np.nan, 5.0, 3.0, np.nan])
    errors = ByValue(np.linspace(0, 4, 5), absolute, -absolute, share, "HU")
    assert errors_by_value(errors).startswith(b"\x89PNG")


def test_figures_are_reproducible() -> None:
    assert error_histogram(agreement(3)) == error_histogram(agreement(3))


def test_equal_volumes_fill_one_bin() -> None:
    errors = agreement(1, filled=1)
    full = dataclasses.replace(errors, density=errors.density * 1.0000000000000003)
    assert error_histogram(full).startswith(b"\x89PNG")
