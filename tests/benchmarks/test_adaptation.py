"""The tables of adaptation on runs made by hand, and rows whose configurations are known."""

import csv
import io
import math
import runpy
from pathlib import Path
from typing import Any

import pytest

import medgen
from medgen.config import Config, parse_config

PROGRAMS = Path(medgen.__file__).parents[1] / "benchmarks"
RESULTS = runpy.run_path(str(PROGRAMS / "adaptation_results.py"))
ROWS = runpy.run_path(str(PROGRAMS / "adaptation_rows.py"))
TITLES = {
    "none": "source only",
    "shared": "one channel",
    "adapted": "adapted",
    "top": "top",
}
FLOOR, TOP = ("none", "shared"), "top"
PENALTY = {"diagnose.domain_advantage": 0.5}
POINTS = [
    {"step": 10.0, "dice": 0.5, "diagnose.domain_advantage": 0.2, "target_dice": 0.40},
    {"step": 20.0, "dice": 0.7, "diagnose.domain_advantage": 0.8, "target_dice": 0.30},
    {"step": 30.0, "dice": 0.6, "diagnose.domain_advantage": 0.3, "target_dice": 0.45},
    {"step": 40.0, "dice": 0.6, "diagnose.domain_advantage": 0.9, "target_dice": 0.44},
]


def run(target: float, source: float, **more: Any) -> dict[str, Any]:
    """Return a run whose two test patients of a side lie 0.1 above and below its mean."""
    sides = {"target": target, "source": source}
    found: dict[str, Any] = {
        side: {
            f"{side}-{number}": {"dice": mean + sign * 0.1, "lesion_f1": mean}
            for number, sign in enumerate((1, -1))
        }
        for side, mean in sides.items()
    }
    return {**found, "seconds": 120.0, "curve": [], **more}


def runs() -> dict[str, dict[int, dict[str, Any]]]:
    """Return two seeds in which adapting recovers 3/4 and 1/4 of the gap to the better row."""
    return {
        "none": {0: run(0.1, 0.8), 1: run(0.1, 0.8)},
        "shared": {0: run(0.4, 0.7), 1: run(0.4, 0.6)},
        "adapted": {0: run(0.7, 0.65), 1: run(0.5, 0.65)},
        "top": {0: run(0.8, 0.2), 1: run(0.8, 0.2)},
    }


