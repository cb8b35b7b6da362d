"""Label values, class indices, and the way between them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgen.data import Classes
from medgen.problems import Refusal

CLASSES = Classes.of({"core": (4,), "rim": (1, 2), "background": (9,)})


def test_index_zero_is_the_background_and_the_rest_follow_their_values() -> None:
    assert CLASSES.count == 3
    assert list(CLASSES.written.items()) == [("rim", 1), ("core", 4)]
    values = np.array([[[0, 9, 4], [1, 2, 4]]])
    indices = CLASSES.indices(values)
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[[0, 0, 2], [1, 1, 2]]]
    assert CLASSES.label_values(indices).tolist() == [[[0, 0, 4], [1, 1, 4]]]


def test_they_are_described_as_a_configuration_would() -> None:
    assert CLASSES.described() == {"core": 4, "rim": [1, 2], "background": [0, 9]}
    assert Classes.of({"lesion": (1,)}).described() == {"lesion": 1}


def test_the_order_of_the_names_means_nothing() -> None:
    """Weights and caches know classes by index, and a mapping's order is easily lost."""
    other = Classes.of({"background": (9,), "rim": (1, 2), "core": (4,)})
    values = np.array([[[0, 9, 4], [1, 2, 4]]])
    assert np.array_equal(CLASSES.indices(values), other.indices(values))
    assert list(CLASSES.values) == list(other.values)


def test_every_value_from_1_to_255_can_be_a_class() -> None:
    classes = Classes.of({f"class {value}": (value,) for value in range(1, 256)})
    values = np.arange(256).reshape(1, 1, 256)
    assert np.array_equal(classes.label_values(classes.indices(values)), values)


def test_without_labels_there_are_no_classes() -> None:
    assert Classes.of({}).count == 0


@pytest.mark.parametrize("wrong", [-1.0, 0.5, 256.0, float("nan")])
def test_a_value_that_is_no_label_is_refused(wrong: float) -> None:
    with pytest.raises(Refusal, match=r"E_LABEL_VALUES.*whole numbers"):
        CLASSES.indices(np.array([[[0.0, wrong]]]))


def test_values_that_nobody_named_are_refused_and_listed() -> None:
    with pytest.raises(Refusal, match=r"holds 3, 5, 6, 7, 8, \.\.\.") as caught:
        CLASSES.indices(np.arange(11).reshape(1, 1, 11))
    assert "background" in caught.value.problems[0].advice


@given(st.lists(st.integers(1, 255), min_size=1, max_size=20, unique=True), st.integers(0, 9999))
def test_one_value_a_class_comes_back_as_it_was(values: list[int], seed: int) -> None:
    classes = Classes.of({f"class {value}": (value,) for value in values})
    drawn = np.random.default_rng(seed).choice([0, *values], (3, 4, 5))
    assert np.array_equal(classes.label_values(classes.indices(drawn)), drawn)
