import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medgen.evaluation.anomaly_cases import load_maps, score_maps
from medgen.evaluation.matching import Case
from medgen.volumes import open_volume

Paths = Callable[..., Path]


def case_of(folder: Path, name: str) -> Case:
    return Case(
        name,
        folder / f"maps/{name}.nii.gz",
        folder / f"lesion/{name}.nii.gz",
        folder / "brain.nii.gz",
        "MRN7",
    )


def test_what_one_case_is_given(anomalies: Path) -> None:
    scored, kept = score_maps(case_of(anomalies, "s3"))
    assert kept is not None
    assert not kept.healthy
    assert scored.remarks == ()
    assert scored.patient != "MRN7"
    lesion = open_volume(anomalies / "lesion/s3.nii.gz").data > 0
    assert scored.scores["lesion_ml"] == pytest.approx(lesion.sum() * 0.036)
    assert scored.scores["p"] == 0.25
    assert scored.scores["map_top"] == pytest.approx(2.8)
    assert math.isnan(scored.scores["window_mean"])
    maps = load_maps(case_of(anomalies, "s3"))
    assert maps.residual[lesion].mean() < -2  # as it was written
    assert maps.depth[lesion].mean() > 2  # as it counts
    assert maps.mask is not None
    assert scored.scores["recall"] == pytest.approx(maps.mask[lesion].mean())
    assert len(kept.lesion) == lesion.sum()
    assert len(kept.lesion) + len(kept.tissue) == maps.scored.sum()


def test_a_lesion_outside_the_scored_region_counts_nowhere(anomalies: Path, write: Paths) -> None:
    lesion = open_volume(anomalies / "lesion/s1.nii.gz").data.copy()
    inside = int(lesion.sum())
    lesion[0, 0, : inside // 2] = 1  # in the corner, in air
    write("lesion/s1.nii.gz", lesion, dtype="uint8")
    scored, kept = score_maps(case_of(anomalies, "s1"))
    assert kept is not None
    assert len(kept.lesion) == inside
    assert "of the lesion lies outside the scored region" in scored.remarks[0]
    lesion[:] = 0
    lesion[0, 0, 0] = 1
    write("lesion/s1.nii.gz", lesion, dtype="uint8")
    scored, kept = score_maps(case_of(anomalies, "s1"))
    assert kept is not None
    assert not kept.healthy
    assert math.isnan(scored.scores["voxel_average_precision"])
    assert scored.scores["false_positive_ml"] > 0


def test_an_image_in_the_place_of_lesions_is_doubted(anomalies: Path) -> None:
    case = replace(case_of(anomalies, "s1"), reference=anomalies / "brain.nii.gz")
    scored, _ = score_maps(case)
    assert any("is it a lesion?" in remark for remark in scored.remarks)


def test_what_the_sidecar_does_not_vouch_for_is_not_believed(anomalies: Path, write: Paths) -> None:
    write("maps/s1_mask.nii.gz", np.ones_like(open_volume(anomalies / "brain.nii.gz").data))
    scored, kept = score_maps(case_of(anomalies, "s1"))
    assert kept is not None
    assert kept.overlap is None
    assert math.isnan(scored.scores["dice"])
    assert "not the one that its sidecar lists" in scored.remarks[0]
    assert scored.scores["map_top"] > 0
    values = open_volume(anomalies / "maps/s1.nii.gz").data
    write("maps/s1.nii.gz", values + 1)
    scored, kept = score_maps(case_of(anomalies, "s1"))
    assert kept is not None
    assert math.isnan(scored.scores["map_top"])
    assert "describes another file" in scored.remarks[0]


@pytest.mark.parametrize(
    ("text", "code"), [('{"unit": "label"}', "E_PROFILE_KIND"), ("{}", "E_GRID_MISMATCH")]
)
def test_what_cannot_be_scored_is_refused_by_case(
    anomalies: Path, write: Paths, text: str, code: str
) -> None:
    write("maps/s1.nii.gz", np.zeros((22, 20, 9)))
    (anomalies / "maps/s1.json").write_text(text)
    scored, kept = score_maps(case_of(anomalies, "s1"))
    assert kept is None
    assert [(p.code, p.case) for p in scored.problems] == [(code, "s1")]


def test_a_shifted_grid_is_matched_when_asked(anomalies: Path, write: Paths) -> None:
    values = open_volume(anomalies / "maps/s1.nii.gz").data
    lesion = open_volume(anomalies / "lesion/s1.nii.gz")
    affine = lesion.grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * -2  # two voxels more on one side
    write("maps/s1.nii.gz", np.pad(values, ((2, 0), (0, 0), (0, 0))), affine)
    found, kept = score_maps(case_of(anomalies, "s1"), match_grid=True)
    assert kept is not None
    assert any("resampled onto" in remark for remark in found.remarks)
    assert found.scores["voxel_average_precision"] > 0.3
