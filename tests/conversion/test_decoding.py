"""Label answers: probabilities travel back to the source's grid before the likeliest class wins."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medgen.problems import Refusal
from medgen.volumes import Grid, Volume, resample

LABELS = {"low": (2, 3), "high": (7,)}


def slope(spacing: float = 2.0, shape: tuple[int, int, int] = (24, 20, 16)) -> Volume:
    """Return a volume whose values grow along its first axis, as far as its grid is concerned."""
    values = np.broadcast_to(np.linspace(0, 1000, shape[0])[:, None, None], shape)
    return Volume(values.astype(np.float32).copy(), Grid(shape, np.diag([spacing] * 3 + [1.0])))


def probabilities(windows: Tensor) -> Tensor:
    """Return background below the first third of the window scale, then `low`, then `high`."""
    bounds = torch.tensor([-1.0, -1 / 3, 1 / 3, 1.001])
    classes = [(windows >= low) & (windows < high) for low, high in itertools.pairwise(bounds)]
    return torch.cat(classes, dim=1).float()


def converted(converter_of: Any, volume: Volume, **options: Any) -> Any:
    options = {"labels": LABELS, "fill_outside_body": False, "answer": "areas", **options}
    return converter_of(probabilities, **options)({"mr": volume})


def test_label_values_are_written_on_the_native_grid(converter_of: Any) -> None:
    volume = slope()
    answer = converted(converter_of, volume)
    assert answer.volume.unit == "label"
    assert answer.volume.data.dtype == np.uint8
    assert answer.volume.grid.same_as(volume.grid)
    thirds = np.digitize(volume.data, [1000 / 3, 2000 / 3])
    assert np.array_equal(answer.volume.data, np.array([0, 2, 7], np.uint8)[thirds])


def test_the_facts_name_the_classes_and_their_volumes(converter_of: Any) -> None:
    volume = slope()
    answer = converted(converter_of, volume)
    assert answer.facts["labels"] == {"low": [2, 3], "high": 7}
    ml = {
        name: float((answer.volume.data == value).sum()) * 0.008
        for name, value in {"low": 2, "high": 7}.items()
    }
    assert answer.facts["volume_ml"] == pytest.approx(ml, abs=1e-3)
    assert answer.facts["clipped_voxels"] == 0


@pytest.mark.parametrize("spacing", [1.0, 3.0])
def test_on_another_grid_the_likeliest_class_of_the_interpolated_wins(
    converter_of: Any, spacing: float
) -> None:
    """No class lies between its neighbours: 7 and 2 never average to 4, nor 0 and 2 to 1."""
    volume = slope(spacing, (32, 20, 16))
    answer = converted(converter_of, volume, spacing_mm=(2.0, 2.0, 2.0))
    assert set(np.unique(answer.volume.data)) == {0, 2, 7}
    middle = answer.volume.data[:, 10, 8].astype(int)
    order = np.array([{0: 0, 2: 1, 7: 2}[value] for value in middle])
    assert (np.diff(order) >= 0).all(), "the classes follow one another"
    expected = np.digitize(volume.data[:, 10, 8], [1000 / 3, 2000 / 3])
    assert np.abs(order - expected).sum() <= 4, "each border lies within a voxel or two"


def test_outside_the_body_is_background(converter_of: Any) -> None:
    volume = slope()
    inside = np.zeros(volume.grid.shape, bool)
    inside[6:20, 5:15, 4:12] = True
    head = volume.with_data(np.where(inside, 900.0, 0.0).astype(np.float32))
    answer = converter_of(
        lambda windows: torch.cat([0 * windows, 0 * windows, 0 * windows + 1], dim=1),
        labels=LABELS,
        answer="areas",
    )({"mr": head})
    assert (answer.volume.data[inside] == 7).all()
    assert (answer.volume.data[0] == 0).all()


def test_an_answer_that_is_not_finite_is_refused(converter_of: Any) -> None:
    converter = converter_of(
        lambda windows: probabilities(windows) / 0, labels=LABELS, answer="areas"
    )
    with pytest.raises(Refusal, match="E_ANSWER_NOT_FINITE"):
        converter({"mr": slope()})


def test_probabilities_are_carried_by_resampling_alone(converter_of: Any) -> None:
    """Compared with doing it by hand: each class resampled, then the largest."""
    volume = slope(1.5, (33, 20, 16))
    converter = converter_of(probabilities, labels=LABELS, answer="areas", fill_outside_body=False)
    prepared = converter.preprocessing.prepare_source({"mr": volume})
    shares = probabilities(torch.from_numpy(prepared.source)[None])[0].numpy()
    outside = [1.0, 0.0, 0.0]
    carried = [
        resample(share, prepared.grid, volume.grid, outside=beyond)
        for share, beyond in zip(shares, outside, strict=True)
    ]
    expected = np.array([0, 2, 7], np.uint8)[np.argmax(carried, axis=0)]
    answer = converter({"mr": volume})
    assert (answer.volume.data == expected).mean() > 0.999, "blending rounds a tie now and then"


def test_only_the_largest_part_of_a_class_is_kept_where_asked(converter_of: Any) -> None:
    values = np.zeros((24, 20, 16), np.float32)
    values[2:12, 2:18, 2:14] = 900.0  # a large part of the class `high`
    values[16:18, 3:5, 3:5] = 900.0  # and a stray one
    values[20:22, 10:12, 3:5] = 500.0  # `low` is left alone
    volume = Volume(values, Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    every = converted(converter_of, volume)
    kept = converted(converter_of, volume, keep_largest=("high",))
    stray = (every.volume.data == 7) & (kept.volume.data == 0)
    assert stray.sum() == 8
    assert np.array_equal(every.volume.data[~stray], kept.volume.data[~stray])
    assert kept.facts["removed_ml"] == pytest.approx(8 * 0.008)
    assert every.facts["removed_ml"] == 0


def spotted() -> Volume:
    """Return a volume of 8 mm3 voxels with `high` spots of 1000, 8 and 1 voxels."""
    values = np.zeros((24, 20, 16), np.float32)
    values[2:12, 2:12, 2:12] = 900.0
    values[16:18, 3:5, 3:5] = 900.0
    values[21, 15, 12] = 900.0
    return Volume(values, Grid(values.shape, np.diag([2.0, 2.0, 2.0, 1.0])))


def test_parts_below_the_least_volume_become_background(converter_of: Any) -> None:
    every = converted(converter_of, spotted())
    kept = converted(converter_of, spotted(), minimum_ml={"high": 0.064})
    gone = (every.volume.data == 7) & (kept.volume.data == 0)
    assert np.argwhere(gone).tolist() == [[21, 15, 12]]
    assert np.array_equal(every.volume.data[~gone], kept.volume.data[~gone])
    assert (kept.facts["removed_parts"], kept.facts["removed_ml"]) == (1, 0.008)
    assert (every.facts["removed_parts"], every.facts["removed_ml"]) == (0, 0)
    one = converted(converter_of, spotted(), minimum_ml={"high": 1}, keep_largest=["high"])
    assert (one.facts["removed_parts"], one.facts["volume_ml"]["high"]) == (2, 8.0)
    none = converted(converter_of, spotted(), minimum_ml={"high": 9}, keep_largest=["high"])
    assert none.facts["removed_parts"] == 3
    assert not (none.volume.data == 7).any()


def test_lesions_are_listed_of_what_is_left(converter_of: Any) -> None:
    options = {"lesions": ["low", "high"], "minimum_ml": {"high": 0.02}}
    answer = converted(converter_of, spotted(), lists_lesions=True, **options)
    assert [(one.name, one.voxels) for one in answer.lesions] == [("high", 1000), ("high", 8)]
    assert answer.lesions[1].centre_mm == (33.0, 7.0, 7.0)
    assert answer.facts["lesions"] == {
        "low": {"count": 0, "volume_ml": 0.0, "largest_ml": 0.0},
        "high": {"count": 2, "volume_ml": 8.064, "largest_ml": 8.0},
    }
    assert answer.facts["lesions"]["high"]["volume_ml"] == answer.facts["volume_ml"]["high"]


def test_probabilities_of_lesions_are_those_before_the_likeliest_won(converter_of: Any) -> None:
    """On a grid of other voxels, against carrying the class's probability by hand."""
    volume = slope(1.5, (33, 20, 16))
    converter = converter_of(
        lambda windows: torch.softmax(torch.cat([0 * windows, windows, 3 * windows], 1), 1),
        labels=LABELS,
        answer="areas",
        fill_outside_body=False,
        lists_lesions=True,
        lesions=["high"],
    )
    prepared = converter.preprocessing.prepare_source({"mr": volume})
    shares = torch.from_numpy(prepared.source)[None]
    shares = torch.softmax(torch.cat([0 * shares, shares, 3 * shares], 1), 1)[0, 2]
    carried = resample(shares.numpy(), prepared.grid, volume.grid, outside=0.0)
    answer = converter({"mr": volume})
    (one,) = answer.lesions
    inside = answer.volume.data == 7
    assert one.voxels == inside.sum() > 1000
    assert one.mean_probability == pytest.approx(carried[inside].mean(), abs=1e-4)
    assert one.max_probability == pytest.approx(carried[inside].max(), abs=1e-4)
    assert 0.5 < one.mean_probability < one.max_probability


def test_validation_pays_for_no_list(converter_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medgen.conversion.decoding.measure_lesions", None)
    answer = converted(converter_of, spotted(), lesions=["high"])
    assert answer.lesions is None
    assert "lesions" not in answer.facts
    image = converter_of(lists_lesions=True, lesions=["high"])
    assert image.lesions == ()
    assert image({"mr": spotted()}).lesions is None
