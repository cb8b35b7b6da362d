import numpy as np
import pytest

from medgen.preparation.labels import label_problems


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2)), np.array([0, 1, 14175]), np.array([0.0, 3.0]), np.array([True])]
)
def test_few_whole_numbers_are_labels(values: np.ndarray) -> None:
    assert label_problems(values) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (np.array([0.0, 0.5]), "not whole"),
        (np.array([-1, 0]), "from -1"),
        (np.array([0, 70000]), "70000"),
        (np.arange(600), "600 different"),
    ],
)
def test_images_are_not(values: np.ndarray, told: str) -> None:
    (problem,) = label_problems(values)
    assert told in problem.message
    assert "--moving" in problem.advice
