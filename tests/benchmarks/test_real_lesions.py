"""The real lesions' program on volumes and runs made by hand: no real data, no training."""

import csv
import io
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import medgen
from medgen.config import read_config
from medgen.volumes import ARBITRARY, Grid, Volume, open_volume, write_volume

PROGRAMS = Path(medgen.__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, dict[str, Any]]]:
    """Return what the three files define; they import each other as scripts of one folder do."""
    before = set(sys.modules)
    sys.path.insert(0, str(PROGRAMS))
    names = ("real_lesions", "real_lesion_cases", "real_lesion_pictures")
    try:
        yield {name: runpy.run_path(str(PROGRAMS / f"{name}.py")) for name in names}
    finally:
        sys.path.remove(str(PROGRAMS))
        for name in set(sys.modules) - before:
            found = getattr(sys.modules[name], "__file__", None)
            if found and Path(found).parent == PROGRAMS:
                del sys.modules[name]


def write(file: Path, values: np.ndarray[Any, Any]) -> Path:
    first, second, third = values.shape
    grid = Grid((first, second, third), np.diag([2.0, 2.0, 2.0, 1.0]))
    write_volume(file, Volume(values, grid, ARBITRARY), dtype="float32")
    return file


def test_persons_are_drawn_once_whatever_their_order(programs: Any) -> None:
    names = [f"subject{number:02d}" for number in range(18)]
    split = programs["real_lesion_cases"]["drawn_split"](names)
    words = list(split.values())
    assert {word: words.count(word) for word in words} == {"train": 12, "validation": 2, "test": 4}
    assert programs["real_lesion_cases"]["drawn_split"](names[::-1]) == split


def test_a_stripped_person_is_zero_outside_the_brain_and_unchanged_within(
    programs: Any, tmp_path: Path
) -> None:
    brain = np.zeros((4, 4, 4), np.uint8)
    brain[1:3, 1:3, 1:3] = 1
    flair = np.arange(64, dtype=np.float32).reshape(4, 4, 4) - 30.0
    images = {"flair": flair, "t1_on_flair": -flair, "lesion": brain, "brain_on_flair": brain}
    for name, values in images.items():
        write(tmp_path / "prepared" / f"{name}.nii.gz", values)
    files = programs["real_lesion_cases"]["strip"](tmp_path / "prepared", tmp_path / "case")
    assert open_volume(files["flair"]).data == pytest.approx(np.where(brain, flair, 0))
    assert open_volume(files["t1"]).data == pytest.approx(np.where(brain, -flair, 0))
    assert files["lesion"] == tmp_path / "prepared" / "lesion.nii.gz"


def test_a_brain_without_skull_is_what_any_image_knows_below_zero_too(
    programs: Any, tmp_path: Path
) -> None:
    flair, t1 = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
    flair[0, 0, 0], flair[1, 1, 1], t1[2, 2, 2] = -3.0, 5.0, 7.0
    write(tmp_path / "flair.nii.gz", flair)
    write(tmp_path / "t1.nii.gz", t1)
    files = programs["real_lesion_cases"]["masked"](tmp_path, tmp_path / "case")
    found = np.argwhere(open_volume(files["brain"]).data > 0).tolist()
    assert found == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]


def test_cells_lead_from_the_table_to_the_files(programs: Any, tmp_path: Path) -> None:
    cases = programs["real_lesion_cases"]
    files = {column: tmp_path / "data" / f"{column}.nii.gz" for column in cases["COLUMNS"]}
    text = cases["table_text"]({"p1": files}, {"p1": ("ms", "train")}, tmp_path / "output")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["case"], row["patient"], row["site"], row["split"]) == ("p1", "p1", "ms", "train")
    assert (tmp_path / "output" / row["t1"]).resolve() == files["t1"].resolve()


