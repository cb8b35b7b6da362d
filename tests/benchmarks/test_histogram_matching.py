"""Matched histograms, against two other programs and by hand; and the table that is written."""

import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.exposure import match_histograms

import medgen
from medgen.data import read_table
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Grid, Volume, open_volume, write_volume

PROGRAM = Path(medgen.__file__).parents[1] / "benchmarks" / "histogram_matching.py"
MATCHING = runpy.run_path(str(PROGRAM))
match_histogram, match_table = MATCHING["match_histogram"], MATCHING["match_table"]


def two_tissues(seed: int, levels: tuple[float, float], shape: Any = (24, 22, 20)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(levels, shape, p=(0.3, 0.7)) + rng.normal(0, 0.05 * levels[1], shape)


def test_with_many_landmarks_it_equals_scikit_image() -> None:
    source, target = two_tissues(0, (900.0, 400.0)), two_tissues(1, (60.0, 110.0))
    every = np.linspace(0, 100, 2001)
    matched = match_histogram(source, target, landmarks=every)(source)
    expected = match_histograms(source, target)
    assert np.abs(matched - expected).mean() < 0.01 * target.std()
    # In the empty gap between two tissues a value or two lie where any map is as good.
    assert np.quantile(np.abs(matched - expected), 0.999) < 0.05 * target.std()


def test_deciles_come_near_itk_with_as_many_landmarks() -> None:
    source, target = two_tissues(0, (900.0, 400.0)), two_tissues(1, (60.0, 110.0))
    images = [sitk.GetImageFromArray(values.astype(np.float32)) for values in (source, target)]
    itk = sitk.HistogramMatchingImageFilter()
    itk.SetNumberOfHistogramLevels(4096)
    itk.SetNumberOfMatchPoints(9)
    itk.ThresholdAtMeanIntensityOff()
    expected = sitk.GetArrayFromImage(itk.Execute(*images))
    landmarks = (0.0, *range(10, 100, 10), 100.0)
    matched = match_histogram(source, target, landmarks=landmarks)(source)
    assert np.abs(matched - expected).mean() < 0.01 * target.std()


def test_a_line_between_two_scanners_is_undone_and_goes_on_beyond_the_landmarks() -> None:
    target = two_tissues(0, (60.0, 110.0)) - 500.0
    source = 3.0 * target + 40.0
    mapping = match_histogram(source, target)
    np.testing.assert_allclose(mapping(source), target, atol=1e-3)
    lesion = np.array([4.0 * target.max(), 10.0 * target.min()])
    np.testing.assert_allclose(mapping(3.0 * lesion + 40.0), lesion, rtol=1e-3)


def test_no_signal_stays_none_and_order_is_kept() -> None:
    source, target = two_tissues(0, (90.0, 400.0)), two_tissues(1, (60.0, 110.0))
    mapping = match_histogram(source, target)
    assert mapping(np.zeros(1))[0] == 0.0
    assert (np.diff(mapping(np.linspace(-50, 900, 500))) > 0).all()
    source[:12] = 0.0  # half of the mask shows nothing
    assert match_histogram(source, target)(np.zeros(1))[0] == 0.0


def test_equal_percentiles_of_the_source_take_the_target_s_mean() -> None:
    source = np.repeat([1.0, 2.0], [50, 50])
    target = np.linspace(10.0, 20.0, 101)
    mapping = match_histogram(source, target, landmarks=(10, 30, 70, 90))
    np.testing.assert_allclose(mapping.source, [0.0, 1.0, 2.0])
    np.testing.assert_allclose(mapping.target, [0.0, 12.0, 18.0])


@pytest.mark.parametrize("values", [np.zeros(0), np.full(50, 3.0)])
def test_flat_values_are_refused(values: np.ndarray) -> None:
    with pytest.raises(Refusal, match="E_FLAT_INTENSITY"):
        match_histogram(values, np.arange(10.0))


GRID = Grid((24, 22, 20), np.diag([2.0, 2.0, 2.0, 1.0]))
SITES = {
    "s_train": ("one", "train", (90.0, 400.0)),
    "s_check": ("one", "validation", (180.0, 800.0)),
    "s_test": ("one", "test", (90.0, 400.0)),
    "t_train": ("two", "train", (60.0, 110.0)),
    "t_other": ("two", "train", (60.0, 110.0)),
    "t_test": ("two", "test", (9000.0, 7000.0)),
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write two sites; one has a column `t2`, the other `pd`, and both a brain within air."""
    folder = tmp_path / "data"
    brain = np.zeros(GRID.shape, np.uint8)
    brain[4:-4, 4:-4, 4:-4] = 1
    write_volume(folder / "brain.nii.gz", Volume(brain, GRID), dtype="uint8")
    lines = ["case,patient,site,split,t2,pd,brain,age"]
    for seed, (case, (site, split, levels)) in enumerate(SITES.items()):
        values = two_tissues(seed, levels) * brain
        write_volume(folder / f"{case}.nii.gz", Volume(values, GRID), dtype="float32")
        cells = [f"{case}.nii.gz", ""] if site == "one" else ["", f"{case}.nii.gz"]
        lines.append(",".join([case, f"p{seed}", site, split, *cells, "brain.nii.gz", "61.5"]))
    (folder / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "cases.csv"


def matched(table: Path, output: Path, **changes: Any) -> Path:
    sites = {"source_site": "one", "target_site": "two"}
    columns = {"column": "t2", "like": "pd", "mask": "brain"}
    return Path(match_table(table, output, **{**sites, **columns, **changes}))


def test_what_is_learned_from_looks_like_the_targets_training_cases(
    table: Path, tmp_path: Path
) -> None:
    path = matched(table, tmp_path / "matched")
    before, after = (read_table(p, columns=["t2", "pd", "brain"]) for p in (table, path))
    assert after.columns == before.columns
    inside = open_volume(after.row("s_test").cells["brain"]).data > 0
    pool = np.concatenate(
        [open_volume(table.parent / f"{c}.nii.gz").data[inside] for c in ("t_train", "t_other")]
    )
    for old, new in zip(before.rows, after.rows, strict=True):
        assert (old.case, old.patient, old.site, old.split, old.other) == (
            new.case,
            new.patient,
            new.site,
            new.split,
            new.other,
        )
        assert old.cells.keys() == new.cells.keys()
        changed = new.case in ("s_train", "s_check")
        for column, cell in new.cells.items():
            same = cell.resolve() == old.cells[column].resolve()
            assert same == (not changed or column != "t2")
        if changed:
            volume = open_volume(new.cells["t2"])
            assert volume.grid.same_as(GRID)
            found = np.percentile(volume.data[inside], [1, 10, 50, 90, 99])
            expected = np.percentile(pool, [1, 10, 50, 90, 99])
            np.testing.assert_allclose(found, expected, atol=0.02 * pool.std())
            assert not volume.data[~inside].any(), "air stays air"


def test_a_given_split_is_the_one_that_counts(table: Path, tmp_path: Path) -> None:
    split = {"train": ["s_test", "t_test"], "validation": [], "test": ["s_train"]}
    path = matched(table, tmp_path / "matched", split=split)
    rows = read_table(path, columns=["t2"]).rows
    assert [row.case for row in rows if row.cells.get("t2", Path()).parent == path.parent] == [
        "s_test"
    ]
    high = open_volume(path.parent / "s_test_t2.nii.gz").data.max()
    assert high > 5000, "the other target cases are not looked at"


def test_cells_stay_valid_behind_a_symbolic_link(table: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    os.symlink(tmp_path / "far" / "away", tmp_path / "near")
    path = matched(table, tmp_path / "near" / "matched")
    assert len(read_table(path, columns=["t2", "pd", "brain"]).rows) == len(SITES)


def test_targets_labels_are_never_opened(table: Path, tmp_path: Path) -> None:
    text = table.read_text(encoding="utf-8").replace(",age", ",lesion").replace("61.5", "l.nii.gz")
    table.write_text(text, encoding="utf-8")
    (table.parent / "l.nii.gz").write_bytes(b"poison")
    path = matched(table, tmp_path / "matched")
    assert read_table(path, columns=["lesion"]).row("t_train").cells["lesion"].exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_site": "three"}, "E_BASELINE_EMPTY"),
        ({"column": "t9"}, "E_TABLE_COLUMN"),
        ({"split": {"train": ["s_train"]}}, "E_BASELINE_EMPTY"),
    ],
)
def test_nothing_to_match_to_is_refused(
    table: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        matched(table, tmp_path / "matched", **changes)


def test_a_table_without_a_split_is_refused(table: Path, tmp_path: Path) -> None:
    text = table.read_text(encoding="utf-8").replace(",split,", ",part,")
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="E_TABLE_SPLIT"):
        matched(table, tmp_path / "matched")
