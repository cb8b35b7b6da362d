import numpy as np
import pytest

from medgen.metrics import class_codes, class_slugs, values_of, whole_labels
from medgen.metrics.labels import MOST_CLASSES, checked_labels
from medgen.problems import Refusal


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint16", "float32", "float64"])
def test_whole_numbers_of_any_type_are_labels(dtype: str) -> None:
    values = np.array([[[0, 1, 1]]]).astype(dtype)
    found = whole_labels(values, "prediction")
    assert found.dtype == np.int32
    assert found.tolist() == [[[0, 1, 1]]]
    assert values_of(found) == (1,)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, 0.4, 1.0, 0.6], "2 voxels that are no whole numbers"),
        ([0.0, np.nan, np.inf], "2 NaN or infinite"),
        ([0, -1], "below 0"),
        ([0, 70000], "above 65535"),
        (np.arange(MOST_CLASSES + 2), "looks like an image"),
    ],
)
def test_other_values_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(Refusal, match=message) as refused:
        whole_labels(np.array(values), "prediction")
    (problem,) = refused.value.problems
    assert (problem.code, problem.column) == ("E_LABEL_VALUES", "prediction")


def test_an_atlas_of_512_regions_is_no_image() -> None:
    assert len(values_of(whole_labels(np.arange(MOST_CLASSES + 1), "reference"))) == MOST_CLASSES


def test_all_problems_are_told_at_once() -> None:
    wrong = np.full((2, 2, 2), 0.5)
    with pytest.raises(Refusal) as refused:
        checked_labels(wrong, wrong, np.zeros((2, 2, 2)))
    assert [(p.code, p.column) for p in refused.value.problems] == [
        ("E_EMPTY_MASK", None),
        ("E_LABEL_VALUES", "prediction"),
        ("E_LABEL_VALUES", "reference"),
    ]
    with pytest.raises(Refusal, match="E_METRIC_SHAPE"):
        checked_labels(wrong, wrong[1:], wrong)


def test_names_become_columns() -> None:
    given = {"White  Matter": 2, "background": 0, "Grau-Substanz (links)": 1, "α": 3, "CSF_": 4}
    assert list(class_slugs(given).items()) == [
        ("grau_substanz_links", 1),
        ("white_matter", 2),
        ("label_3", 3),
        ("csf", 4),
    ]
    assert class_slugs({"a b": 1, "a-b": 2, "c": 3}) == {"a_b_1": 1, "a_b_2": 2, "c": 3}
    assert class_slugs({"a": 2, "A": 1, "a 2": 3}) == {"label_1": 1, "label_2": 2, "label_3": 3}
    assert all(len(name) <= 40 for name in class_slugs({"x" * 90: 1}))
    for wrong in ({"a": 1, "b": 1}, {"a": -1}):
        with pytest.raises(ValueError, match="distinct"):
            class_slugs(wrong)
    assert class_slugs({"Unknown": 3, "a": 1}) == {"a": 1, "unknown_3": 3}
    assert class_slugs({"unknown_3": 3}) == {"unknown_3": 3}


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_codes_in_any_order_of_memory(axes: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(0).choice([0, 3, 40, 7], (5, 4, 3)).transpose(axes)[:, ::-1]
    codes = class_codes(labels, [40, 3])
    assert codes.dtype == np.uint16
    assert np.array_equal(codes, np.select([labels == 0, labels == 40, labels == 3], [0, 1, 2], 3))
    assert values_of(labels) == (3, 7, 40)
    assert values_of(labels[:0]) == ()
