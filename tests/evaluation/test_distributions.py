"""Which unit a volume is described in: its file's, else its sidecar's, else the features'."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation.distributions import FeatureSource, Member, describe
from medgen.volumes import Grid, Volume, write_volume


@pytest.mark.parametrize(
    ("column", "unit", "said", "seen"),
    [
        ("ct", "HU", None, "arbitrary"),
        ("ct", "HU", "hu", "HU"),
        ("ct", "HU", "arbitrary", None),
        ("pet", "SUV", "Bq/ml", None),
        ("pet", "SUV", "DOE^JANE", None),
        ("mr", "arbitrary", "arbitrary", "arbitrary"),
        ("mr", "arbitrary", "HU", None),
        # A scale by percentiles takes volumes of any unit.
        ("ct", "arbitrary", "HU", "arbitrary"),
        ("pet", "arbitrary", "SUV", "arbitrary"),
    ],
)
@pytest.mark.parametrize("role", ["prediction", "reference"])
def test_the_unit_of_a_sidecar_holds_for_predictions(
    role: str, column: str, unit: str, said: str | None, seen: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.nii.gz"
    write_volume(path, Volume(np.zeros((4, 4, 4)), Grid((4, 4, 4), np.eye(4))), dtype="float32")
    if said is not None:
        (tmp_path / "a.json").write_text(json.dumps({"unit": said}), encoding="utf-8")
    units: list[str] = []

    def extract(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
        units.append(volume.unit)
        return np.zeros(2), np.zeros((0, 2))

    source = FeatureSource(extract, column, unit, "0" * 64)
    found, problems = describe([Member("a", "case a", path)], source, role)
    if role == "reference":
        seen = "arbitrary"
    assert units == ([] if seen is None else [seen])
    assert len(found) == len(units)
    assert [(p.code, p.case, p.column) for p in problems] == (
        [("E_UNIT", "a", role)] if seen is None else []
    )
    assert "DOE" not in str(problems)
    assert all(f"of {column} in {unit}" in problem.message for problem in problems)
