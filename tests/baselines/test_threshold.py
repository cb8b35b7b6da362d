"""Lesions by a threshold: what is fitted, what is answered, and what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import label as parts_of
from skimage.morphology import remove_small_objects

from medgen.baselines import IntensityThreshold, Marked, write_lesions
from medgen.evaluation import evaluate, match_table
from medgen.metrics import dice, profile_named
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume, open_volume, write_volume

SHAPE = (26, 28, 24)
AFFINE = np.array([[-2.0, 0, 0, 25], [0, 2.0, 0, -27], [0, 0, 2.5, -29], [0, 0, 0, 1]])
VOXEL_ML = 0.01


def marked(seed: int, *, gain: float = 1.0, lesions: int = 3) -> Marked:
    """Return a noisy ball with bright lesions, single bright voxels, and a brighter shell."""
    rng = np.random.default_rng(seed)
    index = np.indices(SHAPE) - (np.array(SHAPE) / 2 - 0.5)[:, None, None, None]
    radius = np.sqrt((index**2).sum(axis=0))
    inside = radius < 9
    lesion = np.zeros(SHAPE, np.bool_)
    for place in rng.permutation(np.argwhere(radius < 6))[:lesions]:
        lesion[tuple(place)] = True
    lesion = ndimage.binary_dilation(lesion, iterations=2) & inside if lesions else lesion
    values = np.where(inside, 100.0 + rng.normal(0, 4, SHAPE), np.where(radius < 11, 300.0, 0.0))
    values[lesion] += 60.0
    strays = rng.permutation(np.argwhere(inside & ~ndimage.binary_dilation(lesion, iterations=2)))
    values[tuple(strays[:12].T)] += 60.0
    image = Volume((gain * values).astype(np.float32), Grid(SHAPE, AFFINE))
    return Marked(f"c{seed}", image, inside, lesion)


def answered(case: Marked, deviations: float, least_ml: float) -> np.ndarray:
    """Answer by another program's parts."""
    values = case.image.data.astype(np.float64)
    mean, deviation = values[case.inside].mean(), values[case.inside].std()
    bright = (values > mean + deviations * deviation) & case.inside
    numbers = parts_of(bright, connectivity=3)
    largest_removed = int(np.ceil(least_ml / VOXEL_ML - 1e-9)) - 1
    if largest_removed < 1:
        return bright
    return remove_small_objects(numbers, max_size=largest_removed, connectivity=3) > 0


def test_the_grid_s_best_mean_dice_is_taken() -> None:
    cases = [marked(0), marked(1, gain=7.0), marked(2, gain=0.01)]
    levels, least = (0.5, 1.0, 2.0, 2.5, 3.0, 5.0), (0.0, 0.01, 0.02, 0.05, 0.4)
    scores = {
        (k, ml): np.mean([dice(answered(case, k, ml), case.lesion) for case in cases])
        for k in levels
        for ml in least
    }
    best = max(scores, key=lambda pair: scores[pair])
    fitted = IntensityThreshold.fit(iter(cases), deviations=levels, least_ml=least)
    assert (fitted.deviations, fitted.least_ml) == best
    assert 0.01 < fitted.least_ml < 0.4, "strays of a voxel or two go, lesions stay"
    assert fitted.dice == pytest.approx(scores[best])
    assert fitted.dice > 0.95


def test_an_answer_is_another_program_s_at_any_gain() -> None:
    case = marked(3, gain=250.0)
    fitted = IntensityThreshold(2.0, 0.03)
    answer = fitted.predict(case.image, case.inside)
    np.testing.assert_array_equal(answer, answered(case, 2.0, 0.03))
    assert answer.any()
    assert not answer[~case.inside].any(), "the bright shell lies outside the mask"
    assert not IntensityThreshold(50.0, 0.0).predict(case.image, case.inside).any()


def test_a_case_without_lesions_counts_where_nothing_is_found() -> None:
    healthy = marked(4, lesions=0)
    fitted = IntensityThreshold.fit([healthy], deviations=(1.0, 30.0), least_ml=(0.0,))
    assert (fitted.deviations, fitted.dice) == (30.0, 1.0)