def test_rows_differ_by_what_they_say_alone(programs: Any) -> None:
    program = programs["real_lesions"]
    configs = {
        name: read_config(program["CONFIG"], row.settings(100))
        for name, row in program["ROWS"].items()
    }
    methods = {name: config.methods["adapted_segmenter"] for name, config in configs.items()}
    weights = {name: options["lambda_adversarial"] for name, options in methods.items()}
    ways = {name: options["adversarial"] for name, options in methods.items() if weights[name]}
    assert ways == {
        f"{columns}_{way}": way
        for columns in ("flair", "flair_t1")
        for way in ("reversal", "confusion")
    }
    assert configs["flair_t1"].roles.source.columns == ("flair", "t1")
    assert configs["flair_intensity"].train.augment.intensity == 0.4
    assert configs["flair_z_score"].intensity["flair"].scale == "z_score"
    for config in configs.values():
        target = config.roles.target
        assert target is not None
        assert target.columns == config.roles.source.columns
        assert (target.where["site"], config.roles.mask) == ("ms", "brain")
        # No case of the target can choose weights: the last ones answer.
        assert config.train.validate_.every_steps == config.train.steps == 100
        assert not config.train.validate_.best_by.penalties


def run(dice: float, **more: Any) -> dict[str, Any]:
    scores = {"dice": dice, "lesion_f1": 0.5, "volume_ml": 2.0}
    known = {"reference_volume_ml": 1.25, "reference_lesions": 37.0}
    source = {"a": {"dice": 0.6, "lesion_f1": 0.4}, "b": {"dice": 0.8}}
    return {"ms": {"p1": {**scores, **known}, "p2": known}, "nichart": source, **more}


def test_patients_stand_by_themselves_and_the_source_as_a_mean(programs: Any) -> None:
    seeds = {1: run(0.25, seconds=90.0), 0: run(0.5, seconds=60.0)}
    runs = {"flair": seeds, "threshold": {0: run(0.1)}}
    lines = list(programs["real_lesions"]["markdown"](runs))
    assert lines[2] == "| FLAIR, 0 | 0.50 | 0.50 | 2.0 | - | - | - | 0.70 | 0.40 | 1.0 |"
    assert lines[3].startswith("| FLAIR, 1 | 0.25 |")
    assert lines[4].endswith("| 0.70 | 0.40 | - |")
    assert "p1: reference 1.2 ml in 37 lesions." in lines


def test_slices_hold_most_of_the_reference_and_stand_apart(programs: Any) -> None:
    mask = np.zeros((6, 6, 40), bool)
    for place, size in ((5, 3), (6, 4), (20, 2), (21, 1), (30, 1), (39, 1)):
        mask[:size, 0, place] = True
    slices_of = programs["real_lesion_pictures"]["slices_of"]
    assert slices_of(mask, 9) == [6, 20, 30]
    assert slices_of(mask, 40) == [6]
    assert slices_of(np.zeros_like(mask), 9) == []


def test_a_slice_hangs_with_the_nose_above_and_the_right_on_the_left(programs: Any) -> None:
    pixels = np.array([[0, 1, 2], [3, 4, 5]])  # left to right, back to front
    hung = programs["real_lesion_pictures"]["hung"](pixels)
    assert hung.tolist() == [[5, 2], [4, 1], [3, 0]]


def test_pictures_are_drawn_also_where_nothing_was_found(programs: Any, tmp_path: Path) -> None:
    image = np.zeros((12, 14, 20), np.float32)
    image[2:10, 2:12, 2:18] = np.random.default_rng(0).uniform(1, 2, (8, 10, 16))
    truth, empty = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    truth[4:6, 4:6, 4:7] = truth[6:8, 6:8, 14:16] = 1
    files: dict[str, Any] = {"image": image, "truth": truth, "found": truth, "empty": empty}
    paths = {name: write(tmp_path / f"{name}.nii.gz", v) for name, v in files.items()}
    answers = {"found": paths["found"], "empty": paths["empty"]}
    path = tmp_path / "pictures" / "p1.png"
    programs["real_lesion_pictures"]["draw"](paths["image"], paths["truth"], answers, path)
    assert path.read_bytes().startswith(b"\x89PNG")
