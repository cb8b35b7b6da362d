from typing import Any

import pytest

from medgen.cli.score_tables import by_region, overall
from medgen.metrics import PROFILES, Profile

PET = PROFILES["pet"].in_unit("SUV").for_regions({"spot": 4, "liver": 5})


def scores(profile: Profile, **changed: dict[str, Any]) -> dict[str, Any]:
    plain = {"mean": 2.0, "min": 2.0, "ci95": [1.0, 3.0], "sd": 0.5, "median": 2.0}
    return {
        name: {**plain, "cases": 3, "infinite": 0, **changed.get(name, {})}
        for name in profile.columns
    }


def test_every_row_has_its_unit_and_a_description_stands_apart() -> None:
    table = overall(PET, scores(PET))
    units = {row[0]: row[1] for row in table.rows}
    assert (units["mae"], units["gradient_mae"]) == ("SUV", "SUV per mm")
    assert (units["bias_percent"], units["psnr"], units["ssim"]) == ("%", "dB", "")
    assert "data_range" not in units
    assert len(table.below) == 1
    assert table.below[0].startswith("mean data_range [SUV]: 2 (no score: ")


@pytest.mark.parametrize(("smallest", "marked"), [(0.99, True), (1.0, False), (None, False)])
def test_suv_peak_of_a_small_region_is_marked(smallest: float | None, marked: bool) -> None:
    found = scores(PET, volume_ml_spot={"min": smallest})
    if smallest is None:  # no case has the region
        found["suv_peak_bias_spot"]["mean"] = None
    table = by_region(PET, found)
    peak = table.heads.index("suv_peak_bias")
    units, spot, liver = table.rows
    assert units == ["", "%", "%", "%", "SUV", "SUV", "ml"]
    assert (str(spot[peak]).strip() == "2*") is marked
    assert liver[peak] == 2.0
    assert bool(table.below) is marked
