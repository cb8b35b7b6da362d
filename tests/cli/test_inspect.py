import json
from pathlib import Path

import pytest
from dicom_ambiguous import echoes, two_series
from dicom_corpus import CANARIES, CT, MR, make_series, make_slices, save_series, uid
from dicom_hard_geometry import tilted

from medgen.cli.app import main
from medgen.problems import Exit
from medgen.volumes import list_volumes


def test_a_sound_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_series(tmp_path / "a", CT)
    log = tmp_path / "log.jsonl"
    assert main(["inspect", str(tmp_path / "a"), "--log", str(log)]) == Exit.OK
    out, err = capsys.readouterr()
    assert out.startswith("verdict: ok\n")
    for line in (
        "format: DICOM, 10 files, Explicit VR Little Endian",
        "shape: 40 x 32 x 10 voxels of 0.8 x 1.2 x 2.5 mm",
        "orientation: LPS",
        "unit: HU",
        "frame of reference: yes",
        "derived DICOM: possible",
        "--phi shows them",
    ):
        assert line in out
    assert err == ""
    assert '"inspected"' in log.read_text()
    assert [word for word in CANARIES if word in out + log.read_text()] == []


def test_json_has_the_documented_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_series(tmp_path / "a", CT)
    assert main(["inspect", str(tmp_path / "a"), "--json"]) == Exit.OK
    facts = json.loads(capsys.readouterr().out)
    assert facts["verdict"] == "ok"
    assert facts["problems"] == []
    assert {"shape", "spacing_mm", "affine", "unit", "modality"} <= set(facts)
    (tmp_path / "torn.nii").write_bytes(b"x")
    assert main(["inspect", str(tmp_path / "torn.nii"), "--json"]) == Exit.ALL_FAILED
    facts = json.loads(capsys.readouterr().out)
    assert facts["verdict"] == "refused"
    assert {"code", "message", "advice"} == set(facts["problems"][0])
    assert facts["shape"] is None


def test_several_series_and_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_series()(tmp_path)
    assert main(["inspect", str(tmp_path)]) == Exit.ALL_FAILED
    out = capsys.readouterr().out
    assert "E_SEVERAL_SERIES" in out
    assert "--series 8" in out
    assert "files of 2 series" in out
    assert uid(MR, 0, "series") in out or uid(CT, 0, "series") in out
    assert [line for line in ("modality: ", "frame of reference", "case id: ") if line in out] == []
    assert main(["inspect", str(tmp_path), "--series", "8"]) == Exit.OK
    assert "modality: MR" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--series", "12"]) == Exit.ALL_FAILED
    assert "E_NO_SERIES" in capsys.readouterr().out


def test_phi_on_request_cannot_control_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_series(tmp_path / "a", CT)
    log = tmp_path / "log.jsonl"
    assert main(["inspect", str(tmp_path / "a"), "--phi", "--log", str(log)]) == Exit.OK
    out = capsys.readouterr().out
    assert "PatientName (10 files): DOE^JANE" in out
    assert "\\x1b[31m" in out
    assert "\x1b" not in out
    assert "DOE" not in log.read_text()


def test_what_was_computed_and_what_it_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slices, _ = make_slices(CT, shape=(8, 7, 5))
    for one in slices:
        one.SyntheticData, one.ImageType = "YES", ["DERIVED", "SECONDARY", "AXIAL"]
    save_series(tmp_path, slices)
    assert main(["inspect", str(tmp_path)]) == Exit.OK
    out = capsys.readouterr().out
    assert "made: synthetic and derived\n" in out
    assert f"case id: {list_volumes(tmp_path)[0].name}\n" in out


def test_straightening_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tilted(tmp_path)
    assert main(["inspect", str(tmp_path), "--straighten"]) == Exit.OK
    assert "W_STRAIGHTENED: voxels were resampled" in capsys.readouterr().out


def test_the_help_says_what_the_gate_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--help"]) == Exit.OK
    out = " ".join(capsys.readouterr().out.split())
    assert "The gate is the check" in out
    assert "FOLDER/#echo=2" in out


def test_options_reach_the_gate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    echoes()(tmp_path)
    assert main(["inspect", str(tmp_path)]) == Exit.ALL_FAILED
    assert "E_SEVERAL_ECHOES" in capsys.readouterr().out
    assert main(["inspect", str(tmp_path), "--echo", "2"]) == Exit.OK
    assert main(["inspect", str(tmp_path), "--echo", "9"]) == Exit.ALL_FAILED
    assert main(["inspect", str(tmp_path), "--echo", "0"]) == Exit.USAGE
    assert main(["inspect", str(tmp_path), "--series", "DOE JANE"]) == Exit.USAGE
    assert main(["inspect", str(tmp_path), "--nan-to", "nan"]) == Exit.USAGE
    capsys.readouterr()
    assert main(["inspect", str(tmp_path / "gone")]) == Exit.NOTHING_FOUND
    assert "E_MISSING_FILE" in capsys.readouterr().err