def cells_of(lines: list[str], title: str) -> list[str]:
    """Return the cells of a Markdown row, less its title."""
    (line,) = [each for each in lines if each.startswith(f"| {title} |")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_validation_is_the_mean_of_its_rows_less_blanks() -> None:
    scores = "step,case,dice,hd95_mm\n10,a,0.5,\n10,b,0.7,3.0\n20,a,nan,\n20,b,0.4,\n"
    figures = "step,diagnose.domain_advantage\n10,0.25\n20,0.5\n"
    assert RESULTS["points_of"](scores, figures) == [
        {
            "step": 10.0,
            "dice": pytest.approx(0.6),
            "diagnose.domain_advantage": 0.25,
        },
        {"step": 20.0, "dice": 0.4, "diagnose.domain_advantage": 0.5},
    ]


def test_each_choice_takes_its_own_point() -> None:
    picked = RESULTS["chosen"](POINTS, PENALTY)
    steps = {way: point["step"] for way, point in picked.items()}
    assert steps == {"source Dice": 20.0, "penalised": 30.0, "last": 40.0, "oracle": 30.0}


def test_equal_points_give_the_first_and_unknown_figures_no_choice() -> None:
    bare = [{"step": float(step), "dice": 0.5, "target_dice": 0.1} for step in (1, 2)]
    picked = RESULTS["chosen"](bare, PENALTY)
    assert "penalised" not in picked
    assert picked["source Dice"]["step"] == picked["oracle"]["step"] == 1.0


def test_recovered_share_is_of_the_gap_and_nothing_without_one() -> None:
    assert RESULTS["recovered"](0.7, 0.4, 0.8) == pytest.approx(0.75)
    assert RESULTS["recovered"](0.3, 0.4, 0.8) == pytest.approx(-0.25)
    assert math.isnan(RESULTS["recovered"](0.7, 0.8, 0.8))


def test_shares_are_of_the_better_source_only_row_seed_by_seed() -> None:
    assert RESULTS["better"](runs(), FLOOR) == "shared"
    assert RESULTS["shares"](runs(), "adapted", "shared", TOP) == pytest.approx([0.75, 0.25])
    assert RESULTS["shares"](runs(), "shared", "shared", TOP) == []
    assert RESULTS["changes"](runs(), "adapted", "shared") == pytest.approx([-0.05, 0.05])


def test_the_score_table_has_means_and_spreads_over_seeds() -> None:
    lines = list(RESULTS["score_table"](runs(), TITLES, FLOOR, TOP))
    adapted = cells_of(lines, "adapted")
    assert adapted[0] == "0.600 ± 0.141"
    assert adapted[4:] == ["0.50 ± 0.35", "+0.000 ± 0.071", "2", "2.0"]
    assert cells_of(lines, "one channel")[4:6] == ["-", "-"]
    assert lines[-1].endswith("one channel.")


def test_a_table_of_some_rows_and_seeds_is_a_table_all_the_same() -> None:
    some = {"adapted": {1: run(0.5, 0.6)}}
    lines = list(RESULTS["score_table"](some, TITLES, FLOOR, TOP))
    assert cells_of(lines, "adapted")[0] == "0.500"
    seeds = list(RESULTS["seed_table"]({**runs(), **some}, TITLES, FLOOR, TOP))
    assert cells_of(seeds, "adapted") == ["-", "0.500 (0.25)"]


def test_differences_are_paired_by_patient() -> None:
    assert RESULTS["difference"](runs(), "adapted", "shared") == "+0.200 (+0.200 to +0.200)"


def test_choices_are_held_against_the_oracle() -> None:
    some = {"adapted": {0: run(0.4, 0.6, curve=POINTS)}}
    lines = list(RESULTS["choice_table"](some, TITLES, PENALTY))
    cells = cells_of(lines, "adapted, seed 0")
    assert cells[0] == "0.300 @ 20 (-0.150)"
    assert cells[1] == cells[3] == "0.450 @ 30 (+0.000)"
    assert cells_of(lines, "adapted, mean")[2] == "0.440 (-0.010)"


def test_curves_keep_every_validation() -> None:
    text = RESULTS["curve_table"]({"adapted": {0: run(0.4, 0.6, curve=POINTS)}}, PENALTY)
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    assert [row["step"] for row in rows] == ["10", "20", "30", "40"]
    assert [row["penalised"] for row in rows] == ["0.4", "0.3", "0.45", "0.15"]


def demo() -> Config:
    """Return a configuration of two sites that share one of two channels."""
    return parse_config(
        {
            "roles": {
                "source": {"columns": ["flair", "t2"], "where": {"site": "one"}},
                "target": {"columns": ["flair", "t1"], "where": {"site": "two"}},
                "label": ["lesion"],
            },
            "labels": {"lesion": 1},
            "intensity": {column: {"scale": "percentile"} for column in ("flair", "t2", "t1")},
            "method": "adapted_segmenter",
        }
    )


def test_rows_feed_the_channels_and_the_labels_that_they_name() -> None:
    settings = {name: row.settings(demo()) for name, row in ROWS["ROWS"].items()}
    shared, bound = settings["adapted_shared"], settings["target_labels"]
    assert 'roles.source={"columns": ["flair"], "where": {"site": "one"}}' in shared
    assert 'roles.target={"columns": ["flair"], "where": {"site": "two"}}' in shared
    assert 'roles.source={"columns": ["flair", "t1"], "where": {"site": "two"}}' in bound
    adapting = {n for n, s in settings.items() if not any("lambda_adversarial=0" in e for e in s)}
    assert adapting == {"adapted", "adapted_shared"}
    assert "intensity.t1={scale: z_score}" in settings["z_score_shared"]


def test_each_site_is_divided_alike_and_cells_stay_reachable(tmp_path: Path) -> None:
    lines = ["case,patient,site,flair,t2,t1,lesion,notes"]
    for number in range(24):
        site = ("one", "two")[number % 2]
        (tmp_path / f"{number}.nii.gz").touch()
        cells = [f"{number}.nii.gz", f"{number}.nii.gz", "", f"{number}.nii.gz", "x"]
        lines.append(",".join([f"c{number}", f"p{number}", site, *cells]))
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    text = ROWS["divided_table"](tmp_path / "cases.csv", demo(), folder)
    rows = list(csv.DictReader(io.StringIO(text)))
    for site in ("one", "two"):
        split = [row["split"] for row in rows if row["site"] == site]
        counts = {name: split.count(name) for name in ("train", "validation", "test")}
        assert counts == {"train": 6, "validation": 2, "test": 4}
    assert all((folder / row["flair"]).exists() and row["t1"] == "" for row in rows)
    assert "notes" not in rows[0]
