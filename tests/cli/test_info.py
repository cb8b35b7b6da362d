import json
from pathlib import Path

import pytest

import medgen
from medgen.cli.app import main
from medgen.cli.info import devices, outline, versions
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
