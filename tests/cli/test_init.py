from pathlib import Path

import pytest

from medgen.cli.app import main
from medgen.config import read_config, shipped_configs
from medgen.problems import Exit

SUBJECTS = ("Synthetic CT", "Labels of", "One MR contrast", "Full-dose PET", "What is unusual")


def test_without_a_name_the_configurations_are_listed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["init", "--quiet"]) == Exit.OK
    shown = capsys.readouterr()
    assert shown.err == ""
    for name, line in zip(shipped_configs(), shown.out.splitlines(), strict=True):
        assert line.split()[0] == name
        assert any(subject in line for subject in SUBJECTS)
        assert "medgen train" not in line


def test_a_copy_is_written_to_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "my.yaml"
    assert main(["init", "mr_to_ct", "--output", str(path)]) == Exit.OK
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text(encoding="utf-8") == shipped_configs()["mr_to_ct"]
    assert read_config(path).roles.source.columns == ("mr",)


def test_the_name_is_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "cbct_to_ct"]) == Exit.OK
    assert read_config(Path("cbct_to_ct.yaml")).roles.source.columns == ("cbct",)


def test_an_edited_file_is_replaced_only_on_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("mine", encoding="utf-8")
    assert main(["init", "mr_to_ct", "--output", str(path)]) == Exit.USAGE
    assert path.read_text(encoding="utf-8") == "mine"
    assert "E_EXISTS" in capsys.readouterr().err
    assert main(["init", "mr_to_ct", "--output", str(path), "--overwrite"]) == Exit.OK
    assert path.read_text(encoding="utf-8") == shipped_configs()["mr_to_ct"]


def test_an_unknown_name_lists_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "mr_to_pet", "--output", str(tmp_path / "my.yaml")]) == Exit.USAGE
    message = capsys.readouterr().err
    assert "E_CONFIG_NAME" in message
    assert "cbct_to_ct, cross_modality_mr, lesion_adaptation" in message
    assert not list(tmp_path.iterdir())
