"""Seeded mutants of DICOM series: a coded refusal or a sound volume, whatever was done to them."""

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import dicom_fuzz
import pytest
from dicom_mutation import BASES, base
from dicom_truth import assert_holds_none

import medgen
from medgen.dicom.reading import read_series
from medgen.problems import Refusal

FAST, SLOW, AT_ONCE = 100, 2000, 500
_START_SECONDS = 60


def fuzz(first: int, count: int, folder: Path) -> Counter[str]:
    """Read mutants in another process; return how often each outcome came."""
    paths = [str(Path(dicom_fuzz.__file__).parent), str(Path(medgen.__file__).parents[1])]
    finished = subprocess.run(
        [sys.executable, dicom_fuzz.__file__, str(first), str(count), str(folder / "mutant")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_START_SECONDS + count * dicom_fuzz.SECONDS,
        check=False,
    )
    lines = finished.stdout.splitlines()
    done = [json.loads(line) for line in lines if line.startswith("{")]
    last = lines[-1] if lines else "nothing at all"
    assert finished.returncode == 0, f"the process died after {last!r}:\n{finished.stderr[-3000:]}"
    failed = [one for one in done if one["outcome"] not in ("read", "refused")]
    assert not failed, "\n".join(f"seed {one['seed']}: {one['outcome']}" for one in failed)
    assert [one["seed"] for one in done] == list(range(first, first + count))
    assert_holds_none(finished.stderr)
    return Counter(word for one in done for word in (one["outcome"], *one["codes"]))


def test_mutants_are_refused_or_well_formed(tmp_path: Path) -> None:
    outcomes = fuzz(0, FAST, tmp_path)
    # Damage that is always refused, or never, would test one half only.
    assert outcomes["read"] > FAST // 20
    assert outcomes["refused"] > FAST // 3
    assert len(outcomes) > 12


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FAST, FAST + SLOW, AT_ONCE))
def test_many_mutants_are_refused_or_well_formed(tmp_path: Path, first: int) -> None:
    assert sum(fuzz(first, AT_ONCE, tmp_path)[word] for word in ("read", "refused")) == AT_ONCE


@pytest.mark.parametrize("name", sorted(set(BASES) - {"echoes", "phases"}))
def test_no_cut_goes_unnoticed(tmp_path: Path, name: str) -> None:
    whole = base(name)
    for number, content in enumerate(whole):
        (tmp_path / f"{number}.dcm").write_bytes(content)
    cut = tmp_path / f"{random.Random(name).randrange(len(whole))}.dcm"
    content = cut.read_bytes()
    # The last 8 bytes of a compressed file may only say that its pixels are over.
    for end in [*range(0, len(content) - 12, len(content) // 6), len(content) - 12]:
        cut.write_bytes(content[:end])
        with pytest.raises(Refusal):
            read_series(tmp_path)
    cut.write_bytes(content)
    assert read_series(tmp_path).data.size
