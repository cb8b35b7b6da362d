from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medgen.discovery.examination import examine
from medgen.problems import Refusal

Make = Callable[..., Path]
SIZE = (6, 7, 8)


def ramp(low: float, high: float, steps: int = 336) -> np.ndarray:
    return np.linspace(low, high, steps).repeat(336 // steps).reshape(SIZE)


def test_a_sound_volume_is_measured(make: Make) -> None:
    path = make("ct.nii.gz", ramp(-1000, 1500), spacing=3.0)
    facts = examine(path, "ct")
    assert (facts.unit, facts.low, facts.high, facts.size) == ("HU", -1000, 1500, SIZE)
    assert facts.spacing_mm == (3.0, 3.0, 3.0)
    assert facts.extent_mm == (18.0, 21.0, 24.0)
    assert len(facts.digest) == 64
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("column", "values", "code"),
    [
        ("mr", 7, "E_CONSTANT"),
        ("ct", 0, "E_CONSTANT"),
        ("ct", ramp(0, 4095), "E_NOT_HU"),
        ("ct_atlas", ramp(-1000, 150), "E_NOT_HU"),
        ("mask", 0, "E_EMPTY_MASK"),
        ("brain", ramp(0, 1, 12), "E_MASK_VALUES"),
        ("brain", ramp(0, 3, 4), "E_MASK_VALUES"),
        ("body", ramp(-1, 0, 2), "E_MASK_VALUES"),
        ("ct_mask", ramp(1, 2, 2), "E_MASK_VALUES"),
        ("label", ramp(0, 1, 3), "E_LABEL_VALUES"),
        ("label", ramp(-1, 1, 3), "E_LABEL_VALUES"),
        ("lesion", ramp(0, 300, 3), "E_LABEL_VALUES"),
        ("label", ramp(0, 335), "E_LABEL_VALUES"),
    ],
)
def test_values_that_the_column_cannot_have(
    make: Make, column: str, values: object, code: str
) -> None:
    with pytest.raises(Refusal) as caught:
        examine(make("x.nii", values), column)
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("column", "values", "code"),
    [
        ("cbct", ramp(0, 4095), "E_NOT_HU"),
        ("mask", ramp(0, 255, 2), "E_MASK_VALUES"),
        ("mask", 1, "E_MASK_VALUES"),
    ],
)
def test_values_that_are_odd_but_usable(make: Make, column: str, values: object, code: str) -> None:
    facts = examine(make("x.nii", values), column)
    assert [problem.code for problem in facts.problems] == [code]


@pytest.mark.parametrize(
    ("column", "values", "unit"),
    [
        ("t1", ramp(0, 900), "arbitrary"),
        ("pet", ramp(0, 12), "SUV"),
        ("pet_low", ramp(0, 30_000), "Bq/ml"),
        ("lesion", 0, "label"),
        ("label", ramp(0, 3, 4), "label"),
        ("mask", ramp(0, 1, 2), "mask"),
        ("cbct", ramp(-1000, 3000), "HU"),
    ],
)
def test_units_are_guessed(make: Make, column: str, values: object, unit: str) -> None:
    assert examine(make("x.nii", values), column).unit == unit


def test_labels_beyond_those_declared_are_refused(make: Make) -> None:
    path = make("x.nii", ramp(0, 3, 4))
    assert examine(path, "label", values=frozenset(range(4))).problems == ()
    with pytest.raises(Refusal, match=r"E_LABEL_VALUES.*holds 2, 3,"):
        examine(path, "label", values=frozenset((0, 1)))


def test_the_gate_refuses_first(tmp_path: Path) -> None:
    (tmp_path / "x.nii.gz").write_bytes(b"torn")
    with pytest.raises(Refusal, match="E_BAD_MAGIC"):
        examine(tmp_path / "x.nii.gz", "ct")
