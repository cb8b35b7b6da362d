from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from medgen.data import Cache, prepare_cohort, read_table
from medgen.data.cache import ABANDONED_SECONDS
from medgen.problems import ConfigurationError, Refusal
from medgen.volumes import Volume, open_volume


@pytest.fixture
def row(tmp_path, cohort_table):
    return read_table(cohort_table(tmp_path, cases=1), columns=["mr", "ct"]).rows[0]


class Counting:
    """A loader that counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, path: Path) -> Volume:
        self.calls += 1
        return open_volume(path)


def test_an_entry_equals_the_preparation_and_is_made_once(tmp_path, row, preprocessing):
    opener, cache = Counting(), Cache(tmp_path / "cache")
    case = cache.case(row, preprocessing(), opener)
    again = cache.case(row, preprocessing(), opener)
    assert opener.calls == 2
    prepared = preprocessing().prepare_case({c: open_volume(p) for c, p in row.cells.items()})
    for name, values in prepared.arrays.items():
        assert np.array_equal(case.arrays[name], values)
        assert isinstance(again.arrays[name], np.memmap)
    assert case.codecs == again.codecs == prepared.codecs
    assert case.grid.same_as(prepared.grid, tolerance_mm=0)
    assert case.jitter == (True,)
    assert case.overlaps == prepared.overlaps
    assert case.indices.dtype == np.int32
    assert np.array_equal(case.indices, np.flatnonzero(prepared.arrays["mask"]))


def test_content_and_settings_make_the_key_names_do_not(tmp_path, row, config, preprocessing):
    opener, cache = Counting(), Cache(tmp_path / "cache")
    cache.case(row, preprocessing(), opener)
    row.cells["mr"].rename(tmp_path / "renamed.nii.gz")
    moved = type(row)("other", "p", {**row.cells, "mr": tmp_path / "renamed.nii.gz"})
    assert cache.case(moved, preprocessing(), opener).case == "other"
    assert opener.calls == 2
    changed = config(preprocessing={"spacing_mm": [3.0, 3.0, 3.0]})
    assert cache.case(moved, preprocessing(changed), opener).grid.spacing_mm[0] == 3.0
    assert opener.calls == 4
    (tmp_path / "renamed.nii.gz").write_bytes(moved.cells["ct"].read_bytes())
    cache.case(moved, preprocessing(), opener)
    assert opener.calls == 6


def damage_truncate(entry: Path) -> None:
    os.truncate(entry / "source.npy", 200)


def damage_flip(entry: Path) -> None:
    data = bytearray((entry / "target.npy").read_bytes())
    data[-5] ^= 0xFF
    (entry / "target.npy").write_bytes(data)


def damage_remove(entry: Path) -> None:
    (entry / "inside.npy").unlink()


def damage_meta(entry: Path) -> None:
    (entry / "meta.json").write_text('{"grid": ')


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_remove, damage_meta])
def test_a_damaged_entry_is_made_again(tmp_path, row, preprocessing, damage):
    opener, cache = Counting(), Cache(tmp_path / "cache")
    expected = np.array(cache.case(row, preprocessing(), opener).arrays["source"])
    (entry,) = (tmp_path / "cache").iterdir()
    damage(entry)
    case = cache.case(row, preprocessing(), opener)
    assert opener.calls == 4
    assert np.array_equal(case.arrays["source"], expected)


def test_a_failure_leaves_nothing_behind(tmp_path, row, preprocessing, monkeypatch):
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("medgen.data.entries.write_json", full)
    with pytest.raises(ConfigurationError, match=r"E_CACHE.*No space left"):
        Cache(tmp_path / "cache").case(row, preprocessing(), open_volume)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path):
    old, fresh = tmp_path / ".tmp-old", tmp_path / ".tmp-fresh"
    for folder in (old, fresh):
        folder.mkdir()
    past = old.stat().st_mtime - 2 * ABANDONED_SECONDS
    os.utime(old, (past, past))
    Cache(tmp_path)
    assert not old.exists()
    assert fresh.exists()


def test_entries_hold_no_path_and_no_case(tmp_path, row, preprocessing):
    Cache(tmp_path / "cache").case(row, preprocessing(), open_volume)
    (entry,) = (tmp_path / "cache").iterdir()
    text = (entry / "meta.json").read_text()
    assert row.case not in text
    assert "nii" not in text


def test_maps_are_not_held_open(tmp_path, row, preprocessing):
    case = Cache(tmp_path / "cache").case(row, preprocessing(), open_volume)
    before = len(os.listdir("/proc/self/fd"))
    sums = [float(case.arrays["source"].sum()) for _ in range(20)]
    gc.collect()
    assert len(set(sums)) == 1
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    with pytest.raises(KeyError):
        case.arrays["label"]


def test_every_unreadable_cell_is_named(tmp_path, row, preprocessing):
    for path in row.cells.values():
        path.write_bytes(b"nonsense")
    with pytest.raises(Refusal) as error:
        Cache(tmp_path / "cache").case(row, preprocessing(), open_volume)
    assert {(p.case, p.column) for p in error.value.problems} == {("c0", "mr"), ("c0", "ct")}


def test_keys_choose_what_is_prepared(tmp_path, row, preprocessing):
    cache = Cache(tmp_path / "cache")
    only = cache.case(row, preprocessing(), open_volume, keys=frozenset({"target"}))
    assert set(only.arrays) == {"target", "mask", "body", "inside"}


def test_a_cohort_is_prepared_in_order_with_progress(tmp_path, cohort_table, preprocessing):
    table = read_table(cohort_table(tmp_path, cases=3), columns=["mr", "ct"])
    seen: list[tuple[int, int]] = []
    cases = prepare_cohort(
        table.rows, preprocessing(), Cache(tmp_path / "cache"), lambda *at: seen.append(at)
    )
    assert [case.case for case in cases] == ["c0", "c1", "c2"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
