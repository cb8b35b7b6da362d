import json
from pathlib import Path

import pytest

import medgen
from medgen.cli.app import main
from medgen.cli.info import devices, outline, score_units, target_unit, versions
from medgen.config import read_config, shipped_configs
from medgen.problems import Exit


def test_a_machine_is_described_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json"]) == Exit.OK
    facts = json.loads(capsys.readouterr().out)
    assert facts["versions"]["medgen"] == medgen.__version__
    assert facts["versions"]["torch"] != "not installed"
    assert facts["devices"]["cpu"]["torch_threads"] >= 1


def test_a_machine_is_described_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == Exit.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "versions:"
    assert f"  medgen: {medgen.__version__}" in lines


def test_facts_become_indented_lines() -> None:
    facts = {
        "method": "regression",
        "empty": {},
        "scores": {"mae": 60.512345678, "spread": None},
        "columns": ["mr", "ct"],
        "nothing": [],
        "gpus": [{"name": "one"}],
    }
    assert outline(facts) == [
        "method: regression",
        "empty: none",
        "scores:",
        "  mae: 60.5123",
        "  spread: none",
        "columns: mr, ct",
        "nothing: none",
        "gpus 0:",
        "  name: one",
    ]


@pytest.mark.parametrize(
    ("name", "overrides", "units"),
    [
        ("mr_to_ct", [], {"mae": "HU", "psnr": "dB", "dice_bone_150": ""}),
        ("cross_modality_mr", [], {"mae": "arbitrary", "nrmse": ""}),
        ("low_dose_pet", [], {"mae": "unit unknown", "bias_percent": "%"}),
        ("low_dose_pet", ["intensity.pet_low.unit=suv"], {"mae": "SUV", "data_range": "SUV"}),
        ("tissue_segmentation", [], {"hd95_mm": "mm", "hd95_mm_csf": "mm", "dice_grey": ""}),
    ],
)
def test_scores_have_the_units_of_their_profile(
    tmp_path: Path, name: str, overrides: list[str], units: dict[str, str]
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(shipped_configs()[name], encoding="utf-8")
    found = score_units(read_config(path, overrides))
    assert {score: found[score] for score in units} == units


def test_the_scores_of_a_run_get_their_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(shipped_configs()["mr_to_ct"], encoding="utf-8")
    facts = {"best": {"step": 5, "validation": {"mae": {"mean": 60.5, "sd": None, "cases": 1}}}}
    monkeypatch.setattr("medgen.runs.describe", lambda run: facts)
    monkeypatch.setattr("medgen.runs.read_run_files", lambda folder: (read_config(path), None, {}))
    assert main(["info", str(tmp_path)]) == Exit.OK
    assert "    mae:\n      mean: 60.5\n      sd: none\n      cases: 1\n      unit: HU" in (
        capsys.readouterr().out
    )


def test_a_missing_package_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medgen.cli.info.PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


@pytest.mark.gpu
def test_a_gpu_is_listed_with_its_memory() -> None:
    (first, *_) = devices()["cuda"]
    assert first["device"] == "cuda:0"
    assert first["memory_gib"] > 1


def test_a_folder_that_is_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", str(tmp_path)]) in (Exit.USAGE, Exit.NOTHING_FOUND)
    assert "E_" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "overrides", "unit"),
    [
        ("mr_to_ct", [], "HU"),
        ("low_dose_pet", ["intensity.pet_low.unit=suv"], "suv"),  # it shares its source's scale
        ("tissue_segmentation", [], ""),
    ],
)
def test_the_monitor_s_distance_is_in_the_target_s_unit(
    tmp_path: Path, name: str, overrides: list[str], unit: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(shipped_configs()[name], encoding="utf-8")
    assert target_unit(read_config(path, overrides)).casefold() == unit.casefold()
