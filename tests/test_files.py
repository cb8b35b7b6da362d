import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from medgen.files import (
    TEMPORARY_PREFIX,
    locked,
    remove_leftovers,
    remove_whole,
    replacing,
    replacing_folder,
    sha256_of_file,
    sha256_of_json,
    writable,
    write_bytes,
    write_json,
    write_text,
)
from medgen.problems import ConfigurationError


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_hash_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"abc" * 100_000)
    assert sha256_of_file(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_hash_of_json_ignores_key_order_and_refuses_nan() -> None:
    assert sha256_of_json({"a": 1, "b": [2.5]}) == sha256_of_json({"b": [2.5], "a": 1})
    assert sha256_of_json({"a": 1}) != sha256_of_json({"a": 2})
    with pytest.raises(ValueError, match="JSON"):
        sha256_of_json(float("nan"))


def test_replacing_yields_a_hidden_name_with_every_suffix(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "ct.nii.gz"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.endswith("ct.nii.gz")
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert names(target.parent) == ["ct.nii.gz"]


def test_a_failure_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "ct.nii"
    target.write_bytes(b"old")

    def interrupted() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["ct.nii"]


def test_a_writer_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x"):
        pass
    assert names(tmp_path) == []


def test_bytes_text_and_json(tmp_path: Path) -> None:
    write_bytes(tmp_path / "b", b"\0\1")
    write_text(tmp_path / "t", "µm\n")
    write_json(tmp_path / "j", {"b": 1, "a": [1.5, None]})
    assert (tmp_path / "b").read_bytes() == b"\0\1"
    assert (tmp_path / "t").read_text(encoding="utf-8") == "µm\n"
    assert json.loads((tmp_path / "j").read_text()) == {"a": [1.5, None], "b": 1}
    assert (tmp_path / "j").read_text().index('"a"') < (tmp_path / "j").read_text().index('"b"')


def test_json_refuses_nan_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "j.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"score": float("nan")})
    assert json.loads(path.read_text()) == 1
    assert names(tmp_path) == ["j.json"]


def test_a_killed_writer_leaves_no_final_file_and_its_rest_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "ct.nii"
    program = textwrap.dedent(
        """
        import pathlib, sys, time
        from medgen.files import replacing
        with replacing(pathlib.Path(sys.argv[1])) as temporary:
            temporary.write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(60)
        """
    )
    command = [sys.executable, "-c", program, str(target)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)
    assert not target.exists()
    (tmp_path / "keep.nii").touch()
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == ["keep.nii"]
    assert remove_leftovers(tmp_path / "absent") == 0


def test_only_what_replacing_left_is_removed(tmp_path: Path) -> None:
    foreign = [".tmp-notes", ".tmp-0123456-ct.nii", ".tmp-0123456Z-ct.nii", "a.tmp-01234567-ct.nii"]
    for name in (*foreign, ".tmp-01234567-ct.nii", ".tmp-01234567-mr.nii"):
        (tmp_path / name).touch()
    (tmp_path / ".tmp-89abcdef-ct").mkdir()
    (tmp_path / ".tmp-89abcdef-ct" / "0001.dcm").touch()
    (tmp_path / ".tmp-mine").mkdir()
    assert remove_leftovers(tmp_path, of={"ct.nii"}) == 1
    rest = [*foreign, ".tmp-01234567-mr.nii", ".tmp-89abcdef-ct", ".tmp-mine"]
    assert names(tmp_path) == sorted(rest)
    assert remove_leftovers(tmp_path, of={"ct"}) == 1
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == sorted([*foreign, ".tmp-mine"])


def test_a_leftover_link_is_removed_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    (tmp_path / ".tmp-89abcdef-ct").symlink_to(tmp_path / "mine")
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["kept"]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "ct"
    with replacing_folder(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.endswith("-ct")
        (temporary / "0001.dcm").write_bytes(b"1")
        assert not target.exists()
    assert names(target.parent) == ["ct"]
    assert names(target) == ["0001.dcm"]


def test_a_folder_replaces_the_one_before_wholly(tmp_path: Path) -> None:
    target = tmp_path / "ct"
    for old, new in (("0001.dcm", "0001.dcm"), ("0002.dcm", "0003.dcm")):
        with replacing_folder(target) as temporary:
            for name in {old, new}:
                (temporary / name).write_bytes(b"1")
    assert names(target) == ["0002.dcm", "0003.dcm"]
    assert names(tmp_path) == ["ct"]


def test_a_failure_leaves_the_old_folder_and_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "ct"
    target.mkdir()
    (target / "old").touch()

    def interrupted() -> None:
        with replacing_folder(target) as temporary:
            (temporary / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["ct"]
    assert names(target) == ["old"]


def test_a_folder_that_cannot_get_its_name_gives_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, rename = tmp_path / "ct", os.replace
    target.mkdir()
    (target / "old").touch()

    def failing(source: Path, destination: Path) -> None:
        if destination == target and (source / "new").exists():
            raise OSError(5, "input/output error")
        rename(source, destination)

    monkeypatch.setattr("os.replace", failing)
    with pytest.raises(OSError, match="input/output"), replacing_folder(target) as temporary:
        (temporary / "new").touch()
    assert names(tmp_path) == ["ct"]
    assert names(target) == ["old"]


def test_a_killed_folder_writer_leaves_no_folder_and_its_rest_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "ct"
    program = textwrap.dedent(
        """
        import os, pathlib, sys
        from medgen.files import replacing_folder
        with replacing_folder(pathlib.Path(sys.argv[1])) as temporary:
            (temporary / "0001.dcm").write_bytes(b"half")
            os.kill(os.getpid(), 9)
        """
    )
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", program, str(target)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()
    assert len(names(tmp_path)) == 1
    assert remove_leftovers(tmp_path) == 1
    assert names(tmp_path) == []


def test_a_folder_is_synced_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.replace

    def watched_sync(descriptor: int) -> None:
        calls.append("sync")
        sync(descriptor)

    def watched_rename(source: Path, target: Path) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr("os.fsync", watched_sync)
    monkeypatch.setattr("os.replace", watched_rename)
    with replacing_folder(tmp_path / "ct") as temporary:
        (temporary / "0001.dcm").touch()
    assert calls == ["sync", "sync", "rename", "sync"]


def test_a_second_writer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with locked(folder):
        with pytest.raises(ConfigurationError, match="E_LOCKED"), locked(folder):
            pass
        assert folder.is_dir()
    with locked(folder):
        pass


def test_a_file_system_without_locks_is_not_taken_for_another_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with (
        pytest.raises(ConfigurationError, match=r"E_OUTPUT_UNWRITABLE.*[Nn]o locks available"),
        writable(),
        locked(tmp_path),
    ):
        pass


def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import os, pathlib, sys
        from medgen.files import locked
        with locked(pathlib.Path(sys.argv[1])):
            os.kill(os.getpid(), 9)
        """
    )
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False)
    assert ended.returncode == -signal.SIGKILL
    with locked(tmp_path):
        pass


def test_replacing_syncs_before_it_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.replace

    def watched_sync(descriptor: int) -> None:
        calls.append("sync")
        sync(descriptor)

    def watched_rename(source: Path, target: Path) -> None:
        calls.append("rename")
        rename(source, target)

    monkeypatch.setattr("os.fsync", watched_sync)
    monkeypatch.setattr("os.replace", watched_rename)
    write_bytes(tmp_path / "x", b"1")
    assert calls == ["sync", "rename", "sync"]


def test_a_folder_that_is_removed_never_stands_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    (folder / "0001.dcm").touch()

    def killed(path: Path) -> None:
        assert not folder.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_whole(folder)
    assert not folder.exists()
    assert remove_leftovers(tmp_path, of={"ct"}) == 1
    assert list(tmp_path.iterdir()) == []


def test_removing_a_link_spares_what_it_points_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("x")
    (tmp_path / "link").symlink_to(kept)
    remove_whole(tmp_path / "link")
    remove_whole(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
