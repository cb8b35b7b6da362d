import json
import os
import subprocess
import sys

import pytest
from dicom_corpus import CANARIES, CT, MR, SOP_CLASSES, make_series
from dicom_encoding import EXPLICIT, RLE
from dicom_receiver import receiving

from medgen.cli.app import main

KINDS = [(SOP_CLASSES[CT], EXPLICIT), (SOP_CLASSES[MR], EXPLICIT)]


@pytest.fixture
def tree(tmp_path):
    """Two series, of which the receiver takes one; in folders that are named like a patient."""
    make_series(tmp_path / "DOE^JANE/ct", CT, shape=(6, 5, 4))
    make_series(tmp_path / "DOE^JANE/rle", MR, shape=(6, 5, 3), syntax=RLE)
    return tmp_path / "DOE^JANE"


def test_it_says_what_was_stored_and_where(tree, capsys):
    with receiving(KINDS) as received:
        assert main(["send", str(tree / "ct"), "--to", received.address]) == 0
    out, err = capsys.readouterr()
    assert out == f"stored 4 of 4 files at {received.address}\n"
    assert err == ""
    assert received.callers == {"MEDGEN"}


def test_what_failed_is_named_on_the_terminal_and_never_in_the_log(tree, tmp_path, capsys):
    log = tmp_path / "log.jsonl"
    with receiving(KINDS, answer=lambda number, _: 0xB000 if number == 1 else 0) as received:
        code = main(["send", str(tree), "--to", received.address, "--log", str(log)])
    assert code == 8
    out, err = capsys.readouterr()
    assert out == f"stored 4 of 7 files at {received.address}\n"
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("medgen: E_SEND_CONTEXT: the receiver does not take MR Image Stor")
    assert "5: rle/IM00001.dcm" in lines[0]
    assert lines[1] == "medgen: warning: 1 file stored with the warning status 0xB000"
    logged = log.read_text()
    assert [word for word in CANARIES if word in logged + err + out] == []
    assert "IM0000" not in logged
    events = [json.loads(line) for line in logged.splitlines()]
    (sent,) = [event for event in events if event["event"] == "sent"]
    assert sent["fields"] == {
        "files": 7,
        "stored": 4,
        "warned": 1,
        "failed": 3,
    }


def test_json_has_every_file_that_failed(tree, capsys):
    (tree / "notes.txt").write_text("not DICOM")
    with receiving(KINDS) as received:
        assert main(["send", str(tree), "--to", received.address, "--json"]) == 8
    answer = json.loads(capsys.readouterr().out)
    failed = answer.pop("failed")
    assert answer == {"files": 7, "stored": 4, "warnings": {}, "others": 1, "associations": 1}
    assert [one["code"] for one in failed] == ["E_SEND_CONTEXT"] * 3
    assert [one["file"] for one in failed] == [5, 6, 7]
    assert all("name" not in one for one in failed)


def test_json_names_no_file_but_those_that_medgen_named(tree, capsys):
    (tree / "rle/IM00002.dcm").rename(tree / "rle/0002.dcm")
    (tree / "rle/IM00003.dcm").rename(tree / "rle/DOE^JANE.dcm")
    with receiving(KINDS) as received:
        assert main(["send", str(tree), "--to", received.address, "--json"]) == 8
    out, err = capsys.readouterr()
    failed = json.loads(out)["failed"]
    assert [(one["file"], one.get("name")) for one in failed] == [
        (5, "0002.dcm"),
        (6, None),
        (7, None),
    ]
    assert [word for word in CANARIES if word in out] == []
    assert "rle" not in out
    assert "5: rle/0002.dcm" in err


def test_options_reach_the_receiver(tree, capsys):
    with receiving(KINDS) as received:
        options = ["--to", received.address, "--calling", "SCANNER 2", "--timeout", "2.5"]
        assert main(["send", str(tree / "ct"), *options, "--quiet"]) == 0
    assert received.callers == {"SCANNER 2"}
    capsys.readouterr()


def test_all_refused_is_4(tree, capsys):
    with receiving(KINDS, answer=lambda number, event: 0xA700) as received:
        assert main(["send", str(tree / "ct"), "--to", received.address]) == 4
    out, err = capsys.readouterr()
    assert "stored 0 of 4 files" in out
    assert err.count("0xA700 (out of resources)") == 1


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        (["--to", "nowhere"], "E_DESTINATION", 2),
        (["--to", "SEVENTEEN_LETTERS@127.0.0.1:104"], "E_AE_TITLE", 2),
        (["--to", "A@127.0.0.1:104", "--calling", ""], "E_AE_TITLE", 2),
        (["--to", "A@127.0.0.1:104", "--timeout", "0"], "E_TIMEOUT", 2),
    ],
)
def test_wrong_options_are_usage_errors(tree, capsys, options, code, exit_code):
    assert main(["send", str(tree), *options]) == exit_code
    assert code in capsys.readouterr().err


def test_to_is_needed(tree, capsys):
    assert main(["send", str(tree)]) == 2
    assert "--to" in capsys.readouterr().err


def test_an_empty_folder_is_nothing_found(tmp_path, capsys):
    assert main(["send", str(tmp_path), "--to", "A@127.0.0.1:104"]) == 3
    assert "E_NOTHING_FOUND" in capsys.readouterr().err


def test_it_imports_no_framework(tree):
    """A folder is sent from machines that train nothing."""
    code = (
        "import sys; from medgen.cli.app import main; "
        f"main(['send', {str(tree)!r}, '--to', 'A@127.0.0.1:1', '--timeout', '1']); "
        "print(sorted({'torch', 'monai', 'SimpleITK'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert ended.stdout.splitlines()[-1] == "[]", ended.stderr