def test_a_lesion_outside_the_mask_is_missed() -> None:
    case = marked(0)
    half = case.inside.copy()
    half[: SHAPE[0] // 2] = False
    whole, cut = (
        IntensityThreshold.fit([Marked("c", case.image, inside, case.lesion)], least_ml=(0.02,))
        for inside in (case.inside, half)
    )
    assert cut.dice < whole.dice


def test_nothing_to_fit_on_and_flat_images_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="E_BASELINE_EMPTY"):
        IntensityThreshold.fit([])
    case = marked(0)
    flat = case.image.with_data(np.ones(SHAPE, np.float32))
    with pytest.raises(Refusal, match=r"E_FLAT_INTENSITY \[case c9\]"):
        IntensityThreshold.fit([Marked("c9", flat, case.inside, case.lesion)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write three cases: the lesions have the values 3 and 4; a third case is to be answered."""
    rows = ["case,patient,flair,lesion,brain"]
    for number in range(3):
        case = marked(number, gain=10.0**number)
        drawn = np.where(case.lesion, 3, 0)
        drawn[: SHAPE[0] // 2][case.lesion[: SHAPE[0] // 2]] = 4
        grid = case.image.grid
        write_volume(tmp_path / f"{number}-flair.nii.gz", case.image, dtype="float32")
        write_volume(tmp_path / f"{number}-lesion.nii.gz", Volume(drawn, grid), dtype="uint8")
        inside = Volume(case.inside.astype(np.uint8), grid)
        write_volume(tmp_path / f"{number}-brain.nii.gz", inside, dtype="uint8")
        names = [f"{number}-{column}.nii.gz" for column in ("flair", "lesion", "brain")]
        names[1] = names[1] if number < 2 else ""
        rows.append(",".join([f"c{number}", f"p{number}", *names]))
    (tmp_path / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path / "cases.csv"


def test_lesions_are_written_with_what_evaluation_needs(table: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    fitted, folder = write_lesions(
        table,
        {"train": ["c0", "c1"], "test": ["c2"]},
        tmp_path / "answers",
        source="flair",
        label="lesion",
        labels={"lesion": (3, 4)},
        mask="brain",
        on_answer=lambda baseline, case: heard.append((baseline, case)),
    )
    assert heard == [("intensity_threshold", "c2")]
    assert folder == tmp_path / "answers" / "intensity_threshold"
    answer = open_volume(folder / "c2.nii.gz")
    assert answer.data.dtype == np.uint8
    assert set(np.unique(answer.data)) == {0, 3}
    case = marked(2)
    assert dice(answer.data, case.lesion) > 0.95
    note = json.loads((folder / "c2.json").read_text(encoding="utf-8"))
    assert note["labels"] == {"lesion": [3, 4]}
    assert note["baseline"]["deviations"] == fitted.deviations
    assert str(tmp_path) not in json.dumps(note)
    truth = Volume(np.where(case.lesion, 3, 0), answer.grid)
    write_volume(tmp_path / "2-lesion.nii.gz", truth, dtype="uint8")
    text = table.read_text(encoding="utf-8").replace(
        "2-flair.nii.gz,", "2-flair.nii.gz,2-lesion.nii.gz"
    )
    table.write_text(text, encoding="utf-8")
    matched = match_table(folder, table, column="lesion", mask_column=None)
    found = evaluate(matched, profile_named("segmentation"), tmp_path / "report")
    assert found.summary["headline"]["scores"]["dice_lesion"]["mean"] > 0.95


def test_without_a_mask_the_body_is_looked_at(table: Path, tmp_path: Path) -> None:
    _, folder = write_lesions(
        table,
        {"train": ["c0"], "test": ["c1"]},
        tmp_path / "answers",
        source="flair",
        label="lesion",
        labels={"lesion": (3, 4)},
    )
    assert open_volume(folder / "c1.nii.gz").grid.same_as(Grid(SHAPE, AFFINE), tolerance_mm=1e-3)


def test_more_than_one_class_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"E_BASELINE_CLASSES.*not 2"):
        write_lesions(
            table,
            {"train": ["c0"], "test": ["c1"]},
            tmp_path / "answers",
            source="flair",
            label="lesion",
            labels={"core": (3,), "rim": (4,)},
        )
