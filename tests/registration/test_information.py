"""Mutual information against its closed forms."""

import numpy as np
import pytest

from medgen.registration.information import (
    binned,
    joint_histogram,
    mutual_information,
    normalised_information,
)


def test_identical_values_tell_everything_and_independent_ones_nothing() -> None:
    values = np.repeat(np.arange(4), 24)
    same = joint_histogram(values, 3 - values, 4)  # reversed contrast tells as much
    assert mutual_information(same) == pytest.approx(np.log(4))
    assert normalised_information(same) == pytest.approx(2.0)
    other = np.tile(np.arange(4), 24)
    none = joint_histogram(values, other, 4)
    assert mutual_information(none) == pytest.approx(0.0, abs=1e-12)
    assert normalised_information(none) == pytest.approx(1.0)


def test_a_noisy_binary_channel_has_its_textbook_information() -> None:
    first = np.repeat([0, 1], 100)
    second = first.copy()
    second[:11] = 1
    second[100:111] = 0
    error = 0.11
    entropy = -error * np.log(error) - (1 - error) * np.log(1 - error)
    joint = joint_histogram(first, second, 2)
    assert mutual_information(joint) == pytest.approx(np.log(2) - entropy)


def test_bins_reach_from_percentile_to_percentile() -> None:
    values = np.concatenate([np.linspace(0, 1, 1000), [1e6, -1e6]])
    bins = binned(values, 8)
    assert set(bins) == set(range(8))
    assert bins[-2] == 7
    assert bins[-1] == 0
    assert np.abs(np.bincount(bins) - 125).max() < 10
    assert binned(np.array([3.0, 3.0]), 8).tolist() == [0, 0]


def test_an_empty_histogram_is_chance() -> None:
    assert normalised_information(joint_histogram(np.array([], int), np.array([], int), 4)) == 1.0
