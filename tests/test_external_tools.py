import sys

import pytest
from external_tools import REQUIRED, find_tool, require_tool, run_tool


def test_a_missing_program_skips_with_the_install_line(monkeypatch):
    monkeypatch.delenv(REQUIRED, raising=False)
    monkeypatch.setattr("external_tools.find_tool", lambda name: None)
    with pytest.raises(pytest.skip.Exception, match="apt-get install dicom3tools"):
        require_tool("dciodvfy")


def test_a_missing_program_fails_where_programs_are_required(monkeypatch):
    monkeypatch.setenv(REQUIRED, "1")
    monkeypatch.setattr("external_tools.find_tool", lambda name: None)
    with pytest.raises(pytest.fail.Exception, match="apt-get install orthanc"):
        require_tool("Orthanc")


def test_wheels_programs_are_found_beside_the_interpreter_and_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("external_tools._SYSTEM", ())
    monkeypatch.setenv("PATH", "")
    for name in ("dcm2niix", "storescu"):
        (tmp_path / name).touch(mode=0o755)
    assert find_tool("dcm2niix") == str(tmp_path / "dcm2niix")
    assert find_tool("storescu") is None


def test_a_program_is_run_to_its_end_and_no_longer():
    ended = run_tool([sys.executable, "-c", "print('said'); raise SystemExit(3)"])
    assert (ended.returncode, ended.stdout) == (3, "said\n")
    with pytest.raises(Exception, match="timed out"):
        run_tool([sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.2)
