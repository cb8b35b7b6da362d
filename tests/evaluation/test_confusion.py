import numpy as np
import pytest

from medgen.evaluation.confusion import Confusions
from medgen.evaluation.scoring import Triplet
from medgen.volumes import Grid


def triplet(prediction: list[int], reference: list[int], mask: list[int] | None = None) -> Triplet:
    first, second = (np.array(values).reshape(-1, 1, 1) for values in (prediction, reference))
    inside = np.ones(first.shape, bool) if mask is None else np.array(mask).reshape(-1, 1, 1) > 0
    return Triplet(first, second, inside, Grid((len(prediction), 1, 1), np.eye(4)))


def test_shares_by_hand_and_every_case_weighs_the_same() -> None:
    confusions = Confusions({"a": 5, "b": 3})
    confusions.add(triplet([5, 3, 0, 9, 5, 0], [5, 5, 5, 5, 0, 0]))
    confusions.add(triplet([5, 5, 3], [5, 5, 3]))
    found = confusions.confusion()
    assert len(confusions) == 2
    # of a: background, a, b, unknown
    assert found.taken[0].tolist() == pytest.approx([12.5, 62.5, 12.5, 12.5])
    assert found.taken[1].tolist() == pytest.approx([0, 0, 100, 0])
    # of the voxels predicted as a: half of two in the first case, none in the second
    assert found.invented.tolist() == pytest.approx([25, 0, 0])


def test_what_never_occurs_is_nan_and_the_mask_counts() -> None:
    confusions = Confusions({"a": 1, "b": 2})
    confusions.add(triplet([1, 2, 0], [1, 2, 2], [1, 0, 0]))
    found = confusions.confusion()
    assert found.taken[0].tolist() == [0, 100, 0, 0]
    assert np.isnan(found.taken[1]).all()
    assert np.isnan(found.invented[1:]).all()


def test_codes() -> None:
    codes = Confusions({"a": 40, "b": 3}).codes(np.array([0, 3, 40, 7, 1000]))
    assert codes.tolist() == [0, 2, 1, 3, 3]
    assert Confusions({}).codes(np.array([0, 4])).tolist() == [0, 1]


def test_pairs_of_many_classes_are_not_mixed_up() -> None:
    confusions = Confusions({f"r{value}": value for value in range(1, 301)})  # 302^2 > 2^16
    confusions.add(triplet([300, 299, 0], [300, 300, 299]))
    found = confusions.confusion()
    assert found.taken[299, [300, 299]].tolist() == [50, 50]
    assert found.taken[298, 0] == 100
