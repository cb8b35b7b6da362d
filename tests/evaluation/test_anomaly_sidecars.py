import json
import math
from pathlib import Path
from typing import Any

import pytest

from medgen.evaluation.anomaly_sidecars import AnomalyFacts, read_anomaly

BLOCK = {
    "direction": "negative",
    "score": "window_max",
    "scores": {"window_max": 2.5, "map_top": 1, "jane_doe": 3.0, "map_mean": math.nan},
    "p": {"window_max": 0.05},
    "case_threshold": 2.0,
    "unusual": True,
}


def sidecar(folder: Path, **content: Any) -> Path:
    (folder / "c1.json").write_text(json.dumps(content))
    return folder / "c1.nii.gz"


def test_what_a_sidecar_says(tmp_path: Path) -> None:
    path = sidecar(tmp_path, anomaly=BLOCK, weights_digest="w", beside={"mask": "m", "z": "n"})
    (tmp_path / "c1_mask.nii.gz").touch()
    found = read_anomaly(path)
    assert (found.direction, found.score, found.unusual) == ("negative", "window_max", True)
    assert found.scores == {"window_max": 2.5, "map_top": 1.0}  # known names and numbers only
    assert (found.p, found.case_threshold, found.model) == (0.05, 2.0, "w")
    assert (found.mask, found.mask_digests) == (tmp_path / "c1_mask.nii.gz", {"m"})
    assert found.remarks == ()


def test_a_series_has_the_folder_of_its_mask(tmp_path: Path) -> None:
    sidecar(tmp_path, anomaly=BLOCK, dicom={"digest": "d", "beside": {"mask": "k"}})
    (tmp_path / "c1_mask").mkdir()
    found = read_anomaly(tmp_path / "c1/#echo=1")
    assert (found.mask, found.mask_digests) == (tmp_path / "c1_mask", {"k"})


def test_a_foreign_map_is_given_no_score(tmp_path: Path) -> None:
    for content in (None, {}, {"anomaly": 3}):
        if content is not None:
            sidecar(tmp_path, **content)
        found = read_anomaly(tmp_path / "c1.nii.gz")
        assert (found.scores, found.score, found.unusual) == ({}, "", None)
        assert "only voxels are scored" in found.remarks[0]


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"direction": 3, "score": 4, "scores": [1], "p": "x", "unusual": "yes"},
        {"direction": ["both"], "score": ["map_top"], "scores": {"map_top": "1"}},
        {"direction": "up", "score": "map_top", "scores": {"map_top": True}},
    ],
)
def test_a_strange_block_is_no_failure(tmp_path: Path, block: dict[str, Any]) -> None:
    found = read_anomaly(sidecar(tmp_path, anomaly=block, beside=3))
    said = "the sidecar names no direction", "the sidecar tells no score"
    assert [each.startswith(s) for each, s in zip(found.remarks, said, strict=True)] == [True] * 2
    assert (found.direction, found.mask, dict(found.scores)) == ("both", None, {})
    assert found.unusual is AnomalyFacts().unusual


def test_a_listed_mask_that_is_gone_is_said(tmp_path: Path) -> None:
    found = read_anomaly(sidecar(tmp_path, anomaly=BLOCK, beside={"mask": "m"}))
    assert found.mask is None
    assert "not there" in found.remarks[0]
