"""The anomaly baselines' files: maps, masks and scores that evaluation reads as a method's."""

import json
from pathlib import Path

import numpy as np
import pytest

import medgen.baselines.voxel_z as module
from medgen.baselines import write_anomaly_maps
from medgen.config import AnomalyConfig
from medgen.evaluation import evaluate_maps, match_table
from medgen.problems import ConfigurationError
from medgen.registration import Registration
from medgen.volumes import Grid, Volume, open_volume, write_volume

SHAPE = (16, 18, 14)
GRID = Grid(SHAPE, np.diag([2.0, 2.0, 2.0, 1.0]))
SPLIT = {
    "train": [f"train{n}" for n in range(5)],
    "calibrate": [f"calibrate{n}" for n in range(4)],
    "test": ["ill", "well"],
}
BASELINES = ("voxel_z", "intensity_z")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write heads that lie alike: one of the two to be answered has a bright cube."""
    same = Registration(np.eye(4), 1.0, 1.0, 0.0, 1)
    monkeypatch.setattr(module, "register", lambda *_, **__: same)
    rng = np.random.default_rng(0)
    radius = np.linalg.norm(
        np.indices(SHAPE) - np.array([7.5, 8.5, 6.5])[:, None, None, None], axis=0
    )
    inside = (radius < 6.5).astype(np.uint8)
    lines = ["case,patient,flair,brain,lesion"]
    for case in [name for names in SPLIT.values() for name in names]:
        values = 100.0 + 10.0 * np.indices(SHAPE)[0] + rng.normal(0, 2, SHAPE)
        lesion = np.zeros(SHAPE, np.uint8)
        if case == "ill":
            lesion[5:8, 7:10, 5:8] = 1
            values[lesion > 0] += 60.0
        drawn = {"flair": np.where(inside, values, 0.0), "brain": inside, "lesion": lesion}
        for column, data in drawn.items():
            dtype = "float32" if column == "flair" else "uint8"
            place = tmp_path / f"{case}-{column}.nii.gz"
            write_volume(place, Volume(np.asarray(data), GRID), dtype=dtype)
        lines.append(
            f"{case},p-{case},{case}-flair.nii.gz,{case}-brain.nii.gz,{case}-lesion.nii.gz"
        )
    (tmp_path / "cases.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "cases.csv"


def note_of(folder: Path, case: str) -> dict[str, object]:
    return json.loads((folder / f"{case}.json").read_text(encoding="utf-8"))


def test_maps_are_scored_as_a_method_s(table: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    folders = write_anomaly_maps(
        table,
        SPLIT,
        tmp_path / "answers",
        source="flair",
        mask="brain",
        settings=AnomalyConfig(voxel_false_positives=0.01, case_false_positives=0.2),
        on_answer=lambda baseline, case: heard.append((baseline, case)),
    )
    assert tuple(folder.name for folder in folders) == BASELINES
    assert heard == [(name, case) for name in BASELINES for case in SPLIT["test"]]
    for folder in folders:
        matched = match_table(folder, table, column="lesion", mask_column="brain")
        assert {case.name for case in matched.cases} == {"ill", "well"}, "masks are no predictions"
        found = evaluate_maps(matched, tmp_path / "report" / folder.name).summary["anomaly"]
        assert found["score"] == "map_top"
        assert set(found["by_score"]) == {"map_top", "map_mean"}
        assert found["on_healthy"]["cases"] == 1
        assert not found["threshold"]["not_judged"]
        if folder.name == "voxel_z":
            assert found["cases"]["auroc"]["value"] == 1.0
            assert found["voxels"]["pooled"]["average_precision"] > 0.9
            assert found["threshold"]["sensitivity"]["value"] == 1.0
        text = json.dumps(note_of(folder, "ill"))
        assert str(tmp_path) not in text
        assert "p-ill" not in text


def test_p_values_and_the_mask_are_of_the_calibration_cases(table: Path, tmp_path: Path) -> None:
    settings = AnomalyConfig(direction="positive", voxel_false_positives=0.01)
    how = {"source": "flair", "mask": "brain", "settings": settings}
    folder, _ = write_anomaly_maps(table, SPLIT, tmp_path / "answers", **how)
    apart = {**SPLIT, "test": SPLIT["calibrate"], "calibrate": []}
    healthy, _ = write_anomaly_maps(table, apart, tmp_path / "healthy", **how)
    ranks = [note_of(healthy, case)["anomaly"]["scores"]["map_top"] for case in apart["test"]]
    pooled = [open_volume(healthy / f"{case}.nii.gz").data for case in apart["test"]]
    for case in SPLIT["test"]:
        facts = note_of(folder, case)["anomaly"]
        as_high = sum(rank >= facts["scores"]["map_top"] for rank in ranks)
        assert facts["p"]["map_top"] == (1 + as_high) / 5
        assert facts["calibration_cases"] == 4
        data, mask = (open_volume(folder / f"{case}{end}.nii.gz").data for end in ("", "_mask"))
        assert facts["mask_ml"] == pytest.approx(mask.sum() * 0.008, abs=1e-3)
        assert not mask[data <= 0].any(), "only what is brighter counts"
        marked, left = data[mask > 0], data[(mask == 0) & (data != 0)]
        assert left.max() < marked.min(initial=np.inf)
        inside = np.concatenate([each[each != 0] for each in pooled])
        assert (inside >= marked.min(initial=np.inf)).mean() <= 0.01
        assert marked.size or case == "well"


def test_without_calibration_cases_there_are_maps_alone(table: Path, tmp_path: Path) -> None:
    settings = AnomalyConfig(score="window_max", direction="negative")
    without = {name: cases for name, cases in SPLIT.items() if name != "calibrate"}
    folders = write_anomaly_maps(
        table, without, tmp_path / "answers", source="flair", mask="brain", settings=settings
    )
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {
            f"{case}{end}" for case in SPLIT["test"] for end in (".nii.gz", ".json")
        }
        facts = note_of(folder, "ill")["anomaly"]
        assert facts["score"] == "map_top", "baselines have no windows"
        depth = np.maximum(-open_volume(folder / "ill.nii.gz").data, 0.0)
        brain = open_volume(table.parent / "ill-brain.nii.gz").data > 0
        highest = np.sort(depth[brain])[-int(np.ceil(0.01 * brain.sum())) :]
        assert facts["scores"]["map_top"] == pytest.approx(highest.mean(), rel=1e-5)


def test_a_rate_that_the_calibration_cannot_tell_is_refused(table: Path, tmp_path: Path) -> None:
    settings = AnomalyConfig(case_false_positives=0.1)
    with pytest.raises(ConfigurationError, match="E_CALIBRATION_RATE"):
        write_anomaly_maps(
            table, SPLIT, tmp_path / "answers", source="flair", mask="brain", settings=settings
        )
